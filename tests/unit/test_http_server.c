/* The server and its client in one thread: the client's socket does not block, and whoever waits
 * for it turns the loop. */
#include "server.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api.h"
#include "buf.h"
#include "fd.h"
#include "json.h"
#include "str.h"

#define PATIENCE_NS 5000000000LL

static uv_loop_t loop;
static struct http_server *server;
static struct sockaddr_un address;

/* What the handlers saw. */
static struct http_req *pending;
static struct http_stream *stream;
static int aborts, closes, drains, hijacked_fd, upload_result, calls;
static char extra_seen[64];

/* ---- handlers ---- */

static void on_abort(void *arg)
{
    (void)arg;
    aborts++;
}

static void on_close(void *arg)
{
    (void)arg;
    closes++;
    stream = NULL;
}

static void on_drain(void *arg)
{
    (void)arg;
    drains++;
}

static const struct http_stream_ops ops = {.on_close = on_close, .on_drain = on_drain};

static void h_ping(struct http_req *req)
{
    calls++;
    http_reply_text(req, 200, API_TYPE_TEXT, http_is_head(req) ? "" : "OK");
}

static void h_none(struct http_req *req)
{
    http_reply_empty(req, 204);
}

static void h_echo(struct http_req *req)
{
    http_reply_json(req, 200, json_incref(http_body(req)));
}

static void h_later(struct http_req *req)
{
    pending = req;
    http_on_abort(req, on_abort, NULL);
}

static void h_stream(struct http_req *req)
{
    stream = http_stream_open(req, 200, API_TYPE_JSON, &ops, NULL);
}

static void on_hijack(void *arg, int fd, const void *extra, size_t extra_len)
{
    (void)arg;
    hijacked_fd = fd;
    snprintf(extra_seen, sizeof(extra_seen), "%.*s", (int)extra_len, (const char *)extra);
}

static void h_attach(struct http_req *req)
{
    http_hijack(req, NULL, on_hijack, NULL);
}

static void h_attach_error(struct http_req *req)
{
    struct err err;

    err_set(&err, ERR_NOT_FOUND, 0, "No such container: x");
    http_hijack_error(req, &err);
}

static void on_uploaded(void *arg, int result)
{
    (void)arg;
    upload_result = result;
}

static int upload_pipe[2];

static void answer_at_once(void *arg, int result)
{
    upload_result = result;
    http_reply_empty(arg, 200);
}

static void h_at_once(struct http_req *req)
{
    ck_assert_int_eq(pipe2(upload_pipe, O_CLOEXEC | O_NONBLOCK), 0);
    calls++;
    http_body_to_fd(req, upload_pipe[1], answer_at_once, req);
}

static void h_upload(struct http_req *req)
{
    ck_assert_int_eq(pipe2(upload_pipe, O_CLOEXEC | O_NONBLOCK), 0);
    pending = req;
    http_body_to_fd(req, upload_pipe[1], on_uploaded, NULL);
}

static const struct http_route routes[] = {
    {"GET", "/_ping", h_ping, 0},
    {"HEAD", "/_ping", h_ping, 0},
    {"POST", "/none", h_none, 0},
    {"POST", "/echo", h_echo, HTTP_BODY_JSON},
    {"POST", "/optional", h_echo, HTTP_BODY_JSON_OPTIONAL},
    {"GET", "/later", h_later, 0},
    {"POST", "/stream", h_stream, 0},
    {"POST", "/attach", h_attach, HTTP_BODY_JSON_OPTIONAL},
    {"POST", "/missing/attach", h_attach_error, 0},
    {"POST", "/upload", h_upload, HTTP_BODY_STREAM},
    {"POST", "/raw", h_upload, HTTP_BODY_STREAM | HTTP_BODY_RAW},
    {"POST", "/at-once", h_at_once, HTTP_BODY_STREAM | HTTP_BODY_RAW},
    {NULL, NULL, NULL, 0},
};

/* ---- the client ---- */

static void setup(void)
{
    char dir[] = "/tmp/ctl-http-XXXXXX";
    struct err err = {0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    signal(SIGPIPE, SIG_IGN);
    hijacked_fd = upload_result = 1;
    aborts = closes = drains = calls = 0;
    pending = NULL;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", dir);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_msg(http_server_new(&loop, &fd, 1, routes, NULL, &server, &err) == 0, "%s",
                  err.message);
}

static void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

static void teardown(void)
{
    bool stopped = false;

    http_server_stop(server, on_stopped, &stopped);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(stopped);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    unlink(address.sun_path);
    *strrchr(address.sun_path, '/') = '\0';
    rmdir(address.sun_path);
}

static int dial(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(fd_set_nonblock(fd, 1), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

#define TURN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        int64_t end_ = time_monotonic_ns() + PATIENCE_NS;                                          \
                                                                                                   \
        while (!(condition)) {                                                                     \
            uv_run(&loop, UV_RUN_NOWAIT);                                                          \
            ck_assert_msg(time_monotonic_ns() < end_, "waited in vain: %s", #condition);           \
        }                                                                                          \
    } while (0)

static void turn(int64_t ms)
{
    int64_t end = time_monotonic_ns() + ms * 1000000;

    while (time_monotonic_ns() < end)
        uv_run(&loop, UV_RUN_NOWAIT);
}

/* Bytes so far, without waiting; 0 at the end of the stream, too. */
static size_t take(int fd, char *out, size_t room)
{
    ssize_t n = recv(fd, out, room - 1, 0);

    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Read until the text ends so. */
static char *hear(int fd, const char *end)
{
    static char got[65536];
    size_t n = 0;

    got[0] = '\0';
    TURN_UNTIL((n += take(fd, got + n, sizeof(got) - n), str_ends(got, end)));
    return got;
}

static bool at_end(int fd)
{
    char c;

    uv_run(&loop, UV_RUN_NOWAIT);
    return recv(fd, &c, 1, 0) == 0;
}

static void starts(const char *got, const char *want)
{
    ck_assert_msg(str_starts(got, want), "got: %s", got);
}

static void contains(const char *got, const char *want)
{
    ck_assert_msg(strstr(got, want) != NULL, "no \"%s\" in: %s", want, got);
}

/* ---- plain answers ---- */

START_TEST(test_common_headers)
{
    _cleanup_close_ int fd = dial();
    const char *got;

    say(fd, "GET /v1.41/_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    got = hear(fd, "\r\n\r\nOK");
    starts(got, "HTTP/1.1 200 OK\r\n");
    contains(got, "\r\nApi-Version: 1.51\r\n");
    contains(got, "\r\nOstype: linux\r\n");
    contains(got, "\r\nServer: Docker/");
    contains(got, " (linux)\r\n");
    contains(got, "\r\nDocker-Experimental: false\r\n");
    contains(got, "\r\nDate: ");
    contains(got, "\r\nContent-Length: 2\r\n");
}
END_TEST

START_TEST(test_not_found_is_bare)
{
    _cleanup_close_ int fd = dial();
    const char *got;

    say(fd, "PUT /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    got = hear(fd, "\r\n\r\n{\"message\":\"page not found\"}\n");
    starts(got, "HTTP/1.1 404 ");
    contains(got, "\r\nContent-Type: application/json\r\n");
    ck_assert_ptr_null(strstr(got, "Api-Version"));
}
END_TEST

START_TEST(test_no_body_with_204)
{
    _cleanup_close_ int fd = dial();
    const char *got;

    say(fd, "POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    got = hear(fd, "\r\n\r\n");
    starts(got, "HTTP/1.1 204 ");
    ck_assert_ptr_null(strstr(got, "Content-Length"));
}
END_TEST

START_TEST(test_old_versions_get_plain_text)
{
    _cleanup_close_ int fd = dial();

    say(fd, "GET /v1.11/_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    starts(hear(fd, "newer version\n"), "HTTP/1.1 400 ");
    say(fd, "GET /v1.99/_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    contains(hear(fd, "\n"), "{\"message\":\"client version 1.99 is too new.");
    ck_assert_int_eq(calls, 0);
}
END_TEST

START_TEST(test_pipelined)
{
    _cleanup_close_ int fd = dial();

    say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
            "HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(calls == 3);
}
END_TEST

START_TEST(test_bad_requests)
{
    static const char *const bad[] = {
        "GET /_ping%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /_ping?a=%ff HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_close_ int fd = dial();

        say(fd, bad[i]);
        starts(hear(fd, "}\n"), "HTTP/1.1 400 ");
    }
    ck_assert_int_eq(calls, 0);
}
END_TEST

START_TEST(test_head_too_large)
{
    _cleanup_close_ int fd = dial();
    _cleanup_buf_ struct buf b = {0};
    char got[256] = "";

    buf_append_str(&b, "GET /_ping HTTP/1.1\r\nX: ");
    memset(buf_reserve(&b, 150000), 'x', 150000);
    b.len += 150000;
    ck_assert_int_eq(send(fd, buf_head(&b), buf_size(&b), 0), (ssize_t)buf_size(&b));
    TURN_UNTIL(take(fd, got, sizeof(got)) > 0);
    starts(got, "HTTP/1.1 431 ");
    ck_assert_int_eq(calls, 0);
}
END_TEST

/* ---- bodies ---- */

static const char *post(const char *path, const char *type, const char *body)
{
    _cleanup_close_ int fd = dial();
    _cleanup_free_ char *text = xasprintf(
        "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", path,
        type, strlen(body), body);

    say(fd, text);
    return strstr(hear(fd, "}\n"), "\r\n\r\n") + 4;
}

START_TEST(test_json_body)
{
    ck_assert_str_eq(post("/echo", API_TYPE_JSON, "{\"a\":1} \n"), "{\"a\":1}\n");
    ck_assert_str_eq(post("/echo", "Application/JSON; charset=utf-8", "{}"), "{}\n");
    ck_assert_str_eq(post("/echo", API_TYPE_JSON, "null"), "{}\n");
    ck_assert_str_eq(post("/optional", "text/plain", ""), "{}\n");
    ck_assert_str_eq(post("/echo", API_TYPE_JSON, ""),
                     "{\"message\":\"invalid JSON: got EOF while reading request body\"}\n");
    ck_assert_str_eq(post("/echo", "text/plain", "{}"),
                     "{\"message\":\"unsupported Content-Type header (text/plain): must be "
                     "'application/json'\"}\n");
    ck_assert_str_eq(post("/echo", API_TYPE_JSON, "{}{}"),
                     "{\"message\":\"unexpected content after JSON\"}\n");
    starts(post("/echo", API_TYPE_JSON, "{\"a\":"), "{\"message\":\"invalid JSON: ");
    starts(post("/echo", API_TYPE_JSON, "[]"), "{\"message\":\"invalid JSON: ");
}
END_TEST

START_TEST(test_chunked_and_continue)
{
    _cleanup_close_ int fd = dial();

    say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    hear(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "3\r\n{\"a\r\n");
    turn(5);
    say(fd, "4\r\n\":1}\r\n0\r\n\r\n");
    contains(hear(fd, "}\n"), "\r\n\r\n{\"a\":1}\n");
}
END_TEST

START_TEST(test_body_too_large)
{
    _cleanup_close_ int fd = dial();
    static char chunk[65536];
    size_t left = HTTP_MAX_JSON_BODY + 1;
    char head[256];

    snprintf(head, sizeof(head),
             "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n",
             left);
    say(fd, head);
    memset(chunk, ' ', sizeof(chunk));
    while (left > 0) {
        ssize_t n = send(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk), 0);

        left -= n > 0 ? (size_t)n : 0;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    starts(hear(fd, "}\n"), "HTTP/1.1 413 ");
}
END_TEST

/* ---- later answers ---- */

START_TEST(test_answered_later)
{
    _cleanup_close_ int fd = dial();

    say(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(pending);
    shutdown(fd, SHUT_WR); /* no reason to give the client up */
    turn(5);
    ck_assert_int_eq(aborts, 0);
    http_reply_json(pending, 200, json_object());
    hear(fd, "\r\n\r\n{}\n");
}
END_TEST

START_TEST(test_client_leaves)
{
    int fd = dial();

    say(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(pending);
    fd_close(fd);
    TURN_UNTIL(aborts == 1);
    turn(5);
    ck_assert_int_eq(aborts, 1);
    http_reply_json(pending, 200, json_object()); /* to nobody */
}
END_TEST

START_TEST(test_server_stops_first)
{
    _cleanup_close_ int fd = dial();

    say(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(pending);
    teardown();
    ck_assert_int_eq(aborts, 1);
    http_reply_json(pending, 200, json_object());
    setup();
}
END_TEST

/* ---- streams ---- */

START_TEST(test_stream)
{
    _cleanup_close_ int fd = dial();
    const char *got;

    say(fd, "POST /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    got = hear(fd, "\r\n\r\n"); /* before any data */
    starts(got, "HTTP/1.1 200 OK\r\n");
    contains(got, "\r\nTransfer-Encoding: chunked\r\n");
    http_stream_write(stream, "hello", 5);
    ck_assert_str_eq(hear(fd, "hello\r\n"), "5\r\nhello\r\n");
    http_stream_write_json(stream, json_pack("{s:i}", "a", 1));
    ck_assert_str_eq(hear(fd, "}\r\n\r\n"), "9\r\n{\"a\":1}\r\n\r\n");
    http_stream_end(stream);
    ck_assert_int_eq(closes, 0); /* never from inside */
    hear(fd, "0\r\n\r\n");
    TURN_UNTIL(closes == 1);
    say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"); /* kept alive */
    hear(fd, "\r\n\r\nOK");
}
END_TEST

START_TEST(test_stream_of_http10)
{
    _cleanup_close_ int fd = dial();

    say(fd, "POST /stream HTTP/1.0\r\n\r\n");
    ck_assert_ptr_null(strstr(hear(fd, "\r\n\r\n"), "chunked"));
    http_stream_write(stream, "hello", 5);
    http_stream_end(stream);
    ck_assert_str_eq(hear(fd, "hello"), "hello");
    TURN_UNTIL(at_end(fd));
}
END_TEST

START_TEST(test_stream_client_leaves)
{
    int fd = dial();

    say(fd, "POST /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, "\r\n\r\n");
    shutdown(fd, SHUT_WR);
    turn(5);
    ck_assert_int_eq(closes, 0);
    fd_close(fd);
    TURN_UNTIL(closes == 1);
}
END_TEST

START_TEST(test_stream_abort)
{
    _cleanup_close_ int fd = dial();

    say(fd, "POST /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, "\r\n\r\n");
    http_stream_abort(stream);
    ck_assert_int_eq(closes, 0);
    TURN_UNTIL(closes == 1);
    ck_assert(at_end(fd));
}
END_TEST

START_TEST(test_stream_back_pressure)
{
    _cleanup_close_ int fd = dial();
    static char chunk[65536], sink[65536];

    say(fd, "POST /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, "\r\n\r\n");
    while (http_stream_write(stream, chunk, sizeof(chunk)) <= HTTP_STREAM_HIGH_WATER)
        ;
    turn(5);
    ck_assert_int_eq(drains, 0);
    while (drains == 0) {
        take(fd, sink, sizeof(sink));
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    ck_assert_uint_lt(http_stream_queued(stream), HTTP_STREAM_LOW_WATER);
}
END_TEST

/* ---- hijack ---- */

START_TEST(test_upgrade)
{
    _cleanup_close_ int fd = dial();
    const char *got;
    char byte;

    say(fd, "POST /attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}early");
    TURN_UNTIL(hijacked_fd != 1);
    ck_assert_int_ge(hijacked_fd, 0);
    ck_assert_str_eq(extra_seen, "early");
    got = hear(fd, "\r\n\r\n");
    starts(got, "HTTP/1.1 101 UPGRADED\r\n");
    contains(got, "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n");
    contains(got, "\r\nContent-Type: application/vnd.docker.raw-stream\r\n");
    turn(5); /* libmicrohttpd closes its side meanwhile */
    say(fd, "x");
    ck_assert_int_eq(recv(hijacked_fd, &byte, 1, 0), 1);
    ck_assert_int_eq(send(hijacked_fd, "y", 1, 0), 1);
    ck_assert_str_eq(hear(fd, "y"), "y");
    fd_close(hijacked_fd);
    ck_assert(at_end(fd));
}
END_TEST

START_TEST(test_hijack_without_upgrade)
{
    _cleanup_close_ int fd = dial();
    const char *got;

    say(fd, "POST /attach HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
            "{}stdin");
    TURN_UNTIL(hijacked_fd != 1);
    ck_assert_str_eq(extra_seen, "stdin");
    got = hear(fd, "\r\n\r\n");
    starts(got, "HTTP/1.1 200 OK\r\n");
    ck_assert_ptr_null(strstr(got, "chunked"));
    fd_close(hijacked_fd);
}
END_TEST

START_TEST(test_hijack_error)
{
    _cleanup_close_ int fd = dial();

    say(fd, "POST /missing/attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    ck_assert_str_eq(hear(fd, "x\r\n"),
                     "HTTP/1.1 404 Not Found\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
                     "\r\nNo such container: x\r\n");
    TURN_UNTIL(at_end(fd));
}
END_TEST

/* ---- uploads ---- */

#define UPLOAD_SIZE (4 * 1024 * 1024)

/* By libmicrohttpd, and past it. */
static const char *const upload_paths[] = {"/upload", "/raw"};

START_TEST(test_upload)
{
    const char *path = upload_paths[_i];
    _cleanup_close_ int fd = dial();
    static char chunk[65536], sink[65536];
    size_t sent = 0, got = 0;
    char head[128];

    snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", path,
             UPLOAD_SIZE);
    say(fd, head);
    TURN_UNTIL(pending);
    while (got < UPLOAD_SIZE) {
        size_t left = UPLOAD_SIZE - sent;
        ssize_t n = left > 0 ? send(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk), 0) : 0;

        sent += n > 0 ? (size_t)n : 0;
        uv_run(&loop, UV_RUN_NOWAIT);
        n = read(upload_pipe[0], sink, sizeof(sink));
        got += n > 0 ? (size_t)n : 0;
    }
    TURN_UNTIL(upload_result == 0);
    ck_assert_int_eq(read(upload_pipe[0], sink, 1), 0); /* closed at the end */
    http_reply_empty(pending, 200);
    starts(hear(fd, "\r\n\r\n"), "HTTP/1.1 200 ");
    fd_close(upload_pipe[0]);
}
END_TEST

START_TEST(test_upload_reader_leaves)
{
    const char *path = upload_paths[_i];
    _cleanup_close_ int fd = dial();
    static char chunk[65536];
    size_t left = UPLOAD_SIZE;
    char head[128];

    snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", path,
             left);
    say(fd, head);
    TURN_UNTIL(pending);
    fd_close(upload_pipe[0]);
    http_reply_error(pending, 400, "bad archive");
    while (left > 0) {
        ssize_t n = send(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk), 0);

        left -= n > 0 ? (size_t)n : 0;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    starts(hear(fd, "}\n"), "HTTP/1.1 400 ");
    ck_assert_int_eq(upload_result, -EPIPE);
}
END_TEST

START_TEST(test_upload_client_leaves)
{
    int fd = dial();

    say(fd, _i ? "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
               : "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    TURN_UNTIL(pending);
    fd_close(fd);
    TURN_UNTIL(upload_result == -ECONNRESET);
    http_reply_empty(pending, 200);
    fd_close(upload_pipe[0]);
}
END_TEST

/* Pieces of any size, the next request behind the last, and the connection goes on. */
START_TEST(test_upload_chunked)
{
    static const char body[] =
        "4;ext=1\r\nabcd\r\n001\r\ne\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n";
    _cleanup_close_ int fd = dial();
    char head[128], got[64] = "";
    size_t n = 0;

    for (size_t piece = 1; piece < sizeof(body); piece += 7) {
        upload_result = 1;
        pending = NULL;
        snprintf(head, sizeof(head),
                 "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                 upload_paths[_i]);
        say(fd, head);
        if (piece % 2)
            TURN_UNTIL(pending); /* else the head comes together with some of the body */
        for (size_t at = 0; at < sizeof(body) - 1; at += piece) {
            char part[sizeof(body)] = "";

            memcpy(part, body + at, MIN(piece, sizeof(body) - 1 - at));
            say(fd, part);
            uv_run(&loop, UV_RUN_NOWAIT);
        }
        for (n = 0; upload_result != 0 || n < 21;) { /* a full pipe holds 16 pieces */
            ssize_t r = read(upload_pipe[0], got + n, sizeof(got) - 1 - n);

            n += r > 0 ? (size_t)r : 0;
            uv_run(&loop, UV_RUN_NOWAIT);
        }
        got[n] = '\0';
        ck_assert_str_eq(got, "abcde0123456789abcdef");
        http_reply_text(pending, 200, API_TYPE_TEXT, "taken");
        starts(hear(fd, "taken"), "HTTP/1.1 200 ");
        fd_close(upload_pipe[0]);
    }
    say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    starts(hear(fd, "OK"), "HTTP/1.1 200 ");
}
END_TEST

START_TEST(test_upload_broken_chunks)
{
    static const char *const bodies[] = {
        "x\r\n", "\r\n", "-1\r\n", "fffffffffffffffff\r\n", "2\r\nabc\r\n", "1 \r\nab\n"};

    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        _cleanup_close_ int fd = dial();

        pending = NULL;
        upload_result = 1;
        say(fd, "POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        TURN_UNTIL(pending);
        say(fd, bodies[i]);
        TURN_UNTIL(upload_result == -ECONNRESET);
        http_reply_empty(pending, 200);
        fd_close(upload_pipe[0]);
    }
}
END_TEST

/* The answer is ready before the body is over; one that expects to be told to go on. */
START_TEST(test_raw_answered_early)
{
    _cleanup_close_ int fd = dial();

    say(fd, "POST /raw HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    TURN_UNTIL(pending);
    starts(hear(fd, "\r\n\r\n"), "HTTP/1.1 100 ");
    http_reply_error(pending, 409, "no");
    say(fd, "abc");
    starts(hear(fd, "}\n"), "HTTP/1.1 409 ");
    fd_close(upload_pipe[0]);
    pending = NULL;
    say(fd, "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n");
    TURN_UNTIL(pending);
    http_reply_error(pending, 409, "no");
    say(fd, "abc");
    starts(hear(fd, "}\n"), "HTTP/1.1 409 ");
    fd_close(upload_pipe[0]);
    /* No body at all. */
    pending = NULL;
    say(fd, "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    TURN_UNTIL(pending);
    http_reply_empty(pending, 200);
    starts(hear(fd, "\r\n\r\n"), "HTTP/1.1 200 ");
    fd_close(upload_pipe[0]);
}
END_TEST

START_TEST(test_raw_answered_at_its_end)
{
    int fd = dial();

    say(fd, "POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    starts(hear(fd, "\r\n\r\n"), "HTTP/1.1 200 ");
    fd_close(upload_pipe[0]);
    say(fd, "POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab");
    TURN_UNTIL(calls == 2);
    fd_close(fd);
    TURN_UNTIL(upload_result == -ECONNRESET);
    fd_close(upload_pipe[0]);
    /* The server stops while one is under way. */
    fd = dial();
    say(fd, "POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab");
    TURN_UNTIL(calls == 3);
    turn(_i * 20);
    upload_result = 1;
    teardown();
    ck_assert_int_eq(upload_result, -ECONNRESET);
    fd_close(upload_pipe[0]);
    fd_close(fd);
    setup();
}
END_TEST

START_TEST(test_server_stops_in_upload)
{
    _cleanup_close_ int fd = dial();

    say(fd, "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    TURN_UNTIL(pending);
    if (_i)
        say(fd, "defghij");
    if (_i)
        TURN_UNTIL(upload_result == 0);
    teardown();
    ck_assert_int_eq(upload_result, _i ? 0 : -ECONNRESET);
    http_reply_empty(pending, 200);
    fd_close(upload_pipe[0]);
    setup();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_common_headers,
        test_not_found_is_bare,
        test_no_body_with_204,
        test_pipelined,
        test_old_versions_get_plain_text,
        test_bad_requests,
        test_head_too_large,
        test_json_body,
        test_body_too_large,
        test_chunked_and_continue,
        test_answered_later,
        test_client_leaves,
        test_server_stops_first,
        test_stream,
        test_stream_of_http10,
        test_stream_client_leaves,
        test_stream_abort,
        test_stream_back_pressure,
        test_upgrade,
        test_hijack_without_upgrade,
        test_hijack_error,
        test_upload_broken_chunks,
        test_raw_answered_early,
    };
    const TTest *const twice[] = {
        test_upload,         test_upload_reader_leaves,    test_upload_client_leaves,
        test_upload_chunked, test_raw_answered_at_its_end, test_server_stops_in_upload,
    };
    Suite *s = suite_create("http_server");
    TCase *t = tcase_create("http_server");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(t, tests[i]);
    for (size_t i = 0; i < ARRAY_SIZE(twice); i++)
        tcase_add_loop_test(t, twice[i], 0, ARRAY_SIZE(upload_paths));
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
