#include "filters.h"

#include <errno.h>

#include "json.h"
#include "str.h"

static bool is_allowed(const char *key, const char *const *allowed)
{
    for (size_t i = 0; allowed && allowed[i]; i++) {
        if (streq(allowed[i], key))
            return true;
    }
    return !allowed;
}

/* The values of one key, from either form; NULL if the form is wrong. */
static json_t *values_of(json_t *v)
{
    _cleanup_json_ json_t *out = json_array();
    json_t *item;
    const char *k;
    size_t i;

    if (json_is_object(v)) {
        json_object_foreach (v, k, item) {
            if (!json_is_boolean(item))
                return NULL;
            if (json_is_true(item))
                json_array_append_new(out, json_string(k));
        }
    } else if (json_is_array(v)) {
        json_array_foreach (v, i, item) {
            if (!json_is_string(item))
                return NULL;
            json_array_append(out, item);
        }
    } else {
        return NULL;
    }
    return TAKE_PTR(out);
}

int filters_parse(const char *text, const char *const *allowed, json_t **ret, struct err *reterr)
{
    _cleanup_json_ json_t *in = NULL, *out = json_object();
    const char *key;
    json_t *v;

    if (!str_empty(text)) {
        in = json_loads(text, 0, NULL);
        if (!json_is_object(in))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter '%.256s'", text);
        json_object_foreach (in, key, v) {
            json_t *values = values_of(v);

            if (!values)
                return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter '%.256s'", text);
            json_object_set_new(out, key, values);
            if (!is_allowed(key, allowed))
                return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter '%.256s'", key);
        }
    }
    *ret = TAKE_PTR(out);
    return 0;
}
