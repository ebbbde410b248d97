/* The archive on standard input as tar entries, by a pipeline of threads:
 *
 *   read -> [ring] -+-> decompress -> [ring] -+-> tar entries: the caller
 *                   +-> hash the input        +-> hash the uncompressed stream
 *
 * An archive that is not compressed goes from the first ring to the caller.  Memory is that of the
 * two rings and of the decompressor's window, however large the archive is. */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"

struct source;

struct source_options {
    bool hashed;     /* compute the sha256 of the uncompressed stream */
    bool blob;       /* and of the input as it came */
    int keep_fd;     /* borrowed: gets a copy of the input; < 0: none */
    int follow_fd;   /* borrowed: layer_protocol.h; < 0: the input ends where it ends */
    int64_t max_raw; /* bytes of input */
};

/* Call before entering the sandbox: libcrypto and libarchive load what they need then.  Nothing is
 * read yet. */
int source_new(const struct source_options *opt, struct source **ret, struct err *reterr);
/* Start the threads, which wait for source_start(): in the sandbox, but before its filter of system
 * calls, which allows no new ones.  They run when this returns. */
int source_threads(struct source *src, struct err *reterr);
void source_free(struct source *src); /* at any time */
DEFINE_FREEP(struct source *, source_free)

/* Begin reading; finds the compression. */
int source_start(struct source *src, struct err *reterr);
/* Next tar entry: 1, at the end 0, or an error of the archive.  Names are raw bytes. */
int source_next(struct source *src, struct archive_entry **ret, struct err *reterr);
/* Next piece of the entry's content, with its place in the file: 1, at the end 0.  name: of the
 * entry, for messages.  Writers that leave out what should fill the last block of an archive are
 * forgiven, as Go's reader does. */
int source_data(struct source *src, const char *name, const void **ret, size_t *ret_len,
                int64_t *ret_offset, struct err *reterr);
/* Read what follows the last entry and give the hex digests: of the uncompressed stream (hashed
 * sources) and of the input (blob; else "-").  Both may be NULL. */
int source_finish(struct source *src, char ret_hex[65], char ret_blob[65], struct err *reterr);
int64_t source_length(struct source *src); /* bytes of input that were read */
