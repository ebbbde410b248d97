/* Functions of templates: Go's built-in ones and those Docker adds. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "str.h"
#include "template_internal.h"

#define PRINTF_WIDTH_MAX 1000

typedef int (*function)(const struct value *args, size_t n, struct value *ret, struct err *reterr);

bool value_truth(const struct value *v)
{
    switch (v->json ? json_typeof(v->json) : JSON_NULL) {
    case JSON_OBJECT:
        return json_object_size(v->json) > 0;
    case JSON_ARRAY:
        return json_array_size(v->json) > 0;
    case JSON_STRING:
        return json_string_length(v->json) > 0;
    case JSON_INTEGER:
    case JSON_REAL:
        return json_number_value(v->json) != 0;
    case JSON_TRUE:
        return true;
    default:
        return false;
    }
}

/* How Go prints a member that is null or absent depends on its type, which the Engine API fixes by
 * name. */
static const struct {
    const char *key, *text;
    bool optional;
} null_members[] = {
    {"Annotations", "map[]", true},
    {"DriverOpts", "map[]", false},
    {"ExitCode", "<nil>", false},
    {"ExposedPorts", "map[]", true},
    {"Health", "<nil>", true},
    {"Healthcheck", "<nil>", true},
    {"IPAMConfig", "<nil>", false},
    {"Init", "<nil>", true},
    {"Labels", "map[]", false},
    {"MemorySwappiness", "<nil>", false},
    {"Mounts", "[]", true},
    {"Networks", "map[]", false},
    {"OomKillDisable", "<nil>", false},
    {"Options", "map[]", false},
    {"PidsLimit", "<nil>", false},
    {"Ports", "map[]", false},
    {"Shell", "[]", true},
    {"SizeRootFs", "<nil>", true},
    {"SizeRw", "<nil>", true},
    {"StopSignal", "", true},
    {"StopTimeout", "<nil>", true},
    {"StorageOpt", "map[]", true},
    {"Sysctls", "map[]", true},
    {"Tmpfs", "map[]", true},
    {"Volumes", "map[]", false},
};

static const char *null_text(const char *key)
{
    for (size_t i = 0; key && i < ARRAY_SIZE(null_members); i++) {
        if (streq(null_members[i].key, key))
            return null_members[i].text;
    }
    return key ? "[]" : "<nil>";
}

bool value_is_optional(const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(null_members); i++) {
        if (null_members[i].optional && streq(null_members[i].key, key))
            return true;
    }
    return false;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_object(json_t *object, struct buf *out)
{
    size_t count = json_object_size(object), i = 0;
    _cleanup_free_ const char **keys = xcalloc(count + 1, sizeof(*keys));
    const char *key;
    json_t *item;

    json_object_foreach (object, key, item)
        keys[i++] = key;
    qsort(keys, count, sizeof(*keys), compare_keys);
    buf_append_str(out, "map[");
    for (i = 0; i < count; i++) {
        struct value v = {.json = json_object_get(object, keys[i])};

        buf_printf(out, "%s%s:", i ? " " : "", keys[i]);
        value_print(&v, out);
    }
    buf_append_str(out, "]");
}

void value_print(const struct value *v, struct buf *out)
{
    size_t i;
    json_t *item;

    switch (v->json ? json_typeof(v->json) : JSON_NULL) {
    case JSON_OBJECT:
        print_object(v->json, out);
        break;
    case JSON_ARRAY:
        buf_append_str(out, "[");
        json_array_foreach (v->json, i, item) {
            if (i)
                buf_append_str(out, " ");
            value_print(&(struct value){.json = item}, out);
        }
        buf_append_str(out, "]");
        break;
    case JSON_STRING:
        buf_append(out, json_string_value(v->json), json_string_length(v->json));
        break;
    case JSON_INTEGER:
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v->json));
        break;
    case JSON_REAL:
        buf_printf(out, "%.17g", json_real_value(v->json));
        break;
    case JSON_NULL:
        buf_append_str(out, v->json ? null_text(v->key) : "<no value>");
        break;
    default:
        buf_append_str(out, json_is_true(v->json) ? "true" : "false");
    }
}

static int bad(struct err *reterr, const char *why)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "%s", why);
}

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

/* ---- text ---- */

static int fn_json(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    _cleanup_free_ char *s = NULL;

    if (n != 1)
        return bad(reterr, "wrong number of args for json: want 1");
    s = args[0].json ? json_to_str(args[0].json) : xstrdup("null");
    ret->json = json_string(s);
    return 0;
}

static int map_chars(const struct value *args, size_t n, struct value *ret, struct err *reterr,
                     int (*change)(int))
{
    _cleanup_free_ char *s = NULL;

    if (n != 1 || !json_is_string(args[0].json))
        return bad(reterr, "wrong type for value; expected string");
    s = xstrdup(text_arg(&args[0]));
    for (char *c = s; *c; c++)
        *c = (char)((unsigned char)*c < 0x80 ? change((unsigned char)*c) : *c);
    ret->json = json_string(s);
    return 0;
}

static int fn_upper(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    return map_chars(args, n, ret, reterr, toupper);
}

static int fn_lower(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    return map_chars(args, n, ret, reterr, tolower);
}

static int fn_title(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    _cleanup_free_ char *s = NULL;

    if (n != 1 || !json_is_string(args[0].json))
        return bad(reterr, "wrong type for value; expected string");
    s = xstrdup(text_arg(&args[0]));
    for (size_t i = 0; s[i]; i++) {
        if (i == 0 || s[i - 1] == ' ')
            s[i] = (char)toupper((unsigned char)s[i]);
    }
    ret->json = json_string(s);
    return 0;
}

static int fn_split(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    const char *s, *sep, *at;

    if (n != 2 || !json_is_string(args[0].json) || !json_is_string(args[1].json))
        return bad(reterr, "wrong type for value; expected string");
    s = text_arg(&args[0]);
    sep = text_arg(&args[1]);
    ret->json = json_array();
    for (; *sep && (at = strstr(s, sep)); s = at + strlen(sep))
        json_array_append_new(ret->json, json_stringn(s, (size_t)(at - s)));
    json_array_append_new(ret->json, json_string(s));
    return 0;
}

static int fn_join(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    struct buf b = {0};
    json_t *item;
    size_t i;

    if (n != 2 || (args[0].json && !json_is_array(args[0].json) && !json_is_null(args[0].json)))
        return bad(reterr, "wrong type for value; expected []string");
    json_array_foreach (args[0].json, i, item) {
        if (i)
            buf_append_str(&b, text_arg(&args[1]));
        value_print(&(struct value){.json = item}, &b);
    }
    return return_str(ret, &b);
}

static int fn_pad(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    struct buf b = {0};
    json_int_t left, right;

    if (n != 3)
        return bad(reterr, "wrong number of args for pad: want 3");
    left = json_integer_value(args[1].json);
    right = json_integer_value(args[2].json);
    if (left < 0 || right < 0 || left > PRINTF_WIDTH_MAX || right > PRINTF_WIDTH_MAX)
        return bad(reterr, "pad out of range");
    if (*text_arg(&args[0]))
        buf_printf(&b, "%*s%s%*s", (int)left, "", text_arg(&args[0]), (int)right, "");
    return return_str(ret, &b);
}

static int fn_truncate(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    json_int_t max;
    size_t len;

    if (n != 2)
        return bad(reterr, "wrong number of args for truncate: want 2");
    if (!json_is_string(args[0].json) || !json_is_integer(args[1].json))
        return bad(reterr, "wrong type for value; expected string");
    max = json_integer_value(args[1].json);
    len = json_string_length(args[0].json);
    ret->json = json_stringn(text_arg(&args[0]), max >= 0 && (size_t)max < len ? (size_t)max : len);
    return ret->json ? 0 : bad(reterr, "invalid UTF-8");
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

static int fn_print(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    (void)reterr;
    return print_args(args, n, ret, false);
}

static int fn_println(const struct value *args, size_t n, struct value *ret, struct err *reterr)
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

static int fn_printf(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    struct buf b = {0};
    size_t next = 1;

    if (n < 1 || !json_is_string(args[0].json))
        return bad(reterr, "wrong type for value; expected string");
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

/* Go's html: what text has that means something in HTML, by its number or name. */
static int fn_html(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    static const struct {
        char c;
        const char *name;
    } escapes[] = {{'<', "&lt;"}, {'>', "&gt;"}, {'&', "&amp;"}, {'"', "&#34;"}, {'\'', "&#39;"}};
    _cleanup_json_ json_t *plain = NULL;
    struct value text = {0};
    struct buf b = {0};

    (void)reterr;
    print_args(args, n, &text, false);
    plain = text.json;
    for (const char *s = text_arg(&text); *s; s++) {
        size_t i;

        for (i = 0; i < ARRAY_SIZE(escapes) && escapes[i].c != *s; i++)
            ;
        if (i < ARRAY_SIZE(escapes))
            buf_append_str(&b, escapes[i].name);
        else
            buf_append(&b, s, 1);
    }
    return return_str(ret, &b);
}

/* Go's url.QueryEscape. */
static int fn_urlquery(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    _cleanup_json_ json_t *plain = NULL;
    struct value text = {0};
    struct buf b = {0};

    (void)reterr;
    print_args(args, n, &text, false);
    plain = text.json;
    for (const char *s = text_arg(&text); *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-_.~", *s))
            buf_append(&b, s, 1);
        else if (*s == ' ')
            buf_append_str(&b, "+");
        else
            buf_printf(&b, "%%%02X", (unsigned char)*s);
    }
    return return_str(ret, &b);
}

/* ---- collections ---- */

static int fn_len(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    json_t *v = n == 1 ? args[0].json : NULL;

    if (n != 1)
        return bad(reterr, "wrong number of args for len: want 1");
    if (json_is_string(v))
        ret->json = json_integer((json_int_t)json_string_length(v));
    else if (json_is_array(v))
        ret->json = json_integer((json_int_t)json_array_size(v));
    else if (json_is_object(v) || !v || json_is_null(v))
        ret->json = json_integer((json_int_t)json_object_size(v));
    else
        return bad(reterr, "len of type without length");
    return 0;
}

static int fn_index(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    json_t *v = n ? args[0].json : NULL;

    if (n < 1 || !v)
        return bad(reterr, "index of untyped nil");
    for (size_t i = 1; i < n; i++) {
        if (json_is_object(v) && json_is_string(args[i].json)) {
            v = json_object_get(v, text_arg(&args[i]));
        } else if (json_is_array(v) && json_is_integer(args[i].json)) {
            json_int_t at = json_integer_value(args[i].json);

            if (at < 0 || (size_t)at >= json_array_size(v))
                return err_set(reterr, ERR_INVALID, EINVAL, "index out of range: %lld",
                               (long long)at);
            v = json_array_get(v, (size_t)at);
        } else if (json_is_null(v) || !v) {
            v = NULL;
        } else {
            return bad(reterr, "can't index item of this type");
        }
    }
    ret->json = json_incref(v);
    if (!v)
        ret->json = json_string(""); /* Go: the zero value of the map's element type */
    return 0;
}

static int fn_slice(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    size_t len = n ? (json_is_array(args[0].json) ? json_array_size(args[0].json)
                                                  : json_string_length(args[0].json))
                   : 0;
    json_int_t from = n > 1 ? json_integer_value(args[1].json) : 0;
    json_int_t to = n > 2 ? json_integer_value(args[2].json) : (json_int_t)len;

    if (n < 1 || n > 3 || from < 0 || to < from || (size_t)to > len)
        return bad(reterr, "index out of range");
    if (json_is_string(args[0].json)) {
        ret->json = json_stringn(text_arg(&args[0]) + from, (size_t)(to - from));
        return ret->json ? 0 : bad(reterr, "invalid UTF-8");
    }
    ret->json = json_array();
    for (; from < to; from++)
        json_array_append(ret->json, json_array_get(args[0].json, (size_t)from));
    return 0;
}

/* ---- logic ---- */

static int choose(const struct value *args, size_t n, struct value *ret, struct err *reterr,
                  bool until)
{
    size_t i = 0;

    if (n == 0)
        return bad(reterr, "missing argument");
    while (i + 1 < n && value_truth(&args[i]) != until)
        i++;
    *ret = args[i];
    json_incref(ret->json);
    return 0;
}

static int fn_and(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    return choose(args, n, ret, reterr, false);
}

static int fn_or(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    return choose(args, n, ret, reterr, true);
}

static int fn_not(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    if (n != 1)
        return bad(reterr, "wrong number of args for not: want 1");
    ret->json = json_boolean(!value_truth(&args[0]));
    return 0;
}

static int compare(const struct value *a, const struct value *b, int *ret, struct err *reterr)
{
    if (json_is_number(a->json) && json_is_number(b->json)) {
        double x = json_number_value(a->json), y = json_number_value(b->json);

        *ret = (x > y) - (x < y);
    } else if (json_is_string(a->json) && json_is_string(b->json)) {
        *ret = strcmp(text_arg(a), text_arg(b));
    } else if (json_is_boolean(a->json) && json_is_boolean(b->json)) {
        *ret = json_is_true(a->json) - json_is_true(b->json);
    } else if ((!a->json || json_is_null(a->json)) && (!b->json || json_is_null(b->json))) {
        *ret = 0;
    } else if (!a->json || json_is_null(a->json) || !b->json || json_is_null(b->json)) {
        *ret = 1;
    } else {
        return bad(reterr, "incompatible types for comparison");
    }
    return 0;
}

static int fn_eq(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    bool any = false;

    if (n < 2)
        return bad(reterr, "missing argument for comparison");
    for (size_t i = 1; i < n && !any; i++) {
        int order = 0, r = compare(&args[0], &args[i], &order, reterr);

        if (r < 0)
            return r;
        any = order == 0;
    }
    ret->json = json_boolean(any);
    return 0;
}

/* Bit 0: true when less; 1: when equal; 2: when greater. */
static int ordering(const struct value *args, size_t n, struct value *ret, struct err *reterr,
                    unsigned accept)
{
    int order = 0, r;

    if (n != 2)
        return bad(reterr, "missing argument for comparison");
    r = compare(&args[0], &args[1], &order, reterr);
    if (r == 0)
        ret->json = json_boolean(accept >> (order < 0 ? 0 : order == 0 ? 1 : 2) & 1);
    return r;
}

static int fn_ne(const struct value *a, size_t n, struct value *ret, struct err *reterr)
{
    return ordering(a, n, ret, reterr, 5);
}

static int fn_lt(const struct value *a, size_t n, struct value *ret, struct err *reterr)
{
    return ordering(a, n, ret, reterr, 1);
}

static int fn_le(const struct value *a, size_t n, struct value *ret, struct err *reterr)
{
    return ordering(a, n, ret, reterr, 3);
}

static int fn_gt(const struct value *a, size_t n, struct value *ret, struct err *reterr)
{
    return ordering(a, n, ret, reterr, 4);
}

static int fn_ge(const struct value *a, size_t n, struct value *ret, struct err *reterr)
{
    return ordering(a, n, ret, reterr, 6);
}

static const struct {
    const char *name;
    function call;
    bool pass_header; /* a column title goes through as it is */
} functions[] = {
    {"and", fn_and, false},       {"eq", fn_eq, false},           {"ge", fn_ge, false},
    {"gt", fn_gt, false},         {"html", fn_html, false},       {"urlquery", fn_urlquery, false},
    {"index", fn_index, false},   {"join", fn_join, true},        {"json", fn_json, true},
    {"le", fn_le, false},         {"len", fn_len, false},         {"lower", fn_lower, true},
    {"lt", fn_lt, false},         {"ne", fn_ne, false},           {"not", fn_not, false},
    {"or", fn_or, false},         {"pad", fn_pad, false},         {"print", fn_print, false},
    {"printf", fn_printf, false}, {"println", fn_println, false}, {"slice", fn_slice, false},
    {"split", fn_split, true},    {"title", fn_title, true},      {"truncate", fn_truncate, true},
    {"upper", fn_upper, true},
};

bool template_has_function(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        if (streq(functions[i].name, name))
            return true;
    }
    return false;
}

int template_call(const char *name, const struct value *args, size_t n, bool header,
                  struct value *ret, struct err *reterr)
{
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        if (!streq(functions[i].name, name))
            continue;
        if (header && functions[i].pass_header && n > 0) {
            *ret = (struct value){.json = json_incref(args[0].json)};
            return 0;
        }
        return functions[i].call(args, n, ret, reterr);
    }
    return err_set(reterr, ERR_INVALID, ENOENT, "function \"%s\" not defined", name);
}
