/* btrfs subvolumes, by ioctl(2) (linux/btrfs.h).  Any thread; 0 or -errno. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Make dirfd/name: a writable snapshot of the subvolume that `parent` is open on, or an empty one
 * when parent is negative.  -ENOTTY: no btrfs. */
int subvolume_new(int parent, int dirfd, const char *name);
/* Drop it whole, however much is in it.  -ENOTEMPTY: it holds subvolumes itself. */
int subvolume_remove(int dirfd, const char *name);
/* Bound what it refers to, shared or not, to size bytes; turns the file system's quotas on. */
int subvolume_limit(int dirfd, const char *name, uint64_t size);
bool subvolume_is(int dirfd, const char *name);
