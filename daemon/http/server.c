#include "server.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "mem.h"
#include "req.h"

void server_ref(struct http_server *s)
{
    s->refs++;
}

void server_unref(struct http_server *s)
{
    if (--s->refs > 0)
        return;
    free(s->listeners);
    free(s);
}

void server_handle_opened(struct http_server *s)
{
    s->open_handles++;
    server_ref(s);
}

void server_handle_closed(struct http_server *s)
{
    if (--s->open_handles == 0 && s->stopped && s->done) {
        void (*done)(void *arg) = TAKE_PTR(s->done);

        done(s->done_arg);
    }
    server_unref(s);
}

/* ---- watches ---- */

struct watch *watch_new(struct http_server *s, int fd, void *data)
{
    struct watch *w = xcalloc(1, sizeof(*w));

    if (uv_poll_init(s->loop, &w->poll, fd) < 0) {
        free(w);
        return NULL;
    }
    w->poll.data = data;
    w->server = s;
    server_handle_opened(s);
    return w;
}

static void watch_closed(uv_handle_t *h)
{
    struct watch *w = (struct watch *)h;
    struct http_server *s = w->server;

    free(w);
    server_handle_closed(s);
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, watch_closed);
}

/* ---- deferred calls ---- */

struct deferred {
    uv_timer_t timer;
    struct http_server *server;
    void (*fn)(void *arg);
    void *arg;
};

static void deferred_closed(uv_handle_t *h)
{
    struct deferred *d = (struct deferred *)h;
    struct http_server *s = d->server;

    free(d);
    server_handle_closed(s);
}

static void deferred_run(uv_timer_t *t)
{
    struct deferred *d = (struct deferred *)t;

    uv_close((uv_handle_t *)t, deferred_closed);
    d->fn(d->arg);
}

struct deferred *server_later(struct http_server *s, unsigned ms, void (*fn)(void *arg), void *arg)
{
    struct deferred *d = xcalloc(1, sizeof(*d));

    uv_timer_init(s->loop, &d->timer);
    d->server = s;
    d->fn = fn;
    d->arg = arg;
    server_handle_opened(s);
    uv_timer_start(&d->timer, deferred_run, ms, 0);
    return d;
}

void server_later_cancel(struct deferred *d)
{
    if (d)
        uv_close((uv_handle_t *)&d->timer, deferred_closed);
}

void server_defer(struct http_server *s, void (*fn)(void *arg), void *arg)
{
    server_later(s, 0, fn, arg);
}

/* ---- libmicrohttpd's callbacks ---- */

#define STUCK_TIMEOUT_S 1

static void on_connection(void *cls, struct MHD_Connection *mhd, void **ctx,
                          enum MHD_ConnectionNotificationCode code)
{
    struct conn *c = *ctx;
    struct listener *l = cls;

    l->callbacks++;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *ctx = c = xcalloc(1, sizeof(*c));
        *c = (struct conn){.listener = l, .fd = -EBADF};
        heads_watch(c, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
        return;
    }
    heads_forget(c);
    if (c->req)
        req_drop(c->req);
    free(c);
    *ctx = NULL;
}

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct listener *l = cls;
    struct http_req *req = req_new(l, mhd, uri);

    l->callbacks++;
    conn_of(mhd)->req = req;
    heads_begin(conn_of(mhd));
    return req;
}

void server_forget_head(struct http_req *req)
{
    heads_forget(conn_of(req->conn));
}

static enum MHD_Result send_answer(struct http_req *req)
{
    struct MHD_Response *response;
    enum MHD_Result r;

    if (req->gone)
        return MHD_NO;
    switch (req->answer) {
    case ANSWER_NONE:
        req_suspend(req);
        return MHD_YES;
    case ANSWER_RESPONSE:
        response = TAKE_PTR(req->response);
        req->phase = REQ_QUEUED;
        r = MHD_queue_response(req->conn, req->status, response);
        MHD_destroy_response(response);
        return r;
    case ANSWER_TAKEOVER:
        req->phase = REQ_QUEUED;
        /* No upgrade in HTTP/1.0: close the dummy, at the price of bytes read ahead. */
        return req->http10 ? MHD_NO : MHD_queue_response(req->conn, 101, req->server->upgrade);
    }
    return MHD_NO;
}

static void limit_idle(struct http_req *req, unsigned seconds)
{
    if (req->idle_limit != seconds && (req->idle_limit || seconds != HTTP_IDLE_TIMEOUT_S))
        MHD_set_connection_option(req->conn, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
    req->idle_limit = seconds;
}

/* libmicrohttpd 0.9.75 takes a read that did not fill its buffer for the last one, and does not
 * see the end of file that came together with the bytes.  All that will ever come of this body is
 * here: if it is not enough, the client waits for an answer in vain. */
static void limit_half_closed(struct http_req *req)
{
    char byte;

    if (recv(req_fd(req), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        limit_idle(req, STUCK_TIMEOUT_S);
}

/* Called first with the head alone, then for each piece of the body, at last with no data, and with
 * no data again after each resume until there is an answer. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **con_cls)
{
    struct http_req *req = *con_cls;
    ssize_t taken;

    (void)url;
    ((struct listener *)cls)->callbacks++;
    if (req->phase == REQ_HEAD) {
        req->phase = REQ_BODY;
        heads_end(conn_of(conn));
        req->beginning = true;
        req_begin(req, method, version);
        req->beginning = false;
        if (req->raw && !req->gone)
            raw_take(req);
        return req->gone ? MHD_NO : MHD_YES;
    }
    if (req->phase == REQ_BODY && req->raw) { /* resumed, with the socket replaced */
        req->phase = REQ_QUEUED;
        return MHD_queue_response(conn, 101, req->server->upgrade);
    }
    if (*data_len > 0) {
        taken = body_feed(req, data, *data_len);
        if (taken < 0)
            return MHD_NO;
        limit_half_closed(req);
        *data_len -= (size_t)taken;
        return MHD_YES;
    }
    if (req->phase == REQ_BODY) {
        req->phase = REQ_RUNNING;
        limit_idle(req, HTTP_IDLE_TIMEOUT_S);
        req_complete(req);
        /* Taken over from inside: the connection is being resumed and comes back here. */
        if (req->answer == ANSWER_TAKEOVER)
            return MHD_YES;
    }
    return send_answer(req);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    (void)cls, (void)code;
    conn_of(conn)->req = NULL;
    req_detach(*con_cls);
    *con_cls = NULL;
}

static void on_upgraded(void *cls, struct MHD_Connection *conn, void *con_cls, const char *extra,
                        size_t extra_len, MHD_socket sock, struct MHD_UpgradeResponseHandle *urh)
{
    (void)cls, (void)conn, (void)sock;
    takeover_finish(con_cls, extra, extra_len);
    MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
}

/* The request line is taken as it came (on_uri); libmicrohttpd's own decoding would hide "%00". */
static size_t no_unescape(void *cls, struct MHD_Connection *conn, char *s)
{
    (void)cls, (void)conn;
    return strlen(s);
}

/* ---- the loop ---- */

/* libmicrohttpd 0.9.75 wants to be called again at once, for ever, for a connection whose chunk
 * line does not fit its buffer: it neither reads on nor hangs up.  Who may be the one gets a time
 * limit; first those whose bytes lie there unread, in the end all that we wait for. */
#define SPINS_MAX 1000
#define SPIN_PAUSE_MS 20
#define SPINS_DESPERATE (SPINS_MAX + 100)
#define SLOW_TIMEOUT_S 10

static void limit_stuck(const struct listener *l)
{
    for (const struct http_req *req = l->server->requests; req; req = req->next) {
        int unread = 0;
        unsigned limit;

        if (req->listener != l || req->phase != REQ_BODY || req->suspended)
            continue;
        ioctl(req_fd(req), FIONREAD, &unread);
        limit = unread > 0 ? STUCK_TIMEOUT_S : SLOW_TIMEOUT_S;
        if (unread > 0 || l->spins > SPINS_DESPERATE)
            MHD_set_connection_option(req->conn, MHD_CONNECTION_OPTION_TIMEOUT, limit);
    }
}

static void on_timer(uv_timer_t *t);
static void on_idle(uv_idle_t *t);

/* At once is not a timer of 0 ms: libuv would not come to anything else before the next one. */
static void listener_arm(struct listener *l)
{
    unsigned long long ms = 0;
    bool wanted = l->kicked || MHD_get_timeout(l->daemon, &ms) == MHD_YES;

    if (l->server->stopped)
        return;
    uv_idle_stop(&l->idle);
    uv_timer_stop(&l->timer);
    if (!wanted || ms > 0)
        l->spins = 0;
    if (wanted && ms > 0) {
        uv_timer_start(&l->timer, on_timer, ms, 0);
    } else if (wanted && l->spins < SPINS_MAX) {
        uv_idle_start(&l->idle, on_idle);
    } else if (wanted) {
        limit_stuck(l);
        uv_timer_start(&l->timer, on_timer, SPIN_PAUSE_MS, 0);
    }
}

void server_kick(struct listener *l)
{
    l->kicked = true;
    l->spins = 0;
    listener_arm(l);
}

static void listener_run(struct listener *l)
{
    unsigned before = l->callbacks;

    l->kicked = false;
    heads_look(l);
    MHD_run(l->daemon);
    l->spins = l->callbacks == before ? l->spins + 1 : 0;
    /* A connection that it gives up within a run is closed by the next one. */
    if (l->callbacks != before)
        l->kicked = true;
    listener_arm(l);
}

static void on_timer(uv_timer_t *t)
{
    listener_run(t->data);
}

static void on_idle(uv_idle_t *t)
{
    listener_run(t->data);
}

static void on_epoll(uv_poll_t *p, int status, int events)
{
    (void)status, (void)events;
    listener_run(p->data);
}

void server_return_connection(struct listener *l, int fd)
{
    struct sockaddr_un any = {.sun_family = AF_UNIX};

    MHD_add_connection(l->daemon, fd, (struct sockaddr *)&any, sizeof(sa_family_t));
    listener_arm(l);
}

/* ---- start and stop ---- */

/* One of its handles. */
static void listener_closed(uv_handle_t *h)
{
    struct listener *l = h->data;

    server_handle_closed(l->server);
}

static int listener_start(struct http_server *s, struct listener *l, int fd, struct err *reterr)
{
    const unsigned flags =
        MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE;
    int epoll_fd, r;

    l->server = s;
    r = heads_init(l);
    if (r < 0) {
        fd_close(fd);
        return err_sys(reterr, -r, "epoll");
    }
    server_handle_opened(s);
    fd_set_nonblock(fd, 1);
    l->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, l, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)HTTP_IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_CONNECTION_MEMORY, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
        (size_t)HTTP_CONNECTION_MEMORY / 4, MHD_OPTION_URI_LOG_CALLBACK, on_uri, l,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, l, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        l, MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, NULL, MHD_OPTION_END);
    if (!l->daemon) {
        fd_close(fd);
        heads_done(l, listener_closed);
        return err_set(reterr, ERR_SYSTEM, EIO, "cannot start the HTTP server");
    }
    epoll_fd = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    r = uv_poll_init(s->loop, &l->poll, epoll_fd);
    if (r < 0) {
        MHD_stop_daemon(l->daemon);
        heads_done(l, listener_closed);
        return err_sys(reterr, -r, "cannot watch the HTTP server");
    }
    uv_timer_init(s->loop, &l->timer);
    uv_idle_init(s->loop, &l->idle);
    l->poll.data = l->timer.data = l->idle.data = l;
    server_handle_opened(s);
    server_handle_opened(s);
    server_handle_opened(s);
    s->n++;
    uv_poll_start(&l->poll, UV_READABLE, on_epoll);
    listener_run(l); /* puts the listening socket into the epoll set */
    return 0;
}

static struct MHD_Response *upgrade_response(void)
{
    struct MHD_Response *r = MHD_create_response_for_upgrade(on_upgraded, NULL);

    if (!r)
        abort();
    MHD_add_response_header(r, "Upgrade", "tcp");
    return r;
}

int http_server_new(uv_loop_t *loop, const int *fds, size_t n, const struct http_route *routes,
                    void *context, struct http_server **ret, struct err *reterr)
{
    struct http_server *s = xcalloc(1, sizeof(*s));

    s->refs = 1;
    s->pace_ms = HTTP_PACE_S * 1000;
    s->loop = loop;
    s->routes = routes;
    s->context = context;
    s->head_ms = HTTP_HEAD_TIMEOUT_S * 1000;
    s->listeners = xcalloc(n, sizeof(*s->listeners));
    s->upgrade = upgrade_response();
    for (size_t i = 0; i < n; i++) {
        int r = listener_start(s, &s->listeners[s->n], fds[i], reterr);

        if (r < 0) {
            while (++i < n)
                fd_close(fds[i]);
            http_server_stop(s, NULL, NULL);
            return r;
        }
    }
    *ret = s;
    return 0;
}

void http_server_set_experimental(struct http_server *s)
{
    s->experimental = true;
}

void http_server_set_pace(struct http_server *s, unsigned ms)
{
    s->pace_ms = ms;
}

void http_server_set_head_timeout(struct http_server *s, unsigned ms)
{
    s->head_ms = ms;
}

void http_server_stop(struct http_server *s, void (*done)(void *arg), void *arg)
{
    s->stopped = true;
    s->done = done;
    s->done_arg = arg;
    s->open_handles++; /* stands for this call */
    /* libmicrohttpd aborts the process if a connection is still suspended when it stops. */
    for (struct http_req *req = s->requests, *next; req; req = next) {
        next = req->next;
        req_abort(req);
    }
    stream_stop_all(s);
    websocket_stop_all(s);
    for (size_t i = 0; i < s->n; i++) {
        struct listener *l = &s->listeners[i];

        uv_poll_stop(&l->poll);
        uv_close((uv_handle_t *)&l->poll, listener_closed);
        uv_close((uv_handle_t *)&l->timer, listener_closed);
        uv_close((uv_handle_t *)&l->idle, listener_closed);
        MHD_stop_daemon(l->daemon);
        heads_done(l, listener_closed);
    }
    MHD_destroy_response(s->upgrade);
    server_handle_closed(s);
}
