/* Trees of the local disk as tars, and tars as trees.  What a tar from a container says is not
 * trusted: nothing is written outside of the directory it is unpacked in, whatever its names and
 * symlinks are. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "tar.h"

/* dir/name as a tar into fd; names in it begin with `as` in the place of name.  *ret_total (also on
 * failure): the bytes written. */
int tree_pack(const char *dir, const char *name, const char *as, int fd, int64_t *ret_total,
              struct err *reterr);

struct ignore;

/* What of a tree is packed. */
struct tree_filter {
    const struct ignore *ignore;
    const char *keep[2]; /* paths that are packed in any case; NULL: none */
};

/* What is in a directory, as a build's context: names relative to it, owned by root. */
int tree_pack_context(const char *dir, const struct tree_filter *filter, int fd,
                      struct err *reterr);

/* Unpack into dir, which exists.  Names that begin with `from` begin with `as` instead (NULL:
 * neither).  Owner is who unpacks; no directory is replaced by something else, nor the other way
 * round. */
int tree_unpack(struct tar_reader *t, const char *dir, const char *from, const char *as,
                struct err *reterr);
