/* docker import URL: what a server sends goes straight into the import's worker. */
#include "import_url.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "image_job.h"
#include "json.h"
#include "registry.h"
#include "weburl.h"

#define TELL_NS (INT64_C(100) * 1000000)

struct image_download {
    struct images *im;
    struct image_download *next, **prev_next;
    struct image_job_callbacks cb;
    struct image_import opt; /* strings owned */
    char *shown;             /* owned: the URL as the user may see it again */
    struct web_request *rq;  /* NULL before and after */
    struct image_job *job;   /* the same: it begins with the answer's head */
    int fd;                  /* the worker's standard input; owned */
    uv_poll_t *poll;         /* of it; owned until its close callback */
    struct buf rest;         /* bytes that it had no room for */
    bool ended;              /* all has come */
    int64_t size, total, told_ns;
    struct err err; /* kind ERR_NONE while there is none */
};

/* ---- making and ending ---- */

static char **copy_strv(const char *const *v)
{
    char **out = NULL;

    for (; v && *v; v++)
        out = strv_append(out, *v);
    return out;
}

static void close_pipe(struct image_download *d)
{
    if (d->poll)
        uv_close((uv_handle_t *)TAKE_PTR(d->poll), (uv_close_cb)free);
    d->fd = fd_close(d->fd);
}

static void download_free(struct image_download *d)
{
    struct images *im = d->im;

    close_pipe(d);
    *d->prev_next = d->next;
    if (d->next)
        d->next->prev_next = d->prev_next;
    free((char *)d->opt.repo);
    free((char *)d->opt.tag);
    free((char *)d->opt.message);
    free((char *)d->opt.platform);
    strv_free((char **)d->opt.changes);
    buf_done(&d->rest);
    free(d->shown);
    free(d);
    images_done(im);
}

void image_download_cancel(struct image_download *d)
{
    if (d->rq)
        web_cancel(d->rq);
    if (d->job)
        image_job_cancel(d->job);
    download_free(d);
}

void image_downloads_cancel(struct images *im)
{
    while (im->downloads)
        image_download_cancel(im->downloads);
}

static void finish(struct image_download *d, const struct err *err)
{
    d->cb.done(d->cb.arg, err);
    download_free(d);
}

/* ---- the import ---- */

static void on_progress(void *arg, json_t *obj)
{
    struct image_download *d = arg;

    d->cb.progress(d->cb.arg, obj);
}

static void on_imported(void *arg, const struct err *err)
{
    struct image_download *d = arg;

    d->job = NULL;
    if (d->rq)
        web_cancel(TAKE_PTR(d->rq)); /* it did not want the rest */
    finish(d, err);
}

static void tell(struct image_download *d, json_t *obj)
{
    d->cb.progress(d->cb.arg, obj);
    json_decref(obj);
}

static void tell_size(struct image_download *d)
{
    int64_t now = time_monotonic_ns();
    json_t *detail;

    if (now - d->told_ns < TELL_NS && d->size != d->total)
        return;
    d->told_ns = now;
    detail = json_pack("{s:I}", "current", (json_int_t)d->size);
    if (d->total > 0)
        json_object_set_new(detail, "total", json_integer(d->total));
    tell(d, json_pack("{s:s,s:o}", "status", "Importing", "progressDetail", detail));
}

static int begin_import(struct image_download *d, struct err *reterr)
{
    struct image_job_callbacks cb = {.arg = d, .progress = on_progress, .done = on_imported};
    int ends[2], r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(reterr, errno, "pipe");
    d->fd = ends[1];
    fd_set_nonblock(d->fd, 1);
    d->job = images_import(d->im, ends[0], &d->opt, &cb, reterr);
    if (!d->job)
        return -reterr->errnum;
    d->poll = xcalloc(1, sizeof(*d->poll));
    r = uv_poll_init(d->im->loop, d->poll, d->fd);
    if (r < 0) {
        free(TAKE_PTR(d->poll));
        return err_sys(reterr, -r, "watch a pipe");
    }
    d->poll->data = d;
    tell(d, json_pack("{s:o}", "status", json_sprintf("Downloading from %s", d->shown)));
    return 0;
}

/* ---- from the socket into the pipe ---- */

/* What there is room for; a reader that died is its job's news, not ours. */
static size_t put(struct image_download *d, const char *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write(d->fd, data + done, len - done);

        if (n >= 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return len;
    }
    return done;
}

static void on_room(uv_poll_t *poll, int status, int events)
{
    struct image_download *d = poll->data;

    (void)status, (void)events; /* the next write tells */
    buf_consume(&d->rest, put(d, buf_head(&d->rest), buf_size(&d->rest)));
    if (buf_size(&d->rest) > 0)
        return;
    uv_poll_stop(poll);
    if (d->ended)
        close_pipe(d);
    else if (d->rq)
        web_resume(d->rq);
}

static void on_head(void *arg, struct web_request *rq)
{
    struct image_download *d = arg;
    const char *length = web_header(rq, "Content-Length");
    int status = web_status(rq);

    if (length && str_parse_i64(length, 0, INT64_MAX, &d->total) < 0)
        d->total = 0;
    if (status == 200)
        begin_import(d, &d->err);
    else
        err_set(&d->err, status == 404 ? ERR_NOT_FOUND : ERR_SYSTEM, EPROTO,
                "failed to GET %s with status %d", d->shown, status);
}

static int on_data(void *arg, struct web_request *rq, const char *data, size_t len)
{
    struct image_download *d = arg;
    size_t n;

    (void)rq;
    if (d->err.kind != ERR_NONE)
        return -ECANCELED;
    if (buf_size(&d->rest) > 0)
        return 0;
    n = put(d, data, len);
    if (n < len) {
        buf_append(&d->rest, data + n, len - n);
        uv_poll_start(d->poll, UV_WRITABLE, on_room);
    }
    d->size += (int64_t)len;
    tell_size(d);
    return 1;
}

static void on_done(void *arg, struct web_request *rq, const struct err *err)
{
    struct image_download *d = arg;

    (void)rq;
    d->rq = NULL;
    if (err && d->err.kind == ERR_NONE)
        d->err = *err;
    if (d->err.kind != ERR_NONE) {
        if (d->job)
            image_job_cancel(TAKE_PTR(d->job)); /* half a tar may look like a whole one */
        finish(d, &d->err);
        return;
    }
    d->ended = true;
    if (buf_size(&d->rest) == 0)
        close_pipe(d);
}

/* ---- */

static struct image_import copy_options(const struct image_import *o, const char *shown)
{
    return (struct image_import){.repo = xstrdup_null(o->repo),
                                 .tag = xstrdup_null(o->tag),
                                 .platform = xstrdup_null(o->platform),
                                 .changes = (const char *const *)copy_strv(o->changes),
                                 .message = str_empty(o->message)
                                                ? xasprintf("Imported from %s", shown)
                                                : xstrdup(o->message)};
}

struct image_download *images_import_url(struct images *im, const char *url,
                                         const struct image_import *opt,
                                         const struct image_job_callbacks *cb, struct err *reterr)
{
    _cleanup_free_ char *full = strstr(url, "://") ? xstrdup(url) : xasprintf("http://%s", url);
    struct web_callbacks web_cb = {.head = on_head, .data = on_data, .done = on_done};
    struct web_options o = {.method = "GET", .url = full, .body_size = -1};
    struct image_download *d;

    if (im->closing) {
        err_set(reterr, ERR_UNAVAILABLE, ESHUTDOWN, "the daemon is shutting down");
        return NULL;
    }
    if (images_import_check(opt, reterr) < 0)
        return NULL;
    d = xcalloc(1, sizeof(*d));
    d->im = im;
    d->cb = *cb;
    d->fd = -EBADF;
    d->shown = weburl_show(full);
    d->opt = copy_options(opt, d->shown);
    d->next = im->downloads;
    d->prev_next = &im->downloads;
    if (d->next)
        d->next->prev_next = &d->next;
    im->downloads = d;
    images_begin(im);
    web_cb.arg = d;
    if (web_start(registry_web(im->registry), &o, &web_cb, &d->rq, reterr) >= 0)
        return d;
    download_free(d);
    return NULL;
}
