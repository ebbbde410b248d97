/* From a name to a manifest to a config. */
#include <errno.h>
#include <stdio.h>

#include "json.h"
#include "manifest.h"
#include "pull_impl.h"

char *const pull_accept_headers[] = {
    "Accept: " MEDIA_DOCKER_MANIFEST ", " MEDIA_DOCKER_LIST ", " MEDIA_OCI_MANIFEST
    ", " MEDIA_OCI_INDEX,
    NULL,
};

/* ---- telling ---- */

void pull_say(struct pull_one *p, const char *id, const char *status)
{
    _cleanup_json_ json_t *o = json_pack("{s:s}", "status", status);

    if (id)
        json_object_set_new(o, "id", json_string(id));
    p->cb.progress(p->cb.arg, o);
}

void pull_say_layer(struct pull_layer *l, const char *status, int64_t current, int64_t total)
{
    _cleanup_json_ json_t *o = json_pack("{s:s,s:{},s:s%}", "status", status, "progressDetail",
                                         "id", l->d.digest, (size_t)12);
    json_t *detail = json_object_get(o, "progressDetail");

    if (total > 0) {
        json_object_set_new(detail, "current", json_integer(current));
        json_object_set_new(detail, "total", json_integer(total));
    }
    l->pull->cb.progress(l->pull->cb.arg, o);
}

/* ---- the end ---- */

void pull_one_free(struct pull_one *p)
{
    pull_layers_done(p);
    registry_manifest_done(&p->manifest);
    reference_done(&p->ref);
    remote_unref(p->remote);
    free(p->body);
    free(p);
}

/* Docker's words for what registries say (API: both are 404). */
static void translate(struct pull_one *p, const struct remote_call *c, const struct err *err,
                      struct err *ret)
{
    _cleanup_free_ char *name = reference_familiar_name(&p->ref);
    _cleanup_free_ char *full = reference_familiar(&p->ref);
    const char *code = remote_code(c);

    *ret = *err;
    if (streq(code, "DENIED") && err->kind != ERR_UNAVAILABLE) {
        err_wrap(ret,
                 "pull access denied for %s, repository does not exist or may require 'docker "
                 "login'",
                 name);
        ret->kind = ERR_NOT_FOUND;
    } else if (streq(code, "NAME_UNKNOWN")) {
        err_wrap(ret,
                 "pull access denied for %s, repository does not exist or may require 'docker "
                 "login'",
                 name);
    } else if (err->kind == ERR_NOT_FOUND) {
        if (!*code)
            err_set(ret, ERR_NOT_FOUND, ENOENT, "manifest unknown: manifest unknown");
        err_wrap(ret, "manifest for %s not found", full);
    } else if (err->kind == ERR_UNAUTHORIZED) {
        /* On 401 Docker's client would ask for a password, even where there is nobody to ask. */
        ret->kind = ERR_SYSTEM;
    }
}

void pull_one_fail(struct pull_one *p, const struct err *err)
{
    if (!p->job) {
        p->cb.done(p->cb.arg, p->digest, false, err);
        pull_one_free(p);
        return;
    }
    if (p->failed)
        return;
    p->failed = true;
    p->err = *err;
    pull_layers_stop(p);
}

static void call_failed(struct pull_one *p, const struct remote_call *c, const struct err *err)
{
    struct err e;

    translate(p, c, err, &e);
    pull_one_fail(p, &e);
}

/* ---- the job that records ---- */

static void job_done(void *arg, const struct err *err)
{
    struct pull_one *p = arg;

    p->cb.done(p->cb.arg, p->digest, p->newer, err);
    pull_one_free(p);
}

static void job_cancelled(struct image_job *job)
{
    struct pull_one *p = job->data;

    pull_layers_stop(p);
}

static void job_freed(struct image_job *job)
{
    if (job->cancelled)
        pull_one_free(job->data);
}

static int make_job(struct pull_one *p, struct err *reterr)
{
    struct image_job_callbacks cb = {.arg = p, .done = job_done};
    int r = image_job_new(p->im, &cb, &p->job, reterr);

    if (r < 0)
        return r;
    p->job->data = p;
    p->job->on_cancel = job_cancelled;
    p->job->on_free = job_freed;
    p->job->event = "pull";
    return 0;
}

/* ---- config ---- */

static int check_platform(struct pull_one *p, const json_t *config, struct err *reterr)
{
    _cleanup_free_ char *full = reference_familiar(&p->ref);

    return platform_check(p->platform_given ? &p->platform : NULL, config, full, reterr);
}

static int plan_names(struct pull_one *p, struct load_image *img, struct err *reterr)
{
    _cleanup_free_ char *canonical = reference_canonical(&p->ref);
    char old[ID_LEN + 1] = "";
    int r;

    img->repository = reference_repository(&p->ref);
    memcpy(img->digest, p->digest, sizeof(img->digest));
    load_image_add_manifest(img, p->body_digest, p->manifest.media_type, p->body, p->body_len);
    r = p->ref.tag ? db_tag_get(p->im->db, canonical, old, reterr)
                   : db_repo_digest_get(p->im->db, img->repository, p->digest, old, reterr);
    if (r < 0)
        return r;
    p->newer = r == 0 || !streq(old, img->id);
    if (p->ref.tag)
        img->tags = strv_append(img->tags, canonical);
    return 0;
}

/* text is taken over. */
static int take_config(struct pull_one *p, char *text, size_t len, struct err *reterr)
{
    struct load_image *img = load_plan_add(&p->job->plan);
    _cleanup_json_ json_t *doc = NULL;
    int r = load_image_set_config(img, text, len, p->manifest.n_layers, reterr);

    if (r < 0)
        return r;
    if (!streq(img->id, p->manifest.config.digest))
        return err_set(reterr, ERR_SYSTEM, EBADMSG,
                       "image config verification failed for digest "
                       "sha256:%s",
                       p->manifest.config.digest);
    doc = json_loadb(text, len, JSON_ALLOW_NUL, NULL);
    r = check_platform(p, doc, reterr);
    return r < 0 ? r : plan_names(p, img, reterr);
}

static void with_config(struct pull_one *p, const char *text, size_t len)
{
    char *copy = xmalloc(len + 1);
    struct err e;

    memcpy(copy, text, len);
    copy[len] = '\0';
    if (take_config(p, copy, len, &e) < 0)
        pull_one_fail(p, &e);
    else
        pull_layers_begin(p);
}

static void on_config(void *arg, struct remote_call *c, const struct err *err)
{
    struct pull_one *p = arg;
    size_t len;
    const char *body = remote_body(c, &len);

    p->call = NULL;
    if (err)
        call_failed(p, c, err);
    else
        with_config(p, body, len);
}

/* Config documents are small and come before the layers, whose chain ids they tell. */
static int get_config(struct pull_one *p, struct err *reterr)
{
    struct remote_callbacks cb = {.arg = p, .done = on_config};
    _cleanup_image_row_ struct image_row row = {0};
    char path[ID_LEN + 32];
    struct remote_options o = {
        .method = "GET", .path = path, .limit = (size_t)p->manifest.config.size, .body_size = -1};
    int r = db_image_get(p->im->db, p->manifest.config.digest, &row, reterr);

    if (r < 0)
        return r;
    if (r > 0) {
        with_config(p, row.config, row.config_len);
        return 0;
    }
    snprintf(path, sizeof(path), "blobs/" DIGEST_SHA256 "%s", p->manifest.config.digest);
    return remote_start(p->remote, &o, &cb, &p->call, reterr);
}

/* ---- manifests ---- */

static int check_digest(struct pull_one *p, const struct remote_call *c, const char *body,
                        size_t len, struct err *reterr)
{
    const char *header = remote_header(c, "Docker-Content-Digest");
    char digest[ID_LEN + 1];

    digest_sha256(body, len, digest);
    if ((*p->wanted && !streq(p->wanted, digest)) ||
        (header && reference_digest_valid(header) &&
         !streq(header + strlen(DIGEST_SHA256), digest)))
        return err_set(reterr, ERR_SYSTEM, EBADMSG,
                       "manifest verification failed for digest sha256:%s: the bytes have "
                       "sha256:%s",
                       *p->wanted ? p->wanted : header + strlen(DIGEST_SHA256), digest);
    if (!*p->digest)
        memcpy(p->digest, digest, sizeof(digest));
    memcpy(p->body_digest, digest, sizeof(digest));
    return 0;
}

/* 1: another manifest is to be fetched; 0: p->manifest is an image's. */
static int take_manifest(struct pull_one *p, const struct remote_call *c, struct err *reterr)
{
    struct registry_manifest *m = &p->manifest;
    struct descriptor child;
    size_t len;
    const char *body = remote_body(c, &len);
    int r = check_digest(p, c, body, len, reterr);

    if (r >= 0)
        r = registry_manifest_parse(body, len, remote_header(c, "Content-Type"), m, reterr);
    if (r >= 0 && !m->index) {
        p->body = xmalloc(len + 1);
        memcpy(p->body, body, len);
        p->body_len = len;
    }
    if (r < 0 || !m->index)
        return r;
    if (p->depth++ >= MANIFEST_INDEX_DEPTH)
        return err_set(reterr, ERR_INVALID, EBADMSG, "invalid manifest: lists within lists");
    r = registry_manifest_choose(m, &p->platform, &child, reterr);
    if (r < 0)
        return r;
    memcpy(p->wanted, child.digest, sizeof(p->wanted));
    registry_manifest_done(m);
    return 1;
}

/* "Pulling from library/busybox": on docker.io the path, elsewhere the whole name. */
void pull_say_from(struct pull_one *p)
{
    _cleanup_free_ char *status = xasprintf("Pulling from %s", p->ref.path);

    pull_say(p, p->ref.tag ? p->ref.tag : p->ref.digest, status);
}

static void on_manifest(void *arg, struct remote_call *c, const struct err *err)
{
    struct pull_one *p = arg;
    struct err e;
    int r;

    p->call = NULL;
    if (err) {
        call_failed(p, c, err);
        return;
    }
    r = take_manifest(p, c, &e);
    if (r > 0) {
        pull_get_manifest(p);
        return;
    }
    if (r == 0)
        r = make_job(p, &e);
    if (r >= 0) {
        pull_say_from(p);
        r = get_config(p, &e);
    }
    if (r < 0)
        pull_one_fail(p, &e);
}

static int send_manifest_call(struct pull_one *p, struct err *reterr)
{
    struct remote_callbacks cb = {.arg = p, .done = on_manifest};
    _cleanup_free_ char *path = *p->wanted ? xasprintf("manifests/" DIGEST_SHA256 "%s", p->wanted)
                                           : xasprintf("manifests/%s", p->ref.tag);
    struct remote_options o = {.method = "GET",
                               .path = path,
                               .headers = (char **)pull_accept_headers,
                               .limit = MANIFEST_SIZE_MAX,
                               .body_size = -1};

    return remote_start(p->remote, &o, &cb, &p->call, reterr);
}

void pull_get_manifest(struct pull_one *p)
{
    struct err e;

    if (send_manifest_call(p, &e) < 0)
        pull_one_fail(p, &e);
}

/* ---- */

int pull_one_start(struct images *im, struct remote *remote, const char *tag, const char *platform,
                   const struct pull_one_callbacks *cb, struct pull_one **ret, struct err *reterr)
{
    struct pull_one *p = xcalloc(1, sizeof(*p));
    int r;

    p->im = im;
    p->cb = *cb;
    p->remote = remote_ref(remote);
    p->ref.domain = xstrdup(remote_domain(remote));
    p->ref.path = xstrdup(remote_path(remote));
    p->platform_given = !str_empty(platform);
    if (reference_digest_valid(tag)) {
        p->ref.digest = xstrdup(tag);
        memcpy(p->wanted, tag + strlen(DIGEST_SHA256), sizeof(p->wanted));
    } else {
        p->ref.tag = xstrdup(tag);
    }
    r = platform_parse(platform, &p->platform, reterr);
    if (r >= 0)
        r = pull_known_start(p, reterr);
    if (r == 0)
        r = send_manifest_call(p, reterr);
    if (r < 0) {
        pull_one_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void pull_one_cancel(struct pull_one *p)
{
    if (p->job) {
        image_job_cancel(p->job);
    } else {
        remote_cancel(p->call);
        pull_one_free(p);
    }
}
