#include "manifest_put.h"

#include <errno.h>
#include <string.h>

#include "blob_upload.h"
#include "json.h"
#include "manifest.h"
#include "registry_manifest.h"

struct manifest_put {
    struct registry_manifest m; /* owned */
    char digest[ID_LEN + 1];
    char *text; /* owned; len bytes */
    size_t len;
    char *target;     /* owned; the name as messages have it */
    char *tag;        /* owned; or the digest */
    char *from;       /* owned; path of the repository that has the blobs, or NULL */
    char *repository; /* owned; the same as messages have it */
    struct blob_upload *upload;
    size_t at; /* the config, then the layers */
};

void manifest_put_free(struct manifest_put *p)
{
    if (!p)
        return;
    if (p->upload)
        blob_upload_cancel(p->upload);
    registry_manifest_done(&p->m);
    free(p->text);
    free(p->target);
    free(p->tag);
    free(p->from);
    free(p->repository);
    free(p);
}

/* ---- the manifest ---- */

static void on_put(void *arg, struct remote_call *c, const struct err *err)
{
    struct registry_query *q = arg;
    const struct manifest_put *p = q->put;
    const char *header = remote_header(c, "Docker-Content-Digest");
    struct err e = {0};

    q->call = NULL;
    if (err)
        e = *err;
    else if (header && reference_digest_valid(header) &&
             !streq(header + strlen(DIGEST_SHA256), p->digest))
        err_set(&e, ERR_SYSTEM, EBADMSG, "the registry took the manifest for %s", header);
    if (e.kind != ERR_NONE) {
        err_wrap(&e, "failed to put manifest %s", p->target);
        registry_query_finish(q, NULL, &e);
        return;
    }
    registry_query_finish(q,
                          json_pack("{s:s,s:o,s:I}", "mediaType", p->m.media_type, "digest",
                                    json_sha256(p->digest), "size", (json_int_t)p->len),
                          NULL);
}

static int put_manifest(struct registry_query *q, struct err *reterr)
{
    const struct manifest_put *p = q->put;
    struct remote_callbacks cb = {.arg = q, .done = on_put};
    _cleanup_free_ char *type = xasprintf("Content-Type: %s", p->m.media_type);
    _cleanup_free_ char *path = xasprintf("manifests/%s", p->tag);
    char *headers[] = {type, NULL};
    struct remote_options o = {.method = "PUT",
                               .path = path,
                               .headers = headers,
                               .limit = REGISTRY_ERROR_MAX,
                               .body = p->text,
                               .body_size = (int64_t)p->len};

    return remote_start(q->remote, &o, &cb, &q->call, reterr);
}

/* ---- its blobs ---- */

static int next_step(struct registry_query *q, struct err *reterr);

static void on_mounted(void *arg, enum upload_result result, const struct err *err)
{
    struct registry_query *q = arg;
    struct manifest_put *p = q->put;
    const struct descriptor *d = p->at ? &p->m.layers[p->at - 1] : &p->m.config;
    struct err e;
    int r = 0;

    p->upload = NULL;
    if (err) {
        e = *err;
        r = err_wrap(&e, "failed to mount blob %s@" DIGEST_SHA256 "%s to %s", p->repository,
                     d->digest, p->target);
    } else if (result == UPLOAD_REFUSED) {
        r = err_set(&e, ERR_NOT_FOUND, ENOENT, "error mounting %s@" DIGEST_SHA256 "%s to %s",
                    p->repository, d->digest, p->target);
    }
    p->at++;
    if (r >= 0)
        r = next_step(q, &e);
    if (r < 0)
        registry_query_finish(q, NULL, &e);
}

static int mount_blob(struct registry_query *q, const struct descriptor *d, struct err *reterr)
{
    struct manifest_put *p = q->put;
    struct blob_upload_callbacks cb = {.arg = q, .done = on_mounted};
    struct blob_upload_options o = {
        .d = d, .fd = -EBADF, .mount_from = p->from, .mount_only = true};

    return blob_upload_start(q->im, q->remote, &o, &cb, &p->upload, reterr);
}

/* One after the other: what is asked of the registry is small, and told in order. */
static int next_step(struct registry_query *q, struct err *reterr)
{
    const struct manifest_put *p = q->put;

    if (!p->from || p->m.index || p->at > p->m.n_layers)
        return put_manifest(q, reterr);
    return mount_blob(q, p->at ? &p->m.layers[p->at - 1] : &p->m.config, reterr);
}

/* ---- beginning ---- */

/* from: a repository of the same registry; its own needs nothing mounted. */
static int read_source(struct manifest_put *p, const char *from, const struct reference *target,
                       struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    int r;

    if (str_empty(from))
        return 0;
    r = reference_parse(from, &ref, reterr);
    if (r < 0)
        return r;
    if (ref.tag || ref.digest)
        return err_set(reterr, ERR_INVALID, EINVAL, "From is a repository, without tag or digest");
    if (!streq(ref.domain, target->domain))
        return err_set(reterr, ERR_INVALID, EXDEV,
                       "cannot use source images from a different registry than the target image: "
                       "%s != %s",
                       ref.domain, target->domain);
    if (streq(ref.path, target->path))
        return 0;
    p->repository = reference_repository(&ref);
    p->from = TAKE_PTR(ref.path);
    return 0;
}

static int read_put(struct manifest_put *p, const struct image_manifest_put *opt,
                    const struct reference *ref, struct err *reterr)
{
    int r;

    p->len = strlen(opt->manifest);
    if (p->len > MANIFEST_SIZE_MAX)
        return err_set(reterr, ERR_INVALID, EFBIG, "the manifest is longer than %d bytes",
                       MANIFEST_SIZE_MAX);
    r = registry_manifest_parse_any(opt->manifest, p->len, NULL, &p->m, reterr);
    if (r < 0)
        return r;
    digest_sha256(opt->manifest, p->len, p->digest);
    if (ref->digest && !streq(ref->digest + strlen(DIGEST_SHA256), p->digest))
        return err_set(reterr, ERR_INVALID, EBADMSG, "manifest verification failed for digest %s",
                       ref->digest);
    p->text = xstrdup(opt->manifest);
    p->target = reference_canonical(ref);
    p->tag = xstrdup(ref->digest ? ref->digest : ref->tag);
    return read_source(p, opt->from, ref, reterr);
}

struct registry_query *images_put_manifest(struct images *im, const struct image_manifest_put *opt,
                                           const struct registry_query_callbacks *cb,
                                           struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    struct manifest_put *p = xcalloc(1, sizeof(*p));
    struct registry_query *q;
    int r = reference_parse(opt->name, &ref, reterr);

    if (r >= 0) {
        reference_tag_default(&ref);
        r = read_put(p, opt, &ref, reterr);
    }
    if (r < 0) {
        manifest_put_free(p);
        return NULL;
    }
    q = registry_query_new(im, ref.domain, ref.path, "pull,push", opt->auth, cb);
    q->put = p;
    if (p->from) {
        _cleanup_free_ char *scope = xasprintf("repository:%s:pull", p->from);

        remote_add_scope(q->remote, scope);
    }
    if (next_step(q, reterr) >= 0)
        return q;
    registry_query_free(q);
    return NULL;
}
