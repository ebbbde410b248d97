#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "route.h"

static struct routes parsed(const char *text)
{
    struct routes routes;
    struct err err;

    ck_assert_msg(routes_parse(text, &routes, &err) == 0, "%s: %s", text, err.message);
    return routes;
}

START_TEST(test_text_round_trips)
{
    static const char *const good[] = {"10.9.0.0/16=172.18.0.5", "192.0.2.1/32=10.0.0.1",
                                       "0.0.0.0/1=10.0.0.1", "fd00:9::/64=fd00:1::5",
                                       "2001:db8::1/128=fe80::1"};
    char text[ROUTE_STR_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct routes routes = parsed(good[i]);

        ck_assert_uint_eq(routes.n, 1);
        route_format(&routes.list[0], text);
        ck_assert_str_eq(text, good[i]);
    }
    ck_assert_uint_eq(parsed("").n, 0);
    ck_assert_uint_eq(parsed("10.9.0.0/16=10.0.0.1,fd00:9::/64=fd00::1,10.9.0.0/24=10.0.0.1").n, 3);
}
END_TEST

START_TEST(test_what_is_no_route)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"10.9.0.0/16", "it is no DESTINATION"},
        {"10.9.0.0=10.0.0.1", "it is no DESTINATION"},
        {"10.9.0.0/33=10.0.0.1", "it is no DESTINATION"},
        {"10.9.0.0/16=", "it is no DESTINATION"},
        {"=10.0.0.1", "it is no DESTINATION"},
        {"10.9.0.0/16=10.0.0.1=10.0.0.2", "it is no DESTINATION"},
        {"10.9.0.0/16=fd00::1", "it is no DESTINATION"},
        {"fd00::/16=10.0.0.1", "it is no DESTINATION"},
        {"fd00::/129=fd00::1", "it is no DESTINATION"},
        {"10.9.0.0/16=10.0.0.1,", "it is no DESTINATION"},
        {",10.9.0.0/16=10.0.0.1", "it is no DESTINATION"},
        {"10.9.0.0/16=10.0.0.1, 10.8.0.0/16=10.0.0.1", "it is no DESTINATION"},
        {"10.9.1.0/16=10.0.0.1", "bits behind its prefix"},
        {"fd00::1/64=fd00::1", "bits behind its prefix"},
        {"0.0.0.0/0=10.0.0.1", "the default route"},
        {"::/0=fd00::1", "the default route"},
        {"127.0.0.0/8=10.0.0.1", "not for hosts"},
        {"224.0.0.0/4=10.0.0.1", "not for hosts"},
        {"ff00::/8=fd00::1", "not for hosts"},
        {"fe80::/10=fd00::1", "not for hosts"},
        {"10.9.0.0/16=10.0.0.1,10.9.0.0/16=10.0.0.2", "already"},
        {"fd00:9::/64=fd00::1,fd00:9:0::/64=fd00::2", "already"},
    };
    struct routes routes;
    struct err err;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ck_assert_msg(routes_parse(cases[i].text, &routes, &err) == -EINVAL, "%s", cases[i].text);
        ck_assert_int_eq(err.kind, ERR_INVALID);
        ck_assert_msg(strstr(err.message, cases[i].why), "%s: %s", cases[i].text, err.message);
    }
}
END_TEST

START_TEST(test_not_too_many)
{
    char text[ROUTES_MAX * 32 + 32] = "";
    struct routes routes;
    struct err err;

    for (int i = 0; i < ROUTES_MAX; i++)
        sprintf(text + strlen(text), "%s10.%d.0.0/16=172.18.0.5", i ? "," : "", i);
    ck_assert_uint_eq(parsed(text).n, ROUTES_MAX);
    strcat(text, ",11.0.0.0/8=172.18.0.5");
    ck_assert_int_eq(routes_parse(text, &routes, &err), -E2BIG);
    ck_assert_int_eq(err.kind, ERR_INVALID);
}
END_TEST

START_TEST(test_gateways_are_of_the_network)
{
    static const struct inet4 net = {10U << 24, 24}; /* 10.0.0.0/24 */
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"10.9.0.0/16=10.0.0.1", NULL},
        {"10.0.0.0/16=10.0.0.1", NULL}, /* the link's own subnet is a part of it */
        {"fd00:9::/64=fd00:1::5", NULL},
        {"10.9.0.0/16=10.0.1.1", "no address of the network"},
        {"10.9.0.0/16=10.0.0.0", "no address of the network"},
        {"10.9.0.0/16=10.0.0.255", "no address of the network"},
        {"10.0.0.0/24=10.0.0.1", "in the network itself"},
        {"10.0.0.128/25=10.0.0.1", "in the network itself"},
        {"fd00:9::/64=fd00:2::5", "no address of the network"},
        {"fd00:9::/64=fd00:1::", "no address of the network"},
        {"fd00:1::8000/113=fd00:1::5", "in the network itself"},
    };
    struct inet6 net6;
    struct err err;

    ck_assert_int_eq(inet6_parse("fd00:1::/64", &net6), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct routes routes = parsed(cases[i].text);
        int r = routes_check(&routes, &net, &net6, &err);

        ck_assert_msg(r == (cases[i].why ? -EINVAL : 0), "%s", cases[i].text);
        if (cases[i].why)
            ck_assert_msg(strstr(err.message, cases[i].why), "%s: %s", cases[i].text, err.message);
        if (cases[i].why)
            ck_assert_msg(strstr(err.message, cases[i].text), "%s: %s", cases[i].text, err.message);
    }
}
END_TEST

START_TEST(test_networks_without_the_family)
{
    static const struct inet4 none;
    static const struct inet6 none6;
    struct routes four = parsed("10.9.0.0/16=10.0.0.1"), six = parsed("fd00:9::/64=fd00:1::5");
    struct err err;

    ck_assert_int_eq(routes_check(&four, &none, &none6, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "needs an IPv4 subnet"));
    ck_assert_int_eq(routes_check(&six, &none, &none6, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "needs IPv6"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("route");
    TCase *tc = tcase_create("route");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, test_text_round_trips);
    tcase_add_test(tc, test_what_is_no_route);
    tcase_add_test(tc, test_not_too_many);
    tcase_add_test(tc, test_gateways_are_of_the_network);
    tcase_add_test(tc, test_networks_without_the_family);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
