/* Files of this host, with what they need to run, as the tree of an image: directories and symlinks
 * on the way to them, the dynamic loader, libraries, a script's interpreter.  Everything is found
 * by reading; nothing is run. */
#pragma once

#include <stdint.h>
#include <sys/stat.h>

#include "err.h"
#include "ldso.h"
#include "map.h"

#define HOST_FILES_MAX 200000

struct host_file {
    char *path;   /* owned, without the leading slash */
    char *target; /* owned: of a symlink; of a hard link the path of the first name; NULL */
    char *data;   /* owned: a file's bytes that the host has not; NULL */
    struct stat sb;
};

struct host_tree {
    struct host_file *files; /* owned: a directory comes before what is in it */
    size_t n;
    struct map paths;  /* path -> itself */
    struct map inodes; /* "dev:inode" of files with several names -> the first one, owned */
    struct ldso ldso;
};

void host_tree_init(struct host_tree *t);
void host_tree_done(struct host_tree *t);
#define _cleanup_host_tree_ _cleanup_(host_tree_done)

/* A file, or a directory with all that is in it, under the name it has here; a name without a slash
 * is looked up in PATH.  *ret (may be NULL): the name, absolute; caller frees. */
int host_tree_add(struct host_tree *t, const char *name, char **ret, struct err *reterr);
/* What no image should be without, as far as it is not there: /tmp, /root, a root user, and the links
 * of the host's root into directories that are there (/bin -> usr/bin). */
void host_tree_add_base(struct host_tree *t);
/* The whole as a tar. */
int host_tree_write(const struct host_tree *t, int fd, struct err *reterr);
