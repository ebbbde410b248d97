/* Functions of templates over collections and truth values, and the table of all functions. */
#include <errno.h>
#include <string.h>

#include "json.h"
#include "str.h"
#include "template_internal.h"

int template_bad(struct err *reterr, const char *why)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "%s", why);
}

/* ---- collections ---- */

static int fn_len(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    json_t *v = n == 1 ? args[0].json : NULL;

    if (n != 1)
        return template_bad(reterr, "wrong number of args for len: want 1");
    if (json_is_string(v))
        ret->json = json_integer((json_int_t)json_string_length(v));
    else if (json_is_array(v))
        ret->json = json_integer((json_int_t)json_array_size(v));
    else if (json_is_object(v) || !v || json_is_null(v))
        ret->json = json_integer((json_int_t)json_object_size(v));
    else
        return template_bad(reterr, "len of type without length");
    return 0;
}

/* The element of v that a key or a number stands for; NULL with -EINVAL, or 0 if there is none. */
static int find_element(const json_t *v, const json_t *at, json_t **ret, struct err *reterr)
{
    json_int_t i = json_integer_value(at);

    *ret = NULL;
    if (json_is_object(v) && json_is_string(at)) {
        *ret = json_object_get(v, json_string_value(at));
    } else if (json_is_array(v) && json_is_integer(at)) {
        if (i < 0 || (size_t)i >= json_array_size(v))
            return err_set(reterr, ERR_INVALID, EINVAL, "index out of range: %lld", (long long)i);
        *ret = json_array_get(v, (size_t)i);
    } else if (v && !json_is_null(v)) {
        return template_bad(reterr, "can't index item of this type");
    }
    return 0;
}

static int fn_index(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    struct value v;

    if (n < 1 || !args[0].json)
        return template_bad(reterr, "index of untyped nil");
    v = value_ref(&args[0]);
    for (size_t i = 1; i < n; i++) {
        json_t *found;
        struct value next;
        int r = find_element(v.json, args[i].json, &found, reterr);

        if (r < 0) {
            json_decref(v.json);
            return r;
        }
        next = value_element(&v, found);
        json_decref(v.json);
        v = next;
    }
    if (!v.json)
        v.json = json_string(""); /* Go: the zero value of the map's element type */
    *ret = v;
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
        return template_bad(reterr, "index out of range");
    if (json_is_string(args[0].json)) {
        ret->json = json_stringn(json_string_value(args[0].json) + from, (size_t)(to - from));
        return ret->json ? 0 : template_bad(reterr, "invalid UTF-8");
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
        return template_bad(reterr, "missing argument");
    while (i + 1 < n && value_truth(&args[i]) != until)
        i++;
    *ret = value_ref(&args[i]);
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
        return template_bad(reterr, "wrong number of args for not: want 1");
    ret->json = json_boolean(!value_truth(&args[0]));
    return 0;
}

static int compare(const struct value *a, const struct value *b, int *ret, struct err *reterr)
{
    if (json_is_number(a->json) && json_is_number(b->json)) {
        double x = json_number_value(a->json), y = json_number_value(b->json);

        *ret = (x > y) - (x < y);
    } else if (json_is_string(a->json) && json_is_string(b->json)) {
        *ret = strcmp(json_string_value(a->json), json_string_value(b->json));
    } else if (json_is_boolean(a->json) && json_is_boolean(b->json)) {
        *ret = json_is_true(a->json) - json_is_true(b->json);
    } else if ((!a->json || json_is_null(a->json)) && (!b->json || json_is_null(b->json))) {
        *ret = 0;
    } else if (!a->json || json_is_null(a->json) || !b->json || json_is_null(b->json)) {
        *ret = 1;
    } else {
        return template_bad(reterr, "incompatible types for comparison");
    }
    return 0;
}

static int fn_eq(const struct value *args, size_t n, struct value *ret, struct err *reterr)
{
    bool any = false;

    if (n < 2)
        return template_bad(reterr, "missing argument for comparison");
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
        return template_bad(reterr, "missing argument for comparison");
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
    template_fn *call;
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
            *ret = value_ref(&args[0]);
            return 0;
        }
        return functions[i].call(args, n, ret, reterr);
    }
    return err_set(reterr, ERR_INVALID, ENOENT, "function \"%s\" not defined", name);
}
