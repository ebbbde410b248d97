/* Frames of a WebSocket client, in pieces: the pieces make no difference. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wsframe.h"

struct result {
    uint8_t data[8192];
    size_t n, controls;
    ssize_t end; /* 0: all was taken */
};

static void read_all(const uint8_t *bytes, size_t size, size_t piece, struct result *ret)
{
    struct ws_reader r = {0};
    uint8_t *copy = malloc(size + 1);

    memset(ret, 0, sizeof(*ret));
    memcpy(copy, bytes, size);
    for (size_t at = 0; at < size && ret->end == 0;) {
        size_t len = size - at < piece ? size - at : piece;
        struct ws_event e;
        ssize_t n = ws_read(&r, copy + at, len, &e);

        promise(n != 0 && n <= (ssize_t)len);
        if (n < 0) {
            ret->end = n;
            break;
        }
        if (e.kind == WS_EVENT_DATA) {
            promise(e.data >= copy + at && e.data + e.len <= copy + at + n);
            memcpy(ret->data + ret->n, e.data, e.len);
            ret->n += e.len;
        } else if (e.kind == WS_EVENT_CONTROL) {
            promise(e.op >= WS_CLOSE && e.len <= WS_CONTROL_MAX);
            ret->controls += 1 + e.len;
        }
        at += (size_t)n;
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct result whole, bytes;
    uint8_t head[WS_HEAD_MAX];

    if (size > sizeof(whole.data))
        return 0;
    read_all(data, size, SIZE_MAX, &whole);
    read_all(data, size, 1, &bytes);
    promise(whole.end == bytes.end && whole.n == bytes.n && whole.controls == bytes.controls);
    promise(memcmp(whole.data, bytes.data, whole.n) == 0);
    promise(ws_head(head, WS_BINARY, size) <= 10);
    return 0;
}
