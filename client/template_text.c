/* Functions of templates that make text: Go's print family and escapes, and those Docker adds. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "str.h"
#include "template_internal.h"

#define PRINTF_WIDTH_MAX 1000

static int return_str(struct value *ret, struct buf *b)
{
    _cleanup_free_ char *s = buf_take_str(b);

    ret->json = json_string(s);
    if (!ret->json)
        ret->json = json_string("");
    return 0;
}

static const char *text_arg(const struct value *v)
{
    const char *s = json_string_value(v->json);

    return s ? s : "";
}

int fn_json(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    _cleanup_free_ char *s = NULL;

    if (n != 1)
        return template_bad(reterr, "wrong number of args for json: want 1");
    s = args[0].json ? json_to_str(args[0].json) : xstrdup("null");
    ret->json = json_string(s);
    return 0;
}

static int map_chars(const struct value *args, size_t n, struct value *ret, struct err *reterr,
                     int (*change)(int))
{
    _cleanup_free_ char *s = NULL;

    if (n != 1 || !json_is_string(args[0].json))
        return template_bad(reterr, "wrong type for value; expected string");
    s = xstrdup(text_arg(&args[0]));
    for (char *c = s; *c; c++)
        *c = (char)((unsigned char)*c < 0x80 ? change((unsigned char)*c) : *c);
    ret->json = json_string(s);
    return 0;
}

int fn_upper(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    return map_chars(args, n, ret, reterr, toupper);
}

int fn_lower(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    return map_chars(args, n, ret, reterr, tolower);
}

int fn_title(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    _cleanup_free_ char *s = NULL;

    if (n != 1 || !json_is_string(args[0].json))
        return template_bad(reterr, "wrong type for value; expected string");
    s = xstrdup(text_arg(&args[0]));
    for (size_t i = 0; s[i]; i++) {
        if (i == 0 || s[i - 1] == ' ')
            s[i] = (char)toupper((unsigned char)s[i]);
    }
    ret->json = json_string(s);
    return 0;
}

int fn_split(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    const char *s, *sep, *at;

    if (n != 2 || !json_is_string(args[0].json) || !json_is_string(args[1].json))
        return template_bad(reterr, "wrong type for value; expected string");
    s = text_arg(&args[0]);
    sep = text_arg(&args[1]);
    ret->json = json_array();
    for (; *sep && (at = strstr(s, sep)); s = at + strlen(sep))
        json_array_append_new(ret->json, json_stringn(s, (size_t)(at - s)));
    json_array_append_new(ret->json, json_string(s));
    return 0;
}

int fn_join(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    struct buf b = {0};
    json_t *item;
    size_t i;

    if (n != 2 || (args[0].json && !json_is_array(args[0].json) && !json_is_null(args[0].json)))
        return template_bad(reterr, "wrong type for value; expected []string");
    json_array_foreach (args[0].json, i, item) {
        if (i)
            buf_append_str(&b, text_arg(&args[1]));
        value_print(&(struct value){.json = item}, &b);
    }
    return return_str(ret, &b);
}

int fn_pad(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    struct buf b = {0};
    json_int_t left, right;

    if (n != 3)
        return template_bad(reterr, "wrong number of args for pad: want 3");
    left = json_integer_value(args[1].json);
    right = json_integer_value(args[2].json);
    if (left < 0 || right < 0 || left > PRINTF_WIDTH_MAX || right > PRINTF_WIDTH_MAX)
        return template_bad(reterr, "pad out of range");
    if (*text_arg(&args[0]))
        buf_printf(&b, "%*s%s%*s", (int)left, "", text_arg(&args[0]), (int)right, "");
    return return_str(ret, &b);
}

int fn_truncate(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    json_int_t max;
    size_t len;

    if (n != 2)
        return template_bad(reterr, "wrong number of args for truncate: want 2");
    if (!json_is_string(args[0].json) || !json_is_integer(args[1].json))
        return template_bad(reterr, "wrong type for value; expected string");
    max = json_integer_value(args[1].json);
    len = json_string_length(args[0].json);
    ret->json = json_stringn(text_arg(&args[0]), max >= 0 && (size_t)max < len ? (size_t)max : len);
    return ret->json ? 0 : template_bad(reterr, "invalid UTF-8");
}

static int print_args(const struct value *args, size_t n, struct value *ret, bool spaces)
{
    struct buf b = {0};

    for (size_t i = 0; i < n; i++) {
        /* print puts blanks between operands when neither is a string; println always does. */
        if (i && (spaces || (!json_is_string(args[i].json) && !json_is_string(args[i - 1].json))))
            buf_append_str(&b, " ");
        value_print(&args[i], &b);
    }
    if (spaces)
        buf_append_str(&b, "\n");
    return return_str(ret, &b);
}

int fn_print(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    (void)reterr;
    return print_args(args, n, ret, false);
}

int fn_println(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    (void)reterr;
    return print_args(args, n, ret, true);
}

struct verb {
    bool left, zero, plus;
    int width, precision; /* -1: none */
    char letter;
};

static const char *parse_verb(const char *s, struct verb *v)
{
    *v = (struct verb){.precision = -1};
    for (; *s && strchr("-0+ #", *s); s++) {
        v->left |= *s == '-';
        v->zero |= *s == '0';
        v->plus |= *s == '+';
    }
    for (; isdigit((unsigned char)*s) && v->width < PRINTF_WIDTH_MAX; s++)
        v->width = v->width * 10 + (*s - '0');
    if (*s == '.') {
        v->precision = 0;
        for (s++; isdigit((unsigned char)*s) && v->precision < PRINTF_WIDTH_MAX; s++)
            v->precision = v->precision * 10 + (*s - '0');
    }
    v->letter = *s;
    return *s ? s + 1 : s;
}

static void print_verb(struct buf *out, const struct verb *v, const struct value *arg)
{
    _cleanup_buf_ struct buf b = {0};
    _cleanup_free_ char *text = NULL;
    int width = v->left ? -v->width : v->width;

    if (strchr("dxXoc", v->letter) && json_is_integer(arg->json)) {
        long long i = json_integer_value(arg->json);

        if (v->letter == 'c')
            buf_printf(&b, "%c", (int)i);
        else if (v->letter == 'd')
            buf_printf(&b, v->zero ? "%0*lld" : "%*lld", v->zero ? v->width : 0, i);
        else
            buf_printf(&b,
                       v->letter == 'x'   ? "%llx"
                       : v->letter == 'X' ? "%llX"
                                          : "%llo",
                       (unsigned long long)i);
    } else if (strchr("feg", v->letter) && json_is_number(arg->json)) {
        buf_printf(&b, v->letter == 'g' ? "%.*g" : "%.*f", v->precision < 0 ? 6 : v->precision,
                   json_number_value(arg->json));
    } else if (v->letter == 'q') {
        buf_append_str(&b, "\"");
        value_print(arg, &b);
        buf_append_str(&b, "\"");
    } else {
        value_print(arg, &b);
        if (v->precision >= 0 && buf_size(&b) > (size_t)v->precision)
            b.len = b.start + (size_t)v->precision;
    }
    text = buf_take_str(&b);
    buf_printf(out, "%*s", width, text);
}

int fn_printf(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    struct buf b = {0};
    size_t next = 1;

    if (n < 1 || !json_is_string(args[0].json))
        return template_bad(reterr, "wrong type for value; expected string");
    for (const char *s = text_arg(&args[0]); *s;) {
        struct verb v;

        if (*s != '%') {
            buf_append(&b, s++, 1);
            continue;
        }
        s = parse_verb(s + 1, &v);
        if (v.letter == '%')
            buf_append_str(&b, "%");
        else if (!v.letter)
            buf_append_str(&b, "%!(NOVERB)");
        else if (next >= n)
            buf_printf(&b, "%%!%c(MISSING)", v.letter);
        else
            print_verb(&b, &v, &args[next++]);
    }
    return return_str(ret, &b);
}

/* The arguments as `print` joins them; owned by the caller. */
static char *joined(const struct value *args, size_t n)
{
    _cleanup_json_ json_t *text = NULL;
    struct value v = {0};

    print_args(args, n, &v, false);
    text = v.json;
    return xstrdup(text_arg(&v));
}

/* Go's html: what text has that means something in HTML, by its number or name. */
int fn_html(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    static const char *const escapes[UCHAR_MAX + 1] = {
        ['<'] = "&lt;", ['>'] = "&gt;", ['&'] = "&amp;", ['"'] = "&#34;", ['\''] = "&#39;"};
    _cleanup_free_ char *text = joined(args, n);
    struct buf b = {0};

    (void)reterr;
    for (const char *s = text; *s; s++) {
        const char *name = escapes[(unsigned char)*s];

        buf_append(&b, name ? name : s, name ? strlen(name) : 1);
    }
    return return_str(ret, &b);
}

/* Go's url.QueryEscape. */
int fn_urlquery(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    _cleanup_free_ char *text = joined(args, n);
    struct buf b = {0};

    (void)reterr;
    for (const char *s = text; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-_.~", *s))
            buf_append(&b, s, 1);
        else if (*s == ' ')
            buf_append_str(&b, "+");
        else
            buf_printf(&b, "%%%02X", (unsigned char)*s);
    }
    return return_str(ret, &b);
}
