#include "httptest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.h"
#include "json.h"

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
    ck_assert_int_eq(ht.calls, 0);
}
END_TEST

START_TEST(test_pipelined)
{
    _cleanup_close_ int fd = dial();

    say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
            "HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(ht.calls == 3);
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
    ck_assert_int_eq(ht.calls, 0);
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
    ck_assert_int_eq(ht.calls, 0);
}
END_TEST

/* ---- heads ---- */

/* At once or behind a request, from its first byte: answered, and hung up on. */
static void trickle(const char *beginning, bool before)
{
    _cleanup_close_ int fd = dial();
    int64_t end = time_monotonic_ns() + PATIENCE_NS;
    char got[4096] = "";
    size_t n = 0;

    if (before) {
        say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
        hear(fd, "OK");
    }
    turn(10);
    say(fd, beginning);
    while (!str_ends(got, "too long\"}\n")) {
        ck_assert(time_monotonic_ns() < end);
        turn(5);
        send(fd, "x", 1, MSG_NOSIGNAL);
        n += take(fd, got + n, sizeof(got) - n);
    }
    starts(got, "HTTP/1.1 408 Request Timeout\r\n");
    TURN_UNTIL(at_end(fd));
}

START_TEST(test_head_that_trickles)
{
    static const char *const beginnings[] = {"G", "GET /_ping HTTP/1.1\r\nHo",
                                             "GET /_ping HTTP/1.1\r\nHost: x\r\n"};
    _cleanup_close_ int quiet = dial(), kept = dial();

    http_server_set_head_timeout(ht.server, 100);
    say(kept, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(kept, "OK");
    for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
        trickle(beginnings[i], false);
        trickle(beginnings[i], true);
    }
    /* Who says nothing may stay. */
    say(kept, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    starts(hear(kept, "OK"), "HTTP/1.1 200 OK\r\n");
    say(quiet, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    starts(hear(quiet, "OK"), "HTTP/1.1 200 OK\r\n");
}
END_TEST

/* A body may take its time, and so may an answer. */
START_TEST(test_bodies_may_trickle)
{
    static const char body[] = "{\"a\":\"0123456789\"}";
    _cleanup_close_ int fd = dial(), later = dial();

    http_server_set_head_timeout(ht.server, 50);
    say(later, "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /_ping");
    TURN_UNTIL(ht.pending);
    say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Content-Length: 18\r\n\r\n");
    for (size_t i = 0; body[i]; i++) {
        turn(20);
        ck_assert_int_eq(send(fd, body + i, 1, 0), 1);
    }
    contains(hear(fd, "}\n"), body);
    http_reply_json(ht.pending, 200, json_object());
    hear(later, "\r\n\r\n{}\n");
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
        uv_run(&ht.loop, UV_RUN_NOWAIT);
    }
    starts(hear(fd, "}\n"), "HTTP/1.1 413 ");
}
END_TEST

/* ---- later answers ---- */

START_TEST(test_answered_later)
{
    _cleanup_close_ int fd = dial();

    say(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(ht.pending);
    shutdown(fd, SHUT_WR); /* no reason to give the client up */
    turn(5);
    ck_assert_int_eq(ht.aborts, 0);
    http_reply_json(ht.pending, 200, json_object());
    hear(fd, "\r\n\r\n{}\n");
}
END_TEST

START_TEST(test_client_leaves)
{
    int fd = dial();

    say(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(ht.pending);
    fd_close(fd);
    TURN_UNTIL(ht.aborts == 1);
    turn(5);
    ck_assert_int_eq(ht.aborts, 1);
    http_reply_json(ht.pending, 200, json_object()); /* to nobody */
}
END_TEST

START_TEST(test_server_stops_first)
{
    _cleanup_close_ int fd = dial();

    say(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(ht.pending);
    httptest_teardown();
    ck_assert_int_eq(ht.aborts, 1);
    http_reply_json(ht.pending, 200, json_object());
    httptest_setup();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_common_headers,
        test_not_found_is_bare,
        test_no_body_with_204,
        test_old_versions_get_plain_text,
        test_pipelined,
        test_bad_requests,
        test_head_too_large,
        test_json_body,
        test_chunked_and_continue,
        test_body_too_large,
        test_answered_later,
        test_client_leaves,
        test_server_stops_first,
        test_head_that_trickles,
        test_bodies_may_trickle,
    };

    return httptest_run("http_server", tests, ARRAY_SIZE(tests), NULL, 0);
}
