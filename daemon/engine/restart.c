/* Restart policies: a container that ended on its own is started again after a pause
 * that doubles from 100 ms to a minute and begins anew when a run lasted 10 s.  Few are started at
 * a time: hundreds that are due at once, as when the host has come up, wait in a line, and what
 * clients ask for meanwhile goes first. */
#include <stdlib.h>

#include "log.h"
#include "private.h"

#define UNHEALTHY_LABEL "containerd-lite.restart-on-unhealthy"
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 60000
#define BACKOFF_RESET_NS (INT64_C(10) * 1000000000)

int64_t restart_backoff(int64_t last_ms, int64_t run_ns)
{
    if (last_ms <= 0 || run_ns >= BACKOFF_RESET_NS)
        return BACKOFF_FIRST_MS;
    return last_ms >= BACKOFF_MAX_MS / 2 ? BACKOFF_MAX_MS : last_ms * 2;
}

static const char *policy_of(const struct container *c)
{
    return json_get_str(json_get(c->host_config, "RestartPolicy"), "Name", "");
}

static bool policy_wants(const struct container *c)
{
    const json_t *policy = json_get(c->host_config, "RestartPolicy");
    const char *name = policy_of(c);
    int64_t max = json_get_int(policy, "MaximumRetryCount", 0);
    bool failed = c->exit_code != 0 || c->failing;

    if (streq(name, "always") || streq(name, "unless-stopped"))
        return true;
    return streq(name, "on-failure") && failed && (max <= 0 || c->restart_count < max);
}

bool restart_wanted(const struct container *c)
{
    return !c->stopped_by_user && !c->remove_after_exit && !c->auto_remove && policy_wants(c);
}

void restart_stopped_by_user(struct container *c)
{
    const char *name = policy_of(c);
    struct err err;

    c->stopped_by_user = true;
    c->stopped_by_checkpoint = false;
    /* The daemon may die before the container has ended. */
    if (*name && !streq(name, "no") && record_save_state(c, &err) < 0)
        log_error("container %s: %s", c->id, err.message);
}

/* ---- health ---- */

void restart_settle_label(const json_t *labels, json_t *host_config)
{
    if (streq(json_get_str(labels, UNHEALTHY_LABEL, ""), "true"))
        json_object_set_new(host_config, "RestartOnUnhealthy", json_true());
}

void restart_unhealthy(struct container *c)
{
    struct err err;

    if (!json_get_bool(c->host_config, "RestartOnUnhealthy", false) ||
        c->status != STATUS_RUNNING || c->kill_timer)
        return;
    c->failing = true;
    /* One whose tries are used up goes on as it is: ending it would help nobody. */
    if (!restart_wanted(c)) {
        c->failing = false;
        return;
    }
    log_info("container %s is unhealthy: restarting it", c->id);
    if (container_stop(c, ENGINE_TIMEOUT_DEFAULT, NULL, &err) < 0 || record_save_state(c, &err) < 0)
        log_error("container %s: %s", c->id, err.message);
}

void restart_by_user(struct container *c)
{
    if (container_is_up(c) || c->starting)
        return;
    c->restart_count = 0;
    c->backoff_ms = 0;
    c->started_by_policy = false;
}

/* ---- the line ---- */

/* One less than the pool has threads: that one is for what clients ask. */
#define LINE_AT_ONCE 3

static void line_advance(struct engine *e);

static void line_started(void *arg, const struct err *err)
{
    struct container *c = arg;
    struct engine *e = c->engine;

    (void)err; /* logged, or tried again */
    e->line.starting--;
    container_unref(c);
    line_advance(e);
}

/* It may have been removed, stopped or started while it was in the line. */
static bool is_due(const struct container *c)
{
    return !c->gone && !c->starting && !c->restart_timer && c->status == STATUS_RESTARTING;
}

static void start_in_line(struct container *c)
{
    if (!is_due(c)) {
        container_unref(c);
        return;
    }
    /* Without a pause it is the daemon's start that starts it, not its own end. */
    if (c->backoff_ms > 0)
        c->restart_count++;
    c->started_by_policy = true;
    c->engine->line.starting++;
    container_start(c, line_started, c);
}

static void line_advance(struct engine *e)
{
    /* A start that fails at once comes back here: no deeper than that. */
    if (e->line.advancing)
        return;
    e->line.advancing = true;
    while (e->line.first && e->line.starting < LINE_AT_ONCE) {
        struct container *c = e->line.first;

        e->line.first = TAKE_PTR(c->line_next);
        if (!e->line.first)
            e->line.last = NULL;
        c->in_line = false;
        start_in_line(c);
    }
    e->line.advancing = false;
}

static void line_join(struct container *c)
{
    struct engine *e = c->engine;

    if (e->closing)
        return; /* the next daemon will */
    if (!c->in_line) {
        c->in_line = true;
        container_ref(c);
        if (e->line.last)
            e->line.last->line_next = c;
        else
            e->line.first = c;
        e->line.last = c;
    }
    line_advance(e);
}

void restart_close(struct engine *e)
{
    while (e->line.first) {
        struct container *c = e->line.first;

        e->line.first = TAKE_PTR(c->line_next);
        c->in_line = false;
        container_unref(c);
    }
    e->line.last = NULL;
}

/* ---- pauses ---- */

static void drop_timer(struct container *c)
{
    if (!c->restart_timer)
        return;
    uv_timer_stop(c->restart_timer);
    uv_close((uv_handle_t *)TAKE_PTR(c->restart_timer), (uv_close_cb)free);
}

static void on_restart(uv_timer_t *t)
{
    struct container *c = t->data;

    drop_timer(c);
    line_join(c);
}

static void schedule(struct container *c)
{
    c->status = STATUS_RESTARTING;
    c->restart_timer = xcalloc(1, sizeof(*c->restart_timer));
    uv_timer_init(c->engine->loop, c->restart_timer);
    c->restart_timer->data = c;
    uv_timer_start(c->restart_timer, on_restart, (uint64_t)c->backoff_ms, 0);
}

void restart_schedule(struct container *c)
{
    c->backoff_ms = restart_backoff(c->backoff_ms, c->finished_ns - c->started_ns);
    schedule(c);
}

/* A command that cannot be run will not be there the next time; what else fails (an address, a
 * port, the container whose network is joined) may well be. */
bool restart_try_again(struct container *c, const struct err *err)
{
    if (!c->started_by_policy)
        return false;
    log_error("container %s: its restart failed: %s", c->id, err->message);
    if (c->exit_code == 126 || c->exit_code == 127 || !restart_wanted(c))
        return false;
    c->backoff_ms = restart_backoff(c->backoff_ms, 0);
    schedule(c);
    return true;
}

void restart_cancel(struct container *c)
{
    drop_timer(c);
    /* While its policy starts it, it is still restarting. */
    if (c->status == STATUS_RESTARTING && !c->started_by_policy)
        c->status = STATUS_EXITED;
}

int restart_stop(struct container *c, struct err *reterr)
{
    restart_cancel(c);
    c->stopped_by_user = true;
    waits_fire(c, WAIT_EXIT, NULL);
    return record_save_state(c, reterr);
}

/* "always" means that a stop does not outlast the daemon. */
static bool wanted_at_start(const struct container *c)
{
    bool stopped = c->stopped_by_user && !streq(policy_of(c), "always");

    return c->status == STATUS_EXITED && c->started_ns > 0 && !c->auto_remove && !stopped &&
           policy_wants(c);
}

void restart_resume(struct container *c)
{
    if (c->exiting || c->starting)
        return;
    if (c->status == STATUS_RESTARTING) {
        restart_schedule(c);
    } else if (wanted_at_start(c)) {
        restart_by_user(c);
        schedule(c);
    }
}
