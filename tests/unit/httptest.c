#include "httptest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api.h"
#include "json.h"

struct httptest ht;

static struct sockaddr_un address;

/* ---- handlers ---- */

static void on_abort(void *arg)
{
    (void)arg;
    ht.aborts++;
}

static void on_close(void *arg)
{
    (void)arg;
    ht.closes++;
    ht.stream = NULL;
}

static void on_drain(void *arg)
{
    (void)arg;
    ht.drains++;
}

static const struct http_stream_ops ops = {.on_close = on_close, .on_drain = on_drain};

static void h_ping(struct http_req *req)
{
    ht.calls++;
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
    ht.pending = req;
    http_on_abort(req, on_abort, NULL);
}

static void h_stream(struct http_req *req)
{
    ht.stream = http_stream_open(req, 200, API_TYPE_JSON, &ops, NULL);
}

static void on_hijack(void *arg, int fd, const void *extra, size_t extra_len)
{
    (void)arg;
    ht.hijacked_fd = fd;
    snprintf(ht.extra_seen, sizeof(ht.extra_seen), "%.*s", (int)extra_len, (const char *)extra);
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
    ht.upload_result = result;
}

static void answer_at_once(void *arg, int result)
{
    ht.upload_result = result;
    http_reply_empty(arg, 200);
}

static void h_at_once(struct http_req *req)
{
    ck_assert_int_eq(pipe2(ht.upload_pipe, O_CLOEXEC | O_NONBLOCK), 0);
    ht.calls++;
    http_body_to_fd(req, ht.upload_pipe[1], answer_at_once, req);
}

static void h_upload(struct http_req *req)
{
    ck_assert_int_eq(pipe2(ht.upload_pipe, O_CLOEXEC | O_NONBLOCK), 0);
    ht.pending = req;
    http_body_to_fd(req, ht.upload_pipe[1], on_uploaded, NULL);
}

static void h_refuse(struct http_req *req)
{
    http_reply_error(req, 404, "nowhere");
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
    {"POST", "/paced", h_upload, HTTP_BODY_STREAM | HTTP_BODY_RAW | HTTP_BODY_PACED},
    {"POST", "/refuse", h_refuse, HTTP_BODY_STREAM | HTTP_BODY_RAW},
    {"POST", "/at-once", h_at_once, HTTP_BODY_STREAM | HTTP_BODY_RAW},
    {NULL, NULL, NULL, 0},
};

/* ---- the client ---- */

void httptest_setup(void)
{
    char dir[] = "/tmp/ctl-http-XXXXXX";
    struct err err = {0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    signal(SIGPIPE, SIG_IGN);
    ht.hijacked_fd = ht.upload_result = 1;
    ht.aborts = ht.closes = ht.drains = ht.calls = 0;
    ht.pending = NULL;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", dir);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    ck_assert_int_eq(uv_loop_init(&ht.loop), 0);
    ck_assert_msg(http_server_new(&ht.loop, &fd, 1, routes, NULL, &ht.server, &err) == 0, "%s",
                  err.message);
}

static void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

void httptest_teardown(void)
{
    bool stopped = false;

    http_server_stop(ht.server, on_stopped, &stopped);
    uv_run(&ht.loop, UV_RUN_DEFAULT);
    ck_assert(stopped);
    ck_assert_int_eq(uv_loop_close(&ht.loop), 0);
    unlink(address.sun_path);
    *strrchr(address.sun_path, '/') = '\0';
    rmdir(address.sun_path);
}

int dial(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(fd_set_nonblock(fd, 1), 0);
    return fd;
}

void say(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

void turn(int64_t ms)
{
    int64_t end = time_monotonic_ns() + ms * 1000000;

    while (time_monotonic_ns() < end)
        uv_run(&ht.loop, UV_RUN_NOWAIT);
}

size_t take(int fd, char *out, size_t room)
{
    ssize_t n = recv(fd, out, room - 1, 0);

    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

char *hear(int fd, const char *end)
{
    static char got[65536];
    size_t n = 0;

    got[0] = '\0';
    TURN_UNTIL((n += take(fd, got + n, sizeof(got) - n), str_ends(got, end)));
    return got;
}

bool at_end(int fd)
{
    char c;

    uv_run(&ht.loop, UV_RUN_NOWAIT);
    return recv(fd, &c, 1, 0) == 0;
}

void starts(const char *got, const char *want)
{
    ck_assert_msg(str_starts(got, want), "got: %s", got);
}

void contains(const char *got, const char *want)
{
    ck_assert_msg(strstr(got, want) != NULL, "no \"%s\" in: %s", want, got);
}

int httptest_run(const char *name, const TTest *const *tests, size_t n, const TTest *const *twice,
                 size_t n_twice)
{
    Suite *s = suite_create(name);
    TCase *t = tcase_create(name);
    SRunner *r = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, httptest_setup, httptest_teardown);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(t, tests[i]);
    for (size_t i = 0; i < n_twice; i++)
        tcase_add_loop_test(t, twice[i], 0, 2);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
