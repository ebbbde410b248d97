#include "base64.h"

#include <string.h>

#include "mem.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t len)
{
    const unsigned char *in = data;
    char *out = xmalloc((len + 2) / 3 * 4 + 1), *p = out;

    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned v = (unsigned)in[i] << 16 | (n > 1 ? (unsigned)in[i + 1] << 8 : 0) |
                     (n > 2 ? (unsigned)in[i + 2] : 0);

        *p++ = alphabet[v >> 18];
        *p++ = alphabet[v >> 12 & 63];
        *p++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
        *p++ = n > 2 ? alphabet[v & 63] : '=';
    }
    *p = '\0';
    return out;
}

static int digit_value(char c)
{
    const char *at;

    if (c == '-')
        c = '+';
    else if (c == '_')
        c = '/';
    at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

char *base64_decode(const char *text, size_t *ret_len)
{
    size_t len = strlen(text), n = 0;
    unsigned bits = 0, have = 0;
    char *out;

    while (len > 0 && strchr("=\r\n ", text[len - 1]))
        len--;
    out = xmalloc(len / 4 * 3 + 4);
    for (size_t i = 0; i < len; i++) {
        int v = digit_value(text[i]);

        if (v < 0 || (len % 4) == 1) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (unsigned)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (char)(bits >> have & 0xff);
        }
    }
    out[n] = '\0';
    if (ret_len)
        *ret_len = n;
    return out;
}
