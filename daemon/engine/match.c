#include "match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "pattern.h"
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

    json_object_foreach ((json_t *)filters, key, values) {
        if (!is_known(key, known))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter '%s'", key);
        if (!json_is_array(values))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter '%s'", key);
        json_array_foreach (values, i, v) {
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

    json_array_foreach (wanted, i, v) {
        if (!has_label(json_string_value(v), labels))
            return false;
    }
    return true;
}

bool match_any(const json_t *values, const char *s)
{
    const json_t *v;
    size_t i;

    json_array_foreach (values, i, v) {
        if (streq(json_string_value(v), s))
            return true;
    }
    return json_array_size(values) == 0;
}

static bool regex_matches(const char *pattern, const char *s)
{
    regex_t re;
    bool found;

    if (pattern_compile(pattern, &re) < 0)
        return strstr(s, pattern) != NULL;
    found = pattern_found(&re, s);
    regfree(&re);
    return found;
}

bool match_regex(const json_t *values, const char *s)
{
    const json_t *v;
    size_t i;

    json_array_foreach (values, i, v) {
        if (regex_matches(json_string_value(v), s))
            return true;
    }
    return json_array_size(values) == 0;
}

/* "1h30m", "10s": Go's time.ParseDuration without fractions of ns; -EINVAL. */
static int parse_duration(const char *s, int64_t *ret)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
    double total = 0;

    if (!*s)
        return -EINVAL;
    while (*s) {
        size_t n = strspn(s, "0123456789."), u = strcspn(s + n, "0123456789."), i;
        double v;

        if (n == 0 || n > 20)
            return -EINVAL;
        v = strtod(s, NULL);
        for (i = 0; i < ARRAY_SIZE(units); i++) {
            if (strlen(units[i].unit) == u && strncmp(units[i].unit, s + n, u) == 0)
                break;
        }
        if (i == ARRAY_SIZE(units))
            return -EINVAL;
        total += v * units[i].ns;
        s += n + u;
    }
    if (total > 9e18)
        return -ERANGE;
    *ret = (int64_t)total;
    return 0;
}

int match_until(const json_t *filters, int64_t *ret, struct err *reterr)
{
    const json_t *values = json_object_get(filters, "until");
    const char *text;
    int64_t v;

    *ret = 0;
    if (json_array_size(values) == 0)
        return 0;
    if (json_array_size(values) > 1)
        return err_set(reterr, ERR_INVALID, EINVAL, "more than one until filter specified");
    text = json_string_value(json_array_get(values, 0));
    if (time_parse(text, ret) >= 0)
        return 0;
    if (str_parse_i64(text, 0, INT64_MAX / 1000000000, &v) >= 0) {
        *ret = v * 1000000000;
        return 0;
    }
    if (parse_duration(text, &v) >= 0) {
        *ret = time_now_ns() - v;
        return 0;
    }
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter 'until=%s'", text);
}
