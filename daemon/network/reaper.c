#include "reaper.h"

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "fd.h"
#include "log.h"
#include "mem.h"
#include "netlink.h"
#include "rtnl.h"
#include "str.h"

/* Each waits with one link; more links wait for a thread. */
#define THREADS_MAX 8
/* That the kernel may take for the end of a namespace whose last process has ended: some ten. */
#define PATIENCE_MS 500

struct victim {
    STAILQ_ENTRY(victim) next;
    char name[IFNAMSIZ];
    uint32_t index; /* instead of the name, if it is not 0 */
    int64_t due_ms; /* of those that are expected to go by themselves */
};

struct reaper {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    STAILQ_HEAD(victims, victim) queue, expected; /* the latter by the time when they are due */
    pthread_t threads[THREADS_MAX];
    unsigned n_threads, n_idle, n_queued;
    bool closing;
};

struct reaper *reaper_new(void)
{
    struct reaper *reaper = xcalloc(1, sizeof(*reaper));
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&reaper->lock, NULL);
    pthread_cond_init(&reaper->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    STAILQ_INIT(&reaper->queue);
    STAILQ_INIT(&reaper->expected);
    return reaper;
}

static void kill_link(const struct victim *v)
{
    _cleanup_close_ int fd = nl_open(NETLINK_ROUTE);
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct err err;
    int r;

    if (v->index > 0)
        rtnl_put_link_delete_index(&batch, v->index);
    else
        rtnl_put_link_delete(&batch, v->name);
    r = fd < 0 ? err_sys(&err, -fd, "open rtnetlink socket") : nl_run(fd, &batch, NULL, NULL, &err);
    if (r < 0 && r != -ENODEV)
        log_warn("delete link %s: %s", v->name, err.message);
}

static struct victim *take(struct victims *from)
{
    struct victim *v = STAILQ_FIRST(from);

    STAILQ_REMOVE_HEAD(from, next);
    return v;
}

static void wait_until(struct reaper *reaper, int64_t ms)
{
    struct timespec until = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    pthread_cond_timedwait(&reaper->wake, &reaper->lock, &until);
}

/* NULL: it is over.  Under the lock. */
static struct victim *wait_for_one(struct reaper *reaper)
{
    for (;;) {
        const struct victim *expected = STAILQ_FIRST(&reaper->expected);

        if (!STAILQ_EMPTY(&reaper->queue)) {
            reaper->n_queued--;
            return take(&reaper->queue);
        }
        if (reaper->closing)
            return NULL;
        if (!expected)
            pthread_cond_wait(&reaper->wake, &reaper->lock);
        else if (expected->due_ms > time_monotonic_ns() / 1000000)
            wait_until(reaper, expected->due_ms);
        else
            return take(&reaper->expected);
    }
}

static struct victim *next(struct reaper *reaper)
{
    struct victim *v;

    pthread_mutex_lock(&reaper->lock);
    reaper->n_idle++;
    v = wait_for_one(reaper);
    reaper->n_idle--;
    pthread_mutex_unlock(&reaper->lock);
    return v;
}

static void *run(void *arg)
{
    struct reaper *reaper = arg;
    struct victim *v;

    while ((v = next(reaper))) {
        kill_link(v);
        free(v);
    }
    return NULL;
}

/* One more thread, if all have something to do.  Under the lock; with all signals blocked, as they
 * are the loop's. */
static int start(struct reaper *reaper)
{
    sigset_t all, before;
    int r;

    if (reaper->n_idle > reaper->n_queued || reaper->n_threads == THREADS_MAX)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&reaper->threads[reaper->n_threads], NULL, run, reaper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        reaper->n_threads++;
    return reaper->n_threads > 0 ? 0 : -r;
}

static int add(struct reaper *reaper, struct victim *v, struct err *reterr)
{
    int r;

    pthread_mutex_lock(&reaper->lock);
    r = start(reaper);
    if (r >= 0 && v->due_ms > 0) {
        STAILQ_INSERT_TAIL(&reaper->expected, v, next);
    } else if (r >= 0) {
        STAILQ_INSERT_TAIL(&reaper->queue, v, next);
        reaper->n_queued++;
    }
    pthread_cond_signal(&reaper->wake);
    pthread_mutex_unlock(&reaper->lock);
    if (r < 0) {
        free(v);
        return err_sys(reterr, -r, "start the thread that deletes links");
    }
    return 0;
}

int reaper_delete(struct reaper *reaper, const char *name, struct err *reterr)
{
    struct victim *v = xcalloc(1, sizeof(*v));

    snprintf(v->name, sizeof(v->name), "%s", name);
    return add(reaper, v, reterr);
}

int reaper_expect(struct reaper *reaper, const char *name, uint32_t index, struct err *reterr)
{
    struct victim *v = xcalloc(1, sizeof(*v));

    snprintf(v->name, sizeof(v->name), "%s", name);
    v->index = index;
    v->due_ms = time_monotonic_ns() / 1000000 + PATIENCE_MS;
    return add(reaper, v, reterr);
}

void reaper_free(struct reaper *reaper)
{
    pthread_mutex_lock(&reaper->lock);
    reaper->closing = true;
    pthread_cond_broadcast(&reaper->wake);
    pthread_mutex_unlock(&reaper->lock);
    for (unsigned i = 0; i < reaper->n_threads; i++)
        pthread_join(reaper->threads[i], NULL);
    while (!STAILQ_EMPTY(&reaper->expected))
        free(take(&reaper->expected)); /* the next daemon looks for what is left */
    pthread_cond_destroy(&reaper->wake);
    pthread_mutex_destroy(&reaper->lock);
    free(reaper);
}
