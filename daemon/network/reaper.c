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

/* Each waits with one link; more links wait for a thread. */
#define THREADS_MAX 8

struct victim {
    STAILQ_ENTRY(victim) next;
    char name[IFNAMSIZ];
};

struct reaper {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    STAILQ_HEAD(, victim) queue;
    pthread_t threads[THREADS_MAX];
    unsigned n_threads, n_idle, n_queued;
    bool closing;
};

struct reaper *reaper_new(void)
{
    struct reaper *reaper = xcalloc(1, sizeof(*reaper));

    pthread_mutex_init(&reaper->lock, NULL);
    pthread_cond_init(&reaper->wake, NULL);
    STAILQ_INIT(&reaper->queue);
    return reaper;
}

static void kill_link(const char *name)
{
    _cleanup_close_ int fd = nl_open(NETLINK_ROUTE);
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct err err;
    int r;

    rtnl_put_link_delete(&batch, name);
    r = fd < 0 ? err_sys(&err, -fd, "open rtnetlink socket") : nl_run(fd, &batch, NULL, NULL, &err);
    if (r < 0 && r != -ENODEV)
        log_warn("delete link %s: %s", name, err.message);
}

static struct victim *next(struct reaper *reaper)
{
    struct victim *v;

    pthread_mutex_lock(&reaper->lock);
    reaper->n_idle++;
    while (STAILQ_EMPTY(&reaper->queue) && !reaper->closing)
        pthread_cond_wait(&reaper->wake, &reaper->lock);
    reaper->n_idle--;
    v = STAILQ_FIRST(&reaper->queue);
    if (v) {
        STAILQ_REMOVE_HEAD(&reaper->queue, next);
        reaper->n_queued--;
    }
    pthread_mutex_unlock(&reaper->lock);
    return v;
}

static void *run(void *arg)
{
    struct reaper *reaper = arg;
    struct victim *v;

    while ((v = next(reaper))) {
        kill_link(v->name);
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

int reaper_delete(struct reaper *reaper, const char *name, struct err *reterr)
{
    struct victim *v = xcalloc(1, sizeof(*v));
    int r;

    snprintf(v->name, sizeof(v->name), "%s", name);
    pthread_mutex_lock(&reaper->lock);
    r = start(reaper);
    if (r >= 0) {
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

void reaper_free(struct reaper *reaper)
{
    pthread_mutex_lock(&reaper->lock);
    reaper->closing = true;
    pthread_cond_broadcast(&reaper->wake);
    pthread_mutex_unlock(&reaper->lock);
    for (unsigned i = 0; i < reaper->n_threads; i++)
        pthread_join(reaper->threads[i], NULL);
    pthread_cond_destroy(&reaper->wake);
    pthread_mutex_destroy(&reaper->lock);
    free(reaper);
}
