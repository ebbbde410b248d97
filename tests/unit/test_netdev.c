#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "netdev.h"
#include "str.h"

static const char titles[] =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop "
    "fifo colls carrier compressed\n";

static int parse(const char *lines, struct netdev *ret, size_t max)
{
    _cleanup_free_ char *text = xasprintf("%s%s", titles, lines);

    return netdev_parse(text, ret, max);
}

START_TEST(columns)
{
    struct netdev d[2];

    ck_assert_int_eq(parse("    lo: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n"
                           "  eth0: 11 12 13 14 15 16 17 18 21 22 23 24 25 26 27 28\n"
                           "a:b: 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                           d, 2),
                     2);
    ck_assert_str_eq(d[0].name, "eth0");
    for (size_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(d[0].counters[NETDEV_RX_BYTES + i], 11 + i);
        ck_assert_uint_eq(d[0].counters[NETDEV_TX_BYTES + i], 21 + i);
    }
    ck_assert_str_eq(d[1].name, "a:b");
    ck_assert_uint_eq(d[1].counters[NETDEV_RX_BYTES], UINT64_MAX);
}
END_TEST

START_TEST(no_more_than_there_is_room_for)
{
    struct netdev d[1];

    ck_assert_int_eq(parse("a: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
                           "b: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
                           d, 1),
                     1);
    ck_assert_str_eq(d[0].name, "a");
    ck_assert_int_eq(parse("", d, 1), 0);
}
END_TEST

/* It stays open for one process, and tells the same as if it were opened anew. */
START_TEST(file_stays_open)
{
    struct netdev_file file = NETDEV_CLOSED;
    struct netdev d[NETDEV_MAX];
    int n = netdev_read(&file, getpid(), d, NETDEV_MAX), fd = file.fd;

    ck_assert_int_ge(n, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(netdev_read(&file, getpid(), d, NETDEV_MAX), n);
    ck_assert_int_eq(file.fd, fd);
    ck_assert_int_ge(netdev_read(&file, getppid(), d, NETDEV_MAX), 0);
    ck_assert_int_eq(file.pid, getppid());
    netdev_close(&file);
    ck_assert_int_lt(file.fd, 0);
    ck_assert_int_lt(netdev_read(&file, 0x7ffffff, d, NETDEV_MAX), 0); /* over pid_max */
    ck_assert_int_lt(file.fd, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netdev");
    TCase *t = tcase_create("netdev");
    SRunner *runner;
    int failed;

    tcase_add_test(t, columns);
    tcase_add_test(t, no_more_than_there_is_room_for);
    tcase_add_test(t, file_stays_open);
    suite_add_tcase(s, t);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
