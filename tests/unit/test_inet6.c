#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inet6.h"

static struct inet6 net(const char *text)
{
    struct inet6 n;

    ck_assert_int_eq(inet6_parse(text, &n), 0);
    return n;
}

START_TEST(text_round_trips)
{
    static const char *const good[] = {"fd00::/8", "2001:db8::1/64", "::/1", "::1/128"};
    static const char *const bad[] = {"",           "fd00::", "fd00::/0",   "fd00::/129",
                                      "10.0.0.0/8", "x::/64", "fd00::/64x", "/64"};
    char text[INET6_STR_MAX];
    struct inet6 n;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        n = net(good[i]);
        inet6_format(&n, text);
        ck_assert_str_eq(text, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(inet6_parse(bad[i], &n), -EINVAL);
    ck_assert_int_eq(inet6_parse(NULL, &n), -EINVAL);
}
END_TEST

START_TEST(ends_of_a_subnet)
{
    static const struct {
        const char *net, *first, *behind;
    } cases[] = {
        {"2001:db8:1:2:3:4:5:6/64", "2001:db8:1:2::", "2001:db8:1:3::"},
        {"fd00::ff/121", "fd00::80", "fd00::100"},
        {"fd00::1/128", "fd00::1", "fd00::2"},
        {"2001:db8:ffff:ffff::/64", "2001:db8:ffff:ffff::", "2001:db9::"},
        {"ffff::/16", "ffff::", "::"},
    };
    uint8_t behind[INET6_LEN];
    char text[INET6_STR_MAX];
    struct inet6 n, first;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        n = net(cases[i].net);
        inet6_first(&n, &first);
        inet6_format_address(first.address, text);
        ck_assert_str_eq(text, cases[i].first);
        inet6_behind(&n, behind);
        inet6_format_address(behind, text);
        ck_assert_str_eq(text, cases[i].behind);
    }
}
END_TEST

START_TEST(overlap_goes_by_the_shorter_prefix)
{
    struct inet6 wide = net("fd00:1::/32"), inner = net("fd00:1:2::/64"),
                 other = net("fd00:2::/32");

    ck_assert(inet6_overlap(&wide, &inner));
    ck_assert(inet6_overlap(&inner, &wide));
    ck_assert(!inet6_overlap(&other, &inner));
    ck_assert(inet6_contains(&wide, inner.address));
    ck_assert(!inet6_contains(&inner, wide.address));
}
END_TEST

START_TEST(address_out_of_an_ipv4_one)
{
    struct inet6 n = net("fd00:1::fe/64");
    uint8_t address[INET6_LEN];
    char text[INET6_STR_MAX];

    inet6_with4(&n, 0xac110002, address);
    inet6_format_address(address, text);
    ck_assert_str_eq(text, "fd00:1::ac11:2");
}
END_TEST

START_TEST(local_networks_are_random)
{
    struct inet6 a, b, local = net("fd00::/8");

    ck_assert_int_eq(inet6_random_ula(&a), 0);
    ck_assert_int_eq(inet6_random_ula(&b), 0);
    ck_assert_int_eq(a.prefix, 64);
    ck_assert(inet6_contains(&local, a.address));
    ck_assert(memcmp(a.address, b.address, INET6_LEN) != 0);
    for (int i = 8; i < INET6_LEN; i++)
        ck_assert_int_eq(a.address[i], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inet6");
    TCase *tc = tcase_create("inet6");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, text_round_trips);
    tcase_add_test(tc, ends_of_a_subnet);
    tcase_add_test(tc, overlap_goes_by_the_shorter_prefix);
    tcase_add_test(tc, address_out_of_an_ipv4_one);
    tcase_add_test(tc, local_networks_are_random);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
