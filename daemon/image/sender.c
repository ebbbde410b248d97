#include "sender.h"

#include <errno.h>
#include <stdbool.h>

#include "fd.h"
#include "mem.h"

#define SEND_MAX                                                                                   \
    (INT64_C(8) << 20) /* a reader that is fast does not keep a pool thread for itself */

struct sender {
    uv_poll_t poll;
    uv_timer_t timer; /* looks for a reader that does not read */
    uv_work_t work;
    struct tarball *tarball; /* owned; the pool's while working */
    int fd;                  /* owned */
    bool working, cancelled, closing;
    bool moved;    /* the socket took something in this turn of the timer */
    int n_handles; /* that are not closed */
    int status;
    void (*done)(void *arg, int status);
    void *arg;
};

static void closed(uv_handle_t *handle)
{
    struct sender *s = handle->data;

    if (--s->n_handles > 0)
        return;
    fd_close(s->fd);
    tarball_free(s->tarball);
    s->done(s->arg, s->status);
    free(s);
}

static void finish(struct sender *s, int status)
{
    if (s->closing)
        return;
    s->closing = true;
    s->status = status;
    uv_close((uv_handle_t *)&s->poll, closed);
    uv_close((uv_handle_t *)&s->timer, closed);
}

static void work(uv_work_t *w)
{
    struct sender *s = w->data;

    s->status = tarball_send(s->tarball, s->fd, SEND_MAX);
}

static void on_writable(uv_poll_t *p, int status, int events);

static void worked(uv_work_t *w, int status)
{
    struct sender *s = w->data;

    (void)status;
    s->working = false;
    if (s->cancelled)
        finish(s, -ECANCELED);
    else if (s->status != -EAGAIN)
        finish(s, s->status);
    else if (uv_poll_start(&s->poll, UV_WRITABLE, on_writable) < 0)
        finish(s, -EIO);
}

static void on_writable(uv_poll_t *p, int status, int events)
{
    struct sender *s = p->data;

    (void)events; /* a hang-up shows in the next write */
    uv_poll_stop(p);
    s->moved = true;
    if (status < 0) {
        finish(s, -EPIPE); /* libuv says EBADF, whatever poll(2) found */
        return;
    }
    s->working = true;
    uv_queue_work(p->loop, &s->work, work, worked);
}

/* A socket is writable again when a good part of its buffer has been read. */
static void on_timer(uv_timer_t *t)
{
    struct sender *s = t->data;

    if (!s->moved && !s->working)
        finish(s, -ETIMEDOUT);
    s->moved = false;
}

int sender_start(uv_loop_t *loop, struct tarball *t, int fd, unsigned pace_ms,
                 void (*done)(void *arg, int status), void *arg, struct sender **ret)
{
    struct sender *s = xcalloc(1, sizeof(*s));
    int r;

    *s = (struct sender){.tarball = t, .fd = fd, .done = done, .arg = arg};
    s->work.data = s;
    r = uv_poll_init(loop, &s->poll, fd);
    if (r < 0) {
        tarball_free(t);
        fd_close(fd);
        free(s);
        return r;
    }
    uv_timer_init(loop, &s->timer);
    s->n_handles = 2;
    s->poll.data = s->timer.data = s;
    uv_timer_start(&s->timer, on_timer, pace_ms, pace_ms);
    r = uv_poll_start(&s->poll, UV_WRITABLE, on_writable);
    if (r < 0)
        finish(s, r);
    *ret = s;
    return 0;
}

void sender_cancel(struct sender *s)
{
    s->cancelled = true;
    if (!s->working)
        finish(s, -ECANCELED);
}
