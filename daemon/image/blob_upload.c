#include "blob_upload.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

struct blob_upload {
    struct images *im;
    struct blob_upload_callbacks cb;
    struct remote *remote;    /* referenced */
    struct remote_call *call; /* NULL between calls */
    struct descriptor d;
    int fd;            /* owned, or -EBADF */
    char *data;        /* owned, or NULL */
    char *mount_from;  /* owned, or NULL */
    char *location;    /* owned; of the upload under way */
    int64_t sent, end; /* bytes the registry has; where this request ends */
    int64_t most;      /* that it ever had: what it loses and takes again is no progress */
    unsigned tries;
    char *buffer; /* owned; what the pool read */
    size_t n, at;
    int64_t offset; /* of the next read */
    uv_work_t work;
    int64_t read_offset; /* the pool's, as the next two, while it works */
    ssize_t read_n;      /* or -errno */
    bool working, abandoned;
    bool mount_only;
    bool stale; /* what is being read is not what is wanted any more */
    int read_error;
};

static void begin(struct blob_upload *u);
static void send_more(struct blob_upload *u);

/* ---- life ---- */

static void blob_upload_free(struct blob_upload *u)
{
    struct images *im = u->im;

    remote_unref(u->remote);
    fd_close(u->fd);
    free(u->data);
    free(u->mount_from);
    free(u->location);
    free(u->buffer);
    free(u);
    images_done(im);
}

static void let_go(struct blob_upload *u)
{
    u->abandoned = true;
    if (!u->working)
        blob_upload_free(u);
}

static void finish(struct blob_upload *u, enum upload_result result, const struct err *err)
{
    u->cb.done(u->cb.arg, result, err);
    let_go(u);
}

void blob_upload_cancel(struct blob_upload *u)
{
    if (u->call)
        remote_cancel(TAKE_PTR(u->call));
    let_go(u);
}

static void start_call(struct blob_upload *u, const struct remote_options *o,
                       const struct remote_callbacks *cb)
{
    struct err e;

    if (remote_start(u->remote, o, cb, &u->call, &e) < 0)
        finish(u, UPLOAD_SENT, &e);
}

/* ---- reading ---- */

static void read_file(uv_work_t *work)
{
    struct blob_upload *u = work->data;
    ssize_t n = pread(u->fd, u->buffer, UPLOAD_BUFFER, (off_t)u->read_offset);

    u->read_n = n < 0 ? -errno : n == 0 ? -EIO : n;
}

static void was_read(uv_work_t *work, int status)
{
    struct blob_upload *u = work->data;

    (void)status;
    u->working = false;
    if (u->abandoned) {
        blob_upload_free(u);
        return;
    }
    u->at = u->n = 0;
    if (!u->stale && u->read_n < 0)
        u->read_error = (int)u->read_n;
    else if (!u->stale)
        u->n = (size_t)u->read_n;
    u->stale = false;
    if (u->call)
        remote_resume(u->call);
}

static ssize_t produce(void *arg, char *data, size_t len)
{
    struct blob_upload *u = arg;
    size_t n = u->n - u->at;

    if (u->working)
        return 0;
    if (u->read_error < 0)
        return u->read_error;
    if (n == 0) {
        u->working = true;
        u->read_offset = u->offset;
        u->work.data = u;
        uv_queue_work(u->im->loop, &u->work, read_file, was_read);
        return 0;
    }
    if (n > len)
        n = len;
    memcpy(data, u->buffer + u->at, n);
    u->at += n;
    u->offset += (int64_t)n;
    if (u->cb.progress)
        u->cb.progress(u->cb.arg, u->offset);
    return (ssize_t)n;
}

/* The next byte sent is this one. */
static void seek_to(struct blob_upload *u, int64_t offset)
{
    u->offset = offset;
    u->stale = u->working;
    u->n = u->at = 0;
    u->read_error = 0;
}

/* ---- sending ---- */

static bool worth_another_try(struct blob_upload *u, const struct err *err)
{
    /* 401: a token that expired on the way. */
    return (err->kind == ERR_UNAVAILABLE || err->kind == ERR_UNAUTHORIZED) &&
           ++u->tries < UPLOAD_TRIES;
}

/* "0-1023": how much of it the registry has. */
static int64_t range_end(const struct remote_call *c)
{
    const char *range = remote_header(c, "Range"), *dash = range ? strchr(range, '-') : NULL;
    int64_t last;

    return dash && str_parse_i64(dash + 1, 0, INT64_MAX, &last) >= 0 ? last + 1 : 0;
}

static void on_status(void *arg, struct remote_call *c, const struct err *err)
{
    struct blob_upload *u = arg;
    char *location = err ? NULL : remote_location(c);

    u->call = NULL;
    if (err) {
        begin(u); /* it forgot this upload: from the start */
        return;
    }
    u->sent = range_end(c);
    if (location) {
        free(u->location);
        u->location = location;
    }
    /* "0-0" is what docker-registry says of one byte, and of none. */
    if (u->sent <= 1 || u->sent > u->d.size)
        begin(u);
    else
        send_more(u);
}

/* After a chunk that failed: where do we stand? */
static void ask_status(struct blob_upload *u)
{
    struct remote_callbacks cb = {.arg = u, .done = on_status};

    start_call(
        u,
        &(struct remote_options){
            .method = "GET", .url = u->location, .limit = REGISTRY_ERROR_MAX, .body_size = -1},
        &cb);
}

static void on_sent(void *arg, struct remote_call *c, const struct err *err)
{
    struct blob_upload *u = arg;

    (void)c;
    u->call = NULL;
    if (!err) {
        finish(u, UPLOAD_SENT, NULL);
    } else if (worth_another_try(u, err)) {
        log_debug("push of blob sha256:%.12s: once more: %s", u->d.digest, err->message);
        begin(u);
    } else {
        finish(u, UPLOAD_SENT, err);
    }
}

static void on_chunk(void *arg, struct remote_call *c, const struct err *err)
{
    struct blob_upload *u = arg;
    char *location = err ? NULL : remote_location(c);

    u->call = NULL;
    if (!err && location) {
        free(u->location);
        u->location = location;
        u->sent = u->end;
        if (u->sent > u->most) {
            u->most = u->sent;
            u->tries = 0;
        }
        send_more(u);
    } else if (err && worth_another_try(u, err)) {
        ask_status(u);
    } else {
        struct err e;

        free(location);
        err_set(&e, ERR_UNAVAILABLE, EPROTO, "the registry does not say where to send the rest");
        finish(u, UPLOAD_SENT, err ? err : &e);
    }
}

static void put_rest(struct blob_upload *u)
{
    struct remote_callbacks cb = {.arg = u, .done = on_sent};
    _cleanup_free_ char *url = xasprintf("%s%sdigest=" DIGEST_SHA256 "%s", u->location,
                                         strchr(u->location, '?') ? "&" : "?", u->d.digest);
    char *headers[] = {(char *)"Content-Type: application/octet-stream", NULL};
    struct remote_options o = {.method = "PUT",
                               .url = url,
                               .headers = headers,
                               .limit = REGISTRY_ERROR_MAX,
                               .body = u->data                ? u->data
                                       : u->sent == u->d.size ? ""
                                                              : NULL,
                               .body_size = u->d.size - u->sent,
                               .once = true};

    cb.produce = o.body ? NULL : produce;
    start_call(u, &o, &cb);
}

static void patch_chunk(struct blob_upload *u)
{
    struct remote_callbacks cb = {.arg = u, .produce = produce, .done = on_chunk};
    _cleanup_free_ char *range =
        xasprintf("Content-Range: %lld-%lld", (long long)u->sent, (long long)u->end - 1);
    char *headers[] = {(char *)"Content-Type: application/octet-stream", range, NULL};
    struct remote_options o = {.method = "PATCH",
                               .url = u->location,
                               .headers = headers,
                               .limit = REGISTRY_ERROR_MAX,
                               .body_size = u->end - u->sent,
                               .once = true};

    start_call(u, &o, &cb);
}

static void send_more(struct blob_upload *u)
{
    seek_to(u, u->sent);
    u->end = u->sent + UPLOAD_CHUNK;
    if (u->data || u->d.size <= UPLOAD_CHUNK || u->sent == u->d.size) {
        put_rest(u);
        return;
    }
    if (u->end > u->d.size)
        u->end = u->d.size;
    patch_chunk(u);
}

/* ---- beginning ---- */

/* Whether the registry forgot the upload or not: it would do so by itself after some time. */
static void on_withdrawn(void *arg, struct remote_call *c, const struct err *err)
{
    struct blob_upload *u = arg;

    (void)c;
    (void)err;
    u->call = NULL;
    finish(u, UPLOAD_REFUSED, NULL);
}

static void withdraw(struct blob_upload *u)
{
    struct remote_callbacks cb = {.arg = u, .done = on_withdrawn};
    struct remote_options o = {.method = "DELETE",
                               .url = u->location,
                               .limit = REGISTRY_ERROR_MAX,
                               .body_size = -1,
                               .once = true};

    start_call(u, &o, &cb);
}

static void on_begun(void *arg, struct remote_call *c, const struct err *err)
{
    struct blob_upload *u = arg;
    struct err e;

    u->call = NULL;
    if (err) {
        finish(u, UPLOAD_SENT, err);
        return;
    }
    if (remote_status(c) == 201) {
        finish(u, UPLOAD_MOUNTED, NULL);
        return;
    }
    free(u->location);
    u->location = remote_location(c);
    u->sent = 0;
    if (u->location) {
        (u->mount_only ? withdraw : send_more)(u);
        return;
    }
    err_set(&e, ERR_UNAVAILABLE, EPROTO, "the registry does not say where to send a blob");
    finish(u, UPLOAD_SENT, &e);
}

/* A registry that cannot mount answers as if it had not been asked to. */
static void begin(struct blob_upload *u)
{
    struct remote_callbacks cb = {.arg = u, .done = on_begun};
    _cleanup_free_ char *from = u->mount_from ? web_url_escape(u->mount_from) : NULL;
    _cleanup_free_ char *path =
        from ? xasprintf("blobs/uploads/?mount=" DIGEST_SHA256 "%s&from=%s", u->d.digest, from)
             : xstrdup("blobs/uploads/");
    struct remote_options o = {
        .method = "POST", .path = path, .limit = REGISTRY_ERROR_MAX, .body = "", .body_size = 0};

    start_call(u, &o, &cb);
}

static void on_head(void *arg, struct remote_call *c, const struct err *err)
{
    struct blob_upload *u = arg;

    (void)c;
    u->call = NULL;
    if (!err)
        finish(u, UPLOAD_EXISTS, NULL);
    else if (err->kind == ERR_NOT_FOUND)
        begin(u);
    else
        finish(u, UPLOAD_SENT, err);
}

int blob_upload_start(struct images *im, struct remote *remote,
                      const struct blob_upload_options *opt, const struct blob_upload_callbacks *cb,
                      struct blob_upload **ret, struct err *reterr)
{
    struct blob_upload *u = xcalloc(1, sizeof(*u));
    struct remote_callbacks callbacks = {.arg = u, .done = on_head};
    char path[ID_LEN + 32];
    struct remote_options o = {
        .method = "HEAD", .path = path, .limit = REGISTRY_ERROR_MAX, .body_size = -1};
    int r;

    u->im = im;
    u->cb = *cb;
    u->remote = remote_ref(remote);
    u->d = *opt->d;
    u->fd = opt->fd;
    u->mount_from = xstrdup_null(opt->mount_from);
    u->mount_only = opt->mount_only;
    if (opt->data) {
        u->data = xmalloc((size_t)u->d.size + 1);
        memcpy(u->data, opt->data, (size_t)u->d.size);
    } else if (!opt->mount_only) {
        u->buffer = xmalloc(UPLOAD_BUFFER);
    }
    images_begin(im);
    snprintf(path, sizeof(path), "blobs/" DIGEST_SHA256 "%s", u->d.digest);
    r = remote_start(remote, &o, &callbacks, &u->call, reterr);
    if (r < 0)
        blob_upload_free(u);
    else
        *ret = u;
    return r;
}
