/* Who we are: Basic, or a token from the server that the registry names. */
#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base64.h"
#include "json.h"
#include "log.h"
#include "remote_impl.h"

#define CLIENT_ID "containerd-lite"

static void wipe_free(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

void grant_done(struct grant *g)
{
    wipe_free(g->value);
    *g = (struct grant){0};
}

/* ---- the cache ---- */

static char *repository_scope(const struct remote *r)
{
    return r->path ? xasprintf("repository:%s:%s", r->path, r->actions) : NULL;
}

/* Everything a token depends on; the credentials only as a hash. */
static char *cache_key(const struct remote *r, const struct remote_endpoint *e)
{
    const char *secrets[] = {r->auth.username, r->auth.password, r->auth.identity_token,
                             r->auth.registry_token};
    _cleanup_free_ char *scope = repository_scope(r);
    uint8_t digest[SHA256_DIGEST_SIZE];
    char hex[2 * SHA256_DIGEST_SIZE + 1];
    struct sha256_ctx ctx;
    struct buf b = {0};

    sha256_init(&ctx);
    for (size_t i = 0; i < ARRAY_SIZE(secrets) && !e->e.mirror; i++) {
        const char *s = secrets[i] ? secrets[i] : "";

        sha256_update(&ctx, strlen(s) + 1, (const uint8_t *)s);
    }
    sha256_digest(&ctx, sizeof(digest), digest);
    hex_encode(digest, sizeof(digest), hex);
    buf_printf(&b, "%s %s %s", e->e.base, hex, scope ? scope : "");
    for (char **s = r->scopes; s && *s; s++)
        buf_printf(&b, " %s", *s);
    return buf_take_str(&b);
}

static bool is_valid(const struct grant *g)
{
    return g->value && time_monotonic_ns() < g->expires;
}

static void cache_put(struct registry *reg, const char *key, const struct grant *g)
{
    size_t at = TOKENS_MAX - 1;

    for (size_t i = 0; i < TOKENS_MAX; i++) {
        if (!reg->tokens[i].key || streq(reg->tokens[i].key, key)) {
            at = i;
            break;
        }
    }
    free(reg->tokens[at].key);
    grant_done(&reg->tokens[at].grant);
    memmove(reg->tokens + 1, reg->tokens, at * sizeof(reg->tokens[0]));
    reg->tokens[0].key = xstrdup(key);
    reg->tokens[0].grant = (struct grant){xstrdup(g->value), g->expires};
}

const char *token_find(struct remote *r, size_t endpoint)
{
    struct remote_endpoint *e = &r->endpoints[endpoint];
    _cleanup_free_ char *key = NULL;

    if (is_valid(&e->grant))
        return e->grant.value;
    grant_done(&e->grant);
    key = cache_key(r, e);
    /* A refresh token comes only with a new one. */
    for (size_t i = 0; !r->offline && i < TOKENS_MAX && r->reg->tokens[i].key; i++) {
        const struct grant *g = &r->reg->tokens[i].grant;

        if (streq(r->reg->tokens[i].key, key) && is_valid(g)) {
            e->grant = (struct grant){xstrdup(g->value), g->expires};
            e->generation++;
            break;
        }
    }
    return e->grant.value;
}

void token_forget(struct remote *r, size_t endpoint)
{
    struct remote_endpoint *e = &r->endpoints[endpoint];
    _cleanup_free_ char *key = cache_key(r, e);

    grant_done(&e->grant);
    for (size_t i = 0; i < TOKENS_MAX && r->reg->tokens[i].key; i++) {
        if (streq(r->reg->tokens[i].key, key))
            r->reg->tokens[i].grant.expires = 0;
    }
}

static void set_grant(struct remote *r, size_t endpoint, char *value, int64_t life_s)
{
    struct remote_endpoint *e = &r->endpoints[endpoint];
    _cleanup_free_ char *key = cache_key(r, e);

    grant_done(&e->grant);
    e->grant.value = value;
    e->grant.expires = time_monotonic_ns() + life_s * 1000000000;
    e->generation++;
    cache_put(r->reg, key, &e->grant);
}

/* ---- the token server's answer ---- */

static const char *token_of(const json_t *doc)
{
    const char *token = json_get_str(doc, "token", NULL);

    return str_empty(token) ? json_get_str(doc, "access_token", NULL) : token;
}

/* A header's value must not end the header. */
static bool is_header_safe(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s <= ' ' || *s == 0x7f)
            return false;
    }
    return true;
}

static int read_token(struct remote *r, size_t endpoint, const struct web_request *rq,
                      struct err *reterr)
{
    size_t len;
    const char *body = web_body(rq, &len), *token, *refresh;
    _cleanup_json_ json_t *doc = NULL;
    char code[64];
    int64_t life;

    if (web_status(rq) != 200) {
        answer_error(web_status(rq), body, len, rq, code, reterr);
        return -EACCES;
    }
    doc = json_loadb(body, len, 0, NULL);
    token = token_of(doc);
    if (str_empty(token) || !is_header_safe(token))
        return err_set(reterr, ERR_UNAUTHORIZED, EACCES,
                       "authorization server did not include a token in the response");
    life = json_get_int(doc, "expires_in", 0);
    life = (life < TOKEN_LIFE_MIN_S ? TOKEN_LIFE_MIN_S
            : life > 86400          ? 86400
                                    : life) -
           TOKEN_MARGIN_S;
    refresh = json_get_str(doc, "refresh_token", NULL);
    if (r->offline && !str_empty(refresh)) {
        wipe_free(r->identity_token);
        r->identity_token = xstrdup(refresh);
    }
    set_grant(r, endpoint, xasprintf("Bearer %s", token), life);
    return 0;
}

struct login {
    struct remote *remote; /* borrowed: its end cancels this */
    size_t endpoint;
};

static void on_token(void *arg, struct web_request *rq, const struct err *err)
{
    struct login *l = arg;
    struct remote *r = remote_ref(l->remote);
    size_t endpoint = l->endpoint;
    struct err e = {0};

    r->endpoints[endpoint].login = NULL;
    r->endpoints[endpoint].login_arg = NULL;
    free(l);
    if (!err && read_token(r, endpoint, rq, &e) < 0)
        err = &e;
    remote_authorized(r, endpoint, err);
    remote_unref(r);
}

void token_cancel(struct remote_endpoint *e)
{
    if (e->login)
        web_cancel(TAKE_PTR(e->login));
    free(TAKE_PTR(e->login_arg));
}

/* ---- asking ---- */

static void add_pair(struct buf *b, const char *name, const char *value)
{
    _cleanup_free_ char *escaped = NULL;

    if (str_empty(value))
        return;
    escaped = web_url_escape(value);
    buf_printf(b, "%s%s=%s", buf_size(b) ? "&" : "", name, escaped);
    explicit_bzero(escaped, strlen(escaped));
}

static void add_scopes(const struct remote *r, const struct challenge *c, const char *separator,
                       struct buf *b)
{
    _cleanup_free_ char *own = repository_scope(r), *joined = NULL;
    struct buf all = {0};

    if (!own && c->scope)
        own = xstrdup(c->scope);
    if (separator) {
        buf_append_str(&all, own ? own : "");
        for (char **s = r->scopes; s && *s; s++)
            buf_printf(&all, "%s%s", separator, *s);
        joined = buf_take_str(&all);
        add_pair(b, "scope", joined);
        return;
    }
    add_pair(b, "scope", own);
    for (char **s = r->scopes; s && *s; s++)
        add_pair(b, "scope", *s);
}

static char *basic(const struct registry_auth *a)
{
    char *both = xasprintf("%s:%s", a->username, a->password ? a->password : "");
    char *encoded = base64_encode(both, strlen(both));
    char *value = xasprintf("Basic %s", encoded);

    wipe_free(both);
    wipe_free(encoded);
    return value;
}

/* OAuth2 with the identity token: POST; else GET, with Basic if there is a user. */
static int ask(struct remote *r, size_t endpoint, const struct challenge *c,
               const struct registry_auth *auth, struct err *reterr)
{
    struct remote_endpoint *e = &r->endpoints[endpoint];
    bool post = auth && auth->identity_token;
    struct web_options o = {.method = post ? "POST" : "GET",
                            .limit = TOKEN_ANSWER_MAX,
                            .body_size = -1,
                            .no_follow = post};
    struct login *l = xcalloc(1, sizeof(*l));
    struct web_callbacks cb = {.arg = l, .done = on_token};
    char *headers[3] = {xstrdup("Accept: application/json"), NULL, NULL};
    struct buf b = {0};
    char *text, *url;
    int ret;

    add_pair(&b, "service", c->service);
    add_scopes(r, c, post ? " " : NULL, &b);
    if (post) {
        add_pair(&b, "grant_type", "refresh_token");
        add_pair(&b, "refresh_token", auth->identity_token);
    } else if (auth && auth->username) {
        add_pair(&b, "account", auth->username);
        if (r->offline)
            add_pair(&b, "offline_token", "true");
    }
    if (post || r->offline)
        add_pair(&b, "client_id", CLIENT_ID);
    text = buf_take_str(&b);
    if (post) {
        headers[1] = xstrdup("Content-Type: application/x-www-form-urlencoded");
        o.body = text;
        o.body_size = (int64_t)strlen(text);
    } else if (auth && auth->username) {
        char *value = basic(auth);

        headers[1] = xasprintf("Authorization: %s", value);
        wipe_free(value);
    }
    url = xasprintf("%s%s%s", c->realm,
                    post || !*text          ? ""
                    : strchr(c->realm, '?') ? "&"
                                            : "?",
                    post ? "" : text);
    o.url = url;
    o.headers = headers;
    l->remote = r;
    l->endpoint = endpoint;
    e->login_arg = l;
    ret = web_start(r->reg->web, &o, &cb, &e->login, reterr);
    if (ret < 0) {
        e->login_arg = NULL;
        free(l);
    }
    wipe_free(text);
    wipe_free(headers[1]);
    free(headers[0]);
    free(url);
    return ret;
}

/* The registry chooses the token server; a secret goes to none in the clear whose registry itself
 * is reached over TLS. */
static int check_realm(const struct remote *r, const struct remote_endpoint *e, const char *realm,
                       struct err *reterr)
{
    _cleanup_free_ char *host = NULL;
    const char *start;

    if (str_starts(realm, "https://"))
        return 0;
    if (!str_starts(realm, "http://"))
        return err_set(reterr, ERR_UNAUTHORIZED, EACCES, "the registry names no token server");
    start = realm + strlen("http://");
    host = xstrndup(start, strcspn(start, "/?#"));
    if (str_starts(e->e.base, "https://") && !hosts_is_insecure(r->reg->hosts, host))
        return err_set(reterr, ERR_UNAUTHORIZED, EACCES,
                       "refusing to send credentials to a token server without TLS: %s", host);
    return 0;
}

static int bearer(struct remote *r, size_t endpoint, const struct challenge *c,
                  const struct registry_auth *auth, struct err *reterr)
{
    int ret;

    if (auth && auth->registry_token) {
        if (!is_header_safe(auth->registry_token))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid registry token");
        set_grant(r, endpoint, xasprintf("Bearer %s", auth->registry_token), TOKEN_LIFE_MIN_S);
        return 1;
    }
    ret = check_realm(r, &r->endpoints[endpoint], c->realm ? c->realm : "", reterr);
    return ret < 0 ? ret : ask(r, endpoint, c, auth, reterr);
}

static int with_challenge(struct remote *r, size_t endpoint, const struct challenge *c,
                          struct err *reterr)
{
    const struct remote_endpoint *e = &r->endpoints[endpoint];
    const struct registry_auth *auth = e->e.mirror ? NULL : &r->auth;

    if (streq(c->scheme, "bearer"))
        return bearer(r, endpoint, c, auth, reterr);
    if (!auth || !auth->username)
        return err_set(reterr, ERR_UNAUTHORIZED, EACCES, "no basic auth credentials");
    set_grant(r, endpoint, basic(auth), 86400);
    return 1;
}

/* Bearer wherever it stands: it keeps the password from the registry. */
static int rank(const struct challenge *c)
{
    if (!c->scheme)
        return 0;
    return streq(c->scheme, "bearer") ? 2 : streq(c->scheme, "basic");
}

/* Of all in a header; what is not the best is freed. */
static void choose(const char *header, struct challenge *best)
{
    struct challenge list[CHALLENGES_MAX];
    size_t n = challenge_parse(header, list);

    for (size_t i = 0; i < n; i++) {
        if (rank(&list[i]) > rank(best)) {
            struct challenge worse = *best;

            *best = list[i];
            list[i] = worse;
        }
        challenge_done(&list[i]);
    }
}

int token_fetch(struct remote *r, size_t endpoint, const struct web_request *refused,
                struct err *reterr)
{
    struct challenge best = {0};
    const char *header;
    int ret;

    for (size_t i = 0; i < CHALLENGES_MAX; i++) {
        header = web_header_nth(refused, "WWW-Authenticate", i);
        if (!header)
            break;
        choose(header, &best);
    }
    ret = rank(&best) > 0
              ? with_challenge(r, endpoint, &best, reterr)
              : err_set(reterr, ERR_UNAUTHORIZED, EACCES,
                        "unauthorized: the registry asks for no way of authentication that is "
                        "known here");
    challenge_done(&best);
    return ret;
}
