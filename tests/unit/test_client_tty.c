#include <check.h>
#include <string.h>

#include "tty.h"

static char out[256];

static bool feed(struct detach *d, const char *data, size_t len)
{
    size_t n;
    bool done = detach_filter(d, data, len, out, &n);

    out[n] = '\0';
    return done;
}

START_TEST(default_keys)
{
    struct detach d;

    detach_init(&d, NULL);
    ck_assert(!feed(&d, "ab", 2));
    ck_assert_str_eq(out, "ab");
    ck_assert(feed(&d, "x\x10\x11y", 4));
    ck_assert_str_eq(out, "x");
}
END_TEST

START_TEST(split_over_reads)
{
    struct detach d;

    detach_init(&d, NULL);
    ck_assert(!feed(&d, "a\x10", 2));
    ck_assert_str_eq(out, "a");
    ck_assert(feed(&d, "\x11", 1));
    ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(held_back_keys_come_out)
{
    struct detach d;

    detach_init(&d, NULL);
    ck_assert(!feed(&d, "\x10z", 2));
    ck_assert_str_eq(out, "\x10z");
    ck_assert(!feed(&d, "\x10", 1));
    ck_assert_str_eq(out, "");
    ck_assert(!feed(&d, "\x10", 1));
    ck_assert_str_eq(out, "\x10");
    ck_assert(feed(&d, "\x11", 1));
}
END_TEST

START_TEST(own_keys)
{
    struct detach d;

    detach_init(&d, "ctrl-a,x");
    ck_assert(!feed(&d, "\x10\x11", 2));
    ck_assert(feed(&d, "\x01x", 2));
    detach_init(&d, "ctrl-@,ctrl-[,ctrl-_");
    ck_assert(feed(&d, "\0\x1b\x1f", 3));
    detach_init(&d, "a");
    ck_assert(feed(&d, "a", 1));
}
END_TEST

START_TEST(nonsense_means_the_default)
{
    static const char *const bad[] = {
        "ctrl-", "ctrl-ab", "ctrl-A", "", ",", "a,,b", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct detach d;

        detach_init(&d, bad[i]);
        ck_assert_uint_eq(d.n, 2);
        ck_assert(feed(&d, "\x10\x11", 2));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_tty");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, default_keys);
    tcase_add_test(tc, split_over_reads);
    tcase_add_test(tc, held_back_keys_come_out);
    tcase_add_test(tc, own_keys);
    tcase_add_test(tc, nonsense_means_the_default);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
