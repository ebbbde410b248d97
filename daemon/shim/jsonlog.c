#include "jsonlog.h"

#include <stdbool.h>
#include <string.h>

#include "clock.h"

#define HEAD "{\"log\":\""
#define ONES UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)

void jsonlog_tail(struct jsonlog_tail *t, const char *stream, int64_t now_ns)
{
    static const char a[] = "\",\"stream\":\"", b[] = "\",\"time\":\"", c[] = "\"}\n";
    char *p = t->text;
    char time[CLOCK_TEXT_MAX];
    size_t n = clock_format(now_ns, time);

    p = mempcpy(p, a, sizeof(a) - 1);
    p = mempcpy(p, stream, strlen(stream));
    p = mempcpy(p, b, sizeof(b) - 1);
    p = mempcpy(p, time, n);
    p = mempcpy(p, c, sizeof(c) - 1);
    t->len = (size_t)(p - t->text);
}

/* Go's encoder escapes these besides control characters and what is not ASCII. */
static inline bool is_clean(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static inline uint64_t has_byte(uint64_t v, unsigned char c)
{
    uint64_t x = v ^ (ONES * c);

    return (x - ONES) & ~x;
}

/* Eight bytes at once: nonzero in the high bits if one of them needs a look. */
static inline uint64_t dirty8(uint64_t v)
{
    /* '<' and '>' differ in one bit only. */
    uint64_t m = v | (ONES * 2);

    return (v | ((v - ONES * 0x20) & ~v) | has_byte(v, '"') | has_byte(v, '\\') | has_byte(v, '&') |
            has_byte(m, '>')) &
           HIGH;
}

/* Copy clean bytes; returns how many. */
static inline size_t copy_clean(char *out, const char *in, size_t len)
{
    size_t i = 0;

    for (; i + 8 <= len; i += 8) {
        uint64_t v;

        memcpy(&v, in + i, 8);
        memcpy(out + i, &v, 8); /* at worst 8 bytes of room that later escapes overwrite */
        if (dirty8(v))
            break;
    }
    while (i < len && is_clean((unsigned char)in[i])) {
        out[i] = in[i];
        i++;
    }
    return i;
}

/* Length of the valid UTF-8 sequence at p (2..4), or 0. */
static size_t utf8_len(const unsigned char *p, size_t len)
{
    unsigned char c = p[0], low = 0x80, high = 0xbf;
    size_t n = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;

    if (n == 0 || n > len)
        return 0;
    /* Overlong forms, surrogates, beyond U+10FFFF: all told by the second byte. */
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}

static char *put_ascii(char *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    if (c == '"' || c == '\\' || c == '\n' || c == '\r') {
        *out++ = '\\';
        *out++ = (char)(c == '\n' ? 'n' : c == '\r' ? 'r' : c);
        return out;
    }
    out = mempcpy(out, "\\u00", 4);
    *out++ = hex[c >> 4];
    *out++ = hex[c & 15];
    return out;
}

/* One character that is not clean; *used is what it took. */
static char *put_special(char *out, const unsigned char *p, size_t len, size_t *used)
{
    size_t n;

    *used = 1;
    if (*p < 0x80)
        return put_ascii(out, *p);
    n = utf8_len(p, len);
    if (n == 0)
        return mempcpy(out, "\\ufffd", 6);
    *used = n;
    /* U+2028 and U+2029 end a line in JavaScript. */
    if (n == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] & 0xfe) == 0xa8)
        return mempcpy(out, p[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
    return mempcpy(out, p, n);
}

static char *put_text(char *out, const char *in, size_t len)
{
    while (len > 0) {
        size_t n = copy_clean(out, in, len);

        out += n;
        in += n;
        len -= n;
        if (len > 0) {
            out = put_special(out, (const unsigned char *)in, len, &n);
            in += n;
            len -= n;
        }
    }
    return out;
}

static size_t put_record(const struct jsonlog_tail *t, const char *text, size_t len, bool newline,
                         char *out)
{
    char *p = mempcpy(out, HEAD, sizeof(HEAD) - 1);

    p = put_text(p, text, len);
    if (newline)
        p = mempcpy(p, "\\n", 2);
    p = mempcpy(p, t->text, t->len);
    return (size_t)(p - out);
}

static size_t emit_part(struct jsonlog_stream *s, const struct jsonlog_tail *t, bool newline,
                        char *out)
{
    size_t n = put_record(t, s->part, s->len, newline, out);

    s->len = 0;
    return n;
}

size_t jsonlog_next(struct jsonlog_stream *s, const struct jsonlog_tail *t, const char **data,
                    size_t *len, char *out)
{
    size_t room = JSONLOG_LINE_MAX - s->len, look = *len < room ? *len : room, n, used;
    const char *nl = memchr(*data, '\n', look), *line = *data;

    n = nl ? (size_t)(nl - line) : look;
    used = nl ? n + 1 : n;
    *data += used;
    *len -= used;
    if (s->len == 0 && (nl || n == JSONLOG_LINE_MAX))
        return put_record(t, line, n, nl, out);
    memcpy(s->part + s->len, line, n);
    s->len += n;
    if (nl || s->len == JSONLOG_LINE_MAX)
        return emit_part(s, t, nl, out);
    return 0;
}

size_t jsonlog_flush(struct jsonlog_stream *s, const struct jsonlog_tail *t, char *out)
{
    return s->len > 0 ? emit_part(s, t, false, out) : 0;
}
