/* Containers that run out of memory: the events "oom" (with the process that was killed) and
 * "memory-pressure", while they run.
 *
 * Only a container with a limit is watched: two descriptors.  Whom the kernel chose it tells in its
 * log alone, which is read when a notice comes and not before: it is busy with other things. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "oomline.h"
#include "private.h"

#define KMSG "/dev/kmsg"
#define KMSG_RECORD_MAX 8192  /* the kernel's CONSOLE_EXT_LOG_MAX */
#define KMSG_RECORDS_MAX 8192 /* looked at in one go */
#define SETTLE_MS 50          /* v1's notice comes before the kernel has chosen */
#define PRESSURE_EVERY_NS (10 * INT64_C(1000000000))

struct shortage {
    struct engine *engine;
    char id[ID_LEN + 1];
    struct cgroup_memory_watch fds; /* owned */
    uv_poll_t oom, pressure;
    uv_timer_t settle;
    unsigned handles; /* that are not closed yet */
    int64_t pressure_told_ns;
};

/* ---- the kernel's log ---- */

static void tell_oom(struct container *c, const struct oom_victim *v)
{
    char pid[16];

    c->oom_told = true;
    if (!v) {
        container_event(c, "oom", NULL);
        return;
    }
    snprintf(pid, sizeof(pid), "%d", v->pid);
    log_info("container %s: out of memory: the kernel killed process %s (%s)", c->id, pid,
             v->process);
    container_event(c, "oom", json_pack("{s:s, s:s}", "pid", pid, "process", v->process));
}

void shortage_open(struct engine *e)
{
    e->kmsg = open(KMSG, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (e->kmsg >= 0)
        (void)lseek(e->kmsg, 0, SEEK_END);
}

/* Never waits: there is a record, or EAGAIN.  EPIPE: some were overwritten, go on. */
static void read_log(struct engine *e)
{
    char record[KMSG_RECORD_MAX + 1];

    for (unsigned i = 0; e->kmsg >= 0 && i < KMSG_RECORDS_MAX; i++) {
        ssize_t n = read(e->kmsg, record, KMSG_RECORD_MAX);
        struct oom_victim v;
        struct container *c;

        if (n < 0 && errno != EPIPE && errno != EINTR)
            return;
        if (n <= 0)
            continue;
        record[n] = '\0';
        if (!oomline_parse(record, &v))
            continue;
        c = map_get(&e->by_id, v.id);
        if (c && container_is_up(c))
            tell_oom(c, &v);
    }
}

void shortage_at_exit(struct container *c)
{
    if (!c->oom_killed)
        return;
    if (!c->oom_told)
        read_log(c->engine);
    if (!c->oom_told)
        tell_oom(c, NULL);
}

/* ---- notices ---- */

static void after_close(uv_handle_t *h)
{
    struct shortage *s = h->data;

    if (--s->handles > 0)
        return;
    fd_close(s->fds.oom);
    fd_close(s->fds.pressure);
    free(s);
}

static void on_settled(uv_timer_t *t)
{
    struct shortage *s = t->data;
    struct container *c = map_get(&s->engine->by_id, s->id);
    bool told;

    if (!c)
        return;
    told = c->oom_told;
    read_log(s->engine);
    /* Without a killer the processes wait, and somebody should be told. */
    if (!told && !c->oom_told && container_is_up(c) &&
        cgroup_is_out_of_memory(s->engine->cgroup, json_get_str(c->host_config, "CgroupParent", ""),
                                c->id))
        tell_oom(c, NULL);
}

/* An eventfd's count, or the file whose contents the next poll compares with. */
static void drain(const struct shortage *s, int fd)
{
    char text[512];

    if (s->fds.v2)
        (void)!pread(fd, text, sizeof(text), 0);
    else
        (void)!read(fd, text, 8);
}

static void on_oom(uv_poll_t *p, int status, int events)
{
    struct shortage *s = p->data;

    (void)events;
    if (status < 0) {
        uv_poll_stop(p);
        return;
    }
    drain(s, s->fds.oom);
    if (!uv_is_active((uv_handle_t *)&s->settle))
        uv_timer_start(&s->settle, on_settled, SETTLE_MS, 0);
}

static void on_pressure(uv_poll_t *p, int status, int events)
{
    struct shortage *s = p->data;
    struct container *c = map_get(&s->engine->by_id, s->id);
    int64_t now = time_monotonic_ns();

    (void)events;
    if (status < 0) { /* the cgroup has gone */
        uv_poll_stop(p);
        return;
    }
    if (!s->fds.v2)
        drain(s, s->fds.pressure);
    if (!c || (s->pressure_told_ns && now - s->pressure_told_ns < PRESSURE_EVERY_NS))
        return;
    s->pressure_told_ns = now;
    container_event(c, "memory-pressure", NULL);
}

static void add_poll(struct shortage *s, uv_poll_t *p, int fd, uv_poll_cb fn)
{
    if (fd < 0 || uv_poll_init(s->engine->loop, p, fd) < 0)
        return;
    p->data = s;
    s->handles++;
    (void)uv_poll_start(p, s->fds.v2 ? UV_PRIORITIZED : UV_READABLE, fn);
    uv_unref((uv_handle_t *)p);
}

struct watch_job {
    struct container *container; /* a reference; for the loop only */
    struct shortage *shortage;
    const struct cgroup *cgroup;
    char *parent;
    int64_t started_ns;
    int r;
};

static void watch_run(void *arg)
{
    struct watch_job *j = arg;

    j->r = cgroup_memory_watch(j->cgroup, j->parent, j->shortage->id, &j->shortage->fds);
}

static void after_watch(void *arg)
{
    struct watch_job *j = arg;
    struct container *c = j->container;
    struct shortage *s = j->shortage;

    if (j->r >= 0 && container_is_up(c) && c->started_ns == j->started_ns && !c->shortage &&
        !c->engine->closing) {
        c->shortage = s;
        uv_timer_init(c->engine->loop, &s->settle);
        s->settle.data = s;
        s->handles = 1;
        add_poll(s, &s->oom, s->fds.oom, on_oom);
        add_poll(s, &s->pressure, s->fds.pressure, on_pressure);
    } else {
        fd_close(s->fds.oom);
        fd_close(s->fds.pressure);
        free(s);
    }
    free(j->parent);
    free(j);
    container_unref(c);
}

static bool is_limited(const struct container *c)
{
    return json_get_int(c->host_config, "Memory", 0) > 0 ||
           json_get_int(c->host_config, "MemoryHigh", 0) > 0;
}

void shortage_watch(struct container *c)
{
    struct watch_job *j;

    if (c->shortage || !is_limited(c))
        return;
    j = xcalloc(1, sizeof(*j));
    *j = (struct watch_job){.container = container_ref(c),
                            .shortage = xcalloc(1, sizeof(*j->shortage)),
                            .cgroup = c->engine->cgroup,
                            .parent = xstrdup(json_get_str(c->host_config, "CgroupParent", "")),
                            .started_ns = c->started_ns};
    j->shortage->engine = c->engine;
    j->shortage->fds = (struct cgroup_memory_watch){.oom = -EBADF, .pressure = -EBADF};
    memcpy(j->shortage->id, c->id, sizeof(c->id));
    job_run(c->engine, watch_run, after_watch, j);
}

void shortage_unwatch(struct container *c)
{
    struct shortage *s = TAKE_PTR(c->shortage);

    if (!s)
        return;
    uv_close((uv_handle_t *)&s->settle, after_close);
    if (s->oom.data)
        uv_close((uv_handle_t *)&s->oom, after_close);
    if (s->pressure.data)
        uv_close((uv_handle_t *)&s->pressure, after_close);
}
