#include "httptest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.h"
#include "json.h"

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
    TURN_UNTIL(ht.pending);
    while (got < UPLOAD_SIZE) {
        size_t left = UPLOAD_SIZE - sent;
        ssize_t n = left > 0 ? send(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk), 0) : 0;

        sent += n > 0 ? (size_t)n : 0;
        uv_run(&ht.loop, UV_RUN_NOWAIT);
        n = read(ht.upload_pipe[0], sink, sizeof(sink));
        got += n > 0 ? (size_t)n : 0;
    }
    TURN_UNTIL(ht.upload_result == 0);
    ck_assert_int_eq(read(ht.upload_pipe[0], sink, 1), 0); /* closed at the end */
    http_reply_empty(ht.pending, 200);
    starts(hear(fd, "\r\n\r\n"), "HTTP/1.1 200 ");
    fd_close(ht.upload_pipe[0]);
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
    TURN_UNTIL(ht.pending);
    fd_close(ht.upload_pipe[0]);
    http_reply_error(ht.pending, 400, "bad archive");
    while (left > 0) {
        ssize_t n = send(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk), 0);

        left -= n > 0 ? (size_t)n : 0;
        uv_run(&ht.loop, UV_RUN_NOWAIT);
    }
    starts(hear(fd, "}\n"), "HTTP/1.1 400 ");
    ck_assert_int_eq(ht.upload_result, -EPIPE);
}
END_TEST

START_TEST(test_upload_client_leaves)
{
    int fd = dial();

    say(fd, _i ? "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
               : "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    TURN_UNTIL(ht.pending);
    fd_close(fd);
    TURN_UNTIL(ht.upload_result == -ECONNRESET);
    http_reply_empty(ht.pending, 200);
    fd_close(ht.upload_pipe[0]);
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
        ht.upload_result = 1;
        ht.pending = NULL;
        snprintf(head, sizeof(head),
                 "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                 upload_paths[_i]);
        say(fd, head);
        if (piece % 2)
            TURN_UNTIL(ht.pending); /* else the head comes together with some of the body */
        for (size_t at = 0; at < sizeof(body) - 1; at += piece) {
            char part[sizeof(body)] = "";

            memcpy(part, body + at, MIN(piece, sizeof(body) - 1 - at));
            say(fd, part);
            uv_run(&ht.loop, UV_RUN_NOWAIT);
        }
        for (n = 0; ht.upload_result != 0 || n < 21;) { /* a full pipe holds 16 pieces */
            ssize_t r = read(ht.upload_pipe[0], got + n, sizeof(got) - 1 - n);

            n += r > 0 ? (size_t)r : 0;
            uv_run(&ht.loop, UV_RUN_NOWAIT);
        }
        got[n] = '\0';
        ck_assert_str_eq(got, "abcde0123456789abcdef");
        http_reply_text(ht.pending, 200, API_TYPE_TEXT, "taken");
        starts(hear(fd, "taken"), "HTTP/1.1 200 ");
        fd_close(ht.upload_pipe[0]);
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

        ht.pending = NULL;
        ht.upload_result = 1;
        say(fd, "POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        TURN_UNTIL(ht.pending);
        say(fd, bodies[i]);
        TURN_UNTIL(ht.upload_result == -ECONNRESET);
        http_reply_empty(ht.pending, 200);
        fd_close(ht.upload_pipe[0]);
    }
}
END_TEST

/* The answer is ready before the body is over; one that expects to be told to go on. */
START_TEST(test_raw_answered_early)
{
    _cleanup_close_ int fd = dial();

    say(fd, "POST /raw HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    TURN_UNTIL(ht.pending);
    starts(hear(fd, "\r\n\r\n"), "HTTP/1.1 100 ");
    http_reply_error(ht.pending, 409, "no");
    say(fd, "abc");
    starts(hear(fd, "}\n"), "HTTP/1.1 409 ");
    fd_close(ht.upload_pipe[0]);
    /* What is here already may be all of it. */
    ht.pending = NULL;
    say(fd, "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    TURN_UNTIL(ht.pending);
    http_reply_error(ht.pending, 409, "no");
    starts(hear(fd, "}\n"), "HTTP/1.1 409 ");
    fd_close(ht.upload_pipe[0]);
    /* No body at all. */
    ht.pending = NULL;
    say(fd, "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    TURN_UNTIL(ht.pending);
    http_reply_empty(ht.pending, 200);
    starts(hear(fd, "\r\n\r\n"), "HTTP/1.1 200 ");
    fd_close(ht.upload_pipe[0]);
}
END_TEST

/* Nobody wants the rest: the client has its answer before it has sent that, may send on, and is let
 * go. */
static void answered_before_its_end(int kind)
{
    static const char *const heads[] = {
        "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n\r\nabc",
        "POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n\r\nabc",
        "POST /refuse HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"};
    static char chunk[65536];
    bool raw = kind < 2;
    int fd = dial();
    const char *got;

    ht.upload_result = 1;
    ht.pending = NULL;
    say(fd, heads[kind]);
    if (raw) {
        TURN_UNTIL(ht.pending);
        turn(20);
        http_reply_error(ht.pending, 409, "no");
    }
    got = hear(fd, "}\n");
    starts(got, raw ? "HTTP/1.1 409 " : "HTTP/1.1 404 ");
    contains(got, "\r\nConnection: close\r\n");
    ck_assert_int_eq(ht.upload_result, raw ? -EPIPE : 1);
    TURN_UNTIL(at_end(fd));
    for (size_t i = 0, sent = 0; i < 1000 && sent < sizeof(chunk) * 20 && kind % 2 == 0; i++) {
        ssize_t n = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL);

        ck_assert_msg(n > 0 || errno == EAGAIN, "%m");
        sent += n > 0 ? (size_t)n : 0;
        turn(1);
    }
    fd_close(fd);
    turn(20);
    if (raw)
        fd_close(ht.upload_pipe[0]);
}

START_TEST(test_raw_answered_before_its_end)
{
    answered_before_its_end(_i);
    answered_before_its_end(_i + 2);
}
END_TEST

/* A drop now and then holds nobody; who waits for the reader may take his time. */
START_TEST(test_pace)
{
    static char plenty[HTTP_PACE_BYTES], sink[65536];
    int fd = dial();
    ssize_t n;

    http_server_set_pace(ht.server, 300);
    say(fd, "POST /paced HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n\r\n");
    TURN_UNTIL(ht.pending);
    ht.upload_result = 1;
    for (int i = 0; i < 60; i++) { /* enough in each turn of the clock */
        ck_assert_int_eq(send(fd, plenty, sizeof(plenty), 0), sizeof(plenty));
        turn(10);
        while (read(ht.upload_pipe[0], sink, sizeof(sink)) > 0)
            ;
    }
    ck_assert_int_eq(ht.upload_result, 1);
    do { /* the reader's turn */
        n = send(fd, plenty, sizeof(plenty), 0);
        turn(1);
    } while (n > 0);
    turn(700);
    ck_assert_int_eq(ht.upload_result, 1);
    for (int i = 0; i < 500 && ht.upload_result == 1; i++) {
        while (read(ht.upload_pipe[0], sink, sizeof(sink)) > 0)
            ;
        send(fd, "x", 1, 0);
        turn(10);
    }
    ck_assert_int_eq(ht.upload_result, -ETIMEDOUT);
    http_reply_error(ht.pending, 400, "too slow");
    contains(hear(fd, "}\n"), "too slow");
    fd_close(fd);
    fd_close(ht.upload_pipe[0]);
}
END_TEST

START_TEST(test_raw_answered_at_its_end)
{
    int fd = dial();

    say(fd, "POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    starts(hear(fd, "\r\n\r\n"), "HTTP/1.1 200 ");
    fd_close(ht.upload_pipe[0]);
    say(fd, "POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab");
    TURN_UNTIL(ht.calls == 2);
    fd_close(fd);
    TURN_UNTIL(ht.upload_result == -ECONNRESET);
    fd_close(ht.upload_pipe[0]);
    /* The server stops while one is under way. */
    fd = dial();
    say(fd, "POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab");
    TURN_UNTIL(ht.calls == 3);
    turn(_i * 20);
    ht.upload_result = 1;
    httptest_teardown();
    ck_assert_int_eq(ht.upload_result, -ECONNRESET);
    fd_close(ht.upload_pipe[0]);
    fd_close(fd);
    httptest_setup();
}
END_TEST

START_TEST(test_server_stops_in_upload)
{
    _cleanup_close_ int fd = dial();

    say(fd, "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    TURN_UNTIL(ht.pending);
    if (_i)
        say(fd, "defghij");
    if (_i)
        TURN_UNTIL(ht.upload_result == 0);
    httptest_teardown();
    ck_assert_int_eq(ht.upload_result, _i ? 0 : -ECONNRESET);
    http_reply_empty(ht.pending, 200);
    fd_close(ht.upload_pipe[0]);
    httptest_setup();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_upload_broken_chunks,
        test_raw_answered_early,
        test_pace,
    };
    const TTest *const twice[] = {
        test_upload,
        test_upload_reader_leaves,
        test_upload_client_leaves,
        test_upload_chunked,
        test_raw_answered_at_its_end,
        test_server_stops_in_upload,
        test_raw_answered_before_its_end,
    };

    return httptest_run("http_uploads", tests, ARRAY_SIZE(tests), twice, ARRAY_SIZE(twice));
}
