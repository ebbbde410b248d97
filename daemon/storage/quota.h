/* Limits on what a directory tree may hold, by the file system's project quota: quota(5),
 * xfs_quota(8), tune2fs(8) -Q prjquota.  Everything made below a directory with a project id has
 * it too, and the kernel counts the blocks of each id.
 *
 * Ids are taken where the kernel has nothing on record, so several data roots on one file system
 * do not meet.  Any thread; 0 or -errno with a message. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Is project quota enforced on the file system of fd?  No before Linux 5.14 (quotactl_fd(2)). */
bool quota_supported(int fd);
/* Bound what the n directories under dirfd hold together to size bytes.  They are empty, or were
 * given to this function before: their limit changes then. */
int quota_limit(int dirfd, const char *const *names, size_t n, int64_t size, struct err *reterr);
/* No limit is on record any more for what dirfd/name belongs to; its files stay. */
void quota_forget(int dirfd, const char *name);
