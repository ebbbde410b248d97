#include "str.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "mem.h"

bool streq_null(const char *a, const char *b)
{
    return a && b ? streq(a, b) : a == b;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);

    return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

int str_parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
    char *end;
    long long v;

    if (!isdigit((unsigned char)*s) && !(*s == '-' && isdigit((unsigned char)s[1])))
        return -EINVAL;
    errno = 0;
    v = strtoll(s, &end, 10);
    if (*end)
        return -EINVAL;
    if (errno == ERANGE || v < min || v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

int str_parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
    char *end;
    unsigned long long v;

    if (!isdigit((unsigned char)*s))
        return -EINVAL;
    errno = 0;
    v = strtoull(s, &end, 10);
    if (*end)
        return -EINVAL;
    if (errno == ERANGE || v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

/* Bytes of the character that s begins with (RFC 3629), 0 if it begins with none. */
static size_t utf8_len(const unsigned char *s)
{
    static const struct {
        unsigned char first, last; /* range of the first byte */
        unsigned char low, high;   /* of the second */
        size_t len;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (s[0] < forms[i].first || s[0] > forms[i].last)
            continue;
        if (forms[i].len > 1 && (s[1] < forms[i].low || s[1] > forms[i].high))
            return 0;
        for (size_t k = 2; k < forms[i].len; k++) {
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        }
        return forms[i].len;
    }
    return 0;
}

char *str_to_utf8(const char *s)
{
    char *out = xmalloc(3 * strlen(s) + 1), *o = out;

    while (*s) {
        size_t n = utf8_len((const unsigned char *)s);

        o = mempcpy(o, n > 0 ? s : "\xef\xbf\xbd", n > 0 ? n : 3);
        s += n > 0 ? n : 1;
    }
    *o = '\0';
    return out;
}

void hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
}

bool str_is_hex(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)s[i]) && (s[i] < 'a' || s[i] > 'f'))
            return false;
    }
    return s[len] == '\0';
}

void id_generate(char ret[ID_LEN + 1])
{
    unsigned char raw[ID_LEN / 2];

    do {
        if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
            abort();
        hex_encode(raw, sizeof(raw), ret);
    } while (strspn(ret, "0123456789") >= 12);
}

bool str_is_filename(const char *s)
{
    size_t n = strlen(s);

    return n > 0 && n <= 255 && !strchr(s, '/') && !streq(s, ".") && !streq(s, "..");
}

int64_t time_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

int64_t time_monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void split(int64_t ns, struct tm *ret, int *ret_nano)
{
    int64_t sec = ns / 1000000000, nano = ns % 1000000000;
    time_t t;

    if (nano < 0) {
        nano += 1000000000;
        sec--;
    }
    t = (time_t)sec;
    gmtime_r(&t, ret);
    *ret_nano = (int)nano;
}

void time_format_nano9(int64_t ns, char ret[TIME_STR_MAX])
{
    struct tm tm;
    int nano;
    size_t n;

    split(ns, &tm, &nano);
    n = strftime(ret, TIME_STR_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret + n, TIME_STR_MAX - n, ".%09dZ", nano);
}

void time_format_nano(int64_t ns, char ret[TIME_STR_MAX])
{
    size_t n;

    time_format_nano9(ns, ret);
    n = strlen(ret) - 1;
    while (ret[n - 1] == '0')
        n--;
    if (ret[n - 1] == '.')
        n--;
    memcpy(ret + n, "Z", 2);
}

static int parse_fraction(const char **s, int64_t *ret)
{
    int64_t unit = 100000000;

    *ret = 0;
    if (**s != '.')
        return 0;
    (*s)++;
    if (!isdigit((unsigned char)**s))
        return -EINVAL;
    for (; isdigit((unsigned char)**s); (*s)++, unit /= 10)
        *ret += (**s - '0') * unit;
    return 0;
}

static int parse_zone(const char *s, int64_t *ret)
{
    int h, m, n = 0;

    *ret = 0;
    if (streq(s, "Z") || streq(s, "z"))
        return 0;
    if ((*s != '+' && *s != '-') || sscanf(s + 1, "%2d:%2d%n", &h, &m, &n) != 2 || s[n + 1])
        return -EINVAL;
    *ret = (h * 60 + m) * 60 * (*s == '-' ? -1 : 1);
    return 0;
}

int time_parse(const char *s, int64_t *ret)
{
    struct tm tm = {0};
    int64_t nano, zone, seconds;
    char *rest = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
    const char *p = rest;

    if (!p || parse_fraction(&p, &nano) < 0 || parse_zone(p, &zone) < 0)
        return -EINVAL;
    seconds = (int64_t)timegm(&tm) - zone;
    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), ret) ||
        __builtin_add_overflow(*ret, nano, ret))
        *ret = seconds < 0 ? INT64_MIN : INT64_MAX;
    return 0;
}

size_t strv_len(char *const *v)
{
    size_t n = 0;

    while (v && v[n])
        n++;
    return n;
}

void strv_free(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}

char **strv_append(char **v, const char *s)
{
    size_t n = strv_len(v);

    v = xrealloc(v, (n + 2) * sizeof(*v));
    v[n] = xstrdup(s);
    v[n + 1] = NULL;
    return v;
}
