/* docker push: one tag, or all of a repository, one after the other. */
#include "image_push.h"

#include <errno.h>
#include <stdio.h>

#include "blob_rows.h"
#include "blob_upload.h"
#include "blobs.h"
#include "json.h"
#include "outgoing.h"
#include "platform.h"
#include "reference.h"

#define PUSH_PARALLEL 3
#define PUSH_PROGRESS_NS 100000000

struct push_blob {
    struct image_push *push;
    struct descriptor d;
    char id[13];                /* of its lines; "" for the config */
    struct blob_upload *upload; /* NULL before and after */
    char *mount_from;           /* owned, or NULL */
    bool started, done;
    int64_t told;
};

struct image_push {
    struct images *im;
    struct image_push *next, **prev_next;
    struct image_job_callbacks cb;
    struct reference ref;     /* owned; domain and path */
    struct remote *remote;    /* owned */
    struct platform platform; /* that the images must be for, if platform_given */
    bool platform_given;
    char **tags; /* owned; canonical names that are to be pushed */
    size_t at;
    struct image *img; /* referenced; of this tag, as out and config */
    struct outgoing out;
    char *config;            /* owned; out.config.size bytes */
    struct push_blob *blobs; /* the plan's layers, then its config */
    size_t n_blobs, n_running;
    struct remote_call *call; /* for the manifest */
    uv_timer_t *kick;         /* to begin outside images_push(); closes itself */
};

static void next_tag(struct image_push *p);
static void go_on(struct image_push *p);

/* ---- life ---- */

static void blobs_done(struct image_push *p)
{
    for (size_t i = 0; i < p->n_blobs; i++) {
        if (p->blobs[i].upload)
            blob_upload_cancel(TAKE_PTR(p->blobs[i].upload));
        free(p->blobs[i].mount_from);
    }
    free(TAKE_PTR(p->blobs));
    p->n_blobs = p->n_running = 0;
    outgoing_done(&p->out);
    free(TAKE_PTR(p->config));
    image_unref(TAKE_PTR(p->img));
}

static void timer_closed(uv_handle_t *handle)
{
    free(handle);
}

static void push_free(struct image_push *p)
{
    struct images *im = p->im;

    blobs_done(p);
    if (p->kick)
        uv_close((uv_handle_t *)p->kick, timer_closed);
    if (p->call)
        remote_cancel(p->call);
    *p->prev_next = p->next;
    if (p->next)
        p->next->prev_next = p->prev_next;
    remote_unref(p->remote);
    reference_done(&p->ref);
    strv_free(p->tags);
    free(p);
    if (im->collect_later && !im->closing)
        images_collect(im, NULL, NULL);
}

static void finish(struct image_push *p, const struct err *err)
{
    p->cb.done(p->cb.arg, err);
    push_free(p);
}

void image_push_cancel(struct image_push *p)
{
    push_free(p);
}

void image_pushes_cancel(struct images *im)
{
    while (im->pushes)
        image_push_cancel(im->pushes);
}

/* ---- telling ---- */

static void say(struct image_push *p, json_t *status)
{
    _cleanup_json_ json_t *o = json_pack("{s:o}", "status", status);

    p->cb.progress(p->cb.arg, o);
}

static void say_blob(struct push_blob *b, const char *status, int64_t current)
{
    _cleanup_json_ json_t *o = NULL;
    json_t *detail;

    if (!*b->id)
        return;
    o = json_pack("{s:s,s:{},s:s}", "status", status, "progressDetail", "id", b->id);
    detail = json_object_get(o, "progressDetail");
    if (current >= 0) {
        json_object_set_new(detail, "current", json_integer(current));
        json_object_set_new(detail, "total", json_integer(b->d.size));
    }
    b->push->cb.progress(b->push->cb.arg, o);
}

/* ---- blobs ---- */

static void on_progress(void *arg, int64_t bytes)
{
    struct push_blob *b = arg;
    int64_t now = time_monotonic_ns();

    if (now - b->told < PUSH_PROGRESS_NS && bytes < b->d.size)
        return;
    b->told = now;
    say_blob(b, "Pushing", bytes);
}

static void on_uploaded(void *arg, enum upload_result result, const struct err *err)
{
    struct push_blob *b = arg;
    struct image_push *p = b->push;
    _cleanup_free_ char *mounted = NULL;

    b->upload = NULL;
    if (err) {
        finish(p, err);
        return;
    }
    b->done = true;
    p->n_running--;
    if (result == UPLOAD_MOUNTED)
        mounted = xasprintf("Mounted from %s", b->mount_from);
    say_blob(b,
             mounted                   ? mounted
             : result == UPLOAD_EXISTS ? "Layer already exists"
                                       : "Pushed",
             -1);
    go_on(p);
}

/* Another repository of the same registry that has the blob; path, owned, or NULL. */
static char *find_source(struct image_push *p, const char *digest)
{
    _cleanup_(strv_freep) char **list = NULL;

    if (db_blob_source_list(p->im->db, digest, &list, NULL) < 0)
        return NULL;
    for (size_t i = 0; list && list[i]; i++) {
        _cleanup_reference_ struct reference ref = {0};

        if (reference_parse(list[i], &ref, NULL) >= 0 && streq(ref.domain, p->ref.domain) &&
            !streq(ref.path, p->ref.path))
            return TAKE_PTR(ref.path);
    }
    return NULL;
}

static int start_blob(struct push_blob *b, struct err *reterr)
{
    struct image_push *p = b->push;
    struct blob_upload_callbacks cb = {.arg = b, .progress = on_progress, .done = on_uploaded};
    struct blob_upload_options o = {.d = &b->d, .fd = -EBADF, .mount_from = b->mount_from};

    if (*b->id)
        o.fd = blob_open(p->im->storage, b->d.digest, NULL, reterr);
    else
        o.data = p->config;
    if (!o.data && o.fd < 0)
        return o.fd;
    b->started = true;
    p->n_running++;
    return blob_upload_start(p->im, p->remote, &o, &cb, &b->upload, reterr);
}

/* ---- the manifest, when all blobs are there ---- */

static int record(struct image_push *p, struct err *reterr)
{
    struct db *db = p->im->db;
    _cleanup_free_ char *repository = xasprintf("%s/%s", p->ref.domain, p->ref.path);
    const struct outgoing *out = &p->out;
    int r = db_image_exists(db, p->img->id);

    if (r == 0) /* it was removed on the way */
        return 0;
    r = db_begin(db, reterr);
    if (r >= 0)
        r = db_repo_digest_put(db, repository, out->digest, p->img->id, reterr);
    if (r >= 0)
        r = db_manifest_put(db, p->img->id, out->digest, out->media_type, out->manifest, out->len,
                            reterr);
    for (size_t i = 0; r >= 0 && i < out->n_layers; i++) {
        if (db_blob_get(db, out->layers[i].digest, NULL, NULL) > 0)
            r = db_blob_source_put(db, out->layers[i].digest, repository, reterr);
    }
    if (r >= 0)
        r = db_commit(db, reterr);
    if (r < 0)
        db_rollback(db);
    return r;
}

static void say_pushed(struct image_push *p)
{
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_free_ char *digest = xasprintf(DIGEST_SHA256 "%s", p->out.digest);
    _cleanup_free_ char *name = reference_familiar_of(p->tags[p->at]);
    _cleanup_json_ json_t *aux = NULL;
    long long size = (long long)p->out.len;

    reference_parse(p->tags[p->at], &ref, NULL);
    say(p, json_sprintf("%s: digest: %s size: %lld", ref.tag, digest, size));
    aux = json_pack("{s:{},s:{s:s,s:s,s:I}}", "progressDetail", "aux", "Tag", ref.tag, "Digest",
                    digest, "Size", (json_int_t)size);
    p->cb.progress(p->cb.arg, aux);
    images_emit(p->im, "push", p->img, name);
}

static void on_manifest(void *arg, struct remote_call *c, const struct err *err)
{
    struct image_push *p = arg;
    const char *header = remote_header(c, "Docker-Content-Digest");
    struct err e;

    p->call = NULL;
    if (!err && header && reference_digest_valid(header) &&
        !streq(header + strlen(DIGEST_SHA256), p->out.digest)) {
        err_set(&e, ERR_SYSTEM, EBADMSG, "the registry took the manifest for %s", header);
        err = &e;
    } else if (!err && record(p, &e) < 0) {
        err = &e;
    }
    if (err) {
        finish(p, err);
        return;
    }
    say_pushed(p);
    blobs_done(p);
    p->at++;
    next_tag(p);
}

static int put_manifest(struct image_push *p, struct err *reterr)
{
    struct remote_callbacks cb = {.arg = p, .done = on_manifest};
    _cleanup_free_ char *type = xasprintf("Content-Type: %s", p->out.media_type);
    _cleanup_free_ char *path = NULL;
    _cleanup_reference_ struct reference ref = {0};
    char *headers[] = {type, NULL};
    struct remote_options o = {.method = "PUT",
                               .headers = headers,
                               .limit = REGISTRY_ERROR_MAX,
                               .body = p->out.manifest,
                               .body_size = (int64_t)p->out.len};

    reference_parse(p->tags[p->at], &ref, NULL);
    path = xasprintf("manifests/%s", ref.tag);
    o.path = path;
    return remote_start(p->remote, &o, &cb, &p->call, reterr);
}

static void go_on(struct image_push *p)
{
    size_t done = 0;
    struct err e;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < p->n_blobs; i++) {
        struct push_blob *b = &p->blobs[i];

        if (b->done)
            done++;
        else if (!b->started && p->n_running < PUSH_PARALLEL)
            r = start_blob(b, &e);
    }
    if (r >= 0 && done == p->n_blobs)
        r = put_manifest(p, &e);
    if (r < 0)
        finish(p, &e);
}

/* ---- one tag ---- */

static void add_blob(struct image_push *p, const struct descriptor *d, const char *diff_id)
{
    struct push_blob *b;

    /* The same bytes twice in an image are one blob. */
    for (size_t i = 0; i < p->n_blobs; i++) {
        if (streq(p->blobs[i].d.digest, d->digest))
            return;
    }
    b = &p->blobs[p->n_blobs++];
    b->push = p;
    b->d = *d;
    snprintf(b->id, sizeof(b->id), "%.12s", diff_id);
    b->mount_from = diff_id[0] ? find_source(p, d->digest) : NULL;
    if (b->mount_from) {
        _cleanup_free_ char *scope = xasprintf("repository:%s:pull", b->mount_from);

        remote_add_scope(p->remote, scope);
    }
}

/* The layer that a user knows it by; API: lines are named by it, not by the blob. */
static const char *diff_id_of(const struct image *img, size_t i)
{
    const json_t *ids = json_get(json_get(img->config, "rootfs"), "diff_ids");
    const char *id = json_string_value(json_array_get(ids, i));

    return id && reference_digest_valid(id) ? id + strlen(DIGEST_SHA256) : "";
}

static int choose(struct image_push *p, const char *id, struct err *reterr)
{
    _cleanup_image_row_ struct image_row row = {0};
    int r = images_get(p->im, id, &p->img, reterr);

    if (r >= 0)
        r = db_image_get(p->im->db, id, &row, reterr);
    if (r < 0)
        return r;
    p->config = TAKE_PTR(row.config);
    return outgoing_choose(p->im, id, &p->out, reterr);
}

static int begin_tag(struct image_push *p, struct err *reterr)
{
    _cleanup_free_ char *name = reference_familiar_of(p->tags[p->at]);
    char id[ID_LEN + 1];
    int r = db_tag_get(p->im->db, p->tags[p->at], id, reterr);

    if (r == 0)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "tag does not exist: %s", name);
    if (r >= 0)
        r = choose(p, id, reterr);
    if (r >= 0 && p->platform_given)
        r = platform_check(&p->platform, p->img->config, name, reterr);
    if (r < 0)
        return r;
    p->blobs = xcalloc(p->out.n_layers + 1, sizeof(*p->blobs));
    for (size_t i = p->out.n_layers; i > 0; i--)
        add_blob(p, &p->out.layers[i - 1], diff_id_of(p->img, i - 1));
    add_blob(p, &p->out.config, "");
    for (size_t i = 0; i < p->n_blobs; i++)
        say_blob(&p->blobs[i], "Preparing", -1);
    return 0;
}

static void next_tag(struct image_push *p)
{
    struct err e;

    if (!p->tags[p->at])
        finish(p, NULL);
    else if (begin_tag(p, &e) < 0)
        finish(p, &e);
    else
        go_on(p);
}

/* ---- beginning ---- */

static void on_kick(uv_timer_t *timer)
{
    struct image_push *p = timer->data;
    _cleanup_free_ char *name = reference_familiar_name(&p->ref);
    struct err e;

    uv_close((uv_handle_t *)TAKE_PTR(p->kick), timer_closed);
    say(p, json_sprintf("The push refers to repository [%s/%s]", p->ref.domain, p->ref.path));
    if (p->tags) {
        next_tag(p);
        return;
    }
    err_set(&e, ERR_NOT_FOUND, ENOENT, "An image does not exist locally with the tag: %s", name);
    finish(p, &e);
}

/* All tags that the repository has here. */
static int list_tags(struct image_push *p, struct err *reterr)
{
    _cleanup_free_ char *prefix = xasprintf("%s/%s:", p->ref.domain, p->ref.path);
    _cleanup_(strv_freep) char **names = NULL;
    int r = db_tag_list(p->im->db, NULL, &names, NULL, reterr);

    for (size_t i = 0; r >= 0 && names && names[i]; i++) {
        if (str_starts(names[i], prefix) && !strchr(names[i], '@'))
            p->tags = strv_append(p->tags, names[i]);
    }
    return r;
}

static int choose_tags(struct image_push *p, const char *tag, struct err *reterr)
{
    _cleanup_(strv_freep) char **all = NULL;
    int r = list_tags(p, reterr);

    if (r < 0 || !tag || !p->tags)
        return r;
    all = TAKE_PTR(p->tags);
    p->tags = strv_append(NULL, "");
    free(p->tags[0]);
    p->tags[0] = xasprintf("%s/%s:%s", p->ref.domain, p->ref.path, tag);
    return 0;
}

struct image_push *images_push(struct images *im, const struct image_push_options *opt,
                               const struct image_job_callbacks *cb, struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    struct platform platform;
    struct image_push *p;
    int r = platform_parse(opt->platform, &platform, reterr);

    if (r >= 0)
        r = reference_parse(opt->name, &ref, reterr);
    if (r >= 0 && ref.digest)
        r = err_set(reterr, ERR_INVALID, EINVAL, "cannot push a digest reference");
    if (r >= 0 && !str_empty(opt->tag) && !reference_tag_valid(opt->tag))
        r = err_set(reterr, ERR_INVALID, EINVAL, "invalid reference format");
    if (r < 0)
        return NULL;
    p = xcalloc(1, sizeof(*p));
    p->im = im;
    p->cb = *cb;
    p->platform = platform;
    p->platform_given = !str_empty(opt->platform);
    p->remote = remote_new(im->registry, ref.domain, ref.path, "pull,push", opt->auth);
    p->next = im->pushes;
    p->prev_next = &im->pushes;
    if (p->next)
        p->next->prev_next = &p->next;
    im->pushes = p;
    p->ref = ref;
    ref = (struct reference){0};
    r = choose_tags(p, str_empty(opt->tag) ? p->ref.tag : opt->tag, reterr);
    if (r < 0) {
        push_free(p);
        return NULL;
    }
    p->kick = xcalloc(1, sizeof(*p->kick));
    uv_timer_init(im->loop, p->kick);
    p->kick->data = p;
    uv_timer_start(p->kick, on_kick, 0, 0);
    return p;
}
