#include "registry.h"

#include <string.h>

#include "remote_impl.h"

static void tls_of(void *arg, const char *host, struct web_tls *ret)
{
    const struct registry *reg = arg;

    hosts_tls(reg->hosts, host, ret);
}

struct registry *registry_new(uv_loop_t *loop, struct hosts *hosts)
{
    struct registry *reg = xcalloc(1, sizeof(*reg));

    reg->loop = loop;
    reg->hosts = hosts;
    reg->web = web_new(loop, &(struct web_hooks){.arg = reg, .tls = tls_of});
    return reg;
}

struct web *registry_web(struct registry *reg)
{
    return reg->web;
}

const struct hosts *registry_hosts(const struct registry *reg)
{
    return reg->hosts;
}

static void registry_free(struct registry *reg)
{
    for (size_t i = 0; i < TOKENS_MAX; i++) {
        free(reg->tokens[i].key);
        grant_done(&reg->tokens[i].grant);
    }
    hosts_free(reg->hosts);
    free(reg);
}

void registry_close(struct registry *reg)
{
    reg->closing = true;
    for (struct remote *r = reg->remotes; r; r = r->next) {
        for (size_t i = 0; i < r->n_endpoints; i++)
            token_cancel(&r->endpoints[i]);
    }
    web_close(reg->web);
    if (!reg->remotes)
        registry_free(reg);
}

/* ---- remotes ---- */

struct remote *remote_new(struct registry *reg, const char *domain, const char *path,
                          const char *actions, const struct registry_auth *auth)
{
    struct remote *r = xcalloc(1, sizeof(*r));
    struct host_endpoint list[HOSTS_ENDPOINTS_MAX];

    r->refs = 1;
    r->reg = reg;
    r->domain = xstrdup(domain);
    r->path = xstrdup_null(path);
    r->actions = xstrdup(actions);
    if (auth)
        registry_auth_copy(auth, &r->auth);
    r->n_endpoints = hosts_endpoints(reg->hosts, domain, list);
    for (size_t i = 0; i < r->n_endpoints; i++)
        r->endpoints[i].e = list[i];
    if (!streq(actions, "pull"))
        remote_no_mirrors(r);
    r->next = reg->remotes;
    r->prev_next = &reg->remotes;
    if (r->next)
        r->next->prev_next = &r->next;
    reg->remotes = r;
    return r;
}

void remote_no_mirrors(struct remote *r)
{
    while (r->endpoints[r->at].e.mirror)
        r->at++;
}

void remote_add_scope(struct remote *r, const char *scope)
{
    r->scopes = strv_append(r->scopes, scope);
}

struct remote *remote_ref(struct remote *r)
{
    r->refs++;
    return r;
}

void remote_unref(struct remote *r)
{
    struct registry *reg = r->reg;

    if (--r->refs > 0)
        return;
    for (size_t i = 0; i < r->n_endpoints; i++) {
        if (!reg->closing)
            token_cancel(&r->endpoints[i]);
        grant_done(&r->endpoints[i].grant);
        host_endpoint_done(&r->endpoints[i].e);
    }
    *r->prev_next = r->next;
    if (r->next)
        r->next->prev_next = r->prev_next;
    free(r->domain);
    free(r->path);
    free(r->actions);
    strv_free(r->scopes);
    registry_auth_done(&r->auth);
    if (r->identity_token)
        explicit_bzero(r->identity_token, strlen(r->identity_token));
    free(r->identity_token);
    free(r);
    if (reg->closing && !reg->remotes)
        registry_free(reg);
}

const char *remote_domain(const struct remote *r)
{
    return r->domain;
}

const char *remote_path(const struct remote *r)
{
    return r->path;
}

void remote_want_identity(struct remote *r)
{
    r->offline = true;
}

const char *remote_identity(const struct remote *r)
{
    return r->identity_token;
}
