#include "loop.h"

#include <errno.h>
#include <stddef.h>

#define BATCH 16

static int epoll_fd = -EBADF;
/* The events being handled, so that watch_done() can take out those of a dead watch. */
static struct epoll_event batch[BATCH];
static int batch_len;

int loop_init(void)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? -errno : 0;
}

void watch_init(struct watch *w, int fd, void (*fn)(void *arg, uint32_t events), void *arg)
{
    *w = (struct watch){.fd = fd, .fn = fn, .arg = arg};
}

void watch_set(struct watch *w, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = w};
    int op = EPOLL_CTL_MOD;

    if (w->fd < 0 || events == w->events)
        return;
    if (w->events == 0)
        op = EPOLL_CTL_ADD;
    else if (events == 0)
        op = EPOLL_CTL_DEL;
    /* EPERM is a regular file: always ready, never waited for. */
    if (epoll_ctl(epoll_fd, op, w->fd, &ev) == 0)
        w->events = events;
}

void watch_done(struct watch *w)
{
    watch_set(w, 0);
    w->fd = -EBADF;
    w->fn = NULL;
    for (int i = 0; i < batch_len; i++) {
        if (batch[i].data.ptr == w)
            batch[i].data.ptr = NULL;
    }
}

int loop_run_once(int timeout_ms)
{
    int n = epoll_wait(epoll_fd, batch, BATCH, timeout_ms);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    batch_len = n;
    for (int i = 0; i < n; i++) {
        struct watch *w = batch[i].data.ptr;

        if (w && w->fn)
            w->fn(w->arg, batch[i].events);
    }
    batch_len = 0;
    return 0;
}
