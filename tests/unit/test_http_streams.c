#include "httptest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.h"
#include "json.h"

/* ---- streams ---- */

START_TEST(test_stream)
{
    _cleanup_close_ int fd = dial();
    const char *got;

    say(fd, "POST /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    got = hear(fd, "\r\n\r\n"); /* before any data */
    starts(got, "HTTP/1.1 200 OK\r\n");
    contains(got, "\r\nTransfer-Encoding: chunked\r\n");
    http_stream_write(ht.stream, "hello", 5);
    ck_assert_str_eq(hear(fd, "hello\r\n"), "5\r\nhello\r\n");
    http_stream_write_json(ht.stream, json_pack("{s:i}", "a", 1));
    ck_assert_str_eq(hear(fd, "}\r\n\r\n"), "9\r\n{\"a\":1}\r\n\r\n");
    http_stream_end(ht.stream);
    ck_assert_int_eq(ht.closes, 0); /* never from inside */
    hear(fd, "0\r\n\r\n");
    TURN_UNTIL(ht.closes == 1);
    say(fd, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"); /* kept alive */
    hear(fd, "\r\n\r\nOK");
}
END_TEST

START_TEST(test_stream_of_http10)
{
    _cleanup_close_ int fd = dial();

    say(fd, "POST /stream HTTP/1.0\r\n\r\n");
    ck_assert_ptr_null(strstr(hear(fd, "\r\n\r\n"), "chunked"));
    http_stream_write(ht.stream, "hello", 5);
    http_stream_end(ht.stream);
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
    ck_assert_int_eq(ht.closes, 0);
    fd_close(fd);
    TURN_UNTIL(ht.closes == 1);
}
END_TEST

START_TEST(test_stream_abort)
{
    _cleanup_close_ int fd = dial();

    say(fd, "POST /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, "\r\n\r\n");
    http_stream_abort(ht.stream);
    ck_assert_int_eq(ht.closes, 0);
    TURN_UNTIL(ht.closes == 1);
    ck_assert(at_end(fd));
}
END_TEST

START_TEST(test_stream_back_pressure)
{
    _cleanup_close_ int fd = dial();
    static char chunk[65536], sink[65536];

    say(fd, "POST /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, "\r\n\r\n");
    while (http_stream_write(ht.stream, chunk, sizeof(chunk)) <= HTTP_STREAM_HIGH_WATER)
        ;
    turn(5);
    ck_assert_int_eq(ht.drains, 0);
    while (ht.drains == 0) {
        take(fd, sink, sizeof(sink));
        uv_run(&ht.loop, UV_RUN_NOWAIT);
    }
    ck_assert_uint_lt(http_stream_queued(ht.stream), HTTP_STREAM_LOW_WATER);
}
END_TEST

/* Who has all there is, or reads on, may take its time; who does not read is cut off. */
START_TEST(test_stream_pace)
{
    _cleanup_close_ int fd = dial();
    static char chunk[65536], sink[65536];

    http_server_set_pace(ht.server, 300);
    say(fd, "POST /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, "\r\n\r\n");
    http_stream_pace(ht.stream);
    turn(800);
    ck_assert_int_eq(ht.closes, 0);
    for (int i = 0; i < 80; i++) {
        while (http_stream_write(ht.stream, chunk, sizeof(chunk)) <= HTTP_STREAM_HIGH_WATER)
            ;
        take(fd, sink, sizeof(sink));
        turn(10);
    }
    ck_assert_int_eq(ht.closes, 0);
    http_stream_end(ht.stream); /* what is queued is not there for ever either */
    TURN_UNTIL(ht.closes == 1);
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
    TURN_UNTIL(ht.hijacked_fd != 1);
    ck_assert_int_ge(ht.hijacked_fd, 0);
    ck_assert_str_eq(ht.extra_seen, "early");
    got = hear(fd, "\r\n\r\n");
    starts(got, "HTTP/1.1 101 UPGRADED\r\n");
    contains(got, "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n");
    contains(got, "\r\nContent-Type: application/vnd.docker.raw-stream\r\n");
    turn(5); /* libmicrohttpd closes its side meanwhile */
    say(fd, "x");
    ck_assert_int_eq(recv(ht.hijacked_fd, &byte, 1, 0), 1);
    ck_assert_int_eq(send(ht.hijacked_fd, "y", 1, 0), 1);
    ck_assert_str_eq(hear(fd, "y"), "y");
    fd_close(ht.hijacked_fd);
    ck_assert(at_end(fd));
}
END_TEST

START_TEST(test_hijack_without_upgrade)
{
    _cleanup_close_ int fd = dial();
    const char *got;

    say(fd, "POST /attach HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
            "{}stdin");
    TURN_UNTIL(ht.hijacked_fd != 1);
    ck_assert_str_eq(ht.extra_seen, "stdin");
    got = hear(fd, "\r\n\r\n");
    starts(got, "HTTP/1.1 200 OK\r\n");
    ck_assert_ptr_null(strstr(got, "chunked"));
    fd_close(ht.hijacked_fd);
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

int main(void)
{
    const TTest *const tests[] = {
        test_stream,       test_stream_of_http10,       test_stream_client_leaves,
        test_stream_abort, test_stream_back_pressure,   test_stream_pace,
        test_upgrade,      test_hijack_without_upgrade, test_hijack_error,
    };

    return httptest_run("http_streams", tests, ARRAY_SIZE(tests), NULL, 0);
}
