#include "query.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "str.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Length of the UTF-8 sequence at s, 0 if it is none (over-long forms and surrogates included). */
static size_t utf8_len(const unsigned char *s)
{
    static const unsigned min[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = s[0] < 0x80       ? 1
                 : s[0] >> 5 == 6  ? 2
                 : s[0] >> 4 == 14 ? 3
                 : s[0] >> 3 == 30 ? 4
                                   : 0;
    unsigned c = len == 1 ? s[0] : s[0] & (0xffu >> (len + 1));

    for (size_t i = 1; i < len; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    return c < min[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

static bool is_utf8(const char *s)
{
    for (size_t n; *s; s += n) {
        n = utf8_len((const unsigned char *)s);
        if (n == 0)
            return false;
    }
    return true;
}

char *percent_decode(const char *s, size_t len, bool plus)
{
    _cleanup_free_ char *out = xmalloc(len + 1);
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = s[i];

        if (c == '%') {
            int hi = len - i > 2 ? hex_digit(s[i + 1]) : -1;
            int lo = hi >= 0 ? hex_digit(s[i + 2]) : -1;

            if (lo < 0 || hi * 16 + lo == 0)
                return NULL;
            c = (char)(hi * 16 + lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return is_utf8(out) ? TAKE_PTR(out) : NULL;
}

static int query_add(struct query *q, const char *s, size_t len)
{
    const char *eq = memchr(s, '=', len);
    size_t name_len = eq ? (size_t)(eq - s) : len;
    _cleanup_free_ char *name = percent_decode(s, name_len, true);
    _cleanup_free_ char *value =
        eq ? percent_decode(eq + 1, len - name_len - 1, true) : xstrdup("");

    if (!name || !value)
        return -EINVAL;
    if (q->n == QUERY_MAX_ITEMS)
        return -E2BIG;
    q->items = xrealloc(q->items, (q->n + 1) * sizeof(*q->items));
    q->items[q->n++] = (struct query_item){.name = TAKE_PTR(name), .value = TAKE_PTR(value)};
    return 0;
}

int query_parse(const char *s, struct query *ret)
{
    struct query q = {0};

    while (*s) {
        size_t len = strcspn(s, "&");
        int r = len > 0 ? query_add(&q, s, len) : 0;

        if (r < 0) {
            query_done(&q);
            return r;
        }
        s += len + (s[len] == '&');
    }
    *ret = q;
    return 0;
}

void query_done(struct query *q)
{
    for (size_t i = 0; i < q->n; i++) {
        free(q->items[i].name);
        free(q->items[i].value);
    }
    free(q->items);
    *q = (struct query){0};
}

const char *query_nth(const struct query *q, const char *name, size_t i)
{
    for (size_t k = 0; k < q->n; k++) {
        if (streq(q->items[k].name, name) && i-- == 0)
            return q->items[k].value;
    }
    return NULL;
}

bool query_is_true(const char *value)
{
    static const char *const no[] = {"", "0", "no", "false", "none"};

    for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
        if (strcasecmp(value, no[i]) == 0)
            return false;
    }
    return true;
}
