/* btrfs subvolumes, by ioctl(2) (linux/btrfs.h).  Any thread; 0 or -errno. */
#pragma once

#include <stdbool.h>

/* Make dirfd/name: a writable snapshot of the subvolume that `parent` is open on, or an empty one
 * when parent is negative.  -ENOTTY: no btrfs. */
int subvolume_new(int parent, int dirfd, const char *name);
/* Drop it whole, however much is in it.  -ENOTEMPTY: it holds subvolumes itself. */
int subvolume_remove(int dirfd, const char *name);
bool subvolume_is(int dirfd, const char *name);
