/* Sizes of trees that a container may be writing to. */
#pragma once

#include <stdint.h>

/* Deeper directories are not counted: each level costs a descriptor while it is walked. */
#define USAGE_DEPTH_MAX 128

/* Sum of st_size of the regular files and symlinks below dirfd/name, hard links once, staying on
 * the file system; entries that vanish meanwhile are ignored.  0 or -errno; any thread. */
int usage_of_tree(int dirfd, const char *name, int64_t *ret);
/* The same of those that are new or changed since upper was copied from lower (compare.h). */
int usage_of_changes(int lower, int upper, int64_t *ret);
