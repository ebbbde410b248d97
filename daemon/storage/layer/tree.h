/* Names from an archive, taken below the worker's root.  The root is a chroot already; openat2's
 * RESOLVE_IN_ROOT keeps symlinks of the archive inside even if that ever changed. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "err.h"

#define TREE_DEPTH_MAX 256 /* components of one name */

struct tree {
    int root;
    int parent; /* owned: the directory of the last name, most names share it */
    char parent_path[PATH_MAX];
};

int tree_open(struct tree *t, struct err *reterr);
void tree_done(struct tree *t);

/* Clean an archive's name: no leading '/', no "." and empty components; "" is the root itself.
 * ".." anywhere, over-long and over-deep names are -EINVAL. */
int tree_clean(const char *name, char ret[PATH_MAX], struct err *reterr);

/* Open the directory that holds path (clean, not ""), making missing ones 0755 root:root when make
 * is set. Returns a descriptor that belongs to the tree and lives until the next call; *ret_base
 * points into path. */
int tree_parent(struct tree *t, const char *path, bool make, const char **ret_base,
                struct err *reterr);
/* After a directory or symlink was removed: cached descriptors may be of another place. */
void tree_forget(struct tree *t);
