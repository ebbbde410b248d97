#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "spill.h"

static int pair[2];
static struct spill s;

static void setup(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    fd_set_nonblock(pair[1], 1);
    s = SPILL_INIT;
}

static void teardown(void)
{
    spill_done(&s);
    fd_close(pair[0]);
    fd_close(pair[1]);
}

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 7 + i / 251);
}

START_TEST(order_is_kept_through_a_full_socket)
{
    static unsigned char buf[100000];
    size_t put = 0, got = 0, wrong = 0;

    while (put < 8000000) {
        for (size_t i = 0; i < sizeof(buf); i++)
            buf[i] = byte_at(put + i);
        ck_assert_int_eq(spill_put(&s, -EBADF, buf, sizeof(buf)), 0);
        put += sizeof(buf);
        ck_assert_int_ge(spill_drain(&s, pair[0]), 0);
    }
    ck_assert_uint_gt(spill_size(&s), 0);
    ck_assert_int_eq(spill_drain(&s, pair[0]), 0); /* full */
    while (got < put) {
        ssize_t n = read(pair[1], buf, sizeof(buf));

        if (n < 0) {
            ck_assert_int_gt(spill_drain(&s, pair[0]), 0);
            continue;
        }
        for (ssize_t i = 0; i < n; i++)
            wrong += buf[i] != byte_at(got + (size_t)i);
        got += (size_t)n;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(got, put);
    ck_assert_uint_eq(spill_size(&s), 0);
}
END_TEST

START_TEST(sent_bytes_are_given_back)
{
    static char buf[1 << 20];
    struct stat st;

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(spill_put(&s, -EBADF, buf, sizeof(buf)), 0);
    while (spill_size(&s) > 0) {
        if (read(pair[1], buf, sizeof(buf)) < 0)
            ck_assert_int_gt(spill_drain(&s, pair[0]), 0);
        if (spill_size(&s) > 0 && spill_size(&s) < sizeof(buf)) {
            ck_assert_int_eq(fstat(s.fd, &st), 0);
            ck_assert_int_le(st.st_blocks * 512, 2 << 20);
        }
    }
    ck_assert_int_eq(fstat(s.fd, &st), 0);
    ck_assert_int_eq(st.st_size, 0);
}
END_TEST

START_TEST(a_gone_client_is_an_error)
{
    ck_assert_int_eq(spill_put(&s, -EBADF, "x", 1), 0);
    pair[1] = fd_close(pair[1]);
    ck_assert_int_eq(spill_drain(&s, pair[0]), -EPIPE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shim_spill");
    TCase *t = tcase_create("shim_spill");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, order_is_kept_through_a_full_socket);
    tcase_add_test(t, sent_bytes_are_given_back);
    tcase_add_test(t, a_gone_client_is_an_error);
    suite_add_tcase(suite, t);
    r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
