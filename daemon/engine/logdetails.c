/* What `details` puts in front of each line of a log: the labels and variables of the container
 * that its log options name.  They never change, so they are not in the file. */
#include <ctype.h>
#include <string.h>

#include "json.h"
#include "pattern.h"
#include "private.h"

/* As Go's url.QueryEscape. */
static void put_escaped(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (isalnum((unsigned char)s[i]) || (s[i] && strchr("-_.~", s[i])))
            buf_append(out, &s[i], 1);
        else if (s[i] == ' ')
            buf_append_str(out, "+");
        else
            buf_printf(out, "%%%02X", (unsigned char)s[i]);
    }
}

static bool is_named(const char *list, const char *name, size_t len)
{
    while (list && *list) {
        size_t n = strcspn(list, ",");

        if (n == len && strncmp(list, name, len) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

static bool is_meant(const json_t *options, const char *kind, const char *name, size_t len)
{
    _cleanup_free_ char *key = xasprintf("%s-regex", kind), *text = xstrndup(name, len);
    const char *pattern = json_get_str(options, key, "");
    regex_t re;
    bool found;

    if (is_named(json_get_str(options, kind, ""), name, len))
        return true;
    if (!*pattern || pattern_compile(pattern, &re) < 0)
        return false;
    found = pattern_found(&re, text);
    regfree(&re);
    return found;
}

/* Of several with one name the last one counts: variables come behind labels. */
static void collect(const struct container *c, json_t *out)
{
    const json_t *options = json_get(json_get(c->host_config, "LogConfig"), "Config");
    const char *name;
    json_t *value;
    size_t i;

    json_object_foreach (json_get(c->config, "Labels"), name, value) {
        if (is_meant(options, "labels", name, strlen(name)))
            json_object_set(out, name, value);
    }
    json_array_foreach (json_get(c->config, "Env"), i, value) {
        const char *text = json_string_value(value), *equals = text ? strchr(text, '=') : NULL;
        _cleanup_free_ char *key = NULL;

        if (!equals || !is_meant(options, "env", text, (size_t)(equals - text)))
            continue;
        key = xstrndup(text, (size_t)(equals - text));
        json_object_set_new(out, key, json_string(equals + 1));
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *log_details(const struct container *c)
{
    _cleanup_json_ json_t *found = json_object();
    _cleanup_free_ const char **names = NULL;
    struct buf out = {0};
    const char *name;
    json_t *value;
    size_t n = 0;

    collect(c, found);
    names = xcalloc(json_object_size(found) + 1, sizeof(*names));
    json_object_foreach (found, name, value)
        names[n++] = name;
    qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_object_get(found, names[i]));

        buf_append_str(&out, i ? "," : "");
        put_escaped(&out, names[i], strlen(names[i]));
        buf_append_str(&out, "=");
        put_escaped(&out, text ? text : "", text ? strlen(text) : 0);
    }
    buf_append_str(&out, " ");
    return buf_take_str(&out);
}
