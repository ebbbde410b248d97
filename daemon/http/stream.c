/* Answers that grow: chunked framing written straight to the client's socket. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "api.h"
#include "fd.h"
#include "json.h"
#include "log.h"
#include "req.h"
#include "status.h"

/* Room in the socket for an archive: with the kernel's usual 208 KiB a piece is cut, queued here,
 * and sent with a later turn. */
#define BULK_BUFFER (1 << 20)

struct http_stream {
    struct http_stream *prev, *next; /* in server->streams */
    struct http_server *server;      /* referenced through the watch, or the request */
    struct listener *listener;       /* borrowed; NULL once the server stops */
    struct http_req *req;            /* until libmicrohttpd has given the socket up */
    const struct http_stream_ops *ops;
    void *arg;
    struct watch *watch;
    struct buf queue;
    int fd; /* the socket; -EBADF while the request's body is still coming */
    bool chunked;
    bool keep_alive;
    bool bulky;              /* an archive */
    bool ended;              /* by the producer */
    bool broken;             /* nothing more can be sent */
    bool was_high;           /* on_drain is owed */
    struct deferred *linger; /* of one that is cut */
    struct deferred *pace;   /* looks for a client that does not read; NULL: it may take its time */
    size_t moved;            /* bytes it took in this turn of that clock */
    bool kept_up;            /* it had all there was, at some time in this turn */
};

static void stream_free(struct http_stream *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        s->server->streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->server->taken_over--;
    server_later_cancel(s->linger);
    server_later_cancel(s->pace);
    watch_free(s->watch);
    fd_close(s->fd);
    buf_done(&s->queue);
    server_unref(s->server);
    free(s);
}

static void stream_close(struct http_stream *s)
{
    const struct http_stream_ops *ops = s->ops;
    void *arg = s->arg;

    stream_free(s);
    ops->on_close(arg);
}

/* All is sent: the connection may serve another request, if nothing was read ahead. */
static void stream_complete(struct http_stream *s)
{
    if (s->keep_alive && s->listener) {
        watch_free(TAKE_PTR(s->watch));
        server_return_connection(s->listener, TAKE_FD(s->fd));
    }
    stream_close(s);
}

static void stream_break(struct http_stream *s)
{
    s->broken = true;
    buf_consume(&s->queue, buf_size(&s->queue));
    if (s->fd >= 0)
        shutdown(s->fd, SHUT_RDWR); /* wakes the watch */
}

static void stream_flush(struct http_stream *s)
{
    while (!s->broken && buf_size(&s->queue) > 0) {
        ssize_t n =
            send(s->fd, buf_head(&s->queue), buf_size(&s->queue), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            s->moved += (size_t)n;
            buf_consume(&s->queue, (size_t)n);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            stream_break(s);
        }
    }
    s->kept_up = true;
}

static void on_event(uv_poll_t *p, int status, int events);

static void stream_arm(struct http_stream *s)
{
    int events = UV_PRIORITIZED; /* that is: only hang-up and error; see req_suspend() */

    if (buf_size(&s->queue) > 0 || s->ended || s->was_high)
        events |= UV_WRITABLE;
    if (s->watch)
        uv_poll_start(&s->watch->poll, events, on_event);
}

static void on_event(uv_poll_t *p, int status, int events)
{
    struct http_stream *s = p->data;

    if (status < 0 || events & UV_PRIORITIZED || s->broken) {
        stream_close(s);
        return;
    }
    stream_flush(s);
    if (s->ended && buf_size(&s->queue) == 0 && !s->broken) {
        stream_complete(s);
        return;
    }
    if (s->was_high && buf_size(&s->queue) < HTTP_STREAM_LOW_WATER) {
        s->was_high = false;
        stream_arm(s);
        if (s->ops->on_drain && !s->ended)
            s->ops->on_drain(s->arg); /* may write or end */
        return;
    }
    stream_arm(s);
}

/* libmicrohttpd gave the socket up: from here the stream lives on its own. */
static void on_taken(void *arg, int fd, const void *extra, size_t extra_len)
{
    struct http_stream *s = arg;

    (void)extra;
    s->req = NULL;
    if (extra_len > 0)
        s->keep_alive = false;
    if (fd < 0 || s->server->stopped) {
        s->fd = fd;
        stream_close(s);
        return;
    }
    s->watch = watch_new(s->server, fd, s);
    if (!s->watch)
        stream_close(s);
    else
        stream_arm(s);
}

void stream_attach(struct http_req *req)
{
    const int bulk = BULK_BUFFER;
    struct http_stream *s = TAKE_PTR(req->stream);
    int fd = takeover_begin(req, on_taken, s);

    if (fd >= 0) {
        if (s->bulky)
            setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bulk, sizeof(bulk));
        s->fd = fd;
        stream_flush(s);
    } else {
        s->broken = true;
    }
    takeover_commit(req);
}

void stream_detach(struct http_req *req)
{
    stream_close(TAKE_PTR(req->stream));
}

void stream_stop_all(struct http_server *server)
{
    for (struct http_stream *s = server->streams, *next; s; s = next) {
        next = s->next;
        s->listener = NULL;
        if (!s->req)
            stream_close(s);
    }
}

static void stream_begin(struct http_stream *s, struct http_req *req, unsigned status,
                         const char *content_type)
{
    head_begin(&s->queue, req, status, http_status_text(status), content_type);
    if (s->chunked)
        buf_append_str(&s->queue, "Transfer-Encoding: chunked\r\n");
    buf_append_str(&s->queue, s->keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
}

static void close_late(void *arg)
{
    stream_close(arg);
}

struct http_stream *http_stream_open(struct http_req *req, unsigned status,
                                     const char *content_type, const struct http_stream_ops *ops,
                                     void *arg)
{
    struct http_stream *s = xcalloc(1, sizeof(*s));

    s->server = req->server;
    server_ref(s->server);
    s->server->taken_over++;
    s->listener = req->listener;
    s->ops = ops;
    s->arg = arg;
    s->fd = -EBADF;
    s->chunked = !req->http10;
    s->bulky = strcmp(content_type, API_TYPE_TAR) == 0;
    s->keep_alive = req->keep_alive;
    s->next = s->server->streams;
    if (s->next)
        s->next->prev = s;
    s->server->streams = s;
    if (s->server->taken_over > HTTP_MAX_STREAMS) {
        s->broken = true;
        http_reply_error(req, 503, "too many open streams");
        server_defer(s->server, close_late, s);
        return s;
    }
    stream_begin(s, req, status, content_type);
    s->req = req;
    req->stream = s;
    if (req->phase != REQ_BODY || !req->conn)
        stream_attach(req);
    else
        req_resume(req); /* the upload may have waited for this; attached at its end */
    return s;
}

/* ---- the producer's side ---- */

static int vec_add(struct iovec *v, int n, const void *data, size_t len)
{
    if (len > 0)
        v[n++] = (struct iovec){(void *)data, len};
    return n;
}

/* Send what fits at once, copy only the rest. */
static void send_or_queue(struct http_stream *s, struct iovec *v, int n)
{
    struct msghdr msg = {.msg_iov = v, .msg_iovlen = (size_t)n};
    ssize_t sent = 0;

    if (s->fd >= 0 && buf_size(&s->queue) == 0)
        sent = sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        stream_break(s);
        return;
    }
    for (int i = 0; i < n; i++) {
        size_t skip = sent > 0 ? (size_t)sent : 0;

        if (skip > v[i].iov_len)
            skip = v[i].iov_len;
        sent -= (ssize_t)skip;
        buf_append(&s->queue, (char *)v[i].iov_base + skip, v[i].iov_len - skip);
    }
}

size_t http_stream_queued(const struct http_stream *s)
{
    return buf_size(&s->queue);
}

size_t http_stream_write(struct http_stream *s, const void *data, size_t len)
{
    char size[24];
    struct iovec v[3];
    int n = 0;

    if (s->broken || s->ended || len == 0)
        return buf_size(&s->queue);
    if (s->chunked)
        n = vec_add(v, n, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", len));
    n = vec_add(v, n, data, len);
    if (s->chunked)
        n = vec_add(v, n, "\r\n", 2);
    send_or_queue(s, v, n);
    if (buf_size(&s->queue) > HTTP_STREAM_HIGH_WATER)
        s->was_high = true;
    if (buf_size(&s->queue) > 0)
        stream_arm(s);
    return buf_size(&s->queue);
}

size_t http_stream_write_json(struct http_stream *s, json_t *v)
{
    _cleanup_free_ char *text = json_to_str(v);
    _cleanup_buf_ struct buf line = {0};

    json_decref(v);
    buf_append_str(&line, text);
    buf_append(&line, "\r\n", 2);
    return http_stream_write(s, buf_head(&line), buf_size(&line));
}

void http_stream_end(struct http_stream *s)
{
    struct iovec v = {(void *)"0\r\n\r\n", 5};

    if (s->ended)
        return;
    if (s->chunked && !s->broken)
        send_or_queue(s, &v, 1);
    s->ended = true;
    stream_arm(s);
}

static void on_linger(void *arg)
{
    struct http_stream *s = arg;

    s->linger = NULL;
    stream_break(s);
}

void http_stream_cut(struct http_stream *s)
{
    if (s->ended)
        return;
    s->keep_alive = false;
    s->ended = true;
    s->linger = server_later(s->server, HTTP_STREAM_LINGER_MS, on_linger, s);
    stream_arm(s);
}

void http_stream_abort(struct http_stream *s)
{
    s->keep_alive = false;
    stream_break(s);
}

void http_stream_fail(struct http_stream *s, const struct err *err)
{
    log_warn("an answer was cut off: %s", err->message);
    http_stream_abort(s);
}

/* Each turn looks back at the last one, so that a client has one whole turn. */
static void on_pace(void *arg)
{
    struct http_stream *s = arg;

    s->pace = NULL;
    if (s->fd >= 0 && !s->broken && !s->kept_up && s->moved < HTTP_PACE_BYTES) {
        log_warn("an answer was cut off: its client took less than %d bytes in %d s",
                 HTTP_PACE_BYTES, HTTP_PACE_S);
        http_stream_abort(s);
        return;
    }
    s->moved = 0;
    s->kept_up = s->fd < 0 || buf_size(&s->queue) == 0;
    s->pace = server_later(s->server, s->server->pace_ms, on_pace, s);
}

void http_stream_pace(struct http_stream *s)
{
    if (!s->pace && !s->broken)
        s->pace = server_later(s->server, s->server->pace_ms, on_pace, s);
}
