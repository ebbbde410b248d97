/* The inside of a request; private to this folder's core (handlers see http.h only).
 *
 * A request is owned from two sides: by the connection, until libmicrohttpd is done with it, and by
 * the handler, until it has answered.  It is freed when both have let go.
 *
 * Taking over: streams and hijacked sockets leave libmicrohttpd, which can neither see a client
 * leave while a connection is suspended, nor give up a socket after anything but a 101.  The
 * request's socket is duplicated, a dummy is put at libmicrohttpd's descriptor number, and
 * libmicrohttpd is told to "upgrade" that dummy: it yields the bytes it had read ahead, and closes
 * the dummy in its own way, which never touches the client's socket.
 */
#pragma once

#include <microhttpd.h>
#include <uv.h>

#include "buf.h"
#include "heads.h"
#include "http.h"
#include "query.h"
#include "server.h"

enum req_phase {
    REQ_HEAD,    /* libmicrohttpd has not called us for it yet */
    REQ_BODY,    /* the body is being read */
    REQ_RUNNING, /* body complete: an answer may be sent */
    REQ_QUEUED,  /* the answer is libmicrohttpd's */
};

enum req_answer {
    ANSWER_NONE,
    ANSWER_RESPONSE, /* req->response */
    ANSWER_TAKEOVER, /* a stream or a hijack */
};

struct req_header {
    const char *name;
    char *value; /* owned */
};

#define REQ_MAX_HEADERS 8

typedef void (*takeover_fn)(void *arg, int fd, const void *extra, size_t extra_len);

struct http_req {
    struct http_req *prev, *next;  /* in server->requests, while conn is set */
    struct http_server *server;    /* referenced */
    struct listener *listener;     /* borrowed; valid while conn is set */
    struct MHD_Connection *conn;   /* borrowed; NULL when libmicrohttpd is done */
    struct MHD_Response *response; /* owned, until queued */

    char *uri;        /* as sent */
    char *path;       /* decoded */
    char *method;     /* owned: libmicrohttpd's copy dies with the connection */
    const char *rest; /* into path, behind the version */
    char *param;
    struct query query;
    const struct http_route *route;
    int version;

    enum req_phase phase;
    enum req_answer answer;
    unsigned status;
    bool gone;       /* the client left */
    bool suspended;  /* in libmicrohttpd */
    bool keep_alive; /* the client speaks HTTP/1.1 and did not say "close" */
    bool http10;
    bool beginning;      /* req_begin(): nothing of the body was read */
    bool handled;        /* the handler was called, and will answer */
    unsigned idle_limit; /* s that libmicrohttpd waits for more; 0: the server's */
    bool plain;          /* no Api-Version and the like: unknown paths */

    struct req_header headers[REQ_MAX_HEADERS];
    size_t n_headers;

    struct buf body;
    size_t discarded;
    json_t *json;
    struct upload *upload;      /* owned */
    struct raw *raw;            /* owned: body and answer go past libmicrohttpd */
    struct http_stream *stream; /* opened while the body still came; borrowed */

    struct watch *watch; /* sees the client leave while suspended */
    void (*on_abort)(void *arg);
    void *abort_arg;

    int client_fd; /* taken over, not yet handed on; else -EBADF */
    int dummy_fd;  /* peer of libmicrohttpd's dummy; else -EBADF */
    takeover_fn takeover;
    void *takeover_arg;
};

/* server.c */
struct listener {
    struct http_server *server;
    struct MHD_Daemon *daemon;
    uv_poll_t poll; /* on the daemon's epoll descriptor */
    uv_timer_t timer;
    uv_idle_t idle; /* active while there is something to do at once */
    struct heads heads;
    bool kicked;
    unsigned callbacks; /* that libmicrohttpd has made, ever: the sign of progress */
    unsigned spins;     /* runs at once, one after the other, without one */
};

/* A connection was resumed.  libmicrohttpd's epoll descriptor does not tell: driven from
 * outside, it makes no eventfd for that. */
void server_kick(struct listener *l);

struct http_server {
    uv_loop_t *loop;
    const struct http_route *routes;
    void *context;
    struct listener *listeners; /* owned */
    size_t n;
    size_t refs;         /* of handles, requests and the creator */
    size_t open_handles; /* not yet closed by libuv */
    unsigned head_ms;    /* that a request's head may take */
    bool stopped;
    bool experimental;
    unsigned pace_ms; /* HTTP_PACE_S */
    struct http_req *requests;
    struct http_stream *streams;
    struct websocket *websockets;
    struct MHD_Response *upgrade; /* for all take-overs */
    size_t taken_over; /* sockets of streams and websockets, bounded by HTTP_MAX_STREAMS */
    void (*done)(void *arg);
    void *done_arg;
};

void server_ref(struct http_server *s);
void server_unref(struct http_server *s);
/* Each libuv handle is counted, so that the end of the last one can be told. */
void server_handle_opened(struct http_server *s);
void server_handle_closed(struct http_server *s);

/* A uv_poll_t that frees itself and keeps the server until it is closed. */
struct watch {
    uv_poll_t poll; /* poll.data is the user's */
    struct http_server *server;
};
struct watch *watch_new(struct http_server *s, int fd, void *data); /* NULL: fd cannot be polled */
void watch_free(struct watch *w);                                   /* NULL does nothing */

/* Call fn from the loop, soon. */
void server_defer(struct http_server *s, void (*fn)(void *arg), void *arg);

/* The same after some time, unless it is taken back before; NULL does nothing. */
struct deferred *server_later(struct http_server *s, unsigned ms, void (*fn)(void *arg), void *arg);
void server_later_cancel(struct deferred *d);

/* The request's socket is about to be given away. */
void server_forget_head(struct http_req *req);

/* Give a connection back to libmicrohttpd, to wait for its next request; fd is consumed. */
void server_return_connection(struct listener *l, int fd);

/* req.c */
struct http_req *req_new(struct listener *l, struct MHD_Connection *conn, const char *uri);
/* The head is complete: parse and route it, answer what is wrong, start an upload's handler. */
void req_begin(struct http_req *req, const char *method, const char *version);
/* The body is complete: run the handler, unless the request is answered already. */
void req_complete(struct http_req *req);
/* libmicrohttpd is done with it. */
void req_detach(struct http_req *req);
void req_drop(struct http_req *req); /* one that never began */
void req_suspend(struct http_req *req);
void req_suspend_blind(struct http_req *req); /* without watching for the client's leave */
void req_resume(struct http_req *req);
/* The client left, or the server stops: tell the handler, let libmicrohttpd close. */
void req_abort(struct http_req *req);
int req_fd(const struct http_req *req);
/* Its raw body and answer are through. */
void req_raw_ended(struct http_req *req);
/* The handler let go of it. */
void req_answered(struct http_req *req, enum req_answer answer);

/* body.c: one piece of the body.  Returns the bytes taken (the rest comes again after a resume), or
 * -1: cut the connection. */
ssize_t body_feed(struct http_req *req, const char *data, size_t len);
/* Decode a complete JSON body; 0 or -EINVAL. */
int body_finish(struct http_req *req, struct err *reterr);

/* upload.c */
ssize_t upload_feed(struct http_req *req, const char *data, size_t len);
void upload_finish(struct http_req *req, int result);

/* raw.c: HTTP_BODY_RAW.  A begun one is taken over when the handler has returned. */
bool raw_begin(struct http_req *req, int fd, http_upload_fn done, void *arg); /* false: not here */
/* The answer is there before anybody wants the body: it need not be sent. */
bool raw_refuse(struct http_req *req);
void raw_take(struct http_req *req);
void raw_break(struct http_req *req);  /* the server stops */
void raw_detach(struct http_req *req); /* libmicrohttpd is done with it; may free req */
void raw_reply(struct http_req *req, unsigned status, const char *content_type, const void *data,
               size_t len);

/* head.c: status line, common headers and those of the request; the caller adds what is particular
 * and the empty line.  content_type NULL: none. */
void head_begin(struct buf *out, const struct http_req *req, unsigned status, const char *reason,
                const char *content_type);
void head_decorate(struct MHD_Response *response, const struct http_req *req);

/* takeover.c: take the socket away from libmicrohttpd.  Returns the socket, which may be written to
 * at once, or -errno; in both cases fn comes from the loop, with the same value (which it then
 * owns) and what was read ahead. */
int takeover_begin(struct http_req *req, takeover_fn fn, void *arg);
/* After takeover_begin(), whatever it returned: the request is answered. */
void takeover_commit(struct http_req *req);
/* To be called by libmicrohttpd's upgrade callback and at the end of a connection. */
void takeover_finish(struct http_req *req, const void *extra, size_t extra_len);

/* stream.c */
void stream_stop_all(struct http_server *s);
/* websocket.c */
void websocket_stop_all(struct http_server *s);
/* The body is complete: a stream that was opened before may send now. */
void stream_attach(struct http_req *req);
/* The connection ended before that. */
void stream_detach(struct http_req *req);
