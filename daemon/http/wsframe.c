#include "wsframe.h"

#include <errno.h>
#include <string.h>

#define FIN 0x80
#define RESERVED 0x70
#define OPCODE 0x0f
#define MASKED 0x80
#define LENGTH 0x7f
#define LENGTH_16 126
#define LENGTH_64 127

static bool is_control(enum ws_op op)
{
    return op >= WS_CLOSE;
}

/* How long a head is that begins like this. */
static size_t head_size(const struct ws_reader *r)
{
    unsigned len = r->head[1] & LENGTH;

    if (r->n_head < 2)
        return 2;
    return 2 + (len == LENGTH_16 ? 2u : len == LENGTH_64 ? 8u : 0u) + sizeof(r->mask);
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | *p++;
    return v;
}

/* May it stand here? */
static int check_op(const struct ws_reader *r)
{
    bool final = r->head[0] & FIN;

    switch (r->op) {
    case WS_CONTINUATION:
        return r->in_message ? 0 : -EPROTO;
    case WS_TEXT:
    case WS_BINARY:
        return r->in_message ? -EPROTO : 0;
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG:
        return final && r->len <= WS_CONTROL_MAX ? 0 : -EPROTO;
    }
    return -EPROTO;
}

static int take_head(struct ws_reader *r)
{
    size_t extended = head_size(r) - 2 - sizeof(r->mask);
    int e;

    r->op = r->head[0] & OPCODE;
    r->len = extended ? big_endian(r->head + 2, extended) : r->head[1] & LENGTH;
    memcpy(r->mask, r->head + 2 + extended, sizeof(r->mask));
    e = check_op(r);
    if (e < 0)
        return e;
    if (r->len > WS_FRAME_MAX)
        return -EMSGSIZE;
    if (!is_control(r->op))
        r->in_message = !(r->head[0] & FIN);
    r->at = 0;
    r->n_head = 0;
    r->in_frame = true;
    return 0;
}

/* A close frame is empty or begins with a status. */
static int tell(struct ws_reader *r, const uint8_t *data, size_t len, struct ws_event *ret)
{
    r->in_frame = r->at < r->len;
    if (is_control(r->op)) {
        memcpy(r->control + r->at - len, data, len);
        if (r->in_frame)
            return 0;
        if (r->op == WS_CLOSE && r->len == 1)
            return -EPROTO;
        *ret = (struct ws_event){WS_EVENT_CONTROL, r->op, r->control, (size_t)r->len};
    } else if (len > 0) {
        *ret = (struct ws_event){WS_EVENT_DATA, r->op, data, len};
    }
    return 0;
}

ssize_t ws_read(struct ws_reader *r, uint8_t *data, size_t len, struct ws_event *ret)
{
    size_t used = 0, n;
    int e;

    *ret = (struct ws_event){0};
    while (!r->in_frame) {
        if (used == len)
            return (ssize_t)used;
        r->head[r->n_head++] = data[used++];
        if (r->n_head == 2 && (r->head[0] & RESERVED || !(r->head[1] & MASKED)))
            return -EPROTO;
        if (r->n_head < head_size(r))
            continue;
        e = take_head(r);
        if (e < 0)
            return e;
    }
    n = len - used;
    if (n > r->len - r->at)
        n = (size_t)(r->len - r->at);
    for (size_t i = 0; i < n; i++)
        data[used + i] ^= r->mask[(r->at + i) % sizeof(r->mask)];
    r->at += n;
    e = tell(r, data + used, n, ret);
    return e < 0 ? e : (ssize_t)(used + n);
}

size_t ws_head(uint8_t ret[WS_HEAD_MAX], enum ws_op op, size_t len)
{
    size_t n = len < LENGTH_16 ? 0 : len <= UINT16_MAX ? 2 : 8;

    ret[0] = (uint8_t)(FIN | op);
    ret[1] = (uint8_t)(n == 0 ? len : n == 2 ? LENGTH_16 : LENGTH_64);
    for (size_t i = 0; i < n; i++)
        ret[2 + i] = (uint8_t)((uint64_t)len >> 8 * (n - 1 - i));
    return 2 + n;
}
