/* Entries of a tar archive (POSIX pax interchange format) as bytes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "buf.h"

struct tar_entry {
    const char *path;   /* "usr/bin/sh"; a directory's without a slash at the end */
    const char *target; /* of a symlink; of a hard link the path of the first name */
    bool hard;          /* target is a hard link's */
    mode_t mode;        /* with its type: a regular file, a directory or a symlink */
    uid_t uid;
    gid_t gid;
    int64_t size, mtime;
    const void *capability; /* security.capability's value, or NULL */
    size_t capability_len;
};

#define TAR_BLOCK 512

/* What comes before the file's bytes; they are then filled up with tar_pad(). */
void tar_header(struct buf *out, const struct tar_entry *e);
void tar_pad(struct buf *out, int64_t size);
void tar_end(struct buf *out);
