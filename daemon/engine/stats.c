/* What a container uses: one reading, or one a second.  All readers that are due are served by one
 * job on the pool; those of streams are due at the same moment of each second. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "netdev.h"
#include "private.h"
#include "sampler.h"

#define INTERVAL_NS INT64_C(1000000000)
#define CLOSE_NS                                                                                   \
    (INTERVAL_NS / 5) /* two samples closer than this say little: the next one then                \
                       */
#define KEPT_MAX 256  /* readers whose files stay open, at most */

struct stats_stream {
    struct stats_stream *next;
    struct container *container; /* a reference */
    struct stats_options options;
    engine_stats_fn *fn; /* NULL: the reader went away */
    void *arg;
    bool keeps;        /* its files stay open */
    bool changed;      /* its limits have */
    int64_t due_ns;    /* CLOCK_MONOTONIC; INT64_MAX: in a job */
    struct buf before; /* cpu_stats of the last sample; empty: there was none */
    char before_at[TIME_STR_MAX];

    /* A job's while it is busy: */
    bool busy;
    pid_t pid;
    bool has_network, found;
    struct cgroup_sampler *sampler;
    struct netdev_file devices;
    char taken_at[TIME_STR_MAX];
    struct buf cpu, use;
};

/* The samples of one job. */
struct batch {
    struct stats_hub *hub;
    size_t n;
    struct stats_stream *streams[];
};

struct stats_hub {
    struct engine *engine; /* borrowed */
    struct stats_stream *streams;
    size_t n, kept;
    struct buf line; /* of whoever is told */
    bool busy;
    uv_timer_t *timer; /* owned until its close callback; only while there are streams */
};

static void collect(struct stats_hub *hub);

/* ---- on the pool ---- */

static bool is_plain(const char *name)
{
    while (isalnum((unsigned char)*name))
        name++;
    return !*name;
}

static void put_name(const char *name, struct buf *out)
{
    _cleanup_free_ char *clean = NULL;
    json_t *s;
    char *text;

    if (is_plain(name)) {
        buf_append_str(out, "\"");
        buf_append_str(out, name);
        buf_append_str(out, "\"");
        return;
    }
    clean = str_to_utf8(name);
    s = json_string(clean);
    text = json_dumps(s, JSON_ENCODE_ANY);
    buf_append_str(out, text);
    free(text);
    json_decref(s);
}

static void put_device(const struct netdev *device, struct buf *out)
{
    put_name(device->name, out);
    for (size_t k = 0; k < NETDEV_COUNTERS; k++) {
        buf_append_str(out, k ? ",\"" : ":{\"");
        buf_append_str(out, netdev_names[k]);
        buf_append_str(out, "\":");
        buf_append_u64(out, device->counters[k]);
    }
    buf_append_str(out, "}");
}

static void put_networks(struct stats_stream *s, struct buf *out)
{
    struct netdev devices[NETDEV_MAX];
    int n = netdev_read(&s->devices, s->pid, devices, NETDEV_MAX);

    buf_append_str(out, ",\"networks\":{");
    for (int i = 0; i < n; i++) {
        if (i > 0)
            buf_append_str(out, ",");
        put_device(&devices[i], out);
    }
    buf_append_str(out, "}");
    if (!s->keeps)
        netdev_close(&s->devices);
}

static void sample_run(void *arg)
{
    struct batch *b = arg;
    struct cgroup_reading *r = xmalloc(sizeof(*r));
    struct cgroup_machine machine;

    cgroup_machine_read(&machine);
    for (size_t i = 0; i < b->n; i++) {
        struct stats_stream *s = b->streams[i];

        s->cpu.start = s->cpu.len = s->use.start = s->use.len = 0;
        time_format_nano(time_now_ns(), s->taken_at);
        s->found = cgroup_sampler_read(s->sampler, r) >= 0;
        if (!s->found)
            continue;
        cgroup_cpu_json(r, &machine, &s->cpu);
        cgroup_use_json(r, &machine, &s->use);
        if (s->has_network)
            put_networks(s, &s->use);
    }
    free(r);
}

/* ---- what a reader gets ---- */

/* Of a container that has used none. */
static const char no_cpu[] =
    "{\"cpu_usage\":{\"total_usage\":0,\"usage_in_kernelmode\":0,\"usage_in_usermode\":0},"
    "\"throttling_data\":{\"periods\":0,\"throttled_periods\":0,\"throttled_time\":0}}";

static void put_identity(struct buf *out, const struct container *c)
{
    buf_append_str(out, "{\"id\":\"");
    buf_append_str(out, c->id);
    buf_append_str(out, "\",\"name\":\"/");
    buf_append_str(out, c->name);
    buf_append_str(out, "\"");
}

static void tell(struct stats_stream *s)
{
    struct buf *out = &s->container->engine->stats->line;

    out->start = out->len = 0;
    put_identity(out, s->container);
    buf_append_str(out, ",\"read\":\"");
    buf_append_str(out, s->taken_at);
    buf_append_str(out, "\",\"preread\":\"");
    buf_append_str(out, buf_size(&s->before) ? s->before_at : TIME_ZERO);
    buf_append_str(out, "\",\"num_procs\":0,\"storage_stats\":{},"); /* Windows' */
    buf_append(out, buf_head(&s->use), buf_size(&s->use));
    buf_append_str(out, ",\"precpu_stats\":");
    if (buf_size(&s->before))
        buf_append(out, buf_head(&s->before), buf_size(&s->before));
    else
        buf_append_str(out, no_cpu);
    buf_append_str(out, ",\"cpu_stats\":");
    buf_append(out, buf_head(&s->cpu), buf_size(&s->cpu));
    buf_append_str(out, "}\n");
    s->fn(s->arg, buf_head(out), buf_size(out));
}

/* Of one that does not run: all that clients calculate with is there, and zero. */
static void tell_identity(struct stats_stream *s)
{
    static const char *const lists[] = {"io_service_bytes_recursive", "io_serviced_recursive",
                                        "io_queue_recursive",         "io_service_time_recursive",
                                        "io_wait_time_recursive",     "io_merged_recursive",
                                        "io_time_recursive",          "sectors_recursive"};
    _cleanup_buf_ struct buf out = {0};

    put_identity(&out, s->container);
    buf_append_str(&out, ",\"read\":\"" TIME_ZERO "\",\"preread\":\"" TIME_ZERO
                         "\",\"num_procs\":0,\"pids_stats\":{},\"memory_stats\":{},"
                         "\"storage_stats\":{},\"cpu_stats\":");
    buf_append_str(&out, no_cpu);
    buf_append_str(&out, ",\"precpu_stats\":");
    buf_append_str(&out, no_cpu);
    buf_append_str(&out, ",\"blkio_stats\":{");
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        buf_append_str(&out, i ? ",\"" : "\"");
        buf_append_str(&out, lists[i]);
        buf_append_str(&out, "\":null");
    }
    buf_append_str(&out, "}}\n");
    s->fn(s->arg, buf_head(&out), buf_size(&out));
}

static void remember(struct stats_stream *s)
{
    struct buf older = s->before;

    s->before = s->cpu;
    s->cpu = older; /* only its memory is of use */
    memcpy(s->before_at, s->taken_at, sizeof(s->before_at));
}

static void forget(struct stats_stream *s)
{
    s->before.start = s->before.len = 0;
    cgroup_sampler_close(s->sampler);
    netdev_close(&s->devices);
}

void stats_forget(struct container *c)
{
    struct stats_hub *hub = c->engine->stats;

    for (struct stats_stream *s = hub ? hub->streams : NULL; s; s = s->next) {
        if (s->container == c && !s->busy)
            netdev_close(&s->devices);
    }
}

void stats_limits_changed(struct container *c)
{
    struct stats_hub *hub = c->engine->stats;

    for (struct stats_stream *s = hub ? hub->streams : NULL; s; s = s->next)
        s->changed |= s->container == c;
    if (c->metrics_files)
        cgroup_sampler_forget(c->metrics_files);
}

/* ---- readers ---- */

static struct stats_hub *hub_of(struct engine *e)
{
    if (!e->stats) {
        e->stats = xcalloc(1, sizeof(*e->stats));
        e->stats->engine = e;
    }
    return e->stats;
}

void stats_hub_free(struct stats_hub *hub)
{
    if (!hub)
        return;
    buf_done(&hub->line);
    free(hub);
}

static bool may_keep(const struct stats_hub *hub)
{
    struct rlimit files;

    return hub->kept < KEPT_MAX && getrlimit(RLIMIT_NOFILE, &files) == 0 &&
           (hub->kept + 1) * (CGROUP_FILES + 1) < files.rlim_cur / 4;
}

static void stream_free(struct stats_stream *s)
{
    struct stats_hub *hub = s->container->engine->stats;
    struct stats_stream **p = &hub->streams;

    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    hub->kept -= s->keeps;
    if (--hub->n == 0 && hub->timer) {
        uv_timer_stop(hub->timer);
        uv_close((uv_handle_t *)TAKE_PTR(hub->timer), (uv_close_cb)free);
    }
    cgroup_sampler_free(s->sampler);
    netdev_close(&s->devices);
    buf_done(&s->cpu);
    buf_done(&s->use);
    buf_done(&s->before);
    container_unref(s->container);
    free(s);
}

/* Streams are due together, when a second is full. */
static int64_t next_due(const struct stats_stream *s)
{
    int64_t now = time_monotonic_ns(), due = (now / INTERVAL_NS + 1) * INTERVAL_NS;

    if (!s->options.stream)
        return now + INTERVAL_NS;
    return due - now < CLOSE_NS ? due + INTERVAL_NS : due;
}

/* The end of a reader that had one sample to come. */
static void finish(struct stats_stream *s)
{
    s->fn(s->arg, NULL, 0);
    stream_free(s);
}

static void on_sample(struct stats_stream *s)
{
    bool first = buf_size(&s->before) == 0;

    s->busy = false;
    if (!container_is_up(s->container))
        netdev_close(&s->devices); /* it has ended meanwhile */
    if (!s->fn) {
        stream_free(s);
    } else if (s->options.stream) {
        if (s->found) {
            tell(s);
            remember(s);
        }
        s->due_ns = next_due(s);
    } else if (!s->found) {
        tell_identity(s);
        finish(s);
    } else if (first && !s->options.one_shot) {
        remember(s); /* to compare with */
        s->due_ns = next_due(s);
    } else {
        tell(s);
        finish(s);
    }
}

static void after_samples(void *arg)
{
    struct batch *b = arg;
    struct stats_hub *hub = b->hub;

    hub->busy = false;
    for (size_t i = 0; i < b->n; i++)
        on_sample(b->streams[i]);
    free(b);
    collect(hub);
}

/* Is there something to read?  A reader may stay through stops and starts; only removal ends its
 * stream.  False: it waits on, or it is gone. */
static bool wants_sample(struct stats_stream *s)
{
    const struct container *c = s->container;

    if (container_is_up(c))
        return true;
    if (!s->options.stream) {
        tell_identity(s);
        finish(s);
    } else if (c->gone) {
        finish(s);
    } else {
        forget(s);
        s->due_ns = next_due(s);
    }
    return false;
}

static void add_sample(struct batch *b, struct stats_stream *s)
{
    if (s->changed)
        cgroup_sampler_forget(s->sampler);
    s->changed = false;
    if (s->pid != s->container->pid) {
        s->pid = s->container->pid;
        s->has_network = container_has_network(s->container);
    }
    s->busy = true;
    s->due_ns = INT64_MAX;
    b->streams[b->n++] = s;
}

static void on_timer(uv_timer_t *timer)
{
    collect(timer->data);
}

static void arm(struct stats_hub *hub, int64_t due)
{
    int64_t left = due - time_monotonic_ns();

    if (!hub->timer) {
        hub->timer = xcalloc(1, sizeof(*hub->timer));
        uv_timer_init(hub->engine->loop, hub->timer);
        hub->timer->data = hub;
    }
    /* Never 0: the loop must come round between two turns. */
    uv_timer_start(hub->timer, on_timer, left <= 0 ? 1 : (uint64_t)left / 1000000 + 1, 0);
}

/* Serve all that are due; one job at a time. */
static void collect(struct stats_hub *hub)
{
    int64_t now = time_monotonic_ns(), due = INT64_MAX;
    struct batch *b;

    if (hub->busy || !hub->streams)
        return;
    b = xcalloc(1, sizeof(*b) + hub->n * sizeof(struct stats_stream *));
    b->hub = hub;
    for (struct stats_stream *s = hub->streams, *next; s; s = next) {
        next = s->next;
        if (s->due_ns <= now && wants_sample(s))
            add_sample(b, s);
    }
    for (const struct stats_stream *s = hub->streams; s; s = s->next)
        due = s->due_ns < due ? s->due_ns : due;
    if (b->n > 0) {
        hub->busy = true;
        job_run(hub->engine, sample_run, after_samples, b);
    } else {
        free(b);
    }
    if (due != INT64_MAX)
        arm(hub, due);
}

static void collect_deferred(void *arg)
{
    collect(arg);
}

int engine_stats_open(struct engine *e, const char *ref, const struct stats_options *options,
                      engine_stats_fn *fn, void *arg, struct stats_stream **ret, struct err *reterr)
{
    struct stats_hub *hub = hub_of(e);
    struct container *c;
    struct stats_stream *s;
    int r = registry_find(e, ref, &c, reterr);

    if (r < 0)
        return r;
    if (options->stream && options->one_shot)
        return err_set(reterr, ERR_INVALID, EINVAL, "cannot have stream=true and one-shot=true");
    shim_sync(c);
    s = xcalloc(1, sizeof(*s));
    *s = (struct stats_stream){.next = hub->streams,
                               .container = container_ref(c),
                               .options = *options,
                               .fn = fn,
                               .arg = arg,
                               .devices = NETDEV_CLOSED};
    s->keeps = options->stream && may_keep(hub);
    s->sampler = cgroup_sampler_new(e->cgroup, json_get_str(c->host_config, "CgroupParent", ""),
                                    c->id, CGROUP_FOR_STATS, s->keeps);
    hub->streams = s;
    hub->n++;
    hub->kept += s->keeps;
    engine_defer(e, collect_deferred, hub);
    *ret = s;
    return 0;
}

void engine_stats_close(struct stats_stream *s)
{
    s->fn = NULL;
    if (!s->busy)
        stream_free(s);
}
