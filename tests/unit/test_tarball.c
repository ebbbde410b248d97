/* Archives as lists of pieces: headers, padding, sending in parts. */
#include "tarball.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "sender.h"
#include "str.h"

static int pair[2];

static void setup(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
}

static void teardown(void)
{
    fd_close(pair[0]);
    fd_close(pair[1]);
}

static int file_of(const char *text, int64_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(fd, size), 0);
    ck_assert_int_eq(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    return fd;
}

/* Send all of it, however little the socket takes at once; ret has room for it. */
static void receive(struct tarball *t, char *ret)
{
    int64_t got = 0;
    int r;

    do {
        ssize_t n;

        r = tarball_send(t, pair[0], 700);
        ck_assert(r == 0 || r == -EAGAIN);
        while ((n = read(pair[1], ret + got, 100000)) > 0)
            got += n;
    } while (r == -EAGAIN);
    ck_assert_int_eq(got, tarball_size(t));
}

START_TEST(test_entries)
{
    struct tarball *t = tarball_new();
    char *out;

    tarball_add_dir(t, "d/");
    tarball_add_data(t, "d/small", "hello", 5);
    tarball_add_file(t, "d/file", file_of("content", 1024), 1000);
    tarball_add_data(t, "empty", "", 0);
    tarball_end(t);
    ck_assert_int_eq(tarball_size(t), 512 + 1024 + 512 + 1024 + 512 + 1024);
    out = calloc(1, 200000);
    receive(t, out);
    ck_assert_str_eq(out, "d/");
    ck_assert_int_eq(out[156], '5');
    ck_assert_str_eq(out + 100, "0000755");
    ck_assert_str_eq(out + 512, "d/small");
    ck_assert_str_eq(out + 512 + 124, "00000000005");
    ck_assert_str_eq(out + 1024, "hello");
    ck_assert_str_eq(out + 1536, "d/file");
    ck_assert_str_eq(out + 1536 + 124, "00000001750");
    ck_assert_str_eq(out + 2048, "content");
    ck_assert_str_eq(out + 3072, "empty");
    ck_assert_mem_eq(out + 3072 + 257,
                     "ustar\0"
                     "00",
                     8);
    free(out);
    tarball_free(t);
}
END_TEST

START_TEST(test_large_size)
{
    static const unsigned char wanted[] = {0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0};
    struct tarball *t = tarball_new();
    unsigned char header[512];

    tarball_add_file(t, "big", file_of("", 8LL << 30), 8LL << 30);
    tarball_end(t);
    ck_assert_int_eq(tarball_size(t), 512 + (8LL << 30) + 1024);
    ck_assert_int_eq(tarball_send(t, pair[0], 512), -EAGAIN);
    ck_assert_int_eq(read(pair[1], header, sizeof(header)), 512);
    ck_assert_mem_eq(header + 124, wanted, 12);
    tarball_free(t);
}
END_TEST

START_TEST(test_full_socket_and_gone_reader)
{
    struct tarball *t = tarball_new();

    tarball_add_file(t, "big", file_of("", 4 << 20), 4 << 20);
    tarball_end(t);
    ck_assert_int_eq(tarball_send(t, pair[0], INT64_MAX), -EAGAIN);
    pair[1] = fd_close(pair[1]);
    ck_assert_int_eq(tarball_send(t, pair[0], INT64_MAX), -EPIPE);
    tarball_free(t);
}
END_TEST

START_TEST(test_file_that_shrank)
{
    struct tarball *t = tarball_new();

    tarball_add_file(t, "f", file_of("x", 100), 1000);
    tarball_end(t);
    ck_assert_int_eq(tarball_send(t, pair[0], INT64_MAX), -EIO);
    tarball_free(t);
}
END_TEST

/* ---- on their way ---- */

static int result;

static void on_sent(void *arg, int status)
{
    (void)arg;
    result = status;
}

/* One that reads now and then gets all of it, however long it takes; one that does not is cut. */
START_TEST(test_reader_that_does_not_read)
{
    static char sink[20000];
    struct tarball *t = tarball_new();
    int64_t size, got = 0;
    struct sender *sender;
    uv_loop_t loop;
    int sock;

    tarball_add_file(t, "big", file_of("", 4 << 20), 4 << 20);
    tarball_end(t);
    size = tarball_size(t);
    result = 1;
    sock = pair[0];
    pair[0] = -EBADF;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(sender_start(&loop, t, sock, 500, on_sent, NULL, &sender), 0);
    for (int64_t end = time_monotonic_ns() + INT64_C(60000000000); result == 1;) {
        ssize_t n = _i && got > size / 2 ? 0 : read(pair[1], sink, sizeof(sink));

        got += n > 0 ? n : 0;
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(10000);
        ck_assert(time_monotonic_ns() < end);
    }
    ck_assert_int_eq(result, _i ? -ETIMEDOUT : 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tarball");
    TCase *t = tcase_create("tarball");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_entries);
    tcase_add_test(t, test_large_size);
    tcase_add_test(t, test_full_socket_and_gone_reader);
    tcase_add_test(t, test_file_that_shrank);
    tcase_add_loop_test(t, test_reader_that_does_not_read, 0, 2);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    signal(SIGPIPE, SIG_IGN);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
