#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inet4.h"
#include "mem.h"

static struct inet4 net(const char *s)
{
    struct inet4 n;

    ck_assert_int_eq(inet4_parse(s, &n), 0);
    return n;
}

START_TEST(parse_accepts_only_whole_cidr)
{
    static const char *const bad[] = {"",           "1.2.3.4",    "1.2.3/8",    "1.2.3.4/",
                                      "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/8x", "1.2.3.256/8",
                                      " 1.2.3.4/8", "1.2.3.4/ 8", "::1/64",     "/8"};
    struct inet4 n;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_msg(inet4_parse(bad[i], &n) < 0, "accepted '%s'", bad[i]);
    ck_assert_int_lt(inet4_parse(NULL, &n), 0);
    n = net("192.168.5.1/24");
    ck_assert_uint_eq(n.address, 0xc0a80501);
    ck_assert_uint_eq(n.prefix, 24);
}
END_TEST

START_TEST(format_is_parse_backwards)
{
    static const char *const texts[] = {"0.0.0.0/0", "172.17.0.1/16", "255.255.255.255/32"};
    char out[INET4_STR_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct inet4 n = net(texts[i]);

        inet4_format(&n, out);
        ck_assert_str_eq(out, texts[i]);
    }
}
END_TEST

START_TEST(bip_must_be_a_host_of_a_usable_subnet)
{
    static const char *const bad[] = {"10.0.0.0/24", "10.0.0.255/24", "10.0.0.1/31", "10.0.0.1/32",
                                      "10.0.0.1/7",  "10.0.0.1",      "nonsense"};
    struct err err = {0};
    struct inet4 n = {7, 7};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ck_assert_int_lt(inet4_parse_bip(bad[i], &n, &err), 0);
        ck_assert_int_eq(err.kind, ERR_INVALID);
        ck_assert_ptr_nonnull(strstr(err.message, bad[i]));
    }
    ck_assert_uint_eq(n.address, 7); /* untouched by failures */
    ck_assert_int_eq(inet4_parse_bip("10.0.0.1/30", &n, &err), 0);
    ck_assert_uint_eq(n.prefix, 30);
}
END_TEST

START_TEST(bounds_of_a_subnet)
{
    struct inet4 n = net("172.17.4.9/20");

    ck_assert_uint_eq(inet4_first(&n), 0xac110000);
    ck_assert_uint_eq(inet4_last(&n), 0xac110fff);
    ck_assert(inet4_contains(&n, 0xac110fff));
    ck_assert(!inet4_contains(&n, 0xac111000));
    ck_assert_uint_eq(inet4_mask(0), 0);
    ck_assert_uint_eq(inet4_mask(32), 0xffffffff);
}
END_TEST

START_TEST(overlap_works_in_both_directions)
{
    static const struct {
        const char *a, *b;
        bool overlap;
    } cases[] = {
        {"10.0.0.0/8", "10.200.3.0/24", true},        {"10.0.0.0/24", "10.0.1.0/24", false},
        {"172.17.0.1/16", "172.17.255.255/32", true}, {"172.16.0.0/12", "172.31.0.0/16", true},
        {"172.16.0.0/12", "172.32.0.0/16", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct inet4 a = net(cases[i].a), b = net(cases[i].b);

        ck_assert(inet4_overlap(&a, &b) == cases[i].overlap);
        ck_assert(inet4_overlap(&b, &a) == cases[i].overlap);
    }
}
END_TEST

static void check_choice(const char *const *used, size_t n, const char *want)
{
    struct inet4 nets[64], chosen;
    char text[INET4_STR_MAX];

    for (size_t i = 0; i < n; i++)
        nets[i] = net(used[i]);
    ck_assert_int_eq(inet4_choose(NULL, 0, nets, n, &chosen), 0);
    inet4_format(&chosen, text);
    ck_assert_str_eq(text, want);
}

START_TEST(choice_avoids_what_is_used)
{
    static const char *const first[] = {"172.17.3.0/24"};
    static const char *const wide[] = {"172.16.0.0/12"};
    static const char *const most[] = {"172.16.0.0/12", "192.168.0.0/18", "192.168.64.7/32"};
    static const char *const dockers[] = {"172.16.0.0/12", "192.168.0.0/16", "10.224.1.0/24"};
    static const char *const irrelevant[] = {"0.0.0.0/0", "127.0.0.0/8", "10.0.0.0/8"};

    check_choice(NULL, 0, "172.17.0.1/16");
    check_choice(irrelevant, 3, "172.17.0.1/16");
    check_choice(first, 1, "172.18.0.1/16");
    check_choice(wide, 1, "192.168.0.1/20");
    check_choice(most, 3, "192.168.80.1/20");
    check_choice(dockers, 3, "10.224.16.1/20");
}
END_TEST

static void check_pools(const char *a, const char *b, const char *used, const char *want)
{
    struct inet4_pool pools[2];
    struct inet4 taken = used ? net(used) : (struct inet4){0}, chosen;
    char text[INET4_STR_MAX] = "none";

    ck_assert_int_eq(inet4_pool_parse(a, &pools[0]), 0);
    if (b)
        ck_assert_int_eq(inet4_pool_parse(b, &pools[1]), 0);
    if (inet4_choose(pools, b ? 2 : 1, &taken, used ? 1 : 0, &chosen) >= 0)
        inet4_format(&chosen, text);
    ck_assert_str_eq(text, want);
}

START_TEST(choice_from_given_pools)
{
    static const char *const wrong[] = {"",
                                        "base=10.0.0.0/8",
                                        "size=24",
                                        "base=10.0.0.0/8,size=7",
                                        "base=10.0.0.0/8,size=31",
                                        "base=fd00::/8,size=64",
                                        "base=10.0.0.0/8,size=24,x=1",
                                        "base=0.0.0.0/0,size=8"};
    struct inet4_pool pool;

    check_pools("base=10.1.0.0/16,size=24", NULL, NULL, "10.1.0.1/24");
    check_pools("size=24,base=10.1.2.3/16", NULL, "10.1.0.77/32", "10.1.1.1/24");
    check_pools("base=10.1.0.0/16,size=24", NULL, "10.1.0.0/17", "10.1.128.1/24");
    check_pools("base=10.1.0.0/16,size=24", NULL, "10.0.0.0/8", "none");
    check_pools("base=10.1.0.0/16,size=16", "base=10.2.0.0/16,size=28", "10.1.9.0/24",
                "10.2.0.1/28");
    check_pools("base=10.0.0.0/8,size=30", NULL, "10.0.0.0/9", "10.128.0.1/30");
    check_pools("base=255.255.255.0/24,size=25", NULL, "255.255.255.0/24", "none");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_msg(inet4_pool_parse(wrong[i], &pool) == -EINVAL, "'%s'", wrong[i]);
}
END_TEST

START_TEST(choice_fails_when_all_pools_are_used)
{
    struct inet4 used[] = {net("172.0.0.0/8"), net("192.168.0.0/16"), net("10.0.0.0/8")};
    struct inet4 chosen = {7, 7};

    ck_assert_int_eq(inet4_choose(NULL, 0, used, 3, &chosen), -EADDRNOTAVAIL);
    ck_assert_uint_eq(chosen.address, 7);
}
END_TEST

START_TEST(mac_follows_the_address)
{
    uint8_t mac[MAC_LEN], back[MAC_LEN];
    char text[MAC_STR_MAX];

    mac_from_address(0xac110002, mac);
    mac_format(mac, text);
    ck_assert_str_eq(text, "02:42:ac:11:00:02");
    ck_assert_int_eq(mac_parse(text, back), 0);
    ck_assert_mem_eq(mac, back, MAC_LEN);
    ck_assert_int_lt(mac_parse("02:42:ac:11:00", back), 0);
    ck_assert_int_lt(mac_parse("02:42:ac:11:00:0g", back), 0);
    ck_assert_int_lt(mac_parse("02:42:ac:11:00:02 ", back), 0);
    ck_assert_int_lt(mac_parse("02:42:ac:11:00::2", back), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inet4");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_add_test(t, parse_accepts_only_whole_cidr);
    tcase_add_test(t, format_is_parse_backwards);
    tcase_add_test(t, bip_must_be_a_host_of_a_usable_subnet);
    tcase_add_test(t, bounds_of_a_subnet);
    tcase_add_test(t, overlap_works_in_both_directions);
    tcase_add_test(t, choice_avoids_what_is_used);
    tcase_add_test(t, choice_from_given_pools);
    tcase_add_test(t, choice_fails_when_all_pools_are_used);
    tcase_add_test(t, mac_follows_the_address);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
