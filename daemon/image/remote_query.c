/* Questions to a registry that change nothing here: login, what a name stands for, search. */
#include "remote_query.h"

#include <errno.h>
#include <stdio.h>

#include "json.h"
#include "manifest.h"
#include "manifest_put.h"
#include "pull_impl.h"
#include "registry.h"
#include "registry_manifest.h"

#define SEARCH_ANSWER_MAX ((size_t)4 << 20)
#define SEARCH_INDEX "index.docker.io"

void registry_query_free(struct registry_query *q)
{
    *q->prev_next = q->next;
    if (q->next)
        q->next->prev_next = q->prev_next;
    remote_unref(q->remote);
    json_decref(q->result);
    json_decref(q->filters);
    manifest_put_free(q->put);
    free(q);
}

void registry_query_finish(struct registry_query *q, json_t *result, const struct err *err)
{
    q->cb.done(q->cb.arg, result, err);
    registry_query_free(q);
}

struct registry_query *registry_query_new(struct images *im, const char *domain, const char *path,
                                          const char *actions, const struct registry_auth *auth,
                                          const struct registry_query_callbacks *cb)
{
    struct registry_query *q = xcalloc(1, sizeof(*q));

    q->im = im;
    q->cb = *cb;
    q->remote = remote_new(im->registry, domain, path, actions, auth);
    q->next = im->queries;
    q->prev_next = &im->queries;
    if (q->next)
        q->next->prev_next = &q->next;
    im->queries = q;
    return q;
}

static struct registry_query *
ask(struct registry_query *q, const struct remote_options *o,
    void (*done)(void *arg, struct remote_call *c, const struct err *err), struct err *reterr)
{
    struct remote_callbacks cb = {.arg = q, .done = done};

    if (remote_start(q->remote, o, &cb, &q->call, reterr) >= 0)
        return q;
    registry_query_free(q);
    return NULL;
}

void registry_query_cancel(struct registry_query *q)
{
    if (q->call)
        remote_cancel(q->call);
    registry_query_free(q);
}

void registry_queries_cancel(struct images *im)
{
    while (im->queries)
        registry_query_cancel(im->queries);
}

/* ---- login ---- */

/* "https://index.docker.io/v1/", "host:5000", "" to a domain as references have it. */
static char *login_domain(const char *server)
{
    const char *start = server ? server : "";
    _cleanup_free_ char *host = NULL;

    if (str_starts(start, "https://"))
        start += strlen("https://");
    else if (str_starts(start, "http://"))
        start += strlen("http://");
    host = xstrndup(start, strcspn(start, "/"));
    if (!*host || streq(host, SEARCH_INDEX) || streq(host, HOSTS_DEFAULT_REGISTRY))
        return xstrdup(HOSTS_DEFAULT);
    return TAKE_PTR(host);
}

static void on_login(void *arg, struct remote_call *c, const struct err *err)
{
    struct registry_query *q = arg;
    const char *identity = remote_identity(q->remote);
    struct err e;

    (void)c;
    q->call = NULL;
    if (!err) {
        registry_query_finish(q,
                              json_pack("{s:s,s:s}", "Status", "Login Succeeded", "IdentityToken",
                                        identity ? identity : ""),
                              NULL);
        return;
    }
    e = *err;
    if (e.kind == ERR_UNAUTHORIZED || e.kind == ERR_FORBIDDEN) {
        err_wrap(&e, "login attempt to %s failed", remote_domain(q->remote));
        e.kind = ERR_UNAUTHORIZED;
    }
    registry_query_finish(q, NULL, &e);
}

struct registry_query *images_login(struct images *im, const struct registry_auth *auth,
                                    const struct registry_query_callbacks *cb, struct err *reterr)
{
    _cleanup_free_ char *domain = login_domain(auth->server);
    _cleanup_free_ char *probe = xasprintf("%s/probe", domain);
    _cleanup_reference_ struct reference ref = {0};
    struct remote_options o = {
        .method = "GET", .url = "/v2/", .limit = REGISTRY_ERROR_MAX, .body_size = -1};
    struct registry_query *q;

    if (reference_parse(probe, &ref, NULL) < 0 || !streq(ref.domain, domain)) {
        err_set(reterr, ERR_INVALID, EINVAL, "invalid registry address \"%.200s\"", auth->server);
        return NULL;
    }
    q = registry_query_new(im, domain, NULL, "pull", auth, cb);
    remote_no_mirrors(q->remote);
    remote_want_identity(q->remote);
    return ask(q, &o, on_login, reterr);
}

/* ---- distribution inspect ---- */

static json_t *platforms_of(const struct registry_manifest *m)
{
    json_t *out = json_array(), *item;
    size_t i;

    json_array_foreach (json_get(m->index, "manifests"), i, item) {
        json_t *p = json_get(item, "platform");

        if (json_is_object(p))
            json_array_append(out, p);
    }
    return out;
}

static void on_platform_config(void *arg, struct remote_call *c, const struct err *err)
{
    struct registry_query *q = arg;
    size_t len;
    const char *body = remote_body(c, &len);
    _cleanup_json_ json_t *config = err ? NULL : json_loadb(body, len, JSON_ALLOW_NUL, NULL);
    static const char *const more[] = {"os.version", "os.features", "variant"};
    json_t *p = json_object();

    q->call = NULL;
    json_object_set_new(p, "architecture", json_string(json_get_str(config, "architecture", "")));
    json_object_set_new(p, "os", json_string(json_get_str(config, "os", "linux")));
    for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
        json_t *v = json_get(config, more[i]);

        if (i == 1 ? json_array_size(v) > 0 : !str_empty(json_string_value(v)))
            json_object_set(p, more[i], v);
    }
    if (!err)
        json_array_append(json_object_get(q->result, "Platforms"), p);
    json_decref(p);
    registry_query_finish(q, err ? NULL : TAKE_PTR(q->result), err);
}

static int ask_config(struct registry_query *q, const struct descriptor *d, struct err *reterr)
{
    struct remote_callbacks cb = {.arg = q, .done = on_platform_config};
    char path[ID_LEN + 32];
    struct remote_options o = {
        .method = "GET", .path = path, .limit = (size_t)d->size, .body_size = -1};

    snprintf(path, sizeof(path), "blobs/" DIGEST_SHA256 "%s", d->digest);
    return remote_start(q->remote, &o, &cb, &q->call, reterr);
}

static int take_manifest(struct registry_query *q, const struct remote_call *c, struct err *reterr)
{
    struct registry_manifest m;
    size_t len;
    const char *body = remote_body(c, &len);
    char digest[ID_LEN + 1];
    int r = registry_manifest_parse_any(body, len, remote_header(c, "Content-Type"), &m, reterr);

    if (r < 0)
        return r;
    digest_sha256(body, len, digest);
    q->result = json_pack("{s:{s:s,s:s++,s:I},s:o}", "Descriptor", "mediaType", m.media_type,
                          "digest", DIGEST_SHA256, digest, "", "size", (json_int_t)len, "Platforms",
                          platforms_of(&m));
    if (q->manifest)
        json_object_set_new(q->result, "Manifest", json_stringn(body, len));
    if (!m.index)
        r = ask_config(q, &m.config, reterr);
    else
        r = 1;
    registry_manifest_done(&m);
    return r;
}

static void on_manifest(void *arg, struct remote_call *c, const struct err *err)
{
    struct registry_query *q = arg;
    struct err e;
    int r;

    q->call = NULL;
    if (err) {
        e = *err;
        /* Docker tells no more than that: who may not see it shall not learn that it exists. */
        if (e.kind == ERR_NOT_FOUND || e.kind == ERR_FORBIDDEN)
            e.kind = ERR_UNAUTHORIZED;
        registry_query_finish(q, NULL, &e);
        return;
    }
    r = take_manifest(q, c, &e);
    if (r != 0)
        registry_query_finish(q, r > 0 ? TAKE_PTR(q->result) : NULL, r > 0 ? NULL : &e);
}

struct registry_query *images_distribution(struct images *im, const char *name, bool manifest,
                                           const struct registry_auth *auth,
                                           const struct registry_query_callbacks *cb,
                                           struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_free_ char *path = NULL;
    struct registry_query *q;
    struct remote_options o = {.method = "GET",
                               .headers = (char **)pull_accept_headers,
                               .limit = MANIFEST_SIZE_MAX,
                               .body_size = -1};

    if (reference_parse(name, &ref, reterr) < 0)
        return NULL;
    reference_tag_default(&ref);
    path = xasprintf("manifests/%s", ref.digest ? ref.digest : ref.tag);
    o.path = path;
    q = registry_query_new(im, ref.domain, ref.path, "pull", auth, cb);
    q->manifest = manifest;
    return ask(q, &o, on_manifest, reterr);
}

/* ---- search (the version 1 protocol: nothing has replaced it) ---- */

static bool flag_matches(const json_t *filters, const char *key, bool value)
{
    const json_t *want = json_array_get(json_get(filters, key), 0);

    if (!want)
        return true;
    return (streq(json_string_value(want), "true") || streq(json_string_value(want), "1")) == value;
}

static bool stars_match(const json_t *filters, int64_t stars)
{
    const json_t *want = json_array_get(json_get(filters, "stars"), 0);
    int64_t n;

    return !want || str_parse_i64(json_string_value(want), 0, INT32_MAX, &n) < 0 || stars >= n;
}

static json_t *take_results(const struct registry_query *q, const json_t *doc)
{
    json_t *out = json_array(), *item;
    size_t i;

    json_array_foreach (json_get(doc, "results"), i, item) {
        bool official = json_get_bool(item, "is_official", false);
        bool automated = json_get_bool(item, "is_automated", false);
        int64_t stars = json_get_int(item, "star_count", 0);

        if (json_array_size(out) >= (size_t)q->limit || !json_is_object(item))
            break;
        if (!flag_matches(q->filters, "is-official", official) ||
            !flag_matches(q->filters, "is-automated", automated) || !stars_match(q->filters, stars))
            continue;
        json_array_append_new(
            out, json_pack("{s:I,s:b,s:s,s:b,s:s}", "star_count", (json_int_t)stars, "is_official",
                           official, "name", json_get_str(item, "name", ""), "is_automated",
                           automated, "description", json_get_str(item, "description", "")));
    }
    return out;
}

static void on_results(void *arg, struct remote_call *c, const struct err *err)
{
    struct registry_query *q = arg;
    size_t len;
    const char *body = remote_body(c, &len);
    _cleanup_json_ json_t *doc = err ? NULL : json_loadb(body, len, 0, NULL);
    struct err e;

    q->call = NULL;
    if (!err && !json_is_array(json_get(doc, "results"))) {
        err_set(&e, ERR_UNAVAILABLE, EBADMSG, "the registry's answer to a search is malformed");
        err = &e;
    }
    registry_query_finish(q, err ? NULL : take_results(q, doc), err);
}

struct registry_query *images_search(struct images *im, const struct image_search *opt,
                                     const struct registry_query_callbacks *cb, struct err *reterr)
{
    const char *slash = strchr(opt->term, '/'), *word = opt->term;
    _cleanup_free_ char *host = NULL, *escaped = NULL, *url = NULL;
    struct remote_options o = {.method = "GET", .limit = SEARCH_ANSWER_MAX, .body_size = -1};
    struct registry_query *q;

    if (str_empty(opt->term) || str_starts(opt->term, "http")) {
        err_set(reterr, ERR_INVALID, EINVAL,
                "invalid repository name: term cannot be empty or begin with a scheme");
        return NULL;
    }
    host = slash ? xstrndup(opt->term, (size_t)(slash - opt->term)) : NULL;
    if (host && (strpbrk(host, ".:") || streq(host, "localhost")) && strspn(host, "[") == 0)
        word = slash + 1;
    else
        free(TAKE_PTR(host));
    escaped = web_url_escape(word);
    url = xasprintf("/v1/search?q=%s&n=%lld", escaped, (long long)opt->limit);
    o.url = url;
    q = registry_query_new(im, host && !streq(host, HOSTS_DEFAULT) ? host : SEARCH_INDEX, NULL,
                           "pull", opt->auth, cb);
    q->limit = opt->limit;
    q->filters = json_incref((json_t *)opt->filters);
    return ask(q, &o, on_results, reterr);
}
