/* Large bodies past libmicrohttpd, which would copy each byte twice: the client's socket is taken
 * over behind the head, its bytes go to the pipe by splice(2), and the answer is written here. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.h"
#include "fd.h"
#include "req.h"
#include "status.h"
#include "str.h"

#define LINE_SIZE 1024     /* of a chunk's head, a trailer */
#define TRAILERS_MAX 64    /* lines */
#define PIECE (1 << 20)    /* asked of one splice(2); the pipe takes what it has room for */
#define TURNS_MAX 64       /* steps one event is good for: others wait */
#define SCRATCH (64 << 10) /* of what nobody wants any more */
#define STALL_MS (HTTP_IDLE_TIMEOUT_S * 1000ULL)

enum state { RAW_DATA, RAW_SIZE, RAW_CHUNK_END, RAW_TRAILER, RAW_DONE, RAW_DEAD };

/* What a step came to; negative: the client broke off, or left the protocol. */
enum outcome { GO_ON = 1, WAIT_CLIENT, WAIT_PIPE };

struct raw {
    uv_timer_t timer; /* looks for a stalled client */
    unsigned refs;    /* the timer's, the request's */
    struct http_server *server;
    struct http_req *req;
    enum state state;
    bool chunked, taken, answered, ended, pumping;
    bool sent;         /* the answer, before the body was over: what still comes is thrown away */
    bool waited;       /* for the reader, in this turn of the timer */
    uint64_t moved;    /* bytes in it */
    uint64_t left;     /* of the body, or of the chunk */
    unsigned trailers; /* lines so far */
    struct buf early;  /* read ahead by libmicrohttpd: comes before what is in the socket */
    char line[LINE_SIZE];
    size_t line_len;
    int sock, pipe; /* owned; -EBADF: not taken yet or gone, the reader has left */
    struct watch *sock_watch, *pipe_watch;
    http_upload_fn done;
    void *arg;
    struct buf answer, content; /* once answered: the head without its end, what follows it */
};

/* ---- ends ---- */

static void raw_unref(struct raw *raw)
{
    if (--raw->refs > 0)
        return;
    buf_done(&raw->early);
    buf_done(&raw->answer);
    buf_done(&raw->content);
    free(raw);
}

static void on_timer(uv_timer_t *t);

static void on_timer_closed(uv_handle_t *h)
{
    struct raw *raw = h->data;
    struct http_server *server = raw->server;

    raw_unref(raw);
    server_handle_closed(server);
}

static void close_timer(struct raw *raw)
{
    if (!uv_is_closing((uv_handle_t *)&raw->timer))
        uv_close((uv_handle_t *)&raw->timer, on_timer_closed);
}

static void close_sock(struct raw *raw)
{
    watch_free(TAKE_PTR(raw->sock_watch));
    raw->sock = fd_close(raw->sock);
}

static void close_pipe(struct raw *raw)
{
    watch_free(TAKE_PTR(raw->pipe_watch));
    raw->pipe = fd_close(raw->pipe);
}

static void tell(struct raw *raw, int result)
{
    http_upload_fn done = TAKE_PTR(raw->done);

    close_pipe(raw);
    if (done)
        done(raw->arg, result);
}

/* Nothing was sent on this socket before: there is room. */
static bool write_answer(struct raw *raw, bool keep_alive)
{
    size_t len;

    buf_append_str(&raw->answer, keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
    buf_append(&raw->answer, buf_head(&raw->content), buf_size(&raw->content));
    len = buf_size(&raw->answer);
    return send(raw->sock, buf_head(&raw->answer), len, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           (ssize_t)len;
}

/* Write the answer, and give the connection back if the client may go on with it. */
static void send_answer(struct raw *raw)
{
    struct http_req *req = raw->req;
    bool keep_alive =
        req->keep_alive && buf_size(&raw->early) == 0 && !raw->server->stopped && !raw->sent;

    if (raw->state == RAW_DONE && !raw->sent && write_answer(raw, keep_alive) && keep_alive) {
        watch_free(TAKE_PTR(raw->sock_watch));
        server_return_connection(req->listener, TAKE_FD(raw->sock));
    }
    close_sock(raw);
}

/* The client need not send the rest to read the answer.  It is closed later: bytes that nobody has
 * read would make its next write(2) fail, which some take for the answer. */
static void answer_early(struct raw *raw)
{
    write_answer(raw, false);
    shutdown(raw->sock, SHUT_WR);
    raw->sent = true;
    tell(raw, -EPIPE);
    uv_timer_start(&raw->timer, on_timer, HTTP_STREAM_LINGER_MS, 0);
}

/* The body is over, or never will be, and the handler has answered: nothing is left to do. */
static void maybe_end(struct raw *raw)
{
    struct http_req *req = raw->req;

    if (!raw->answered || raw->state < RAW_DONE || raw->ended)
        return;
    raw->ended = true;
    send_answer(raw);
    if (raw->taken)
        raw->server->taken_over--;
    req->raw = NULL;
    raw_unref(raw);
    req_raw_ended(req);
}

/* Who is told may answer at once. */
static void tell_end(struct raw *raw, int result)
{
    raw->refs++;
    tell(raw, result);
    maybe_end(raw);
    raw_unref(raw);
}

static void die(struct raw *raw)
{
    if (raw->state >= RAW_DONE)
        return;
    raw->state = RAW_DEAD;
    raw->req->gone = true;
    close_timer(raw);
    close_sock(raw);
    tell_end(raw, -ECONNRESET);
}

void raw_break(struct http_req *req)
{
    struct raw *raw = req->raw;

    /* Who answers later, answers to nobody, and no handle waits for that. */
    if (raw->state == RAW_DONE) {
        raw->state = RAW_DEAD;
        close_sock(raw);
    }
    die(raw);
}

void raw_detach(struct http_req *req)
{
    if (req->takeover)
        takeover_finish(req, NULL, 0);
    else if (req->server->stopped)
        raw_break(req);
    else if (req->raw->sock < 0)
        die(req->raw);
}

static bool is_paced(const struct raw *raw)
{
    return raw->req->route->flags & HTTP_BODY_PACED;
}

/* A client that has no more to say, or says it too slowly. */
static void on_timer(uv_timer_t *t)
{
    struct raw *raw = t->data;
    uint64_t wanted = is_paced(raw) ? HTTP_PACE_BYTES : 1;

    /* One that waits for the reader has not stalled. */
    raw->waited |= raw->pipe_watch && uv_is_active((uv_handle_t *)&raw->pipe_watch->poll);
    if (raw->sent || (!raw->waited && raw->moved < wanted && !(is_paced(raw) && raw->done))) {
        die(raw);
        return;
    }
    if (!raw->waited && raw->moved < wanted)
        tell(raw, -ETIMEDOUT); /* who answers now, is heard */
    raw->waited = false;
    raw->moved = 0;
}

/* ---- the framing ---- */

/* Bytes behind the next LF among the first n, or n if there is none. */
static size_t up_to_newline(const char *data, size_t n)
{
    const char *nl = n > 0 ? memchr(data, '\n', n) : NULL;

    return nl ? (size_t)(nl - data) + 1 : n;
}

/* Never more than the line: what follows is for splice(2). */
static int more_of_line(struct raw *raw)
{
    char *at = raw->line + raw->line_len;
    size_t room = LINE_SIZE - 1 - raw->line_len, len;
    ssize_t n;

    if (room == 0)
        return -EBADMSG;
    if (buf_size(&raw->early) > 0) {
        len = up_to_newline(buf_head(&raw->early), MIN(room, buf_size(&raw->early)));
        memcpy(at, buf_head(&raw->early), len);
        buf_consume(&raw->early, len);
    } else {
        n = recv(raw->sock, at, room, MSG_PEEK | MSG_DONTWAIT);
        if (n > 0)
            n = recv(raw->sock, at, up_to_newline(at, (size_t)n), MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? WAIT_CLIENT : -errno;
        if (n == 0)
            return -ECONNRESET;
        len = (size_t)n;
    }
    raw->line_len += len;
    return GO_ON;
}

static int parse_size(struct raw *raw)
{
    size_t digits = strspn(raw->line, "0123456789abcdefABCDEF");
    uint64_t size = 0;

    if (digits == 0 || digits > 15 || !strchr("; \t", raw->line[digits]))
        return -EBADMSG;
    sscanf(raw->line, "%lx", &size);
    raw->left = size;
    raw->state = size > 0 ? RAW_DATA : RAW_TRAILER;
    return GO_ON;
}

static int handle_line(struct raw *raw)
{
    switch (raw->state) {
    case RAW_SIZE:
        return parse_size(raw);
    case RAW_CHUNK_END:
        raw->state = RAW_SIZE;
        return *raw->line ? -EBADMSG : GO_ON;
    default: /* RAW_TRAILER */
        if (!*raw->line)
            raw->state = RAW_DONE;
        return ++raw->trailers > TRAILERS_MAX ? -EBADMSG : GO_ON;
    }
}

static int line_step(struct raw *raw)
{
    int r = more_of_line(raw);
    size_t len = raw->line_len;

    if (r != GO_ON || raw->line[len - 1] != '\n')
        return r;
    len -= len > 1 && raw->line[len - 2] == '\r' ? 2 : 1;
    raw->line[len] = '\0';
    raw->line_len = 0;
    return strlen(raw->line) == len ? handle_line(raw) : -EBADMSG;
}

/* ---- the bytes ---- */

static bool pipe_is_full(const struct raw *raw)
{
    struct pollfd p = {.fd = raw->pipe, .events = POLLOUT};

    return poll(&p, 1, 0) == 0;
}

static ssize_t throw_away(struct raw *raw)
{
    static char scratch[SCRATCH];

    return recv(raw->sock, scratch, MIN(raw->left, (uint64_t)SCRATCH), MSG_DONTWAIT);
}

static ssize_t move_early(struct raw *raw)
{
    size_t len = MIN(raw->left, (uint64_t)buf_size(&raw->early));
    ssize_t n = raw->pipe < 0 ? (ssize_t)len : write(raw->pipe, buf_head(&raw->early), len);

    if (n > 0)
        buf_consume(&raw->early, (size_t)n);
    return n;
}

static int data_step(struct raw *raw)
{
    bool early = buf_size(&raw->early) > 0;
    ssize_t n;

    if (raw->left == 0) {
        raw->state = raw->chunked ? RAW_CHUNK_END : RAW_DONE;
        return GO_ON;
    }
    n = early           ? move_early(raw)
        : raw->pipe < 0 ? throw_away(raw)
                        : splice(raw->sock, NULL, raw->pipe, NULL, MIN(raw->left, (uint64_t)PIECE),
                                 SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n > 0) {
        raw->left -= (uint64_t)n;
        raw->moved += (uint64_t)n;
        return GO_ON;
    }
    if (n == 0)
        return -ECONNRESET;
    if (errno == EAGAIN)
        return early || (raw->pipe >= 0 && pipe_is_full(raw)) ? WAIT_PIPE : WAIT_CLIENT;
    if (errno == EPIPE && raw->pipe >= 0)
        tell(raw, -EPIPE);
    else if (errno != EINTR)
        return -errno;
    return GO_ON;
}

/* ---- the loop ---- */

static void pump(struct raw *raw);

/* UV_PRIORITIZED stands for hang-ups, as in req_suspend(). */
static void on_sock(uv_poll_t *p, int status, int events)
{
    struct raw *raw = p->data;

    if (status < 0 || (events & UV_PRIORITIZED && !(events & UV_READABLE)))
        die(raw);
    else
        pump(raw);
}

static void on_pipe(uv_poll_t *p, int status, int events)
{
    (void)status, (void)events; /* that its reader died, too, is told by the next splice(2) */
    pump(p->data);
}

/* Nobody is to be waited for, one of them has come. */
static void rearm(struct raw *raw, int wait)
{
    raw->waited |= wait == WAIT_PIPE;
    if (wait == WAIT_PIPE)
        uv_poll_start(&raw->pipe_watch->poll, UV_WRITABLE, on_pipe);
    else if (raw->pipe_watch)
        uv_poll_stop(&raw->pipe_watch->poll);
    uv_poll_start(&raw->sock_watch->poll, wait == WAIT_PIPE ? UV_PRIORITIZED : UV_READABLE,
                  on_sock);
}

static void pump(struct raw *raw)
{
    int r = GO_ON;

    raw->pumping = true;
    for (int turn = 0; r == GO_ON && raw->state < RAW_DONE; turn++) {
        if (turn >= TURNS_MAX && buf_size(&raw->early) == 0)
            break;
        r = raw->state == RAW_DATA ? data_step(raw) : line_step(raw);
    }
    raw->pumping = false;
    if (r < 0) {
        die(raw);
        return;
    }
    if (raw->state == RAW_DONE) {
        close_timer(raw);
        uv_poll_stop(&raw->sock_watch->poll);
        tell_end(raw, 0);
        return;
    }
    if (raw->answered && !raw->sent) {
        answer_early(raw);
        r = WAIT_CLIENT; /* the pipe is gone */
    }
    rearm(raw, r);
}

/* ---- taking over ---- */

/* libmicrohttpd gave the socket up. */
static void on_taken(void *arg, int fd, const void *extra, size_t extra_len)
{
    struct raw *raw = arg;

    raw->sock = fd;
    if (fd >= 0 && raw->req->conn && !raw->server->stopped) {
        buf_append(&raw->early, extra, extra_len);
        raw->sock_watch = watch_new(raw->server, fd, raw);
        raw->pipe_watch = raw->pipe < 0 ? NULL : watch_new(raw->server, raw->pipe, raw);
    }
    if (raw->sock_watch && (raw->pipe_watch || raw->pipe < 0))
        pump(raw);
    else
        die(raw);
}

void raw_take(struct http_req *req)
{
    struct raw *raw = req->raw;

    raw->taken = true;
    raw->server->taken_over++;
    takeover_begin(req, on_taken, raw);
    req_resume(req);
}

/* How long the body is: false if that is for libmicrohttpd to judge. */
static bool find_framing(const struct http_req *req, bool *ret_chunked, uint64_t *ret_length)
{
    const char *coding = http_header(req, "Transfer-Encoding");

    *ret_chunked = coding != NULL;
    *ret_length = 0;
    if (coding)
        return strcasecmp(coding, "chunked") == 0;
    return str_parse_u64(http_header(req, "Content-Length") ?: "", INT64_MAX, ret_length) >= 0;
}

bool raw_refuse(struct http_req *req)
{
    bool chunked;
    uint64_t length;

    return req->route && req->beginning && find_framing(req, &chunked, &length) &&
           (chunked || length > 0) && raw_begin(req, -EBADF, NULL, NULL);
}

bool raw_begin(struct http_req *req, int fd, http_upload_fn done, void *arg)
{
    bool chunked;
    uint64_t length, stall;
    struct raw *raw;

    /* Who expects "100 Continue" gets it from libmicrohttpd. */
    if (!(req->route->flags & HTTP_BODY_RAW) || req->phase != REQ_BODY || !req->conn || req->gone ||
        req->suspended || req->http10 || http_header(req, "Expect") ||
        req->server->taken_over >= HTTP_MAX_STREAMS || !find_framing(req, &chunked, &length))
        return false;
    raw = xcalloc(1, sizeof(*raw));
    *raw = (struct raw){.server = req->server,
                        .refs = 2,
                        .req = req,
                        .state = chunked ? RAW_SIZE : RAW_DATA,
                        .chunked = chunked,
                        .left = length,
                        .sock = -EBADF,
                        .pipe = fd,
                        .done = done,
                        .arg = arg};
    uv_timer_init(req->server->loop, &raw->timer);
    raw->timer.data = raw;
    server_handle_opened(req->server);
    stall = req->route->flags & HTTP_BODY_PACED ? req->server->pace_ms : STALL_MS;
    uv_timer_start(&raw->timer, on_timer, stall, stall);
    req->raw = raw;
    return true;
}

/* ---- the answer ---- */

void raw_reply(struct http_req *req, unsigned status, const char *content_type, const void *data,
               size_t len)
{
    struct raw *raw = req->raw;

    head_begin(&raw->answer, req, status, http_status_text(status), content_type);
    buf_printf(&raw->answer, "Content-Length: %zu\r\n", len);
    buf_append(&raw->content, data, len);
    raw->answered = true;
    req->answer = ANSWER_RESPONSE;
    if (raw->state < RAW_DONE && raw->sock >= 0 && !raw->pumping)
        pump(raw); /* what is here of the body may be all of it */
    else
        maybe_end(raw);
}
