#include <errno.h>
#include <stdlib.h>

#include "private.h"

struct job {
    uv_work_t work;
    struct engine *engine;
    void (*fn)(void *arg);
    void (*after)(void *arg);
    void *arg;
};

static void on_work(uv_work_t *work)
{
    struct job *j = work->data;

    j->fn(j->arg);
}

static void on_after(uv_work_t *work, int status)
{
    struct job *j = work->data;

    (void)status; /* jobs are never cancelled */
    j->engine->jobs--;
    j->after(j->arg);
    free(j);
}

int job_run(struct engine *e, void (*fn)(void *arg), void (*after)(void *arg), void *arg)
{
    struct job *j = xcalloc(1, sizeof(*j));
    int r;

    j->work.data = j;
    j->engine = e;
    j->fn = fn;
    j->after = after;
    j->arg = arg;
    e->jobs++;
    r = uv_queue_work(e->loop, &j->work, on_work, on_after);
    if (r < 0)
        abort(); /* only for a NULL callback */
    return 0;
}

struct deferred {
    struct deferred *next;
    void (*fn)(void *arg);
    void *arg;
};

static void run_deferred(uv_idle_t *idle)
{
    struct engine *e = idle->data;
    struct deferred *list = e->deferred;

    e->deferred = NULL;
    uv_idle_stop(idle);
    while (list) {
        struct deferred *d = list;

        list = d->next;
        d->fn(d->arg);
        free(d);
    }
}

void engine_defer(struct engine *e, void (*fn)(void *arg), void *arg)
{
    struct deferred *d = xcalloc(1, sizeof(*d)), **p = &e->deferred;

    d->fn = fn;
    d->arg = arg;
    while (*p)
        p = &(*p)->next;
    *p = d;
    uv_idle_start(&e->deferred_idle, run_deferred);
}

void pending_add(struct pending **list, engine_done_fn *done, void *arg)
{
    struct pending *p = xcalloc(1, sizeof(*p));

    p->done = done;
    p->arg = arg;
    p->next = *list;
    *list = p;
}

void pending_finish(struct pending **list, const struct err *err)
{
    struct pending *p = TAKE_PTR(*list);

    while (p) {
        struct pending *next = p->next;

        p->done(p->arg, err);
        free(p);
        p = next;
    }
}
