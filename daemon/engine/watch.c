/* Our table is deleted or thinned out by somebody else: it is made again, as it was.  And iptables
 * drops what it did not before: our rule is put there.  nf_tables tells of both; of the older
 * iptables nothing tells, so that is looked at now and then. */
#include <errno.h>
#include <stdlib.h>

#include "fd.h"
#include "log.h"
#include "private.h"

/* Between one rebuild and the next, whoever keeps deleting. */
#define REBUILD_PAUSE_MS 100
#define REBUILD_PAUSE_MAX_MS 60000 /* twice as long after each one that failed */
#define FORWARD_PAUSE_MS 200
#define FORWARD_LOOK_MS 10000

struct watch {
    struct engine *engine;
    int fd; /* owned */
    uv_poll_t poll;
    uv_timer_t timer, forward_timer;
    bool settling; /* a job looks at FORWARD */
    bool rebuilding;
    bool lost; /* again, meanwhile; or the last rebuild failed */
    uint64_t pause_ms;
    unsigned open_handles;
    struct err err;
    int r;
};

static void rebuild(struct watch *w);

static void rebuild_run(void *arg)
{
    struct watch *w = arg;

    w->r = fabric_rebuild(w->engine->fabric, &w->err);
}

static void on_pause(uv_timer_t *t)
{
    struct watch *w = t->data;

    w->rebuilding = false;
    if (w->lost)
        rebuild(w);
}

static void after_rebuild(void *arg)
{
    struct watch *w = arg;

    if (w->r < 0) {
        log_error("cannot rebuild the nftables table: %s", w->err.message);
        w->lost = true; /* nobody may tell of it once more */
        w->pause_ms = MIN(w->pause_ms * 2, REBUILD_PAUSE_MAX_MS);
    } else {
        log_warn("somebody changed our nftables table: it is rebuilt");
        w->pause_ms = REBUILD_PAUSE_MS;
    }
    if (!w->engine->closing)
        uv_timer_start(&w->timer, on_pause, w->pause_ms, 0);
}

static void rebuild(struct watch *w)
{
    w->lost = true;
    /* What was in the way may be gone. */
    if (uv_timer_get_due_in(&w->timer) > REBUILD_PAUSE_MS)
        uv_timer_start(&w->timer, on_pause, REBUILD_PAUSE_MS, 0);
    if (w->rebuilding || w->engine->closing)
        return;
    w->lost = false;
    w->rebuilding = true;
    job_run(w->engine, rebuild_run, after_rebuild, w);
}

/* ---- the FORWARD chain of iptables ---- */

static void settle_run(void *arg)
{
    struct watch *w = arg;

    fabric_settle_forward(w->engine->fabric);
}

static void after_settle(void *arg)
{
    struct watch *w = arg;

    w->settling = false;
}

static void on_look(uv_timer_t *t)
{
    struct watch *w = t->data;

    if (w->settling || w->engine->closing)
        return;
    w->settling = true;
    job_run(w->engine, settle_run, after_settle, w);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    unsigned news;

    (void)status;
    (void)events;
    news = fabric_monitor_read(w->engine->fabric, w->fd);
    if (news & FABRIC_LOST)
        rebuild(w);
    if (news & FABRIC_FOREIGN) /* whoever changes it is not done yet */
        uv_timer_start(&w->forward_timer, on_look, FORWARD_PAUSE_MS, FORWARD_LOOK_MS);
}

int networks_watch(struct engine *e, struct err *reterr)
{
    struct watch *w;
    int fd = fabric_monitor(e->fabric);

    if (fd < 0)
        return err_sys(reterr, -fd, "cannot watch nftables");
    w = xcalloc(1, sizeof(*w));
    *w = (struct watch){.engine = e, .fd = fd, .pause_ms = REBUILD_PAUSE_MS, .open_handles = 3};
    uv_timer_init(e->loop, &w->timer);
    w->timer.data = w;
    uv_timer_init(e->loop, &w->forward_timer);
    w->forward_timer.data = w;
    uv_timer_start(&w->forward_timer, on_look, FORWARD_LOOK_MS, FORWARD_LOOK_MS);
    uv_poll_init(e->loop, &w->poll, fd);
    w->poll.data = w;
    uv_poll_start(&w->poll, UV_READABLE, on_readable);
    e->watch = w;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;

    if (--w->open_handles > 0)
        return;
    fd_close(w->fd);
    free(w);
}

void networks_unwatch(struct engine *e)
{
    struct watch *w = TAKE_PTR(e->watch);

    if (!w)
        return;
    uv_close((uv_handle_t *)&w->poll, on_closed);
    uv_close((uv_handle_t *)&w->timer, on_closed);
    uv_close((uv_handle_t *)&w->forward_timer, on_closed);
}
