/* Restart policies (API.md 5.12): a container that ended on its own is started again after a pause
 * that doubles from 100 ms to a minute and begins anew when a run lasted 10 s. */
#include <stdlib.h>

#include "log.h"
#include "private.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 60000
#define BACKOFF_RESET_NS (INT64_C(10) * 1000000000)

static const char *policy_of(const struct container *c)
{
    return json_get_str(json_get(c->host_config, "RestartPolicy"), "Name", "");
}

bool restart_wanted(const struct container *c)
{
    const json_t *policy = json_get(c->host_config, "RestartPolicy");
    const char *name = policy_of(c);
    int64_t max = json_get_int(policy, "MaximumRetryCount", 0);

    if (c->stopped_by_user || c->remove_after_exit || c->auto_remove)
        return false;
    if (streq(name, "always") || streq(name, "unless-stopped"))
        return true;
    return streq(name, "on-failure") && c->exit_code != 0 && (max <= 0 || c->restart_count < max);
}

static void on_restart(uv_timer_t *t)
{
    struct container *c = t->data;

    restart_cancel(c);
    c->restart_count++;
    container_start(c, NULL, NULL);
}

void restart_schedule(struct container *c)
{
    bool long_run = c->finished_ns - c->started_ns >= BACKOFF_RESET_NS;

    c->backoff_ms = c->backoff_ms == 0 || long_run ? BACKOFF_FIRST_MS : c->backoff_ms * 2;
    if (c->backoff_ms > BACKOFF_MAX_MS)
        c->backoff_ms = BACKOFF_MAX_MS;
    c->status = STATUS_RESTARTING;
    c->restart_timer = xcalloc(1, sizeof(*c->restart_timer));
    uv_timer_init(c->engine->loop, c->restart_timer);
    c->restart_timer->data = c;
    uv_timer_start(c->restart_timer, on_restart, (uint64_t)c->backoff_ms, 0);
}

void restart_cancel(struct container *c)
{
    if (c->restart_timer) {
        uv_timer_stop(c->restart_timer);
        uv_close((uv_handle_t *)TAKE_PTR(c->restart_timer), (uv_close_cb)free);
    }
    if (c->status == STATUS_RESTARTING)
        c->status = STATUS_EXITED;
}

/* The daemon has started: what was waiting for its turn waits again, and "always" means that a stop
 * does not outlast the daemon. */
void restart_resume(struct container *c)
{
    bool always = streq(policy_of(c), "always") && c->status == STATUS_EXITED && c->started_ns > 0;

    if (c->exiting || c->starting)
        return;
    if (c->status == STATUS_RESTARTING || always)
        restart_schedule(c);
}
