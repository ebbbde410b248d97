#include "auth.h"

#include <errno.h>
#include <string.h>

#include "base64.h"
#include "json.h"
#include "str.h"

static void wipe(char **s)
{
    if (*s)
        explicit_bzero(*s, strlen(*s));
    free(*s);
    *s = NULL;
}

void registry_auth_done(struct registry_auth *a)
{
    wipe(&a->username);
    wipe(&a->password);
    wipe(&a->identity_token);
    wipe(&a->registry_token);
    wipe(&a->server);
}

void registry_auth_copy(const struct registry_auth *from, struct registry_auth *ret)
{
    ret->username = xstrdup_null(from->username);
    ret->password = xstrdup_null(from->password);
    ret->identity_token = xstrdup_null(from->identity_token);
    ret->registry_token = xstrdup_null(from->registry_token);
    ret->server = xstrdup_null(from->server);
}

bool registry_auth_empty(const struct registry_auth *a)
{
    return !a->username && !a->identity_token && !a->registry_token;
}

/* ---- JSON ---- */

static char *take_text(const json_t *obj, const char *key)
{
    const char *s = json_get_str(obj, key, NULL);

    return str_empty(s) ? NULL : xstrdup(s);
}

void registry_auth_from_json(const json_t *obj, struct registry_auth *ret)
{
    const char *both = json_get_str(obj, "auth", NULL);
    char *colon;

    *ret = (struct registry_auth){.username = take_text(obj, "username"),
                                  .password = take_text(obj, "password"),
                                  .identity_token = take_text(obj, "identitytoken"),
                                  .registry_token = take_text(obj, "registrytoken"),
                                  .server = take_text(obj, "serveraddress")};
    if (!ret->username && !str_empty(both)) {
        char *text = base64_decode(both, NULL);

        colon = text ? strchr(text, ':') : NULL;
        if (colon) {
            *colon = '\0';
            ret->username = *text ? xstrdup(text) : NULL;
            ret->password = colon[1] ? xstrdup(colon + 1) : NULL;
            *colon = ':';
        }
        wipe(&text);
    }
}

int registry_auth_decode(const char *header, struct registry_auth *ret, struct err *reterr)
{
    _cleanup_json_ json_t *obj = NULL;
    char *text;
    size_t n;

    *ret = (struct registry_auth){0};
    if (str_empty(header))
        return 0;
    text = strlen(header) <= AUTH_HEADER_MAX ? base64_decode(header, &n) : NULL;
    if (text)
        obj = json_loadb(text, n, 0, NULL);
    wipe(&text);
    if (!json_is_object(obj))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid X-Registry-Auth header");
    registry_auth_from_json(obj, ret);
    return 0;
}
