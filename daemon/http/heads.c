#include "heads.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "req.h"

#define EVENTS_MAX 64
#define TURNS 8 /* of the timer in the time that a head may take */

int heads_init(struct listener *l)
{
    struct heads *h = &l->heads;

    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (h->epoll_fd < 0)
        return -errno;
    uv_timer_init(l->server->loop, &h->timer);
    h->timer.data = l;
    return 0;
}

void heads_done(struct listener *l, uv_close_cb closed)
{
    l->heads.epoll_fd = fd_close(l->heads.epoll_fd);
    uv_close((uv_handle_t *)&l->heads.timer, closed);
}

/* ---- those that have begun ---- */

void heads_end(struct conn *c)
{
    struct heads *h = &c->listener->heads;

    if (!c->begun)
        return;
    c->begun = false;
    *(c->prev ? &c->prev->next : &h->first) = c->next;
    *(c->next ? &c->next->prev : &h->last) = c->prev;
    c->prev = c->next = NULL;
}

/* Nothing of an answer has been sent: this is one. */
static void cut(struct conn *c)
{
    static const char body[] = "{\"message\":\"the head of the request took too long\"}\n";
    _cleanup_free_ char *answer =
        xasprintf("HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"
                  "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                  strlen(body), body);

    heads_end(c);
    send(c->fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(c->fd, SHUT_RDWR); /* libmicrohttpd sees the end, and closes */
}

static void on_turn(uv_timer_t *t)
{
    struct listener *l = t->data;
    struct heads *h = &l->heads;
    uint64_t now = uv_now(l->server->loop);

    while (h->first && now - h->first->since >= l->server->head_ms)
        cut(h->first);
    if (!h->first)
        uv_timer_stop(t);
}

void heads_begin(struct conn *c)
{
    struct heads *h = &c->listener->heads;
    uint64_t turn = c->listener->server->head_ms / TURNS + 1;

    if (c->begun || c->fd < 0)
        return;
    c->begun = true;
    c->since = uv_now(c->listener->server->loop);
    c->prev = h->last;
    *(h->last ? &h->last->next : &h->first) = c;
    h->last = c;
    /* Left to run: stopped and started for each request it would cost more than it does. */
    if (!uv_is_active((uv_handle_t *)&h->timer))
        uv_timer_start(&h->timer, on_turn, turn, turn);
}

/* ---- their sockets ---- */

void heads_watch(struct conn *c, int fd)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = c};

    if (epoll_ctl(c->listener->heads.epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0)
        c->fd = fd;
}

void heads_forget(struct conn *c)
{
    heads_end(c);
    if (c->fd >= 0)
        epoll_ctl(c->listener->heads.epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
    c->fd = -EBADF;
}

void heads_look(struct listener *l)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(l->heads.epoll_fd, events, EVENTS_MAX, 0);

    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;

        if (!c->req || c->req->phase == REQ_HEAD)
            heads_begin(c);
    }
}
