/* What a server may send to the client: heads, bodies, frames. */
#include "fuzz.h"
#include "http.h"
#include "mux.h"

static int sink(void *arg, enum mux_stream stream, const char *data, size_t len)
{
    size_t *total = arg;

    promise(stream <= MUX_SYSTEM && data);
    *total += len;
    return 0;
}

static void frames(const char *data, size_t size)
{
    struct mux whole = {0}, pieces = {0};
    size_t a = 0, b = 0;
    int r = mux_feed(&whole, data, size, sink, &a), s = 0;

    for (size_t i = 0; i < size && s == 0; i++)
        s = mux_feed(&pieces, data + i, 1, sink, &b);
    promise(r == s && a == b);
}

static void body(const struct http_head *head, const char *data, size_t size)
{
    _cleanup_buf_ struct buf in = {0}, out = {0};
    struct http_body b;
    int r = 0;

    http_body_init(&b, head, false);
    for (size_t i = 0; i < size && r == 0; i++) {
        buf_append(&in, data + i, 1);
        r = http_body_decode(&b, &in, &out);
    }
    promise(r <= 1 && buf_size(&out) <= size);
    http_body_eof(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = xmalloc(size + 1);
    struct http_head head = {0};
    int n;

    memcpy(copy, data, size);
    n = http_head_parse(copy, size, &head);
    promise(n <= (int)size);
    if (n > 0)
        body(&head, copy + n, size - (size_t)n);
    frames(copy, size);
    free(copy);
    return 0;
}
