#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "api.h"
#include "engine.h"
#include "json.h"
#include "params.h"
#include "reply_engine.h"
#include "routes.h"
#include "str.h"

void system_ping(struct http_req *req)
{
    http_add_header(req, "Builder-Version", "1");
    http_add_header(req, "Swarm", "inactive");
    http_add_header(req, "Cache-Control", "no-cache, no-store, must-revalidate");
    http_add_header(req, "Pragma", "no-cache");
    http_reply_text(req, 200, API_TYPE_TEXT, http_is_head(req) ? "" : "OK");
}

void system_version(struct http_req *req)
{
    http_reply_json(req, 200, engine_version(http_context(req)));
}

void system_info(struct http_req *req)
{
    http_reply_json(req, 200, engine_info(http_context(req)));
}

static void reply_metrics(void *arg, char *text, size_t len)
{
    http_reply_data(arg, 200, METRICS_TYPE, text, len);
}

void system_metrics(struct http_req *req)
{
    engine_metrics(http_context(req), reply_metrics, req);
}

void system_empty_list(struct http_req *req)
{
    http_reply_json(req, 200, json_array());
}

void system_not_swarm(struct http_req *req)
{
    http_reply_error(req, 503,
                     "This node is not a swarm manager. Use \"docker swarm init\" or \"docker "
                     "swarm join\" to connect this node to swarm and try again.");
}

void system_not_swarm_volume(struct http_req *req)
{
    http_reply_error(req, 503,
                     "volume update only valid for cluster volumes, but swarm is unavailable");
}

void system_no_plugin(struct http_req *req)
{
    struct err err;

    err_set(&err, ERR_NOT_FOUND, ENOENT, "plugin \"%s\" not found", http_param(req));
    http_reply_err(req, &err);
}

static int df_types(struct http_req *req, unsigned *ret, struct err *reterr)
{
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {{"container", DF_CONTAINERS},
                 {"image", DF_IMAGES},
                 {"volume", DF_VOLUMES},
                 {"build-cache", DF_BUILD_CACHE}};
    const char *name;

    *ret = 0;
    for (size_t i = 0; (name = http_query_nth(req, "type", i)); i++) {
        unsigned type = 0;

        for (size_t k = 0; k < ARRAY_SIZE(types); k++)
            type |= streq(types[k].name, name) ? types[k].type : 0;
        if (!type)
            return err_set(reterr, ERR_INVALID, EINVAL, "unknown object type: %s", name);
        *ret |= type;
    }
    return 0;
}

static void reply_df(void *arg, json_t *v, const struct err *err)
{
    struct http_req *req = arg;

    if (v && http_api_version(req) < 142)
        json_object_set_new(v, "BuilderSize", json_integer(0));
    reply_200_json(arg, v, err);
}

void system_df(struct http_req *req)
{
    unsigned types;
    struct err err;

    if (df_types(req, &types, &err) < 0)
        http_reply_err(req, &err);
    else
        engine_disk_usage(http_context(req), types, reply_df, req);
}

/* ---- events ---- */

struct events_stream {
    struct http_stream *stream;
    struct event_subscription *subscription;
    uv_loop_t *loop;
    int64_t until_ns;
    uv_timer_t *until; /* owned until its close callback; NULL without */
    bool live;         /* what has been is told */
    bool full;         /* the client does not read: dropped at the next chance */
};

static void on_until(uv_timer_t *t)
{
    struct events_stream *s = t->data;

    http_stream_end(s->stream);
}

static void arm_until(struct events_stream *s)
{
    int64_t left = s->until_ns - time_now_ns();

    if (left <= 0) {
        http_stream_end(s->stream);
        return;
    }
    s->until = xcalloc(1, sizeof(*s->until));
    uv_timer_init(s->loop, s->until);
    s->until->data = s;
    uv_timer_start(s->until, on_until, (uint64_t)left / 1000000 + 1, 0);
}

static void say_cut(struct events_stream *s)
{
    _cleanup_free_ char *line = engine_events_cut_line(HTTP_STREAM_HIGH_WATER);

    http_stream_write(s->stream, line, strlen(line));
    http_stream_cut(s->stream);
}

static bool on_events(void *arg, const char *lines, size_t len)
{
    struct events_stream *s = arg;
    bool room;

    if (!lines) {
        s->live = true;
        if (s->until_ns > 0)
            arm_until(s);
        return true;
    }
    if (s->full)
        return false;
    room = http_stream_write(s->stream, lines, len) <= HTTP_STREAM_HIGH_WATER;
    /* The journal waits for a slow client.  One that does not read what happens now is told so and
     * loses its stream, not everyone's memory. */
    if (!room && s->live) {
        s->full = true;
        say_cut(s);
    }
    return room;
}

static void on_events_drain(void *arg)
{
    struct events_stream *s = arg;

    if (s->subscription && !s->live)
        engine_events_resume(s->subscription);
}

static void on_events_closed(void *arg)
{
    struct events_stream *s = arg;

    if (s->subscription)
        engine_events_unsubscribe(s->subscription);
    if (s->until) {
        uv_timer_stop(s->until);
        uv_close((uv_handle_t *)s->until, (uv_close_cb)free);
    }
    free(s);
}

static const struct http_stream_ops events_ops = {.on_close = on_events_closed,
                                                  .on_drain = on_events_drain};

void system_events(struct http_req *req)
{
    struct engine *e = http_context(req);
    _cleanup_json_ json_t *filters = NULL;
    struct events_stream *s;
    int64_t since, until;
    struct err err;

    if (param_time(req, "since", &since, &err) < 0 || param_time(req, "until", &until, &err) < 0 ||
        http_filters(req, NULL, &filters, &err) < 0 || engine_events_check(e, filters, &err) < 0) {
        http_reply_err(req, &err);
        return;
    }
    s = xcalloc(1, sizeof(*s));
    s->loop = engine_loop(e);
    s->until_ns = until;
    s->stream = http_stream_open(req, 200, API_TYPE_JSON, &events_ops, s);
    engine_events_subscribe(e, since, until, filters, on_events, s, &s->subscription, NULL);
}
