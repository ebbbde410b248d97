#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->start > 0 && b->room - b->len < n) {
        memmove(b->data, b->data + b->start, b->len - b->start);
        b->len -= b->start;
        b->start = 0;
    }
    if (!b->data || b->room - b->len < n) {
        size_t room = b->room ? b->room : 256;

        while (room - b->len < n)
            room *= 2;
        b->data = xrealloc(b->data, room);
        b->room = room;
    }
    return b->data + b->len;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(b, len), data, len);
    b->len += len;
}

void buf_append_u64(struct buf *b, uint64_t v)
{
    char text[24], *p = text + sizeof(text);

    do {
        *--p = (char)('0' + v % 10);
    } while (v /= 10);
    buf_append(b, p, (size_t)(text + sizeof(text) - p));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    size_t room = 128;

    for (;;) {
        char *p = buf_reserve(b, room);
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(p, room, fmt, ap);
        va_end(ap);
        if (n < 0)
            abort();
        if ((size_t)n < room) {
            b->len += (size_t)n;
            return;
        }
        room = (size_t)n + 1;
    }
}

void buf_consume(struct buf *b, size_t n)
{
    b->start += n;
    if (b->start == b->len)
        b->start = b->len = 0;
}

char *buf_take_str(struct buf *b)
{
    char *s;

    *buf_reserve(b, 1) = '\0';
    if (b->start > 0)
        memmove(b->data, b->data + b->start, b->len - b->start + 1);
    s = b->data;
    *b = (struct buf){0};
    return s;
}
