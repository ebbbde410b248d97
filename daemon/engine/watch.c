/* Our table is deleted or thinned out by somebody else: it is made again, as it was. */
#include <errno.h>
#include <stdlib.h>

#include "fd.h"
#include "log.h"
#include "private.h"

/* Between one rebuild and the next, whoever keeps deleting. */
#define REBUILD_PAUSE_MS 100

struct watch {
    struct engine *engine;
    int fd; /* owned */
    uv_poll_t poll;
    uv_timer_t timer;
    bool rebuilding;
    bool lost; /* again, meanwhile */
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

    if (w->r < 0)
        log_error("cannot rebuild the nftables table: %s", w->err.message);
    else
        log_warn("somebody changed our nftables table: it is rebuilt");
    if (!w->engine->closing)
        uv_timer_start(&w->timer, on_pause, REBUILD_PAUSE_MS, 0);
}

static void rebuild(struct watch *w)
{
    w->lost = true;
    if (w->rebuilding || w->engine->closing)
        return;
    w->lost = false;
    w->rebuilding = true;
    job_run(w->engine, rebuild_run, after_rebuild, w);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;

    (void)status;
    (void)events;
    if (fabric_monitor_read(w->engine->fabric, w->fd))
        rebuild(w);
}

int networks_watch(struct engine *e, struct err *reterr)
{
    struct watch *w;
    int fd = fabric_monitor(e->fabric);

    if (fd < 0)
        return err_sys(reterr, -fd, "cannot watch nftables");
    w = xcalloc(1, sizeof(*w));
    *w = (struct watch){.engine = e, .fd = fd, .open_handles = 2};
    uv_timer_init(e->loop, &w->timer);
    w->timer.data = w;
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
}
