/* How values of templates print, and which of them are true. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "str.h"
#include "template_internal.h"

#define REAL_DIGITS_MAX 17

bool value_truth(const struct value *v)
{
    switch (v->json ? json_typeof(v->json) : JSON_NULL) {
    case JSON_OBJECT:
        return (v->type && v->levels == 0) || json_object_size(v->json) > 0;
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

struct value value_ref(const struct value *v)
{
    struct value copy = *v;

    json_incref(copy.json);
    return copy;
}

struct value value_member(const struct value *v, json_t *json, const char *name)
{
    struct value m = {.json = json_incref(json), .key = name};

    if (v->type && v->levels > 0) {
        m.type = v->type;
        m.levels = v->levels - 1;
        return m;
    }
    m.type = go_type_of(v->key, name);
    m.levels = m.type ? m.type->levels : 0;
    return m;
}

struct value value_element(const struct value *v, json_t *json)
{
    struct value e = {.json = json_incref(json), .type = v->type, .levels = v->levels};

    if (json_is_object(v->json)) {
        e.type = v->levels > 0 ? v->type : NULL;
        e.levels = v->levels > 0 ? v->levels - 1 : 0;
    } else if (v->type) {
        e.key = v->key;
    }
    return e;
}

bool value_zero_member(const struct value *v, const char *name, struct value *ret)
{
    enum go_kind kind = v->type && v->levels == 0 ? go_member_kind(v->type, name) : GO_END;

    *ret = (struct value){.key = name};
    if (kind == GO_NUMBER || kind == GO_DURATION)
        ret->json = json_integer(0);
    else if (kind == GO_BOOL)
        ret->json = json_false();
    else if (kind == GO_STRING)
        ret->json = json_string("");
    return ret->json;
}

/* Go's Duration.String. */
static void print_duration(int64_t ns, struct buf *out)
{
    static const struct {
        int64_t below, unit;
        const char *name;
    } small[] = {{1000, 1, "ns"}, {1000000, 1000, "\u00b5s"}, {1000000000, 1000000, "ms"}};
    char text[32];
    int64_t minutes = ns / 60000000000;

    if (ns == 0) {
        buf_append_str(out, "0s");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(small); i++) {
        if (ns > 0 && ns < small[i].below) {
            snprintf(text, sizeof(text), "%.9g", (double)ns / (double)small[i].unit);
            buf_printf(out, "%s%s", text, small[i].name);
            return;
        }
    }
    if (minutes >= 60)
        buf_printf(out, "%lldh", (long long)(minutes / 60));
    if (minutes >= 1)
        buf_printf(out, "%lldm", (long long)(minutes % 60));
    buf_printf(out, "%.12gs", (double)(ns - minutes * 60000000000) / 1e9);
}

/* The fewest digits that stand for this number and no other. */
static void print_real(double v, struct buf *out)
{
    char text[40];

    for (int digits = 1; digits <= REAL_DIGITS_MAX; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_append_str(out, text);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_map(const struct value *v, struct buf *out)
{
    size_t count = json_object_size(v->json), i = 0;
    _cleanup_free_ const char **keys = xcalloc(count + 1, sizeof(*keys));
    const char *key;
    json_t *item;

    json_object_foreach (v->json, key, item)
        keys[i++] = key;
    qsort(keys, count, sizeof(*keys), compare_keys);
    buf_append_str(out, "map[");
    for (i = 0; i < count; i++) {
        struct value e = value_element(v, json_object_get(v->json, keys[i]));

        buf_printf(out, "%s%s:", i ? " " : "", keys[i]);
        value_print(&e, out);
        json_decref(e.json);
    }
    buf_append_str(out, "]");
}

static void print_string_method(const struct value *v, struct buf *out)
{
    for (const char *s = v->type->string; *s;) {
        size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
        _cleanup_free_ char *name = xstrndup(s, len);
        struct value m = {.json = json_get(v->json, name)};

        if (len)
            value_print(&m, out);
        else
            buf_append(out, s, 1);
        s += len ? len : 1;
    }
}

static const char *absent_text(enum go_kind kind)
{
    switch (kind) {
    case GO_NUMBER:
        return "0";
    case GO_BOOL:
        return "false";
    case GO_LIST:
        return "[]";
    case GO_MAP:
        return "map[]";
    case GO_POINTER:
        return "<nil>";
    case GO_DURATION:
        return "0s";
    default:
        return "";
    }
}

static void print_struct(const struct value *v, struct buf *out)
{
    const char *at = v->type->members;
    struct go_member m;
    bool first = true;

    buf_append_str(out, "{");
    while (go_next_member(&at, &m)) {
        json_t *json = json_get(v->json, m.name);
        struct value member = value_member(v, json, m.name);

        if (!first && m.kind != GO_END)
            buf_append_str(out, " ");
        first = m.kind == GO_BEGIN;
        if (m.kind == GO_BEGIN)
            buf_append_str(out, "{");
        else if (m.kind == GO_END)
            buf_append_str(out, "}");
        else if (!json)
            buf_append_str(out, absent_text(m.kind));
        else
            value_print(&member, out);
        json_decref(member.json);
    }
    buf_append_str(out, "}");
}

static void print_list(const struct value *v, struct buf *out)
{
    json_t *item;
    size_t i;

    buf_append_str(out, "[");
    json_array_foreach (v->json, i, item) {
        struct value e = value_element(v, item);

        if (i)
            buf_append_str(out, " ");
        value_print(&e, out);
        json_decref(e.json);
    }
    buf_append_str(out, "]");
}

void value_print(const struct value *v, struct buf *out)
{
    switch (v->json ? json_typeof(v->json) : JSON_NULL) {
    case JSON_OBJECT:
        if (v->type && v->levels == 0 && v->type->string)
            print_string_method(v, out);
        else if (v->type && v->levels == 0)
            print_struct(v, out);
        else
            print_map(v, out);
        break;
    case JSON_ARRAY:
        print_list(v, out);
        break;
    case JSON_STRING:
        buf_append(out, json_string_value(v->json), json_string_length(v->json));
        break;
    case JSON_INTEGER:
        if (go_is_duration(v->key))
            print_duration(json_integer_value(v->json), out);
        else
            buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v->json));
        break;
    case JSON_REAL:
        print_real(json_real_value(v->json), out);
        break;
    case JSON_NULL:
        if (v->type && !v->key) /* of a map[string][]T */
            buf_append_str(out, "[]");
        else
            buf_append_str(out, v->json ? go_null_text(v->key) : "<no value>");
        break;
    default:
        buf_append_str(out, json_is_true(v->json) ? "true" : "false");
    }
}
