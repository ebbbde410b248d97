#include "credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "fd.h"
#include "helper.h"
#include "json.h"
#include "path.h"
#include "str.h"

#define CONFIG_MAX ((size_t)8 << 20)

static void wipe(char **s)
{
    if (*s)
        explicit_bzero(*s, strlen(*s));
    free(*s);
    *s = NULL;
}

void credentials_done(struct credentials *c)
{
    wipe(&c->username);
    wipe(&c->password);
    wipe(&c->identity_token);
}

char *credentials_server(const char *name)
{
    const char *host = name;
    _cleanup_free_ char *copy = NULL;

    if (str_starts(host, "https://"))
        host += strlen("https://");
    else if (str_starts(host, "http://"))
        host += strlen("http://");
    copy = xstrndup(host, strcspn(host, "/"));
    if (!*copy || streq(copy, "docker.io") || streq(copy, "index.docker.io") ||
        streq(copy, "registry-1.docker.io"))
        return xstrdup(CREDENTIALS_HUB);
    return TAKE_PTR(copy);
}

/* ---- the file ---- */

char *credentials_path(const char *name)
{
    const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");

    return str_empty(dir) ? xasprintf("%s/.docker/%s", str_empty(home) ? "/root" : home, name)
                          : path_join(dir, name);
}

static char *config_path(void)
{
    return credentials_path("config.json");
}

static int config_read(json_t **ret, struct err *reterr)
{
    _cleanup_free_ char *path = config_path(), *text = NULL;
    ssize_t n = file_read(AT_FDCWD, path, CONFIG_MAX, &text);

    if (n == -ENOENT || n == 0) {
        *ret = json_object();
        return 0;
    }
    if (n < 0)
        return err_sys(reterr, (int)-n, "%s", path);
    *ret = json_loadb(text, (size_t)n, 0, NULL);
    explicit_bzero(text, (size_t)n);
    if (json_is_object(*ret))
        return 0;
    json_decref(*ret);
    *ret = NULL;
    return err_set(reterr, ERR_INVALID, EBADMSG, "%s is no JSON object", path);
}

static int config_write(const json_t *config, struct err *reterr)
{
    _cleanup_free_ char *path = config_path(), *real = realpath(path, NULL), *text = NULL;
    char *slash = strrchr(path, '/');
    int r;

    *slash = '\0';
    r = path_mkdir_p(path, 0700);
    *slash = '/';
    if (r < 0)
        return err_sys(reterr, -r, "cannot make the directory of %s", path);
    text = json_dumps(config, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    /* A link stays one: what it points to is replaced. */
    r = file_replace(AT_FDCWD, real ? real : path, text, strlen(text), 0600, 1);
    explicit_bzero(text, strlen(text));
    return r < 0 ? err_sys(reterr, -r, "cannot write %s", path) : 0;
}

/* The helper for a server, NULL: the file itself. */
static const char *helper_for(const json_t *config, const char *server)
{
    const char *name = json_get_str(json_object_get(config, "credHelpers"), server, NULL);

    if (!name)
        name = json_get_str(config, "credsStore", NULL);
    return str_empty(name) ? NULL : name;
}

static char *take(const json_t *entry, const char *key)
{
    const char *s = json_get_str(entry, key, NULL);

    return str_empty(s) ? NULL : xstrdup(s);
}

/* {"auth": base64 of user:password} or {"identitytoken", "auth"}. */
static void read_entry(const json_t *entry, struct credentials *ret)
{
    const char *both = json_get_str(entry, "auth", NULL);
    char *text = both ? base64_decode(both, NULL) : NULL, *colon = text ? strchr(text, ':') : NULL;

    ret->identity_token = take(entry, "identitytoken");
    ret->username = take(entry, "username");
    ret->password = take(entry, "password");
    if (colon && !ret->username) {
        *colon = '\0';
        ret->username = xstrdup(text);
        ret->password = colon[1] ? xstrdup(colon + 1) : NULL;
        *colon = ':';
    }
    wipe(&text);
}

/* Older clients stored keys with scheme and path. */
static const json_t *find_entry(const json_t *auths, const char *server, const char **ret_key)
{
    const json_t *found = json_object_get(auths, server);
    const char *key;
    json_t *entry;

    *ret_key = server;
    if (found)
        return found;
    json_object_foreach ((json_t *)auths, key, entry) {
        _cleanup_free_ char *other = credentials_server(key);

        if (streq(other, server)) {
            *ret_key = key;
            return entry;
        }
    }
    return NULL;
}

/* ---- both ---- */

int credentials_get(const char *server, struct credentials *ret, struct err *reterr)
{
    _cleanup_json_ json_t *config = NULL;
    const char *helper, *key;
    int r = config_read(&config, reterr);

    *ret = (struct credentials){0};
    if (r < 0)
        return r;
    helper = helper_for(config, server);
    if (helper)
        return helper_get(helper, server, ret, reterr);
    read_entry(find_entry(json_object_get(config, "auths"), server, &key), ret);
    return 0;
}

static json_t *make_entry(const struct credentials *c)
{
    json_t *entry = json_object();
    char *both = xasprintf("%s:%s", c->username ? c->username : "",
                           c->password && !c->identity_token ? c->password : "");
    char *auth = base64_encode(both, strlen(both));

    json_object_set_new(entry, "auth", json_string(auth));
    if (c->identity_token)
        json_object_set_new(entry, "identitytoken", json_string(c->identity_token));
    wipe(&both);
    wipe(&auth);
    return entry;
}

int credentials_store(const char *server, const struct credentials *c, char **ret_path,
                      struct err *reterr)
{
    _cleanup_json_ json_t *config = NULL;
    json_t *auths;
    const char *helper;
    int r = config_read(&config, reterr);

    *ret_path = NULL;
    if (r < 0)
        return r;
    auths = json_object_get(config, "auths");
    if (!json_is_object(auths)) {
        auths = json_object();
        json_object_set_new(config, "auths", auths);
    }
    helper = helper_for(config, server);
    if (helper)
        r = helper_store(helper, server, c, reterr);
    /* An empty entry says that a helper knows this one, as Docker writes it. */
    json_object_set_new(auths, server, helper ? json_object() : make_entry(c));
    if (r >= 0)
        r = config_write(config, reterr);
    if (r >= 0 && !helper)
        *ret_path = config_path();
    return r;
}

int credentials_erase(const char *server, struct err *reterr)
{
    _cleanup_json_ json_t *config = NULL;
    const char *helper, *key;
    json_t *auths;
    int r = config_read(&config, reterr);

    if (r < 0)
        return r;
    auths = json_object_get(config, "auths");
    if (!find_entry(auths, server, &key))
        return 0;
    helper = helper_for(config, server);
    if (helper)
        r = helper_erase(helper, server, reterr);
    json_object_del(auths, key);
    if (r >= 0)
        r = config_write(config, reterr);
    return r < 0 ? r : 1;
}

/* ---- the request's header ---- */

static void put(json_t *obj, const char *key, const char *value)
{
    if (value)
        json_object_set_new(obj, key, json_string(value));
}

char *credentials_header(const char *repository)
{
    _cleanup_free_ char *server = credentials_server(repository);
    _cleanup_json_ json_t *obj = json_object();
    struct credentials c;
    struct err e;
    char *text, *encoded, *header;

    if (credentials_get(server, &c, &e) < 0)
        fprintf(stderr, "WARNING: no credentials for %s: %s\n", server, e.message);
    put(obj, "username", c.username);
    put(obj, "password", c.password);
    put(obj, "identitytoken", c.identity_token);
    if (json_object_size(obj) > 0)
        put(obj, "serveraddress", server);
    credentials_done(&c);
    text = json_dumps(obj, JSON_COMPACT);
    encoded = base64_encode(text, strlen(text));
    for (char *p = encoded; *p; p++)
        *p = (char)(*p == '+' ? '-' : *p == '/' ? '_' : *p);
    header = xasprintf("X-Registry-Auth: %s", encoded);
    wipe(&text);
    wipe(&encoded);
    return header;
}
