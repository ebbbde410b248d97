#include "changes.h"

#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "duration.h"
#include "json.h"
#include "str.h"

static int bad(const char *word, const char *why, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "dockerfile parse error: %s %s", word, why);
}

static json_t *object_member(json_t *config, const char *key)
{
    json_t *v = json_object_get(config, key);

    if (!json_is_object(v)) {
        v = json_object();
        json_object_set_new(config, key, v);
    }
    return v;
}

static json_t *array_member(json_t *config, const char *key)
{
    json_t *v = json_object_get(config, key);

    if (!json_is_array(v)) {
        v = json_array();
        json_object_set_new(config, key, v);
    }
    return v;
}

/* `["a","b"]` as it stands; NULL if args is no JSON array of strings. */
static json_t *exec_form(const char *args)
{
    json_t *v = *args == '[' ? json_loads(args, 0, NULL) : NULL, *item;
    size_t i;

    json_array_foreach (v, i, item) {
        if (!json_is_string(item)) {
            json_decref(v);
            return NULL;
        }
    }
    return v;
}

static json_t *command_form(const char *args)
{
    json_t *v = exec_form(args);

    return v ? v : json_pack("[s,s,s]", "/bin/sh", "-c", args);
}

/* One word: quotes are taken off, a backslash keeps the next byte.  NULL at the end or on an open
 * quote (*s is then not at the end). */
static char *next_word(const char **s)
{
    const char *p = *s;
    char *out, *w;
    char quote = 0;

    while (isspace((unsigned char)*p))
        p++;
    *s = p;
    if (!*p)
        return NULL;
    out = w = xmalloc(strlen(p) + 1);
    for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
        if (*p == '\\' && p[1] && quote != '\'')
            *w++ = *++p;
        else if (quote && *p == quote)
            quote = 0;
        else if (!quote && (*p == '"' || *p == '\''))
            quote = *p;
        else
            *w++ = *p;
    }
    *w = '\0';
    if (quote) {
        free(out);
        return NULL;
    }
    *s = p;
    return out;
}

/* ---- one function an instruction ---- */

static int set_cmd(json_t *config, const char *args, struct err *reterr)
{
    (void)reterr;
    json_object_set_new(config, "Cmd", command_form(args));
    return 0;
}

static int set_entrypoint(json_t *config, const char *args, struct err *reterr)
{
    (void)reterr;
    json_object_set_new(config, "Entrypoint", command_form(args));
    return 0;
}

static void put_env(json_t *env, const char *name, const char *value)
{
    _cleanup_free_ char *text = xasprintf("%s=%s", name, value);
    size_t n = strlen(name) + 1, i;
    json_t *item;

    json_array_foreach (env, i, item) {
        if (strncmp(json_string_value(item), text, n) == 0) {
            json_array_set_new(env, i, json_string(text));
            return;
        }
    }
    json_array_append_new(env, json_string(text));
}

static void put_label(json_t *labels, const char *name, const char *value)
{
    json_object_set_new(labels, name, json_string(value));
}

/* `NAME=value ...` with quotes, or the old `NAME the rest`. */
static int each_pair(const char *word, const char *args, json_t *to,
                     void (*put)(json_t *to, const char *name, const char *value),
                     struct err *reterr)
{
    bool first = true;

    while (*args) {
        _cleanup_free_ char *pair = next_word(&args);
        char *eq = pair ? strchr(pair, '=') : NULL;

        if (!pair && !*args)
            break;
        if (!pair)
            return bad(word, "has an unterminated quote", reterr);
        if (!eq && first && *args) {
            while (isspace((unsigned char)*args))
                args++;
            put(to, pair, args);
            return 0;
        }
        if (!eq || eq == pair)
            return bad(word, "names must have the form name=value", reterr);
        *eq = '\0';
        put(to, pair, eq + 1);
        first = false;
    }
    return 0;
}

static int add_env(json_t *config, const char *args, struct err *reterr)
{
    return each_pair("ENV", args, array_member(config, "Env"), put_env, reterr);
}

static int add_label(json_t *config, const char *args, struct err *reterr)
{
    return each_pair("LABEL", args, object_member(config, "Labels"), put_label, reterr);
}

/* Space-separated words or a JSON array; NULL on an open quote. */
static json_t *word_list(const char *args)
{
    json_t *list = exec_form(args);

    if (list)
        return list;
    list = json_array();
    for (;;) {
        _cleanup_free_ char *word = next_word(&args);

        if (word) {
            json_array_append_new(list, json_string(word));
        } else if (*args) {
            json_decref(list);
            return NULL;
        } else {
            return list;
        }
    }
}

/* Each word as a member with an empty object for a value. */
static int add_members(json_t *to, const char *word, const char *args,
                       char *(*convert)(const char *), struct err *reterr)
{
    _cleanup_json_ json_t *list = word_list(args);
    json_t *item;
    size_t i;

    if (!list)
        return bad(word, "has an unterminated quote", reterr);
    json_array_foreach (list, i, item) {
        _cleanup_free_ char *key = convert(json_string_value(item));

        if (!key)
            return bad(word, "has an invalid argument", reterr);
        json_object_set_new(to, key, json_object());
    }
    return 0;
}

/* "80", "80/udp", "80-90/tcp"; the protocol is static. */
static int parse_ports(const char *s, unsigned *ret_first, unsigned *ret_last,
                       const char **ret_protocol)
{
    static const char *const protocols[] = {"tcp", "udp", "sctp"};
    size_t digits = strspn(s, "0123456789"), more = s[digits] == '-' ? digits + 1 : 0;
    size_t end = more ? more + strspn(s + more, "0123456789") : digits;
    _cleanup_free_ char *low = xstrndup(s, digits), *high = xstrndup(s + more, end - more);
    uint64_t first, last;

    if (str_parse_u64(low, 65535, &first) < 0 || str_parse_u64(high, 65535, &last) < 0 ||
        first == 0 || last < first)
        return -EINVAL;
    *ret_first = (unsigned)first;
    *ret_last = (unsigned)last;
    *ret_protocol = s[end] ? NULL : "tcp";
    for (size_t i = 0; s[end] == '/' && i < ARRAY_SIZE(protocols); i++) {
        if (strcasecmp(s + end + 1, protocols[i]) == 0)
            *ret_protocol = protocols[i];
    }
    return *ret_protocol ? 0 : -EINVAL;
}

static char *volume_key(const char *s)
{
    return *s ? xstrdup(s) : NULL;
}

static int add_ports(json_t *to, const char *word, struct err *reterr)
{
    const char *protocol;
    unsigned first, last;

    if (parse_ports(word, &first, &last, &protocol) < 0)
        return bad("EXPOSE", "has an invalid argument", reterr);
    if (json_object_size(to) + (last - first) >= EXPOSED_MAX)
        return bad("EXPOSE", "has too many ports", reterr);
    for (unsigned port = first; port <= last; port++) {
        _cleanup_free_ char *key = xasprintf("%u/%s", port, protocol);

        json_object_set_new(to, key, json_object());
    }
    return 0;
}

static int add_expose(json_t *config, const char *args, struct err *reterr)
{
    _cleanup_json_ json_t *list = word_list(args);
    json_t *to = object_member(config, "ExposedPorts"), *item;
    size_t i;
    int r = list ? 0 : bad("EXPOSE", "has an unterminated quote", reterr);

    json_array_foreach (list, i, item) {
        if (r >= 0)
            r = add_ports(to, json_string_value(item), reterr);
    }
    return r;
}

static int add_volume(json_t *config, const char *args, struct err *reterr)
{
    return add_members(object_member(config, "Volumes"), "VOLUME", args, volume_key, reterr);
}

static int set_user(json_t *config, const char *args, struct err *reterr)
{
    (void)reterr;
    json_object_set_new(config, "User", json_string(args));
    return 0;
}

static int set_workdir(json_t *config, const char *args, struct err *reterr)
{
    const char *old = json_get_str(config, "WorkingDir", "/");

    (void)reterr;
    json_object_set_new(config, "WorkingDir",
                        *args == '/'
                            ? json_string(args)
                            : json_sprintf("%s%s%s", *old ? old : "/",
                                           str_ends(*old ? old : "/", "/") ? "" : "/", args));
    return 0;
}

static int set_stop_signal(json_t *config, const char *args, struct err *reterr)
{
    if (strpbrk(args, " \t"))
        return bad("STOPSIGNAL", "requires exactly one argument", reterr);
    json_object_set_new(config, "StopSignal", json_string(args));
    return 0;
}

static int add_onbuild(json_t *config, const char *args, struct err *reterr)
{
    (void)reterr;
    json_array_append_new(array_member(config, "OnBuild"), json_string(args));
    return 0;
}

#define HEALTH_MIN_NS 1000000

static const struct {
    const char *flag, *key;
} health_flags[] = {{"--interval=", "Interval"},
                    {"--timeout=", "Timeout"},
                    {"--start-period=", "StartPeriod"},
                    {"--start-interval=", "StartInterval"}};

static int health_flag(json_t *health, const char *word, struct err *reterr)
{
    static const char retries[] = "--retries=";
    int64_t v;

    if (str_starts(word, retries)) {
        if (str_parse_i64(word + strlen(retries), 0, INT32_MAX, &v) < 0)
            return bad("HEALTHCHECK", "--retries is no number", reterr);
        json_object_set_new(health, "Retries", json_integer(v));
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(health_flags); i++) {
        if (!str_starts(word, health_flags[i].flag))
            continue;
        v = duration_parse(word + strlen(health_flags[i].flag));
        if (v < 0)
            return bad("HEALTHCHECK", "has an invalid duration", reterr);
        if (v > 0 && v < HEALTH_MIN_NS)
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "dockerfile parse error: Interval \"%.*s\" cannot be less than 1ms",
                           (int)strlen(health_flags[i].flag) - 3, health_flags[i].flag + 2);
        json_object_set_new(health, health_flags[i].key, json_integer(v));
        return 0;
    }
    if (!str_starts(word, "--"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "dockerfile parse error: Unknown type \"%.64s\" in HEALTHCHECK (try CMD)",
                       word);
    return bad("HEALTHCHECK", "has an unknown flag", reterr);
}

static int set_healthcheck(json_t *config, const char *args, struct err *reterr)
{
    _cleanup_json_ json_t *health = json_object();
    json_t *test;

    for (;;) {
        _cleanup_free_ char *word = next_word(&args);
        int r;

        while (isspace((unsigned char)*args))
            args++;
        if (!word)
            return bad("HEALTHCHECK", "requires NONE or CMD", reterr);
        if (strcasecmp(word, "NONE") == 0 && *args)
            return bad("HEALTHCHECK", "NONE takes no arguments", reterr);
        if (strcasecmp(word, "NONE") == 0) {
            test = json_pack("[s]", "NONE");
            break;
        }
        if (strcasecmp(word, "CMD") == 0) {
            if (!*args)
                return bad("HEALTHCHECK", "CMD requires a command", reterr);
            test = exec_form(args);
            if (test)
                json_array_insert_new(test, 0, json_string("CMD"));
            else
                test = json_pack("[s,s]", "CMD-SHELL", args);
            break;
        }
        r = health_flag(health, word, reterr);
        if (r < 0)
            return r;
    }
    json_object_set_new(health, "Test", test);
    json_object_set(config, "Healthcheck", health);
    return 0;
}

static const struct {
    const char *word;
    int (*apply)(json_t *config, const char *args, struct err *reterr);
} instructions[] = {
    {"CMD", set_cmd},         {"ENTRYPOINT", set_entrypoint},   {"ENV", add_env},
    {"EXPOSE", add_expose},   {"HEALTHCHECK", set_healthcheck}, {"LABEL", add_label},
    {"ONBUILD", add_onbuild}, {"STOPSIGNAL", set_stop_signal},  {"USER", set_user},
    {"VOLUME", add_volume},   {"WORKDIR", set_workdir},
};

int changes_apply(json_t *config, const char *line, struct err *reterr)
{
    _cleanup_free_ char *word = NULL, *args = NULL;
    size_t n;

    while (isspace((unsigned char)*line))
        line++;
    n = strcspn(line, " \t\n");
    if (strlen(line) > CHANGE_SIZE_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG, "dockerfile parse error: line is too long");
    word = xstrndup(line, n);
    args = xstrdup(line + n + strspn(line + n, " \t\n"));
    for (size_t len = strlen(args); len > 0 && isspace((unsigned char)args[len - 1]); len--)
        args[len - 1] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(instructions); i++) {
        if (strcasecmp(instructions[i].word, word) != 0)
            continue;
        if (!*args)
            return bad(instructions[i].word, "requires at least one argument", reterr);
        return instructions[i].apply(config, args, reterr);
    }
    return err_set(reterr, ERR_INVALID, EINVAL, "%s is not a valid change command", word);
}
