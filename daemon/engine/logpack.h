/* One file of a log: plain as the shim writes it, or packed once nothing is added to it any more.
 *
 * A packed file is zstd frames of PACK_FRAME bytes of the log each and then their table, in the
 * seekable format of zstd's contrib/seekable_format: `zstdcat` reads it, and any place of it is
 * found by decoding one frame.  libzstd is loaded when the first file is packed or read.  Those of
 * the driver json-file are members of gzip (loggzip.h).  For pool threads. */
#pragma once

#include <errno.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

#define PACK_FRAME (256u << 10)
#define PACK_FRAMES_MAX (1u << 20)

struct log_file {
    int fd;                  /* owned, -EBADF: none */
    struct log_index *index; /* owned; NULL: a plain file */
};

#define LOG_FILE_INIT ((struct log_file){.fd = -EBADF})

/* Take fd over in place of what f had.  -EBADMSG for a packed file that is not whole: it reads as
 * an empty one. */
int log_file_use(struct log_file *f, int fd);
void log_file_done(struct log_file *f);

/* Bytes of the log in it; a plain file may grow. */
int64_t log_file_size(const struct log_file *f);
/* As pread(2) of the log, but short only at the end; -errno. */
ssize_t log_file_read(struct log_file *f, void *data, size_t len, int64_t offset);

/* Replace the file by its packed self, with the time of its last change; written under the
 * temporary name, which nobody else uses.  0: it is packed (already), or empty. */
int log_file_pack(int dirfd, const char *name, const char *temporary, struct err *reterr);
/* Write what in has to out, as gzip; 0 or -errno, -ELIBACC: no library. */
int log_file_gzip(int in, int out, uint64_t origin);
