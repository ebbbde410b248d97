/* The long answers about containers: logs, stats, wait, attach. */
#include <errno.h>
#include <stdlib.h>

#include "api.h"
#include "engine.h"
#include "json.h"
#include "params.h"
#include "routes.h"
#include "str.h"

/* ---- logs ---- */

struct logs_answer {
    struct http_stream *stream;
    struct log_stream *log; /* NULL once it has ended */
};

static bool on_log(void *arg, const void *data, size_t len)
{
    struct logs_answer *a = arg;

    if (!data) {
        a->log = NULL;
        http_stream_end(a->stream);
        return false;
    }
    return http_stream_write(a->stream, data, len) <= HTTP_STREAM_HIGH_WATER;
}

static void on_logs_drain(void *arg)
{
    struct logs_answer *a = arg;

    if (a->log)
        log_stream_resume(a->log);
}

static void on_logs_closed(void *arg)
{
    struct logs_answer *a = arg;

    if (a->log)
        log_stream_close(a->log);
    free(a);
}

static int parse_log_options(struct http_req *req, struct log_options *ret, struct err *reterr)
{
    const char *tail = http_query(req, "tail");

    *ret = (struct log_options){.stdout_ = http_query_bool(req, "stdout", false),
                                .stderr_ = http_query_bool(req, "stderr", false),
                                .follow = http_query_bool(req, "follow", false),
                                .timestamps = http_query_bool(req, "timestamps", false),
                                .details = http_query_bool(req, "details", false),
                                .tail = -1};
    if (!str_empty(tail) && str_parse_i64(tail, 0, INT64_MAX, &ret->tail) < 0)
        ret->tail = -1; /* "all", negative, or nonsense: all */
    if (param_time(req, "since", &ret->since_ns, reterr) < 0 ||
        param_time(req, "until", &ret->until_ns, reterr) < 0)
        return -EINVAL;
    return 0;
}

static const struct http_stream_ops logs_ops = {.on_close = on_logs_closed,
                                                .on_drain = on_logs_drain};

void streams_logs(struct http_req *req)
{
    struct logs_answer *a = xcalloc(1, sizeof(*a));
    struct log_options o;
    struct err err;
    bool tty, mux;

    if (parse_log_options(req, &o, &err) < 0 ||
        engine_logs_open(http_context(req), http_param(req), &o, on_log, a, &tty, &a->log, &err) <
            0) {
        http_reply_err(req, &err);
        free(a);
        return;
    }
    mux = !tty && http_api_version(req) >= 142;
    a->stream =
        http_stream_open(req, 200, mux ? API_TYPE_MUX_STREAM : API_TYPE_RAW_STREAM, &logs_ops, a);
}

/* ---- stats ---- */

struct stats_answer {
    struct http_stream *stream;
    struct stats_stream *stats; /* NULL once it has ended */
};

static void on_stats(void *arg, const char *line, size_t len)
{
    struct stats_answer *a = arg;

    if (!line) {
        a->stats = NULL;
        http_stream_end(a->stream);
    } else if (http_stream_queued(a->stream) < HTTP_STREAM_LOW_WATER) {
        /* A reader that is behind misses samples: they are worth nothing late. */
        http_stream_write(a->stream, line, len);
    }
}

static void on_stats_closed(void *arg)
{
    struct stats_answer *a = arg;

    if (a->stats)
        engine_stats_close(a->stats);
    free(a);
}

static const struct http_stream_ops stats_ops = {.on_close = on_stats_closed};

void streams_stats(struct http_req *req)
{
    struct stats_options o = {.stream = http_query_bool(req, "stream", true),
                              .one_shot = http_query_bool(req, "one-shot", false)};
    struct stats_answer *a = xcalloc(1, sizeof(*a));
    struct err err;

    if (engine_stats_open(http_context(req), http_param(req), &o, on_stats, a, &a->stats, &err) <
        0) {
        http_reply_err(req, &err);
        free(a);
        return;
    }
    a->stream = http_stream_open(req, 200, API_TYPE_JSON, &stats_ops, a);
}

/* ---- wait ---- */

struct wait_answer {
    struct http_stream *stream;
    struct waiter *waiter; /* NULL once it has fired */
};

static void on_wait_closed(void *arg)
{
    struct wait_answer *a = arg;

    if (a->waiter)
        engine_wait_cancel(a->waiter);
    free(a);
}

static void on_waited(void *arg, json_t *result, const struct err *err)
{
    struct wait_answer *a = arg;

    a->waiter = NULL;
    if (err)
        result = json_pack("{s:i, s:{s:s}}", "StatusCode", -1, "Error", "Message", err->message);
    http_stream_write_json(a->stream, result);
    http_stream_end(a->stream);
}

static const struct http_stream_ops wait_ops = {.on_close = on_wait_closed};

void streams_wait(struct http_req *req)
{
    struct wait_answer *a = xcalloc(1, sizeof(*a));
    struct err err;

    if (engine_container_wait(http_context(req), http_param(req), http_query(req, "condition"),
                              on_waited, a, &a->waiter, &err) < 0) {
        http_reply_err(req, &err);
        free(a);
        return;
    }
    /* The head goes out at once: clients start the container only when they have seen it. */
    a->stream = http_stream_open(req, 200, API_TYPE_JSON, &wait_ops, a);
}

/* ---- attach ---- */

struct attach_answer {
    struct engine *engine;
    char *ref, *keys;
    struct attach_options options;
};

static void on_attached(void *arg, int fd, const void *extra, size_t extra_len)
{
    struct attach_answer *a = arg;

    if (fd >= 0)
        engine_container_attach(a->engine, a->ref, &a->options, fd, extra, extra_len);
    free(a->ref);
    free(a->keys);
    free(a);
}

static struct attach_options attach_options(const struct http_req *req)
{
    return (struct attach_options){.stdin_ = http_query_bool(req, "stdin", false),
                                   .stdout_ = http_query_bool(req, "stdout", false),
                                   .stderr_ = http_query_bool(req, "stderr", false),
                                   .stream = http_query_bool(req, "stream", false),
                                   .logs = http_query_bool(req, "logs", false),
                                   .detach_keys = http_query(req, "detachKeys")};
}

static struct attach_answer *attach_answer(const struct http_req *req,
                                           const struct attach_options *o)
{
    struct attach_answer *a = xcalloc(1, sizeof(*a));

    a->engine = http_context(req);
    a->ref = xstrdup(http_param(req));
    a->keys = xstrdup_null(o->detach_keys);
    a->options = *o;
    a->options.detach_keys = a->keys;
    return a;
}

void streams_attach(struct http_req *req)
{
    struct attach_options o = attach_options(req);
    bool tty, mux;
    struct err err;

    if (engine_container_attach_check(http_context(req), http_param(req), &o, &tty, &err) < 0) {
        http_hijack_error(req, &err);
        return;
    }
    mux = !tty && http_wants_upgrade(req) && http_api_version(req) >= 142;
    http_hijack(req, mux ? API_TYPE_MUX_STREAM : API_TYPE_RAW_STREAM, on_attached,
                attach_answer(req, &o));
}

/* Both streams as they come, without heads: whoever wants them apart asks for one of them. */
void streams_attach_ws(struct http_req *req)
{
    struct attach_options o = attach_options(req);
    struct err err;
    bool tty;

    o.raw = true;
    if (engine_container_attach_check(http_context(req), http_param(req), &o, &tty, &err) < 0 ||
        http_websocket_check(req, &err) < 0)
        http_reply_err(req, &err);
    else
        http_websocket(req, http_api_version(req) < 128, on_attached, attach_answer(req, &o));
}
