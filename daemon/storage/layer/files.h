/* Owner, mode, attributes and times of one unpacked file.  The order is the kernel's: chown clears
 * set-id bits and security.capability, so they come after it. */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <time.h>

#include "err.h"

#define XATTRS_MAX 256 /* of one entry */

/* Whether a layer carries this extended attribute. */
bool entry_wants_xattr(const char *name);

struct timespec entry_mtime(struct archive_entry *e);

/* Before a file is made in dirfd, by what its header says: -EFBIG if it has more than max bytes;
 * -ENOSPC if the disk has not so many, which is better known before it is full. */
int entry_check_size(struct archive_entry *e, int dirfd, const char *path, int64_t max,
                     struct err *reterr);

/* Ids that the kernel takes as such. */
int entry_check_owner(struct archive_entry *e, const char *path, struct err *reterr);
/* All but times, on an open file or directory. */
int entry_apply_fd(struct archive_entry *e, int fd, const char *path, struct err *reterr);
int entry_set_time(struct archive_entry *e, int fd, const char *path, struct err *reterr);
/* Owner, mode (not of a symlink) and times of a symlink, device or fifo just made. */
int entry_apply_at(struct archive_entry *e, int dirfd, const char *name, const char *path,
                   struct err *reterr);
