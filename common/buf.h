/* A growing byte buffer: bytes are appended at the end and consumed from the front. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "mem.h"

struct buf {
    char *data; /* owned; valid bytes are data[start .. len) */
    size_t start;
    size_t len;
    size_t room;
};

#define _cleanup_buf_ _cleanup_(buf_done)

void buf_done(struct buf *b); /* frees the contents, leaves an empty buffer */
void buf_append(struct buf *b, const void *data, size_t len);
void buf_append_u64(struct buf *b, uint64_t v); /* in decimal */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Inline, for the length of a literal is known where it is written. */
static inline void buf_append_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}
/* Make room for at least n more bytes and return where to put them; then add to b->len. */
char *buf_reserve(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n);

static inline size_t buf_size(const struct buf *b)
{
    return b->len - b->start;
}

/* Never NULL, so that it may be given with size 0 to functions that insist on a pointer. */
static inline const char *buf_head(const struct buf *b)
{
    return b->data ? b->data + b->start : "";
}

/* NUL-terminate and hand the bytes over as a string; the buffer is empty afterwards. */
char *buf_take_str(struct buf *b);
