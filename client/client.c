#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "str.h"

#define CHUNK_MAX 65536 /* of what is copied */
#define CHUNK_LEAD 16   /* room for its length */
#define PASS_MAX (16 << 20)

static const char *first_set(const char *a, const char *b)
{
    return str_empty(a) ? b : a;
}

int client_init(struct client *c, const char *host, struct err *reterr)
{
    const char *version = first_set(getenv("CTLC_API_VERSION"), getenv("DOCKER_API_VERSION"));
    int r;

    host = first_set(host, first_set(getenv("CTLC_HOST"), getenv("DOCKER_HOST")));
    *c = (struct client){.idle = -EBADF};
    snprintf(c->version, sizeof(c->version), "%s", first_set(version, API_VERSION));
    r = transport_parse(first_set(host, DEFAULT_HOST), &c->transport, reterr);
    if (r < 0)
        client_done(c);
    return r;
}

void client_done(struct client *c)
{
    c->idle = fd_close(c->idle);
    transport_done(&c->transport);
}

bool client_version_at_least(const struct client *c, const char *version)
{
    int major = 0, minor = 0, want_major = 0, want_minor = 0;

    if (sscanf(c->version, "%d.%d", &major, &minor) != 2 ||
        sscanf(version, "%d.%d", &want_major, &want_minor) != 2)
        return false;
    return major != want_major ? major > want_major : minor >= want_minor;
}

void conn_done(struct conn *conn)
{
    conn->fd = fd_close(conn->fd);
    buf_done(&conn->in);
    free(TAKE_PTR(conn->path_stat));
}

void conn_release(struct client *c, struct conn *conn)
{
    if (conn->body.state == BODY_DONE && !conn->head.close && conn->head.status != 101 &&
        buf_size(&conn->in) == 0 && c->idle < 0)
        c->idle = TAKE_FD(conn->fd);
    conn_done(conn);
}

static int write_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* ---- bodies, in chunks ---- */

/* 1: sent, 0: there is no more; by copying. */
static int send_chunk(int sock, int fd)
{
    static char data[CHUNK_LEAD + CHUNK_MAX + 2];
    char size[CHUNK_LEAD + 1];
    ssize_t n;
    int len, r;

    do
        n = read(fd, data + CHUNK_LEAD, CHUNK_MAX);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    len = snprintf(size, sizeof(size), "%zx\r\n", (size_t)n);
    memcpy(data + CHUNK_LEAD - len, size, (size_t)len);
    memcpy(data + CHUNK_LEAD + n, "\r\n", 2);
    r = write_all(sock, data + CHUNK_LEAD - len, (size_t)n + (size_t)len + 2);
    return r < 0 ? r : 1;
}

static ssize_t pass_pipe(int sock, int fd, size_t len)
{
    return splice(fd, NULL, sock, NULL, len, SPLICE_F_MORE);
}

static ssize_t copy_file(int sock, int fd, size_t len)
{
    static char data[CHUNK_MAX];
    ssize_t n = read(fd, data, len < sizeof(data) ? len : sizeof(data));
    int r = n > 0 ? write_all(sock, data, (size_t)n) : 0;

    if (r < 0)
        errno = -r;
    return r < 0 ? -1 : n;
}

static ssize_t pass_file(int sock, int fd, size_t len)
{
    ssize_t n = sendfile(sock, fd, NULL, len);

    if (n < 0 && errno == EINVAL) /* not on this file system */
        n = copy_file(sock, fd, len);
    if (n == 0)
        errno = EIO; /* it has become shorter than the chunk that was promised */
    return n == 0 ? -1 : n;
}

/* What a pipe or a file has right now. */
static int available(int fd, const struct stat *sb, size_t *ret)
{
    struct stat now;
    off_t at;
    int have;

    *ret = 0;
    if (S_ISFIFO(sb->st_mode)) {
        if (ioctl(fd, FIONREAD, &have) < 0)
            return -errno;
        *ret = (size_t)have;
    } else if (S_ISREG(sb->st_mode)) {
        at = lseek(fd, 0, SEEK_CUR);
        if (at < 0 || fstat(fd, &now) < 0)
            return -errno;
        if (now.st_size > at)
            *ret = now.st_size - at < PASS_MAX ? (size_t)(now.st_size - at) : PASS_MAX;
    }
    return 0;
}

/* What is there goes on without being copied, page by page; 0: there is nothing right now. */
static int pass_chunk(int sock, int fd, const struct stat *sb)
{
    ssize_t (*pass)(int sock, int fd, size_t len) = S_ISREG(sb->st_mode) ? pass_file : pass_pipe;
    char size[CHUNK_LEAD + 1];
    size_t have;
    int r = available(fd, sb, &have);

    if (r < 0 || have == 0)
        return r;
    r = write_all(sock, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", have));
    while (r >= 0 && have > 0) {
        ssize_t n = pass(sock, fd, have);

        if (n < 0 && errno != EINTR)
            r = -errno;
        have -= n > 0 ? (size_t)n : 0;
    }
    r = r < 0 ? r : write_all(sock, "\r\n", 2);
    return r < 0 ? r : 1;
}

/* Wait for something to send; has the daemon said something before? */
static bool is_answered(int sock, int fd)
{
    struct pollfd p[] = {{.fd = sock, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

    while (poll(p, ARRAY_SIZE(p), -1) < 0 && errno == EINTR)
        ;
    return p[0].revents != 0;
}

/* A daemon that refuses early has sent its answer: stop, and let it be read. */
static int send_stream(int sock, int fd, struct err *reterr)
{
    struct stat sb = {0};
    /* splice(2) and sendfile(2) know no MSG_NOSIGNAL. */
    void (*was)(int) = signal(SIGPIPE, SIG_IGN);
    int r;

    (void)fstat(fd, &sb);
    do {
        if (is_answered(sock, fd)) {
            signal(SIGPIPE, was);
            return 0;
        }
        /* An empty pipe is waited for, and its end seen, by reading it. */
        r = pass_chunk(sock, fd, &sb);
        if (r == 0)
            r = send_chunk(sock, fd);
    } while (r > 0);
    signal(SIGPIPE, was);
    if (r < 0)
        return r == -EPIPE ? 0 : err_sys(reterr, -r, "send the body");
    write_all(sock, "0\r\n\r\n", 5);
    return 0;
}

static void format_request(const struct client *c, const struct request *req, struct buf *out)
{
    _cleanup_free_ char *json = req->json ? json_to_str(req->json) : NULL;

    buf_printf(out, "%s /v%s%s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: ctlc/%s (linux)\r\n",
               req->method, c->version, req->path, CTL_VERSION);
    if (req->header)
        buf_printf(out, "%s\r\n", req->header);
    if (req->upgrade)
        buf_append_str(out, "Connection: Upgrade\r\nUpgrade: tcp\r\n");
    if (req->body_fd > 0) {
        buf_append_str(out, "Transfer-Encoding: chunked\r\nContent-Type: application/x-tar\r\n");
    } else if (json) {
        buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(json));
    } else if (streq(req->method, "POST")) {
        buf_append_str(out, "Content-Length: 0\r\n");
    }
    buf_append_str(out, "\r\n");
    if (json)
        buf_append_str(out, json);
}

/* The daemon went away; with ssh it was never reached, which ssh itself has told. */
static int gone(const struct client *c, const struct request *req, int errnum, struct err *reterr)
{
    const char *hint =
        c->transport.socket
            ? ""
            : "\nMake sure that the address is right and that ctlc is installed there";

    return err_set(reterr, ERR_UNAVAILABLE, errnum ? errnum : EPIPE,
                   "error during connect: %s %s: %s%s", req->method, req->path,
                   errnum ? err_text(errnum) : "EOF", hint);
}

int client_send(struct client *c, const struct request *req, bool fresh, struct conn *ret,
                struct err *reterr)
{
    _cleanup_buf_ struct buf out = {0};
    int r;

    conn_done(ret);
    *ret = CONN_INIT;
    ret->reused = !fresh && c->idle >= 0;
    ret->fd = ret->reused ? TAKE_FD(c->idle) : transport_connect(&c->transport, reterr);
    if (ret->fd < 0)
        return ret->fd;
    format_request(c, req, &out);
    r = write_all(ret->fd, buf_head(&out), buf_size(&out));
    if (r < 0)
        return gone(c, req, -r, reterr);
    return req->body_fd > 0 ? send_stream(ret->fd, req->body_fd, reterr) : 0;
}

static ssize_t read_more(struct conn *conn)
{
    const size_t room = 131072; /* as much as a socket holds: logs and archives */

    for (;;) {
        char *at = buf_reserve(&conn->in, room);
        ssize_t n = read(conn->fd, at, room);

        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0)
            conn->in.len += (size_t)n;
        return n < 0 ? -errno : n;
    }
}

int conn_decode_body(struct conn *conn, struct buf *out, struct err *reterr)
{
    size_t before = buf_size(out);
    int done = http_body_decode(&conn->body, &conn->in, out);

    if (done < 0)
        return err_set(reterr, ERR_SYSTEM, EBADMSG, "malformed reply from the daemon");
    if (buf_size(out) > before)
        return 1;
    return done ? 0 : -EAGAIN;
}

int conn_read_body(struct conn *conn, struct buf *out, struct err *reterr)
{
    size_t before = buf_size(out);

    for (;;) {
        int done = http_body_decode(&conn->body, &conn->in, out);
        ssize_t n;

        if (done < 0)
            return err_set(reterr, ERR_SYSTEM, EBADMSG, "malformed reply from the daemon");
        if (buf_size(out) > before)
            return 1;
        if (done)
            return 0;
        n = read_more(conn);
        if (n == 0 && http_body_eof(&conn->body) == 0)
            return 0;
        if (n <= 0)
            return err_set(reterr, ERR_UNAVAILABLE, n < 0 ? (int)-n : EPIPE, "%s",
                           n < 0 ? err_text((int)-n) : "unexpected EOF");
    }
}

static int read_whole(struct conn *conn, struct buf *out, struct err *reterr)
{
    int r;

    while ((r = conn_read_body(conn, out, reterr)) > 0) {
        if (buf_size(out) > REPLY_MAX)
            return err_set(reterr, ERR_SYSTEM, EMSGSIZE, "the daemon's reply is too long");
    }
    return r;
}

static enum err_kind kind_of_status(int status)
{
    static const struct {
        int status;
        enum err_kind kind;
    } kinds[] = {
        {400, ERR_INVALID},     {401, ERR_UNAUTHORIZED}, {403, ERR_FORBIDDEN},
        {404, ERR_NOT_FOUND},   {409, ERR_CONFLICT},     {501, ERR_NOT_IMPLEMENTED},
        {503, ERR_UNAVAILABLE},
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (kinds[i].status == status)
            return kinds[i].kind;
    }
    return ERR_SYSTEM;
}

/* {"message": "..."}, or plain text, cut of its white space at the end. */
static int reply_error(struct client *c, struct conn *conn, const struct request *req,
                       struct err *reterr)
{
    _cleanup_buf_ struct buf body = {0};
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ json_t *json = NULL;
    struct err ignored;
    const char *message;
    size_t n;

    read_whole(conn, &body, &ignored);
    text = buf_take_str(&body);
    json = json_loads(text, 0, NULL);
    message = json_get_str(json, "message", NULL);
    if (message) {
        free(text);
        text = xstrdup(message);
    }
    for (n = strlen(text); n > 0 && strchr(" \r\n\t", text[n - 1]); n--)
        text[n - 1] = '\0';
    if (!*text)
        err_set(reterr, kind_of_status(conn->head.status), 0,
                "request returned %d for API route and version %s, check if the server supports "
                "the requested API version",
                conn->head.status, req->path);
    else
        err_set(reterr, kind_of_status(conn->head.status), 0, "Error response from daemon: %s",
                text);
    conn_release(c, conn);
    return -EREMOTEIO;
}

static int read_head(const struct client *c, struct conn *conn, const struct request *req,
                     struct err *reterr)
{
    ssize_t n = 1;
    int head;

    for (;;) {
        head = buf_size(&conn->in)
                   ? http_head_parse(buf_head(&conn->in), buf_size(&conn->in), &conn->head)
                   : 0;
        if (head < 0)
            return err_set(reterr, ERR_SYSTEM, EBADMSG, "malformed reply from the daemon");
        if (head > 0 && conn->head.status >= 200) {
            break;
        } else if (head > 0 && conn->head.status == 101) {
            break;
        } else if (head > 0) { /* 100-continue and its like */
            buf_consume(&conn->in, (size_t)head);
            continue;
        }
        n = read_more(conn);
        if (n <= 0)
            return gone(c, req, n < 0 ? (int)-n : 0, reterr);
    }
    free(conn->path_stat);
    conn->path_stat =
        http_head_value(buf_head(&conn->in), (size_t)head, "X-Docker-Container-Path-Stat");
    buf_consume(&conn->in, (size_t)head);
    http_body_init(&conn->body, &conn->head, streq(req->method, "HEAD"));
    return 0;
}

int client_receive(struct client *c, const struct request *req, struct conn *conn,
                   struct err *reterr)
{
    int r = read_head(c, conn, req, reterr);

    if (r < 0)
        return r;
    if (conn->head.status >= 400)
        return reply_error(c, conn, req, reterr);
    if (req->upgrade && conn->head.status != 101)
        return err_set(reterr, ERR_SYSTEM, EPROTO, "unable to upgrade to tcp, received %d",
                       conn->head.status);
    return 0;
}

/* "client version 1.51 is too new. Maximum supported API version is 1.41": take that one. */
static bool adopt_version(struct client *c, const struct err *e)
{
    const char *p = strstr(e->message, "is too new. Maximum supported API version is ");
    int major, minor;

    if (e->kind != ERR_INVALID || !p || sscanf(strrchr(p, ' '), " %d.%d", &major, &minor) != 2 ||
        client_version_at_least(c, strrchr(p, ' ') + 1) == false)
        return false;
    snprintf(c->version, sizeof(c->version), "%d.%d", major, minor);
    return true;
}

int client_open(struct client *c, const struct request *req, struct conn *ret, struct err *reterr)
{
    bool fresh = false, again;
    int r;

    for (int tries = 0;; tries++) {
        r = client_send(c, req, fresh, ret, reterr);
        if (r == 0)
            r = client_receive(c, req, ret, reterr);
        if (r == 0 || tries == 2)
            break;
        /* A connection that idled may have been closed by the daemon's restart. */
        again = ret->reused && reterr->kind == ERR_UNAVAILABLE && r != -EREMOTEIO;
        fresh = again;
        if (!again && !adopt_version(c, reterr))
            break;
        if (req->body_fd > 0 && lseek(req->body_fd, 0, SEEK_SET) < 0)
            break;
    }
    return r;
}

int client_call_text(struct client *c, const struct request *req, char **ret_text,
                     struct err *reterr)
{
    _cleanup_conn_ struct conn conn = CONN_INIT;
    _cleanup_buf_ struct buf body = {0};
    int r = client_open(c, req, &conn, reterr);

    if (r == 0)
        r = read_whole(&conn, &body, reterr);
    if (r < 0)
        return r;
    conn_release(c, &conn);
    if (ret_text)
        *ret_text = buf_take_str(&body);
    return 0;
}

int client_call(struct client *c, const struct request *req, json_t **ret, struct err *reterr)
{
    _cleanup_free_ char *text = NULL;
    json_error_t why;
    int r = client_call_text(c, req, &text, reterr);

    if (r < 0 || !ret)
        return r;
    *ret = text[strspn(text, " \r\n")] ? json_loads(text, JSON_DECODE_ANY, &why) : json_null();
    if (!*ret)
        return err_set(reterr, ERR_SYSTEM, EBADMSG, "invalid JSON from the daemon: %s", why.text);
    return 0;
}

int client_get(struct client *c, const char *path, json_t **ret, struct err *reterr)
{
    return client_call(c, &(struct request){.method = "GET", .path = path}, ret, reterr);
}

int client_post(struct client *c, const char *path, const json_t *body, json_t **ret,
                struct err *reterr)
{
    return client_call(c, &(struct request){.method = "POST", .path = path, .json = body}, ret,
                       reterr);
}
