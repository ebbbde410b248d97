/* A client's WebSocket (RFC 6455) as a plain socket for somebody else: what that writes becomes
 * messages, what the client sends comes out of it as it was. */
#include <errno.h>
#include <nettle/sha1.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base64.h"
#include "fd.h"
#include "req.h"
#include "str.h"
#include "wsframe.h"

#define MAGIC "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define KEY_SIZE 16
#define READ_SIZE (32u << 10)
/* Bytes that wait for the client; beyond it nothing more is read, neither from it (who pings and
 * does not read is answered no more) nor from the other side. */
#define WS_QUEUE_MAX (128u << 10)
#define WS_LINGER_MS 10000    /* for a client to take the last of it */
#define WS_CLOSE_WAIT_MS 3000 /* then, for its close frame */

struct websocket {
    struct websocket *prev, *next; /* in server->websockets */
    struct http_server *server;    /* referenced */
    http_hijack_fn cb;             /* until there is a socket */
    void *arg;
    enum ws_op op;
    int client_fd, inner_fd; /* owned */
    struct watch *client, *inner;
    struct ws_reader reader;
    struct buf to_client, to_inner;
    struct deferred *linger; /* NULL: not ending */
    bool client_eof;         /* it has no more to say */
    bool close_seen;         /* it has closed, or left the protocol: no more is read */
    bool close_sent;         /* to the last byte */
};

static void websocket_free(struct websocket *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        w->server->websockets = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->server->taken_over--;
    server_later_cancel(w->linger);
    watch_free(w->client);
    watch_free(w->inner);
    fd_close(w->client_fd);
    fd_close(w->inner_fd);
    buf_done(&w->to_client);
    buf_done(&w->to_inner);
    server_unref(w->server);
    free(w);
}

/* ---- to the client ---- */

static void say(struct websocket *w, enum ws_op op, const void *data, size_t len)
{
    uint8_t head[WS_HEAD_MAX];

    buf_append(&w->to_client, head, ws_head(head, op, len));
    buf_append(&w->to_client, data, len);
}

/* false: nothing more can be sent there. */
static bool flush(int fd, struct buf *b)
{
    while (buf_size(b) > 0) {
        ssize_t n = send(fd, buf_head(b), buf_size(b), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0)
            buf_consume(b, (size_t)n);
        else if (errno != EINTR)
            return errno == EAGAIN;
    }
    return true;
}

static void on_linger(void *arg)
{
    struct websocket *w = arg;

    w->linger = NULL;
    websocket_free(w);
}

static void say_close(struct websocket *w, unsigned status)
{
    const uint8_t code[] = {(uint8_t)(status >> 8), (uint8_t)status};

    say(w, WS_CLOSE, code, sizeof(code));
}

/* The last message.  What the client says until it closes, too, is read and not heard (RFC 6455,
 * 7.1.1: closed at once, a TCP connection on the way here would take unread bytes for an error, and
 * throw away the last of ours). */
static void end(struct websocket *w, unsigned status)
{
    if (w->linger)
        return;
    say_close(w, status);
    flush(w->inner_fd, &w->to_inner); /* what came together with the client's close frame */
    watch_free(TAKE_PTR(w->inner));
    w->inner_fd = fd_close(w->inner_fd);
    w->linger = server_later(w->server, WS_LINGER_MS, on_linger, w);
}

void websocket_stop_all(struct http_server *server)
{
    for (struct websocket *w = server->websockets, *next; w; w = next) {
        next = w->next;
        if (w->cb)
            continue;
        if (!w->linger)
            say_close(w, WS_GOING_AWAY);
        flush(w->client_fd, &w->to_client); /* what it takes now; nobody waits */
        websocket_free(w);
    }
}

/* ---- from the client ---- */

/* RFC 6455, 7.4: those that may be sent. */
static bool status_valid(unsigned status)
{
    return (status >= 1000 && status <= 1003) || (status >= 1007 && status <= 1014) ||
           (status >= 3000 && status <= 4999);
}

static void take_control(struct websocket *w, const struct ws_event *e)
{
    unsigned status = e->len >= 2 ? (unsigned)e->data[0] << 8 | e->data[1] : WS_NORMAL;

    if (e->op == WS_PING && !w->linger) {
        say(w, WS_PONG, e->data, e->len);
    } else if (e->op == WS_CLOSE) {
        w->close_seen = true;
        end(w, status_valid(status) ? status : WS_PROTOCOL);
    }
}

static void take_input(struct websocket *w, uint8_t *data, size_t len)
{
    while (len > 0 && !w->close_seen) {
        struct ws_event e;
        ssize_t n = ws_read(&w->reader, data, len, &e);

        if (n < 0) {
            w->close_seen = true;
            end(w, n == -EMSGSIZE ? WS_TOO_BIG : WS_PROTOCOL);
            return;
        }
        if (e.kind == WS_EVENT_DATA && !w->linger)
            buf_append(&w->to_inner, e.data, e.len);
        else if (e.kind == WS_EVENT_CONTROL)
            take_control(w, &e);
        data += n;
        len -= (size_t)n;
    }
}

/* ---- the loop ---- */

static void on_client(uv_poll_t *p, int status, int events);
static void on_inner(uv_poll_t *p, int status, int events);

/* UV_PRIORITIZED stands for hang-up and error alone, see req_suspend(). */
static void arm(struct websocket *w)
{
    int client = UV_PRIORITIZED, inner = UV_PRIORITIZED;

    if (!w->client_eof && !w->close_seen &&
        (w->linger || (buf_size(&w->to_inner) == 0 && buf_size(&w->to_client) < WS_QUEUE_MAX)))
        client |= UV_READABLE;
    if (buf_size(&w->to_client) > 0)
        client |= UV_WRITABLE;
    if (buf_size(&w->to_client) < WS_QUEUE_MAX)
        inner |= UV_READABLE;
    if (buf_size(&w->to_inner) > 0)
        inner |= UV_WRITABLE;
    uv_poll_start(&w->client->poll, client, on_client);
    if (w->inner)
        uv_poll_start(&w->inner->poll, inner, on_inner);
}

/* Both have said their last word, as far as that is to be waited for. */
static bool is_closed(struct websocket *w)
{
    if (!w->linger || buf_size(&w->to_client) > 0)
        return false;
    if (!w->close_sent) {
        w->close_sent = true;
        server_later_cancel(w->linger);
        w->linger = server_later(w->server, WS_CLOSE_WAIT_MS, on_linger, w);
    }
    return w->close_seen || w->client_eof;
}

/* What there is for either side is sent; frees it at the end. */
static void settle(struct websocket *w)
{
    bool heard = flush(w->client_fd, &w->to_client);

    if (heard && !w->linger && !flush(w->inner_fd, &w->to_inner)) {
        end(w, WS_NORMAL);
        heard = flush(w->client_fd, &w->to_client);
    }
    if (!heard || is_closed(w)) {
        websocket_free(w);
        return;
    }
    if (w->client_eof && !w->linger && buf_size(&w->to_inner) == 0)
        shutdown(w->inner_fd, SHUT_WR);
    arm(w);
}

static void on_client(uv_poll_t *p, int status, int events)
{
    struct websocket *w = p->data;
    uint8_t data[READ_SIZE];
    ssize_t n;

    if (status < 0 || (events & UV_PRIORITIZED && !(events & UV_READABLE))) {
        websocket_free(w);
        return;
    }
    if (events & UV_READABLE) {
        n = recv(w->client_fd, data, sizeof(data), MSG_DONTWAIT);
        if (n > 0)
            take_input(w, data, (size_t)n);
        else if (n == 0)
            w->client_eof = true;
        else if (errno != EAGAIN && errno != EINTR) {
            websocket_free(w);
            return;
        }
    }
    settle(w);
}

static void on_inner(uv_poll_t *p, int status, int events)
{
    struct websocket *w = p->data;
    char data[READ_SIZE];
    ssize_t n = 0;

    if (status >= 0 && !(events & (UV_READABLE | UV_PRIORITIZED))) {
        settle(w);
        return;
    }
    if (status >= 0)
        n = recv(w->inner_fd, data, sizeof(data), MSG_DONTWAIT);
    if (n > 0)
        say(w, w->op, data, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        end(w, WS_NORMAL);
    settle(w);
}

/* ---- the beginning ---- */

static int open_inner(struct websocket *w, int *ret_other)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    w->inner_fd = ends[0];
    fd_set_nonblock(w->inner_fd, 1);
    w->client = watch_new(w->server, w->client_fd, w);
    w->inner = w->client ? watch_new(w->server, w->inner_fd, w) : NULL;
    if (!w->inner) {
        fd_close(ends[1]);
        return -EIO;
    }
    *ret_other = ends[1];
    return 0;
}

static void on_taken(void *arg, int fd, const void *extra, size_t extra_len)
{
    struct websocket *w = arg;
    http_hijack_fn cb = TAKE_PTR(w->cb);
    void *cb_arg = w->arg;
    int other = -EBADF, r = fd;

    w->client_fd = fd;
    if (r >= 0)
        r = w->server->stopped ? -ECONNRESET : open_inner(w, &other);
    if (r < 0) {
        websocket_free(w);
        cb(cb_arg, r, NULL, 0);
        return;
    }
    if (extra_len > 0) {
        _cleanup_buf_ struct buf early = {0};

        buf_append(&early, extra, extra_len);
        take_input(w, (uint8_t *)early.data, extra_len);
    }
    settle(w);
    cb(cb_arg, other, NULL, 0);
}

/* ---- the handshake: RFC 6455, 4.2 ---- */

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *s = list; s && *s;) {
        s += strspn(s, ", \t");
        if (strncasecmp(s, word, n) == 0 && strchr(", \t", s[n]))
            return true;
        s += strcspn(s, ",");
    }
    return false;
}

int http_websocket_check(const struct http_req *req, struct err *reterr)
{
    const char *key = http_header(req, "Sec-WebSocket-Key");
    const char *version = http_header(req, "Sec-WebSocket-Version");
    _cleanup_free_ char *raw = NULL;
    size_t n = 0;

    if (!http_wants_upgrade(req) || !has_word(http_header(req, "Upgrade"), "websocket") ||
        !has_word(http_header(req, "Connection"), "upgrade"))
        return err_set(reterr, ERR_INVALID, EINVAL, "not websocket protocol");
    if (!version || !streq(version, "13"))
        return err_set(reterr, ERR_INVALID, EINVAL, "missing or bad WebSocket Version");
    raw = key ? base64_decode(key, &n) : NULL;
    if (!raw || n != KEY_SIZE)
        return err_set(reterr, ERR_INVALID, EINVAL, "mismatch challenge/response");
    if (req->server->taken_over >= HTTP_MAX_STREAMS)
        return err_set(reterr, ERR_UNAVAILABLE, EBUSY, "too many open streams");
    return 0;
}

static char *accept_key(const char *key)
{
    uint8_t digest[SHA1_DIGEST_SIZE];
    struct sha1_ctx ctx;

    sha1_init(&ctx);
    sha1_update(&ctx, strlen(key), (const uint8_t *)key);
    sha1_update(&ctx, strlen(MAGIC), (const uint8_t *)MAGIC);
    sha1_digest(&ctx, sizeof(digest), digest);
    return base64_encode(digest, sizeof(digest));
}

/* The first that the client offers: ours have no meaning, but a browser hangs up without one. */
static void append_protocol(struct buf *head, const char *offered)
{
    if (!offered)
        return;
    offered += strspn(offered, ", \t");
    if (*offered)
        buf_printf(head, "Sec-WebSocket-Protocol: %.*s\r\n", (int)strcspn(offered, ", \t"),
                   offered);
}

void http_websocket(struct http_req *req, bool text, http_hijack_fn cb, void *arg)
{
    _cleanup_free_ char *accept = accept_key(http_header(req, "Sec-WebSocket-Key"));
    _cleanup_buf_ struct buf head = {0};
    struct websocket *w = xcalloc(1, sizeof(*w));

    head_begin(&head, req, 101, "Switching Protocols", NULL);
    buf_printf(&head, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
               accept);
    append_protocol(&head, http_header(req, "Sec-WebSocket-Protocol"));
    buf_append_str(&head, "\r\n");
    *w = (struct websocket){.server = req->server,
                            .cb = cb,
                            .arg = arg,
                            .op = text ? WS_TEXT : WS_BINARY,
                            .client_fd = -EBADF,
                            .inner_fd = -EBADF,
                            .to_client = head,
                            .next = req->server->websockets};
    head = (struct buf){0};
    server_ref(w->server);
    w->server->taken_over++;
    if (w->next)
        w->next->prev = w;
    w->server->websockets = w;
    takeover_begin(req, on_taken, w);
    takeover_commit(req);
}
