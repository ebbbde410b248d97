/* GET /metrics: gathering what it tells. */
#include "metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fd.h"
#include "private.h"

struct metrics_job {
    struct metrics metrics;
    struct engine *engine;
    struct buf text;
    engine_text_fn *done;
    void *arg;
};

/* ---- on the pool ---- */

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = -3; /* ".", ".." and this directory */

    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Seconds since the epoch at which the machine came up. */
static int64_t boot_time(void)
{
    _cleanup_free_ char *text = NULL;
    const char *p;

    if (file_read(AT_FDCWD, "/proc/stat", 4 << 20, &text) < 0)
        return 0;
    p = strstr(text, "\nbtime ");
    return p ? strtoll(p + strlen("\nbtime "), NULL, 10) : 0;
}

/* proc(5), /proc/pid/stat: what follows the name in parentheses, from the third field on. */
static void read_self(struct metrics *m)
{
    _cleanup_free_ char *text = NULL;
    const int64_t tick = sysconf(_SC_CLK_TCK);
    long long field[25] = {0};
    char *p;

    m->fds = count_fds();
    if (file_read(AT_FDCWD, "/proc/self/stat", 4096, &text) < 0 || !(p = strrchr(text, ')')))
        return;
    p += strlen(") S");
    for (int i = 4; i < (int)ARRAY_SIZE(field); i++)
        field[i] = strtoll(p, &p, 10);
    m->cpu_ns = (field[14] + field[15]) * (INT64_C(1000000000) / tick);
    m->threads = (int)field[20];
    m->started_ns = boot_time() * INT64_C(1000000000) + field[22] * (INT64_C(1000000000) / tick);
    m->virtual = field[23];
    m->resident = field[24] * sysconf(_SC_PAGESIZE);
}

static void read_devices(struct metrics_container *c)
{
    struct netdev_file file = NETDEV_CLOSED;
    struct netdev devices[NETDEV_MAX];
    int n = netdev_read(&file, c->pid, devices, NETDEV_MAX);

    netdev_close(&file);
    if (n <= 0)
        return;
    c->devices = xcalloc((size_t)n, sizeof(devices[0]));
    memcpy(c->devices, devices, (size_t)n * sizeof(devices[0]));
    c->n_devices = n;
}

static void read_container(struct metrics_container *c, struct cgroup_reading *r)
{
    c->labels = metrics_labels(c);
    c->found = cgroup_sampler_read(c->files, r) >= 0;
    if (!c->found)
        return;
    cgroup_figures(r, &c->figures);
    log_dropped_read(c->run_dir, &c->log_lines_dropped, &c->log_bytes_dropped);
    if (c->own_network)
        read_devices(c);
}

static void metrics_run(void *arg)
{
    struct metrics_job *j = arg;
    struct cgroup_reading *r = xmalloc(sizeof(*r));

    read_self(&j->metrics);
    for (size_t i = 0; i < j->metrics.n; i++)
        read_container(&j->metrics.containers[i], r);
    free(r);
    metrics_write(&j->metrics, &j->text);
}

/* ---- files that stay open ---- */

/* Who asks does so again and again, and opening files is half of a reading. */
#define KEPT_MS 90000 /* after the last scrape */
#define KEPT_MAX 256  /* containers */
#define KEPT_SHARE 8  /* and one in so many of the descriptors that the daemon may have, at most */

static bool may_keep(const struct engine *e)
{
    struct rlimit files;

    return e->n_metrics_files < KEPT_MAX && getrlimit(RLIMIT_NOFILE, &files) == 0 &&
           (e->n_metrics_files + 1) * CGROUP_FILES < files.rlim_cur / KEPT_SHARE;
}

/* Those of the last scrape, or new ones; a second scrape at the same time has its own. */
static void take_files(struct container *c, struct metrics_container *o)
{
    struct engine *e = c->engine;
    const char *parent = json_get_str(c->host_config, "CgroupParent", "");

    o->container = container_ref(c);
    o->files = TAKE_PTR(c->metrics_files);
    o->keeps = o->files || may_keep(e);
    if (o->files)
        return;
    o->files = cgroup_sampler_new(e->cgroup, parent, c->id, CGROUP_FOR_FIGURES, o->keeps);
    e->n_metrics_files += o->keeps;
}

static void give_back_files(struct metrics_container *o)
{
    struct container *c = o->container;
    struct engine *e = c->engine;

    if (o->keeps && !c->metrics_files && container_is_up(c) && !e->closing)
        c->metrics_files = TAKE_PTR(o->files);
    else
        e->n_metrics_files -= o->keeps;
    cgroup_sampler_free(o->files);
    container_unref(c);
}

void metrics_forget(struct container *c)
{
    c->engine->n_metrics_files -= c->metrics_files != NULL;
    cgroup_sampler_free(TAKE_PTR(c->metrics_files));
}

void metrics_close(struct engine *e)
{
    struct map_entry *entry;

    for (size_t i = 0; (entry = map_next(&e->by_id, &i));)
        metrics_forget(entry->value);
    if (!e->metrics_timer)
        return;
    uv_timer_stop(e->metrics_timer);
    uv_close((uv_handle_t *)TAKE_PTR(e->metrics_timer), (uv_close_cb)free);
}

static void on_nobody_asks(uv_timer_t *t)
{
    metrics_close(t->data);
}

static void arm(struct engine *e)
{
    if (e->closing || e->n_metrics_files == 0)
        return;
    if (!e->metrics_timer) {
        e->metrics_timer = xcalloc(1, sizeof(*e->metrics_timer));
        uv_timer_init(e->loop, e->metrics_timer);
        e->metrics_timer->data = e;
    }
    uv_timer_start(e->metrics_timer, on_nobody_asks, KEPT_MS, 0);
}

/* ---- on the loop ---- */

static void add_container(struct metrics *m, struct container *c)
{
    enum net_mode mode = container_net_mode(c);
    struct metrics_container *o;

    if (m->n == METRICS_CONTAINERS_MAX) {
        m->n_left_out++;
        return;
    }
    o = &m->containers[m->n++];
    memcpy(o->id, c->id, sizeof(o->id));
    o->name = xstrdup(c->name);
    o->image = xstrdup(c->image_ref);
    take_files(c, o);
    o->run_dir = container_run_dir(c);
    o->pid = c->pid;
    o->own_network = mode == NET_BRIDGE || mode == NET_NONE;
    o->started_ns = c->started_ns;
    o->restarts = c->restart_count;
    o->health = !c->health.checked                 ? METRICS_UNCHECKED
                : streq(health_name(c), "healthy") ? METRICS_HEALTHY
                                                   : METRICS_UNHEALTHY;
}

static void gather(struct engine *e, struct metrics *m)
{
    struct map_entry *entry;
    size_t up = 0;

    for (size_t i = 0; (entry = map_next(&e->by_id, &i));)
        up += container_is_up(entry->value);
    if (up > METRICS_CONTAINERS_MAX)
        up = METRICS_CONTAINERS_MAX;
    m->containers = xcalloc(up ? up : 1, sizeof(*m->containers));
    for (size_t i = 0; (entry = map_next(&e->by_id, &i));) {
        struct container *c = entry->value;

        m->running += c->status == STATUS_RUNNING;
        m->paused += c->status == STATUS_PAUSED;
        m->stopped += !container_is_up(c);
        if (container_is_up(c))
            add_container(m, c);
    }
    m->images = images_count(e->images);
    m->events = events_counts(e->events);
    m->jobs = e->jobs;
}

static void after_metrics(void *arg)
{
    struct metrics_job *j = arg;
    size_t len = buf_size(&j->text);

    j->done(j->arg, buf_take_str(&j->text), len);
    for (size_t i = 0; i < j->metrics.n; i++) {
        struct metrics_container *c = &j->metrics.containers[i];

        free(c->name);
        free(c->image);
        free(c->labels);
        give_back_files(c);
        free(c->run_dir);
        free(c->devices);
    }
    free(j->metrics.containers);
    arm(j->engine);
    free(j);
}

void engine_metrics(struct engine *e, engine_text_fn *done, void *arg)
{
    struct metrics_job *j = xcalloc(1, sizeof(*j));

    j->engine = e;
    j->done = done;
    j->arg = arg;
    gather(e, &j->metrics);
    job_run(e, metrics_run, after_metrics, j);
}
