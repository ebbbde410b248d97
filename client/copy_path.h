/* The rules of `docker cp` about names: what a trailing slash or "/." asks for, and which name a
 * copy has where it goes. */
#pragma once

#include <stdbool.h>

#include "err.h"

/* As Go's filepath.Base and Dir; the caller frees. */
char *copy_base(const char *path);
char *copy_dir(const char *path);

bool copy_has_slash(const char *path);                    /* at its end */
bool copy_is_inside(const char *path);                    /* "." or ".../." */
char *copy_keep_end(const char *clean, const char *path); /* clean with path's slash or "/." */
/* Directory and name, the name "." of "dir/.". */
void copy_split(const char *path, char **ret_dir, char **ret_base);
/* The name that `path` asks for when it was followed to *resolved (replaced: path's end is put
 * behind); NULL if it is resolved's own. */
char *copy_rebase_name(const char *path, char **resolved);

/* One end of a copy. */
struct copy_end {
    char *path;   /* owned */
    char *rebase; /* owned: the name that a source is given, or NULL */
    bool exists, dir;
};

void copy_end_done(struct copy_end *e);

/* Where an archive of src is to be unpacked for it to become dst: the directory, and what its names
 * begin with (from) and shall begin with (as), both NULL if they are right.  All are the caller's
 * to free. */
int copy_arrange(const struct copy_end *src, const struct copy_end *dst, char **ret_dir,
                 char **ret_from, char **ret_as, struct err *reterr);
