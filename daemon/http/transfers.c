/* Pulling, pushing, importing from a URL, examining the store: a stream of progress that begins
 * with the first line; what fails before is the answer's status. */
#include "api.h"
#include "auth.h"
#include "engine.h"
#include "image.h"
#include "json.h"
#include "params.h"
#include "reply_engine.h"
#include "routes.h"
#include "str.h"

struct transfer {
    struct http_req *req;       /* NULL once answered */
    struct http_stream *stream; /* NULL before the first line */
    /* One of them, until it is done: */
    struct image_pull *pull;
    struct image_push *push;
    struct image_download *download;
    struct image_job *job; /* an examination */
};

static void stop(struct transfer *t)
{
    if (t->pull)
        image_pull_cancel(TAKE_PTR(t->pull));
    if (t->push)
        image_push_cancel(TAKE_PTR(t->push));
    if (t->download)
        image_download_cancel(TAKE_PTR(t->download));
    if (t->job)
        image_job_cancel(TAKE_PTR(t->job));
}

static void on_close(void *arg)
{
    struct transfer *t = arg;

    stop(t);
    free(t);
}

static const struct http_stream_ops stream_ops = {.on_close = on_close};

/* The client went away before there was a line for it. */
static void on_abort(void *arg)
{
    struct transfer *t = arg;

    stop(t);
    http_reply_error(t->req, 499, "the client went away");
    free(t);
}

static void open_stream(struct transfer *t)
{
    struct http_req *req = TAKE_PTR(t->req);

    http_on_abort(req, NULL, NULL);
    t->stream = http_stream_open(req, 200, API_TYPE_JSON, &stream_ops, t);
}

static void on_progress(void *arg, json_t *obj)
{
    struct transfer *t = arg;

    if (!t->stream)
        open_stream(t);
    /* A slow client is spared the numbers, not the news. */
    if (http_stream_queued(t->stream) > HTTP_STREAM_LOW_WATER &&
        json_get(json_get(obj, "progressDetail"), "total"))
        return;
    http_stream_write_json(t->stream, json_incref(obj));
}

static void on_done(void *arg, const struct err *err)
{
    struct transfer *t = arg;

    t->pull = NULL;
    t->push = NULL;
    t->download = NULL;
    t->job = NULL;
    if (!t->stream && err) {
        http_on_abort(t->req, NULL, NULL);
        http_reply_err(t->req, err);
        free(t);
        return;
    }
    if (!t->stream)
        open_stream(t);
    if (err)
        http_stream_write_json(t->stream, reply_error_line(err, 0));
    http_stream_end(t->stream);
}

void pulls_start(struct http_req *req)
{
    _cleanup_registry_auth_ struct registry_auth auth = {0};
    struct image_pull_options o = {.name = http_query(req, "fromImage"),
                                   .tag = http_query(req, "tag"),
                                   .platform = http_query(req, "platform"),
                                   .auth = &auth};
    struct transfer *t = xcalloc(1, sizeof(*t));
    struct image_job_callbacks cb = {.arg = t, .progress = on_progress, .done = on_done};
    struct err err;

    /* Docker ignores what it cannot read here: most images need no credentials. */
    registry_auth_decode(http_header(req, "X-Registry-Auth"), &auth, &err);
    t->req = req;
    t->pull = images_pull(engine_images(http_context(req)), &o, &cb, &err);
    if (t->pull) {
        http_on_abort(req, on_abort, t);
        return;
    }
    free(t);
    http_reply_err(req, &err);
}

void pushes_start(struct http_req *req)
{
    _cleanup_registry_auth_ struct registry_auth auth = {0};
    struct image_push_options o = {.name = http_param(req),
                                   .tag = http_query(req, "tag"),
                                   .platform = http_query(req, "platform"),
                                   .auth = &auth};
    struct transfer *t = xcalloc(1, sizeof(*t));
    struct image_job_callbacks cb = {.arg = t, .progress = on_progress, .done = on_done};
    struct err err;

    registry_auth_decode(http_header(req, "X-Registry-Auth"), &auth, &err);
    t->req = req;
    t->push = images_push(engine_images(http_context(req)), &o, &cb, &err);
    if (t->push) {
        http_on_abort(req, on_abort, t);
        return;
    }
    free(t);
    http_reply_err(req, &err);
}

void imports_start(struct http_req *req, const char *url)
{
    _cleanup_(strv_freep) char **changes = param_list(req, "changes");
    struct image_import o = {.repo = http_query(req, "repo"),
                             .tag = http_query(req, "tag"),
                             .message = http_query(req, "message"),
                             .changes = (const char *const *)changes,
                             .platform = http_query(req, "platform")};
    struct transfer *t = xcalloc(1, sizeof(*t));
    struct image_job_callbacks cb = {.arg = t, .progress = on_progress, .done = on_done};
    struct err err;

    t->req = req;
    t->download = images_import_url(engine_images(http_context(req)), url, &o, &cb, &err);
    if (t->download) {
        http_on_abort(req, on_abort, t);
        return;
    }
    free(t);
    http_reply_err(req, &err);
}

void fsck_start(struct http_req *req)
{
    struct transfer *t = xcalloc(1, sizeof(*t));
    struct image_job_callbacks cb = {.arg = t, .progress = on_progress, .done = on_done};
    struct err err;

    t->req = req;
    t->job = images_fsck(engine_images(http_context(req)), http_query_bool(req, "repair", false),
                         &cb, &err);
    if (t->job) {
        http_on_abort(req, on_abort, t);
        return;
    }
    free(t);
    http_reply_err(req, &err);
}
