/* What a container uses: one reading, or one a second. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "fd.h"
#include "private.h"

#define INTERVAL_MS 1000
#define NET_DEV_MAX (256 << 10)

struct stats_stream {
    struct container *container; /* a reference */
    struct stats_options options;
    engine_json_fn *fn; /* NULL: the reader went away */
    void *arg;
    uv_timer_t *timer; /* owned until its close callback */
    bool busy;         /* a job is on the pool and will come back to this */
    json_t *before;    /* cpu_stats of the last sample, or NULL */
    int64_t before_ns;

    /* The job's: */
    pid_t pid;
    char *parent;
    bool own_network;
    int64_t taken_ns;
    json_t *sample; /* NULL: it is not running any more */
};

/* ---- on the pool ---- */

/* "  eth0: " and sixteen numbers, of which these are told: proc(5), /proc/net/dev. */
static json_t *interface_stats(const char *numbers)
{
    static const struct {
        const char *name;
        int column;
    } told[] = {{"rx_bytes", 0}, {"rx_packets", 1}, {"rx_errors", 2},  {"rx_dropped", 3},
                {"tx_bytes", 8}, {"tx_packets", 9}, {"tx_errors", 10}, {"tx_dropped", 11}};
    long long column[12] = {0};
    json_t *out = json_object();
    char *end;

    for (size_t i = 0; i < ARRAY_SIZE(column); i++, numbers = end)
        column[i] = strtoll(numbers, &end, 10);
    for (size_t i = 0; i < ARRAY_SIZE(told); i++)
        json_object_set_new(out, told[i].name, json_integer(column[told[i].column]));
    return out;
}

static json_t *network_stats(pid_t pid)
{
    _cleanup_free_ char *path = xasprintf("/proc/%d/net/dev", pid), *text = NULL;
    json_t *out = json_object();
    char *line, *save = NULL;

    if (file_read(AT_FDCWD, path, NET_DEV_MAX, &text) < 0)
        return out;
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *colon = strchr(line, ':'), *name = line + strspn(line, " ");

        if (!colon)
            continue; /* one of the two title lines */
        *colon = '\0';
        if (!streq(name, "lo"))
            json_object_set_new(out, name, interface_stats(colon + 1));
    }
    return out;
}

static void sample_run(void *arg)
{
    struct stats_stream *s = arg;

    s->sample = NULL;
    s->taken_ns = time_now_ns();
    if (cgroup_stats(s->container->engine->cgroup, s->parent, s->container->id, &s->sample) < 0)
        return;
    if (s->own_network)
        json_object_set_new(s->sample, "networks", network_stats(s->pid));
}

/* ---- on the loop ---- */

static void stream_free(struct stats_stream *s)
{
    if (s->timer)
        uv_close((uv_handle_t *)s->timer, (uv_close_cb)free);
    json_decref(s->before);
    free(s->parent);
    container_unref(s->container);
    free(s);
}

static json_t *time_json(int64_t ns)
{
    char text[TIME_STR_MAX];

    if (ns == 0)
        return json_string("0001-01-01T00:00:00Z");
    time_format_nano(ns, text);
    return json_string(text);
}

static json_t *no_cpu(void)
{
    return json_pack("{s:{s:i,s:i,s:i}, s:{s:i,s:i,s:i}}", "cpu_usage", "total_usage", 0,
                     "usage_in_kernelmode", 0, "usage_in_usermode", 0, "throttling_data", "periods",
                     0, "throttled_periods", 0, "throttled_time", 0);
}

static json_t *identity(const struct container *c)
{
    return json_pack("{s:s, s:o}", "id", c->id, "name", json_sprintf("/%s", c->name));
}

/* Takes sample, gives the object for the client. */
static json_t *complete(struct stats_stream *s, json_t *sample)
{
    json_t *out = identity(s->container), *cpu = json_object_get(sample, "cpu_stats");

    json_object_set_new(out, "read", time_json(s->taken_ns));
    json_object_set_new(out, "preread", time_json(s->before_ns));
    json_object_set_new(out, "num_procs", json_integer(0)); /* Windows' */
    json_object_set_new(out, "storage_stats", json_object());
    json_object_set_new(out, "precpu_stats", s->before ? json_incref(s->before) : no_cpu());
    json_object_update_missing(out, sample);
    json_decref(s->before);
    s->before = json_incref(cpu);
    s->before_ns = s->taken_ns;
    json_decref(sample);
    return out;
}

static void finish(struct stats_stream *s, json_t *last)
{
    s->fn(s->arg, last, NULL);
    stream_free(s);
}

static void on_tick(uv_timer_t *timer);

static void next_tick(struct stats_stream *s)
{
    if (!s->timer) {
        s->timer = xcalloc(1, sizeof(*s->timer));
        uv_timer_init(s->container->engine->loop, s->timer);
        s->timer->data = s;
    }
    uv_timer_start(s->timer, on_tick, INTERVAL_MS, 0);
}

static void after_sample(void *arg)
{
    struct stats_stream *s = arg;
    json_t *sample = TAKE_PTR(s->sample);
    bool first = !s->before;

    s->busy = false;
    if (!s->fn) {
        json_decref(sample);
        stream_free(s);
        return;
    }
    if (s->options.stream) {
        if (sample)
            s->fn(s->arg, complete(s, sample), NULL);
        next_tick(s);
        return;
    }
    if (!sample) {
        finish(s, identity(s->container));
    } else if (first && !s->options.one_shot) {
        json_decref(complete(s, sample)); /* the sample to compare with */
        next_tick(s);
    } else {
        finish(s, complete(s, sample));
    }
}

static void take_sample(struct stats_stream *s)
{
    struct container *c = s->container;
    enum net_mode mode = container_net_mode(c);

    s->pid = c->pid;
    s->own_network = mode == NET_BRIDGE || mode == NET_NONE;
    s->busy = true;
    job_run(c->engine, sample_run, after_sample, s);
}

/* A reader may stay through stops and starts; only removal ends its stream. */
static void on_tick(uv_timer_t *timer)
{
    struct stats_stream *s = timer->data;
    struct container *c = s->container;

    if (container_is_up(c)) {
        take_sample(s);
    } else if (c->gone || !s->options.stream) {
        finish(s, s->options.stream ? NULL : identity(c));
    } else {
        json_decref(TAKE_PTR(s->before));
        s->before_ns = 0;
        next_tick(s);
    }
}

static void tell_not_running(void *arg)
{
    struct stats_stream *s = arg;

    s->busy = false;
    if (s->fn)
        finish(s, identity(s->container));
    else
        stream_free(s);
}

int engine_stats_open(struct engine *e, const char *ref, const struct stats_options *options,
                      engine_json_fn *fn, void *arg, struct stats_stream **ret, struct err *reterr)
{
    struct container *c;
    struct stats_stream *s;
    int r = registry_find(e, ref, &c, reterr);

    if (r < 0)
        return r;
    if (options->stream && options->one_shot)
        return err_set(reterr, ERR_INVALID, EINVAL, "cannot have stream=true and one-shot=true");
    shim_sync(c);
    s = xcalloc(1, sizeof(*s));
    *s = (struct stats_stream){
        .container = container_ref(c), .options = *options, .fn = fn, .arg = arg};
    s->parent = xstrdup(json_get_str(c->host_config, "CgroupParent", ""));
    *ret = s;
    if (container_is_up(c)) {
        take_sample(s);
    } else if (options->stream) {
        next_tick(s);
    } else {
        s->busy = true;
        engine_defer(e, tell_not_running, s);
    }
    return 0;
}

void engine_stats_close(struct stats_stream *s)
{
    s->fn = NULL;
    if (!s->busy)
        stream_free(s);
}
