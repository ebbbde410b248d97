#include "router.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "api.h"
#include "mem.h"
#include "str.h"

/* Length of the version in "/v<digits.digits>/", 0 if there is none. */
static size_t version_len(const char *path)
{
    size_t n;

    if (path[0] != '/' || path[1] != 'v' || !isdigit((unsigned char)path[2]))
        return 0;
    n = strspn(path + 2, "0123456789.");
    return path[2 + n] == '/' ? n : 0;
}

static int part(const char **s)
{
    int n = 0;

    for (; isdigit((unsigned char)**s); (*s)++)
        n = n < 100 ? n * 10 + (**s - '0') : n;
    if (**s == '.')
        (*s)++;
    return n < 99 ? n : 99;
}

void router_split_version(const char *path, const char **ret_rest, int *ret_version)
{
    size_t n = version_len(path);
    const char *s = path + 2;
    int major, minor;

    *ret_rest = path;
    *ret_version = API_VERSION_MAX_NUM;
    if (n == 0)
        return;
    major = part(&s);
    minor = part(&s);
    /* "1.51.1" is later than 1.51. */
    if (s < path + 2 + n && minor < 99)
        minor++;
    *ret_rest = path + 2 + n;
    *ret_version = API_VERSION_NUM(major, minor);
}

int router_check_version(const char *path, int version, struct err *reterr)
{
    int n = (int)version_len(path);
    const char *text = path + 2;

    if (version > API_VERSION_MAX_NUM)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "client version %.*s is too new. Maximum supported API version is %s", n,
                       text, API_VERSION);
    if (version < API_VERSION_MIN_NUM)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "client version %.*s is too old. Minimum supported API version is %s, "
                       "please upgrade your client to a newer version",
                       n, text, API_VERSION_MIN);
    return 0;
}

bool router_match(const char *pattern, const char *path, char **ret_param)
{
    const char *open = strchr(pattern, '{'), *suffix;
    size_t prefix_len, suffix_len, path_len = strlen(path);

    if (!open) {
        if (!streq(pattern, path))
            return false;
        *ret_param = NULL;
        return true;
    }
    prefix_len = (size_t)(open - pattern);
    suffix = strchr(open, '}') + 1;
    suffix_len = strcspn(suffix, "{");
    if (suffix[suffix_len]) {
        const char *last = strrchr(path, '/');

        if (!last || !last[1])
            return false;
        path_len = (size_t)(last + 1 - path);
    }
    if (path_len <= prefix_len + suffix_len || strncmp(path, pattern, prefix_len) != 0 ||
        strncmp(path + path_len - suffix_len, suffix, suffix_len) != 0)
        return false;
    *ret_param = xstrndup(path + prefix_len, path_len - prefix_len - suffix_len);
    return true;
}

const struct http_route *router_find(const struct http_route *routes, const char *method,
                                     const char *path, char **ret_param)
{
    for (const struct http_route *r = routes; r->method; r++) {
        if ((streq(r->method, method) || streq(r->method, "*")) &&
            router_match(r->pattern, path, ret_param))
            return r;
    }
    return NULL;
}
