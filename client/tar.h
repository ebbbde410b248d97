/* Tar archives as cp, build and from-host need them: pax and ustar written, these and GNU's long
 * names read (pax(1p), tar(5)).  No file is touched here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"
#include "mem.h"

#define TAR_BLOCK 512
#define TAR_EXTENSION_MAX (1 << 20) /* bytes of a pax header or a long name that are read */

enum tar_type {
    TAR_FILE = '0',
    TAR_HARDLINK = '1',
    TAR_SYMLINK = '2',
    TAR_CHAR = '3',
    TAR_BLOCK_DEVICE = '4',
    TAR_DIRECTORY = '5',
    TAR_FIFO = '6',
};

struct tar_entry {
    char type;
    char *name, *link; /* owned; link "" unless it is a link */
    mode_t mode;       /* permissions */
    uint32_t uid, gid;
    int64_t size; /* of the data that follows */
    int64_t mtime;
    unsigned major, minor;
    const void *capability; /* security.capability, borrowed; written only */
    size_t capability_len;
};

void tar_entry_done(struct tar_entry *e);
#define _cleanup_tar_entry_ _cleanup_(tar_entry_done)

/* Append the header; the data, and zeros up to a block's end, are the caller's. */
void tar_put_header(struct buf *out, const struct tar_entry *e);
static inline size_t tar_padding(int64_t size)
{
    return (size_t)(-size & (TAR_BLOCK - 1));
}
void tar_pad(struct buf *out, int64_t size);
void tar_end(struct buf *out); /* of the archive */

/* More bytes into in: 1, 0 at their end, or a negative errno with reterr. */
typedef int tar_fill_fn(void *arg, struct buf *in, struct err *reterr);

struct tar_reader {
    tar_fill_fn *fill;
    void *arg;
    struct buf in;
    int64_t left; /* data of the current entry */
    size_t padding;
    int64_t total; /* bytes of the archive so far */
};

void tar_reader_done(struct tar_reader *t);
/* 1 and the next entry (what was left of the last one's data is skipped), or 0 at the end. */
int tar_next(struct tar_reader *t, struct tar_entry *ret, struct err *reterr);
/* Some of the data, borrowed until the next call: its length, or 0 at the end. */
ssize_t tar_data(struct tar_reader *t, const char **ret, struct err *reterr);
