#include "auth.h"

#include <errno.h>
#include <string.h>

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

/* ---- base64 (RFC 4648) ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t len)
{
    const unsigned char *in = data;
    char *out = xmalloc((len + 2) / 3 * 4 + 1), *p = out;

    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned v = (unsigned)in[i] << 16 | (n > 1 ? (unsigned)in[i + 1] << 8 : 0) |
                     (n > 2 ? (unsigned)in[i + 2] : 0);

        *p++ = alphabet[v >> 18];
        *p++ = alphabet[v >> 12 & 63];
        *p++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
        *p++ = n > 2 ? alphabet[v & 63] : '=';
    }
    *p = '\0';
    return out;
}

static int digit_value(char c)
{
    const char *at;

    if (c == '-')
        c = '+';
    else if (c == '_')
        c = '/';
    at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

char *base64_decode(const char *text, size_t *ret_len)
{
    size_t len = strlen(text), n = 0;
    unsigned bits = 0, have = 0;
    char *out;

    while (len > 0 && strchr("=\r\n ", text[len - 1]))
        len--;
    out = xmalloc(len / 4 * 3 + 4);
    for (size_t i = 0; i < len; i++) {
        int v = digit_value(text[i]);

        if (v < 0 || (len % 4) == 1) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (unsigned)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (char)(bits >> have & 0xff);
        }
    }
    out[n] = '\0';
    if (ret_len)
        *ret_len = n;
    return out;
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
