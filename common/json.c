#include "json.h"

#include <strings.h>

#include "str.h"

json_t *json_get(const json_t *obj, const char *key)
{
    json_t *v = json_object_get(obj, key);

    if (!v && json_is_object(obj)) {
        const char *k;
        json_t *item;

        json_object_foreach ((json_t *)obj, k, item) {
            if (strcasecmp(k, key) == 0) {
                v = item;
                break;
            }
        }
    }
    return json_is_null(v) ? NULL : v;
}

void json_drop(json_t *obj, const char *key)
{
    const char *name;
    json_t *value;
    void *next;

    if (!json_is_object(obj))
        return;
    json_object_foreach_safe(obj, next, name, value)
    {
        if (strcasecmp(name, key) == 0)
            json_object_del(obj, name);
    }
}

const char *json_get_str(const json_t *obj, const char *key, const char *def)
{
    const json_t *v = json_get(obj, key);

    return json_is_string(v) ? json_string_value(v) : def;
}

int64_t json_get_int(const json_t *obj, const char *key, int64_t def)
{
    const json_t *v = json_get(obj, key);

    return json_is_integer(v) ? json_integer_value(v) : def;
}

bool json_get_bool(const json_t *obj, const char *key, bool def)
{
    const json_t *v = json_get(obj, key);

    return json_is_boolean(v) ? json_is_true(v) : def;
}

char **json_get_strv(const json_t *obj, const char *key)
{
    const json_t *v = json_get(obj, key), *item;
    char **out = NULL;
    size_t i;

    json_array_foreach (v, i, item) {
        if (json_is_string(item))
            out = strv_append(out, json_string_value(item));
    }
    return out;
}

json_t *json_from_strv(char *const *v)
{
    json_t *out = json_array();

    for (size_t i = 0; v && v[i]; i++)
        json_array_append_new(out, json_string(v[i]));
    return out;
}

char *json_to_str(const json_t *v)
{
    char *s = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

    return s ? s : xstrdup("null");
}
