/* The server and its client in one thread: the client's socket does not block, and whoever waits
 * for it turns the loop. */
#pragma once

#include <check.h>

#include "buf.h"
#include "fd.h"
#include "server.h"
#include "str.h"

#define PATIENCE_NS 5000000000LL

struct httptest {
    uv_loop_t loop;
    struct http_server *server;

    /* What the handlers saw. */
    struct http_req *pending;
    struct http_stream *stream;
    int aborts, closes, drains, hijacked_fd, upload_result, calls;
    char extra_seen[64];
    int upload_pipe[2];
};

extern struct httptest ht;

/* Of each test. */
void httptest_setup(void);
void httptest_teardown(void);

int dial(void);
void say(int fd, const char *text);
/* Turn the loop for some time. */
void turn(int64_t ms);
/* Bytes so far, without waiting; 0 at the end of the stream, too. */
size_t take(int fd, char *out, size_t room);
/* Read until the text ends so. */
char *hear(int fd, const char *end);
bool at_end(int fd);
void starts(const char *got, const char *want);
void contains(const char *got, const char *want);

#define TURN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        int64_t end_ = time_monotonic_ns() + PATIENCE_NS;                                          \
                                                                                                   \
        while (!(condition)) {                                                                     \
            uv_run(&ht.loop, UV_RUN_NOWAIT);                                                       \
            ck_assert_msg(time_monotonic_ns() < end_, "waited in vain: %s", #condition);           \
        }                                                                                          \
    } while (0)

/* Run the tests, and those of `twice` for _i 0 and 1; the exit status. */
int httptest_run(const char *name, const TTest *const *tests, size_t n, const TTest *const *twice,
                 size_t n_twice);
