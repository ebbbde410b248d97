#include "detach.h"

#include <string.h>

void detach_init(struct detach *d, const uint8_t *keys, uint32_t len)
{
    *d = (struct detach){.len = len <= SHIM_DETACH_KEYS_MAX ? len : 0};
    memcpy(d->keys, keys, d->len);
}

/* A mismatch: the longest end of what was held back (with the new byte) that begins the keys again
 * stays held back, the rest is text. */
static size_t release(struct detach *d, char c, char *out)
{
    char held[SHIM_DETACH_KEYS_MAX + 1];
    size_t n = d->at, keep;

    memcpy(held, d->keys, n);
    held[n++] = c;
    for (keep = n - 1; keep > 0; keep--) {
        if (memcmp(held + n - keep, d->keys, keep) == 0)
            break;
    }
    memcpy(out, held, n - keep);
    d->at = (uint32_t)keep;
    return n - keep;
}

bool detach_feed(struct detach *d, const char *in, size_t len, char *out, size_t *ret_out)
{
    size_t n = 0;

    *ret_out = 0;
    if (d->len == 0) {
        memcpy(out, in, len);
        *ret_out = len;
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)in[i] != d->keys[d->at]) {
            n += release(d, in[i], out + n);
        } else if (++d->at == d->len) {
            *ret_out = n;
            return true;
        }
    }
    *ret_out = n;
    return false;
}
