#include "logline.h"

#include <errno.h>
#include <string.h>

#include "str.h"

/* The end of a JSON string: the first quote that is not escaped. */
static const char *string_end(const char *p, const char *end)
{
    while (p < end) {
        const char *q = memchr(p, '"', (size_t)(end - p));
        const char *b;
        size_t slashes = 0;

        if (!q)
            return NULL;
        for (b = q; b > p && b[-1] == '\\'; b--)
            slashes++;
        if (slashes % 2 == 0)
            return q;
        p = q + 1;
    }
    return NULL;
}

static bool skip(const char **p, const char *end, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(end - *p) < n || memcmp(*p, word, n) != 0)
        return false;
    *p += n;
    return true;
}

int log_line_parse(const char *line, size_t len, struct log_line *ret)
{
    const char *p = line, *end = line + len, *q;

    if (!skip(&p, end, "{\"log\":\"") || !(q = string_end(p, end)))
        return -EINVAL;
    ret->text = p;
    ret->text_len = (size_t)(q - p);
    p = q;
    if (!skip(&p, end, "\",\"stream\":\"") || !(q = string_end(p, end)))
        return -EINVAL;
    ret->is_stderr = (size_t)(q - p) == 6 && memcmp(p, "stderr", 6) == 0;
    p = q;
    if (!skip(&p, end, "\",\"time\":\"") || !(q = string_end(p, end)))
        return -EINVAL;
    ret->time = p;
    ret->time_len = (size_t)(q - p);
    return 0;
}

static int hex4(const char *s)
{
    int v = 0;

    for (int i = 0; i < 4; i++) {
        char c = s[i];

        v <<= 4;
        if (c >= '0' && c <= '9')
            v |= c - '0';
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v |= (c | 32) - 'a' + 10;
        else
            return -1;
    }
    return v;
}

static char *put_utf8(char *o, unsigned c)
{
    if (c < 0x80) {
        *o++ = (char)c;
    } else if (c < 0x800) {
        *o++ = (char)(0xc0 | c >> 6);
        *o++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *o++ = (char)(0xe0 | c >> 12);
        *o++ = (char)(0x80 | (c >> 6 & 63));
        *o++ = (char)(0x80 | (c & 63));
    } else {
        *o++ = (char)(0xf0 | c >> 18);
        *o++ = (char)(0x80 | (c >> 12 & 63));
        *o++ = (char)(0x80 | (c >> 6 & 63));
        *o++ = (char)(0x80 | (c & 63));
    }
    return o;
}

/* "uXXXX", with a low surrogate behind a high one; returns the bytes used, 1 if it is malformed. */
static size_t unescape_unicode(const char *s, size_t left, char **o)
{
    int hi = left >= 5 ? hex4(s + 1) : -1, lo;

    if (hi < 0) {
        *(*o)++ = *s;
        return 1;
    }
    if (hi >= 0xd800 && hi < 0xdc00 && left >= 11 && s[5] == '\\' && s[6] == 'u') {
        lo = hex4(s + 7);
        if (lo >= 0xdc00 && lo < 0xe000) {
            *o = put_utf8(*o, 0x10000u + ((unsigned)(hi - 0xd800) << 10) + (unsigned)(lo - 0xdc00));
            return 11;
        }
    }
    *o = put_utf8(*o, (unsigned)hi);
    return 5;
}

void log_line_text(const struct log_line *l, struct buf *out)
{
    static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
    const char *s = l->text, *end = s + l->text_len;
    char *start = buf_reserve(out, l->text_len), *o = start;

    while (s < end) {
        const char *b = memchr(s, '\\', (size_t)(end - s)), *known;
        size_t n = (size_t)((b ? b : end) - s);

        memcpy(o, s, n);
        o += n;
        s += n;
        if (!b || ++s == end)
            break;
        known = memchr(from, *s, sizeof(from) - 1);
        if (known) {
            *o++ = to[known - from];
            s++;
        } else if (*s == 'u') {
            s += unescape_unicode(s, (size_t)(end - s), &o);
        } else {
            *o++ = *s++;
        }
    }
    out->len += (size_t)(o - start);
}

int64_t log_line_time(const struct log_line *l)
{
    char text[TIME_STR_MAX];
    int64_t ns;

    if (l->time_len >= sizeof(text))
        return 0;
    memcpy(text, l->time, l->time_len);
    text[l->time_len] = '\0';
    return time_parse(text, &ns) < 0 ? 0 : ns;
}

void log_line_timestamp(const struct log_line *l, struct buf *out)
{
    static const char zeros[] = "000000000";
    size_t n = l->time_len;
    const char *dot = memchr(l->time, '.', n);
    size_t digits;

    if (n == 0 || l->time[n - 1] != 'Z') {
        buf_append(out, l->time, n);
        return;
    }
    digits = dot ? n - 2 - (size_t)(dot - l->time) : 0;
    buf_append(out, l->time, n - 1);
    if (!dot)
        buf_append(out, ".", 1);
    if (digits < 9)
        buf_append(out, zeros, 9 - digits);
    buf_append(out, "Z", 1);
}
