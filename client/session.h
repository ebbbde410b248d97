/* A live stream between the user's stdin, stdout and stderr and a container (attach) or a process
 * in it (exec), with signals, terminal size and the wait for its end, in one poll(2) loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client.h"

/* A pending POST /containers/ID/wait. */
struct waiter {
    struct conn conn;
    struct buf body;
    char *path;       /* owned; asked again when the daemon was restarted under us */
    bool answered;    /* the head of the reply was read */
    bool done;        /* status is known */
    int64_t status;   /* exit code; 125 if waiting itself failed */
    int64_t retry_at; /* monotonic ms of the next try while the connection is lost, else 0 */
    int64_t lost_at;  /* since when it is */
};

struct session {
    struct client *client;
    struct conn conn;    /* upgraded */
    struct waiter *wait; /* borrowed, or NULL */
    bool tty;            /* the far end is a terminal: a raw stream, no frames */
    bool input;          /* forward our stdin */
    bool show_out, show_err;
    bool redraw;             /* attached to a running one: make it repaint by a change of size */
    const char *detach_keys; /* or NULL */
    char *resize_path;       /* owned; NULL: never resize */
    char *kill_path;         /* owned; NULL: signals are not forwarded */
    int signal_fd;
};

enum session_end { SESSION_ENDED, SESSION_DETACHED };

/* Queue signals from now on (to be called before the container starts, so that none is lost):
 * those to forward if kill_path is set, and SIGWINCH if resize_path is. */
int session_catch_signals(struct session *s);
/* Pump until the stream ends (and the waiter has its status), or the user detaches.  Returns an
 * enum session_end or a negative errno. */
int session_run(struct session *s, struct err *reterr);
void session_done(struct session *s);

/* Send the request, without waiting for anything. */
int waiter_send(struct waiter *w, struct client *c, struct err *reterr);
/* Wait for the head: from here on the daemon will not miss the exit. */
int waiter_receive(struct waiter *w, struct client *c, struct err *reterr);
/* Go on after poll(2) said that conn.fd is readable, or that retry_at has come; may block for the
 * rest of a reply that has begun.  Sets done. */
int waiter_step(struct waiter *w, struct client *c, struct err *reterr);
/* Block until the status is known. */
int waiter_finish(struct waiter *w, struct client *c, struct err *reterr);
void waiter_done(struct waiter *w);
