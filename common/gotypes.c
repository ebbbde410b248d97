#include "gotypes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "str.h"

#define PATH_MAX_LEN 256

static const struct go_field health_fields[] = {
    {"Test", GO_STRINGS, "[]string", NULL},
    {"Interval", GO_INT, "time.Duration", NULL},
    {"Timeout", GO_INT, "time.Duration", NULL},
    {"StartPeriod", GO_INT, "time.Duration", NULL},
    {"StartInterval", GO_INT, "time.Duration", NULL},
    {"Retries", GO_INT, "int", NULL},
    GO_END,
};

const struct go_field go_container_config[] = {
    {"Hostname", GO_STRING, "string", NULL},
    {"Domainname", GO_STRING, "string", NULL},
    {"User", GO_STRING, "string", NULL},
    {"AttachStdin", GO_BOOL, "bool", NULL},
    {"AttachStdout", GO_BOOL, "bool", NULL},
    {"AttachStderr", GO_BOOL, "bool", NULL},
    {"ExposedPorts", GO_SET, "nat.PortSet", NULL},
    {"Tty", GO_BOOL, "bool", NULL},
    {"OpenStdin", GO_BOOL, "bool", NULL},
    {"StdinOnce", GO_BOOL, "bool", NULL},
    {"Env", GO_STRINGS, "[]string", NULL},
    {"Cmd", GO_WORDS, "strslice.StrSlice", NULL},
    {"Healthcheck", GO_OBJECT, "container.HealthConfig", health_fields},
    {"ArgsEscaped", GO_BOOL, "bool", NULL},
    {"Image", GO_STRING, "string", NULL},
    {"Volumes", GO_SET, "map[string]struct {}", NULL},
    {"WorkingDir", GO_STRING, "string", NULL},
    {"Entrypoint", GO_WORDS, "strslice.StrSlice", NULL},
    {"NetworkDisabled", GO_BOOL, "bool", NULL},
    {"MacAddress", GO_STRING, "string", NULL},
    {"OnBuild", GO_STRINGS, "[]string", NULL},
    {"Labels", GO_STRING_MAP, "map[string]string", NULL},
    {"StopSignal", GO_STRING, "string", NULL},
    {"StopTimeout", GO_INT, "int", NULL},
    {"Shell", GO_WORDS, "strslice.StrSlice", NULL},
    GO_END,
};

static const char *json_noun(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    default:
        return "number";
    }
}

static int mismatch(const char *path, const json_t *v, const char *go, struct err *reterr)
{
    char number[64] = "";

    /* Go tells a number that does not fit by its digits. */
    if (json_is_integer(v) && !streq(go, "string") && !streq(go, "bool") && go[0] != '[')
        snprintf(number, sizeof(number), " %lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(number, sizeof(number), " %g", json_real_value(v));
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "json: cannot unmarshal %s%s into Go struct field %s of type %s", json_noun(v),
                   number, path, go);
}

static int too_much(const char *path, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, E2BIG, "%s is too large", path);
}

static int check_object(const json_t *obj, const struct go_field *fields, const char *path,
                        const struct go_limits *max, struct err *reterr);

/* A NUL cannot be in a path, argument or environment: it would cut the string silently. */
static int check_string(const json_t *v, const char *path, const char *go,
                        const struct go_limits *max, struct err *reterr)
{
    if (!json_is_string(v))
        return mismatch(path, v, go, reterr);
    if (json_string_length(v) > max->string)
        return too_much(path, reterr);
    if (strlen(json_string_value(v)) != json_string_length(v))
        return err_set(reterr, ERR_INVALID, EINVAL, "NUL character in %s", path);
    return 0;
}

static int check_strings(const json_t *v, const char *path, const char *go,
                         const struct go_limits *max, struct err *reterr)
{
    const json_t *item;
    int r = 0;
    size_t i;

    if (!json_is_array(v))
        return mismatch(path, v, go, reterr);
    if (json_array_size(v) > max->list)
        return too_much(path, reterr);
    json_array_foreach (v, i, item) {
        r = check_string(item, path, "string", max, reterr);
        if (r < 0)
            return r;
    }
    return r;
}

static int check_map(const json_t *v, const struct go_field *f, const char *path,
                     const struct go_limits *max, struct err *reterr)
{
    const json_t *item, *entry;
    const char *key;
    int r = 0;
    size_t i;

    if (!json_is_object(v))
        return mismatch(path, v, f->go, reterr);
    if (json_object_size(v) > max->list)
        return too_much(path, reterr);
    json_object_foreach ((json_t *)v, key, item) {
        if (f->type == GO_STRING_MAP)
            r = check_string(item, path, "string", max, reterr);
        else if (f->type == GO_SET)
            r = json_is_object(item) || json_is_null(item)
                    ? 0
                    : mismatch(path, item, "struct {}", reterr);
        else if (f->type == GO_OBJECT_MAP)
            r = json_is_null(item) ? 0 : check_object(item, f->fields, path, max, reterr);
        else if (!json_is_array(item) && !json_is_null(item))
            r = mismatch(path, item, "[]nat.PortBinding", reterr);
        json_array_foreach (item, i, entry) {
            if (r >= 0 && f->type == GO_LIST_MAP)
                r = check_object(entry, f->fields, path, max, reterr);
        }
        if (r < 0)
            return r;
    }
    return r;
}

static int check_objects(const json_t *v, const struct go_field *f, const char *path,
                         const struct go_limits *max, struct err *reterr)
{
    const json_t *item;
    size_t i;

    if (!json_is_array(v))
        return mismatch(path, v, f->go, reterr);
    if (json_array_size(v) > max->list)
        return too_much(path, reterr);
    json_array_foreach (v, i, item) {
        int r = check_object(item, f->fields, path, max, reterr);

        if (r < 0)
            return r;
    }
    return 0;
}

static int check_pair(const json_t *v, const char *path, const char *go, struct err *reterr)
{
    const json_t *item;
    size_t i;

    if (!json_is_array(v))
        return mismatch(path, v, go, reterr);
    json_array_foreach (v, i, item) {
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return mismatch(path, item, "uint", reterr);
    }
    return 0;
}

static int check_value(const json_t *v, const struct go_field *f, const char *path,
                       const struct go_limits *max, struct err *reterr)
{
    switch (f->type) {
    case GO_STRING:
        return check_string(v, path, f->go, max, reterr);
    case GO_BOOL:
        return json_is_boolean(v) ? 0 : mismatch(path, v, f->go, reterr);
    case GO_INT:
        return json_is_integer(v) ? 0 : mismatch(path, v, f->go, reterr);
    case GO_UINT:
        return json_is_integer(v) && json_integer_value(v) >= 0 ? 0
                                                                : mismatch(path, v, f->go, reterr);
    case GO_UINT16:
    case GO_UINT32:
        return json_is_integer(v) && json_integer_value(v) >= 0 &&
                       json_integer_value(v) <= (f->type == GO_UINT16 ? UINT16_MAX : UINT32_MAX)
                   ? 0
                   : mismatch(path, v, f->go, reterr);
    case GO_WORDS:
        if (json_is_string(v))
            return check_string(v, path, f->go, max, reterr);
        return check_strings(v, path, f->go, max, reterr);
    case GO_TEXT:
        return json_is_string(v) ? 0 : mismatch(path, v, f->go, reterr);
    case GO_STRINGS:
        return check_strings(v, path, f->go, max, reterr);
    case GO_OBJECT:
        return json_is_object(v) ? check_object(v, f->fields, path, max, reterr)
                                 : mismatch(path, v, f->go, reterr);
    case GO_OBJECTS:
        return check_objects(v, f, path, max, reterr);
    case GO_PAIR:
        return check_pair(v, path, f->go, reterr);
    case GO_ANY:
        return 0;
    default:
        return check_map(v, f, path, max, reterr);
    }
}

static int check_object(const json_t *obj, const struct go_field *fields, const char *path,
                        const struct go_limits *max, struct err *reterr)
{
    if (json_is_null(obj))
        return 0;
    if (!json_is_object(obj))
        return mismatch(path, obj, "object", reterr);
    for (const struct go_field *f = fields; f->name; f++) {
        const json_t *v = json_get(obj, f->name);
        char sub[PATH_MAX_LEN];
        int r;

        if (!v && f->type != GO_EMBEDDED)
            continue;
        snprintf(sub, sizeof(sub), "%s.%s", path, f->name);
        r = f->type == GO_EMBEDDED ? check_object(obj, f->fields, path, max, reterr)
                                   : check_value(v, f, sub, max, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int go_types_check(const json_t *obj, const struct go_field *fields, const char *path,
                   const struct go_limits *max, struct err *reterr)
{
    return check_object(obj, fields, path, max, reterr);
}
