/* Paths: joining, trees, and resolution that cannot leave a root. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

/* "a/b" of "a" and "b"; caller frees. */
char *path_join(const char *a, const char *b);

/* Like mkdir -p with the mode for each directory made; 0 or -errno. */
int path_mkdir_p(const char *path, mode_t mode);

/* Remove a tree (or file), never following symlinks nor crossing into another file system's
 * mount; a missing one is success.  Recursion is bounded only by depth (uses openat, no path
 * limit).  0 or -errno. */
int path_rm_rf(int dirfd, const char *name);
/* The same until *stop becomes true: -ECANCELED then, with the rest left. */
int path_rm_rf_until(int dirfd, const char *name, const atomic_bool *stop);

/* Lexical cleaning as Go's path.Clean: caller frees. */
char *path_clean(const char *path);

/* openat2(2) with RESOLVE_IN_ROOT: `path` is taken relative to rootfd as if it were "/", symlinks
 * and ".." stay inside.  flags as open(2) (O_CLOEXEC is added).  Returns fd or -errno.
 * This is the only way the daemon may touch a path that a container or image controls. */
int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode);
