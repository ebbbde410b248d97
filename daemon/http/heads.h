/* How long the head of a request may take.
 *
 * To libmicrohttpd a client that sends a byte an hour is alive, and where a connection stands
 * within a request line it tells nobody.  So each connection is in a second epoll set,
 * edge-triggered, which is asked before libmicrohttpd reads: bytes for one that has no request
 * begin a head.  One byte in a race with the asking goes unseen, the next one does not.  Private to
 * this folder's core. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct http_req;
struct listener;

/* A connection of libmicrohttpd's.  It forgets to tell the end of a request whose head it
 * refused. */
struct conn {
    struct listener *listener; /* borrowed */
    struct http_req *req;      /* the current one */
    int fd;                    /* borrowed; -EBADF: not watched */
    struct conn *prev, *next;  /* among those whose head has begun, by its time */
    bool begun;
    uint64_t since; /* uv_now() */
};

struct heads {
    int epoll_fd;     /* owned */
    uv_timer_t timer; /* runs while a head is coming, and one turn longer */
    struct conn *first, *last;
};

/* 0 or -errno; the timer's close callback is `closed`. */
int heads_init(struct listener *l);
/* When no connection is left. */
void heads_done(struct listener *l, uv_close_cb closed);

void heads_watch(struct conn *c, int fd);
/* Before its socket is closed or given away; does nothing to one that is not watched. */
void heads_forget(struct conn *c);
/* Before libmicrohttpd reads. */
void heads_look(struct listener *l);
void heads_begin(struct conn *c); /* a request line was read */
void heads_end(struct conn *c);   /* the head is complete */
