#include "secopt.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "str.h"

/* Go's strconv.ParseBool. */
static int parse_bool(const char *s)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (streq(s, yes[i]))
            return 1;
        if (streq(s, no[i]))
            return 0;
    }
    return -EINVAL;
}

static int invalid(int form, const char *opt, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid --security-opt %d: \"%s\"", form, opt);
}

static int parse_pair(const char *opt, const char *key, const char *value, struct secopt *so,
                      struct err *reterr)
{
    if (streq(key, "label")) {
        so->ignored_label = !streq(value, "disable");
    } else if (streq(key, "apparmor")) {
        so->apparmor = *value ? value : NULL;
    } else if (streq(key, "seccomp")) {
        so->seccomp_unconfined = streq(value, "unconfined");
        so->seccomp_json =
            so->seccomp_unconfined || streq(value, "builtin") || !*value ? NULL : value;
    } else if (streq(key, "no-new-privileges")) {
        int b = parse_bool(value);

        if (b < 0)
            return invalid(2, opt, reterr);
        so->no_new_privileges = b;
    } else if (streq(key, "systempaths") && streq(value, "unconfined")) {
        so->systempaths_unconfined = true;
    } else if (streq(key, "writable-cgroups")) {
        /* a later Docker's; cgroups stay read-only */
    } else {
        return invalid(2, opt, reterr);
    }
    return 0;
}

static int parse_option(const char *opt, struct secopt *so, struct err *reterr)
{
    const char *sep = strpbrk(opt, "=");
    _cleanup_free_ char *key = NULL;

    if (streq(opt, "no-new-privileges")) {
        so->no_new_privileges = true;
        return 0;
    }
    if (streq(opt, "disable")) {
        so->ignored_label = false;
        return 0;
    }
    /* The old form "key:value"; a value may hold either sign. */
    if (!sep)
        sep = strchr(opt, ':');
    if (!sep)
        return invalid(1, opt, reterr);
    key = xstrndup(opt, (size_t)(sep - opt));
    if (strchr(key, ':')) {
        sep = strchr(opt, ':');
        key[sep - opt] = '\0';
    }
    return parse_pair(opt, key, sep + 1, so, reterr);
}

int secopt_parse(const json_t *host_config, struct secopt *ret, struct err *reterr)
{
    const json_t *list = json_get(host_config, "SecurityOpt"), *item;
    struct secopt so = {0};
    size_t i;

    json_array_foreach (list, i, item) {
        const char *opt = json_is_string(item) ? json_string_value(item) : "";
        int r = parse_option(opt, &so, reterr);

        if (r < 0)
            return r;
    }
    *ret = so;
    return 0;
}
