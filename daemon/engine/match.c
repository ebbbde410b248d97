#include "match.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

#include "json.h"
#include "str.h"

static bool is_known(const char *key, const char *const *known)
{
    for (; *known; known++) {
        if (streq(*known, key))
            return true;
    }
    return false;
}

int match_check(const json_t *filters, const char *const *known, struct err *reterr)
{
    const char *key;
    json_t *values, *v;
    size_t i;

    json_object_foreach((json_t *)filters, key, values)
    {
        if (!is_known(key, known))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter '%s'", key);
        if (!json_is_array(values))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter '%s'", key);
        json_array_foreach(values, i, v)
        {
            if (!json_is_string(v))
                return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter '%s'", key);
        }
    }
    return 0;
}

static bool has_label(const char *wanted, const json_t *labels)
{
    const char *eq = strchr(wanted, '=');
    _cleanup_free_ char *key = eq ? xstrndup(wanted, (size_t)(eq - wanted)) : xstrdup(wanted);
    const json_t *value = json_object_get(labels, key);

    return value && (!eq || streq_null(json_string_value(value), eq + 1));
}

bool match_labels(const json_t *wanted, const json_t *labels)
{
    const json_t *v;
    size_t i;

    json_array_foreach(wanted, i, v)
    {
        if (!has_label(json_string_value(v), labels))
            return false;
    }
    return true;
}

bool match_any(const json_t *values, const char *s)
{
    const json_t *v;
    size_t i;

    json_array_foreach(values, i, v)
    {
        if (streq(json_string_value(v), s))
            return true;
    }
    return json_array_size(values) == 0;
}

static bool regex_matches(const char *pattern, const char *s)
{
    regex_t re;
    bool found;

    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return strstr(s, pattern) != NULL;
    found = regexec(&re, s, 0, NULL, 0) == 0;
    regfree(&re);
    return found;
}

bool match_regex(const json_t *values, const char *s)
{
    const json_t *v;
    size_t i;

    json_array_foreach(values, i, v)
    {
        if (regex_matches(json_string_value(v), s))
            return true;
    }
    return json_array_size(values) == 0;
}
