/* Signals, stopping, restarting, pausing. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "log.h"
#include "private.h"

#define KILL_RETRY_MS 1000

/* ---- freezing, on the pool ---- */

struct freeze_job {
    struct container *container; /* a reference; for the loop only */
    const struct cgroup *cgroup;
    char id[ID_LEN + 1];
    char *parent;
    bool freeze;
    int64_t started_ns;   /* which run of the container is meant */
    engine_done_fn *done; /* NULL: a thaw on the way to a stop */
    void *arg;
    struct err err;
    int r;
};

static void freeze_run(void *arg)
{
    struct freeze_job *j = arg;

    j->r = cgroup_freeze(j->cgroup, j->parent, j->id, j->freeze, &j->err);
}

static void thaw_if_frozen(struct container *c);

static void after_freeze(void *arg)
{
    struct freeze_job *j = arg;
    struct container *c = j->container;
    struct err err;

    c->freezing = false;
    if (!j->freeze || j->r < 0)
        health_hold(c, false);
    if (j->r >= 0 && container_is_up(c) && c->started_ns == j->started_ns) {
        c->status = j->freeze ? STATUS_PAUSED : STATUS_RUNNING;
        if (record_save_state(c, &err) < 0)
            log_error("container %s: %s", c->id, err.message);
        container_event(c, j->freeze ? "pause" : "unpause", NULL);
    }
    if (j->r < 0 && j->err.errnum == ENOENT) /* its cgroup went first: it has ended */
        container_not_running(c, &j->err);
    if (j->done)
        j->done(j->arg, j->r < 0 ? &j->err : NULL);
    if (c->thaw_next) {
        c->thaw_next = false;
        thaw_if_frozen(c);
    }
    free(j->parent);
    free(j);
    container_unref(c);
}

static void freeze(struct container *c, bool on, engine_done_fn *done, void *arg)
{
    struct freeze_job *j = xcalloc(1, sizeof(*j));

    *j = (struct freeze_job){.container = container_ref(c),
                             .cgroup = c->engine->cgroup,
                             .freeze = on,
                             .started_ns = c->started_ns,
                             .done = done,
                             .arg = arg};
    memcpy(j->id, c->id, sizeof(j->id));
    j->parent = xstrdup(json_get_str(c->host_config, "CgroupParent", ""));
    c->freezing = true;
    if (on)
        health_hold(c, true);
    job_run(c->engine, freeze_run, after_freeze, j);
}

/* Or about to be. */
static void thaw_if_frozen(struct container *c)
{
    if (c->freezing)
        c->thaw_next = true;
    else if (c->status == STATUS_PAUSED)
        freeze(c, false, NULL, NULL);
}

static int check_freeze(struct container *c, bool on, struct err *reterr)
{
    if (!container_is_up(c) || c->killed)
        return container_not_running(c, reterr);
    if (c->checkpointing)
        return err_set(reterr, ERR_CONFLICT, EBUSY, "a checkpoint of container %s is being made",
                       c->id);
    if (c->freezing || (on && c->status == STATUS_PAUSED))
        return err_set(reterr, ERR_CONFLICT, EALREADY, "container %s is already paused", c->id);
    if (!on && c->status != STATUS_PAUSED)
        return err_set(reterr, ERR_CONFLICT, EALREADY, "container %s is not paused", c->id);
    return 0;
}

static void pause_or_thaw(struct engine *e, const char *ref, bool on, engine_done_fn *done,
                          void *arg)
{
    struct container *c;
    struct err err;
    int r = registry_find(e, ref, &c, &err);

    if (r >= 0) {
        shim_sync(c);
        r = check_freeze(c, on, &err);
    }
    if (r < 0)
        done(arg, &err);
    else
        freeze(c, on, done, arg);
}

void engine_container_pause(struct engine *e, const char *ref, engine_done_fn *done, void *arg)
{
    pause_or_thaw(e, ref, true, done, arg);
}

void engine_container_unpause(struct engine *e, const char *ref, engine_done_fn *done, void *arg)
{
    pause_or_thaw(e, ref, false, done, arg);
}

/* ---- kill ---- */

static void kill_event(struct container *c, int signo)
{
    char number[16];

    snprintf(number, sizeof(number), "%d", signo);
    container_event(c, "kill", json_pack("{s:s}", "signal", number));
}

int container_signal(struct container *c, int signo, struct err *reterr)
{
    struct shim_msg m = {.type = SHIM_SIGNAL, .signal = (uint32_t)signo};
    int r = shim_post(c, &m, NULL, 0);

    if (r < 0)
        return shim_post_failed(c, r, "signal", reterr);
    if (signo == SIGKILL) {
        c->killed = true;
        thaw_if_frozen(c); /* or nobody dies of it */
    }
    return 0;
}

/* A stop or kill that came while the container was starting: done once that is over. */
struct late_stop {
    struct engine *engine;
    char id[ID_LEN + 1];
    bool kill;
    int64_t timeout;
    char *signal; /* owned, may be NULL */
    engine_done_fn *done;
    void *arg;
};

static void stop_after_start(void *arg, const struct err *err)
{
    struct late_stop *l = arg;

    (void)err;
    if (l->kill)
        engine_container_kill(l->engine, l->id, l->signal, l->done, l->arg);
    else
        engine_container_stop(l->engine, l->id, l->timeout, l->signal, l->done, l->arg);
    free(l->signal);
    free(l);
}

static void stop_later(struct container *c, bool kill, int64_t timeout, const char *signal,
                       engine_done_fn *done, void *arg)
{
    struct late_stop *l = xcalloc(1, sizeof(*l));

    *l = (struct late_stop){.engine = c->engine,
                            .kill = kill,
                            .timeout = timeout,
                            .signal = xstrdup_null(signal),
                            .done = done,
                            .arg = arg};
    memcpy(l->id, c->id, sizeof(l->id));
    pending_add(&c->start_pending, stop_after_start, l);
}

/* The container's own, SIGTERM if it names none (or a bad one). */
static int stop_signal(const struct container *c)
{
    const char *name = json_get_str(c->config, "StopSignal", "");
    int signo = str_empty(name) ? SIGTERM : signal_parse(name, NULL);

    return signo < 0 ? SIGTERM : signo;
}

void engine_container_kill(struct engine *e, const char *ref, const char *signal,
                           engine_done_fn *done, void *arg)
{
    struct container *c;
    struct err err;
    int signo = SIGKILL, r = registry_find(e, ref, &c, &err);

    if (r >= 0 && !str_empty(signal))
        r = signo = signal_parse(signal, &err);
    if (r >= 0 && c->starting) {
        stop_later(c, true, 0, signal, done, arg);
        return;
    }
    if (r >= 0) {
        shim_sync(c);
        if (c->status == STATUS_RESTARTING && c->exiting) {
            c->stopped_by_user = true;
            pending_add(&c->exit_pending, done, arg);
            return;
        }
        if (c->status == STATUS_RESTARTING) {
            r = restart_stop(c, &err);
            done(arg, r < 0 ? &err : NULL);
            return;
        }
        if (!container_is_up(c))
            r = err_set(&err, ERR_CONFLICT, ESRCH, "container %s is not running", c->id);
    }
    if (r >= 0)
        r = container_signal(c, signo, &err);
    if (r < 0) {
        err_wrap(&err, "cannot kill container: %s", ref);
        done(arg, &err);
        return;
    }
    if (signo == SIGKILL || signo == stop_signal(c)) {
        restart_stopped_by_user(c);
        thaw_if_frozen(c);
    }
    kill_event(c, signo);
    if (signo == SIGKILL)
        /* Docker's clients rely on a KILL being over when the call is. */
        pending_add(&c->exit_pending, done, arg);
    else
        done(arg, NULL);
}

/* ---- stop ---- */

static void on_kill_timer(uv_timer_t *t)
{
    struct container *c = t->data;
    struct err err;

    if (!container_is_up(c))
        return;
    log_info("container %s did not exit in time: killing it", c->id);
    kill_event(c, SIGKILL);
    if (container_signal(c, SIGKILL, &err) < 0 && container_is_up(c)) {
        log_error("%s", err.message);
        uv_timer_start(t, on_kill_timer, KILL_RETRY_MS, 0);
    }
}

/* Of several stops the one that is least patient decides. */
static void arm_kill_timer(struct container *c, int64_t seconds)
{
    uint64_t ms = (uint64_t)seconds * 1000;

    if (seconds < 0)
        return; /* wait for ever */
    if (!c->kill_timer) {
        c->kill_timer = xcalloc(1, sizeof(*c->kill_timer));
        uv_timer_init(c->engine->loop, c->kill_timer);
        c->kill_timer->data = c;
    }
    if (!uv_is_active((uv_handle_t *)c->kill_timer) || ms < uv_timer_get_due_in(c->kill_timer))
        uv_timer_start(c->kill_timer, on_kill_timer, ms, 0);
}

static int64_t stop_timeout(const struct container *c, int64_t wanted)
{
    if (wanted == ENGINE_TIMEOUT_DEFAULT)
        wanted = json_get_int(c->config, "StopTimeout", 10);
    return wanted > INT32_MAX ? INT32_MAX : wanted;
}

int container_stop(struct container *c, int64_t timeout, const char *signal, struct err *reterr)
{
    const char *name = str_empty(signal) ? json_get_str(c->config, "StopSignal", "") : signal;
    int signo = SIGTERM, r;

    if (!str_empty(name)) {
        r = signo = signal_parse(name, reterr);
        if (r < 0)
            return r;
    }
    r = container_signal(c, signo, reterr);
    if (r < 0)
        return r;
    kill_event(c, signo);
    thaw_if_frozen(c);
    arm_kill_timer(c, stop_timeout(c, timeout));
    return 0;
}

/* Calls that must say something once the container has ended. */
struct stop_call {
    struct container *container; /* a reference */
    engine_done_fn *done;
    void *arg;
    char *ref; /* owned; how the client called it, for a restart's errors */
};

static void stop_call_free(struct stop_call *s)
{
    free(s->ref);
    container_unref(s->container);
    free(s);
}

static void stopped(void *arg, const struct err *err)
{
    struct stop_call *s = arg;

    if (!err)
        container_event(s->container, "stop", NULL);
    s->done(s->arg, err);
    stop_call_free(s);
}

static struct stop_call *stop_call_new(struct container *c, engine_done_fn *done, void *arg)
{
    struct stop_call *s = xcalloc(1, sizeof(*s));

    s->container = container_ref(c);
    s->done = done;
    s->arg = arg;
    return s;
}

/* As dockerd: nearly whatever the reason, it is a failure of the system's.  But who comes while the
 * container is removed is told of a conflict. */
static void fail_as(struct err *err, const char *what, const char *ref)
{
    err_wrap(err, "%s %s", what, ref);
    if (err->kind != ERR_CONFLICT)
        err->kind = ERR_SYSTEM;
}

void engine_container_stop(struct engine *e, const char *ref, int64_t timeout, const char *signal,
                           engine_done_fn *done, void *arg)
{
    struct container *c;
    struct err err;
    int r = registry_find(e, ref, &c, &err);

    if (r >= 0 && c->starting) {
        stop_later(c, false, timeout, signal, done, arg);
        return;
    }
    if (r >= 0) {
        shim_sync(c);
        if (c->exiting) {
            c->stopped_by_user = true; /* no restart after this */
            pending_add(&c->exit_pending, stopped, stop_call_new(c, done, arg));
            return;
        }
        if (c->status == STATUS_RESTARTING) {
            r = restart_stop(c, &err);
            container_event(c, "stop", NULL);
            done(arg, r < 0 ? &err : NULL);
            return;
        }
        if (!container_is_up(c))
            r = err_set(&err, ERR_NOT_MODIFIED, EALREADY, "container already stopped");
    }
    if (r >= 0) {
        r = container_stop(c, timeout, signal, &err);
        if (r >= 0)
            restart_stopped_by_user(c);
        if (r < 0 && c->exiting)
            r = 0; /* it was faster */
        if (r < 0)
            fail_as(&err, "cannot stop container:", ref);
    }
    if (r < 0)
        done(arg, &err);
    else
        pending_add(&c->exit_pending, stopped, stop_call_new(c, done, arg));
}

/* ---- restart ---- */

static void restart_started(void *arg, const struct err *err)
{
    struct stop_call *s = arg;
    struct err why;

    if (err) {
        why = *err;
        fail_as(&why, "Cannot restart container", s->ref);
        err = &why;
    } else {
        container_event(s->container, "restart", NULL);
    }
    s->done(s->arg, err);
    stop_call_free(s);
}

static void restart_stopped(void *arg, const struct err *err)
{
    struct stop_call *s = arg;

    if (err) { /* we end before it does */
        restart_started(s, err);
        return;
    }
    container_event(s->container, "stop", NULL);
    restart_by_user(s->container);
    container_start(s->container, restart_started, s);
}

void engine_container_restart(struct engine *e, const char *ref, int64_t timeout,
                              const char *signal, engine_done_fn *done, void *arg)
{
    struct container *c;
    struct stop_call *s;
    struct err err;
    int r = registry_find(e, ref, &c, &err);

    if (r < 0) {
        done(arg, &err);
        return;
    }
    shim_sync(c);
    s = stop_call_new(c, done, arg);
    s->ref = xstrdup(ref);
    if (!container_is_up(c)) {
        restart_by_user(c);
        container_start(c, restart_started, s);
        return;
    }
    c->restarting = true; /* --rm must not remove it in between */
    r = container_stop(c, timeout, signal, &err);
    if (r < 0 && c->exiting)
        r = 0; /* it was faster */
    if (r < 0) {
        c->restarting = false;
        fail_as(&err, "Cannot restart container", ref);
        done(arg, &err);
        stop_call_free(s);
        return;
    }
    pending_add(&c->exit_pending, restart_stopped, s);
}
