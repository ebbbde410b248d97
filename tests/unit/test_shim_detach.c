#include <check.h>
#include <string.h>

#include "detach.h"

static struct detach d;
static char out[256];
static size_t n;

static bool feed(const char *text)
{
    return detach_feed(&d, text, strlen(text), out, &n);
}

static void keys(const char *k)
{
    detach_init(&d, (const uint8_t *)k, (uint32_t)strlen(k));
}

START_TEST(no_keys_pass_everything)
{
    keys("");
    ck_assert(!feed("\x10\x11 all"));
    ck_assert_uint_eq(n, 6);
    ck_assert_mem_eq(out, "\x10\x11 all", 6);
}
END_TEST

START_TEST(text_before_the_keys_is_kept)
{
    keys("\x10\x11");
    ck_assert(feed("ls\x10\x11ignored"));
    ck_assert_uint_eq(n, 2);
    ck_assert_mem_eq(out, "ls", 2);
}
END_TEST

START_TEST(keys_in_pieces)
{
    keys("\x10\x11");
    ck_assert(!feed("\x10"));
    ck_assert_uint_eq(n, 0);
    ck_assert(feed("\x11"));
    ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(held_back_bytes_come_out_on_mismatch)
{
    keys("\x10\x11");
    ck_assert(!feed("\x10"));
    ck_assert(!feed("x"));
    ck_assert_uint_eq(n, 2);
    ck_assert_mem_eq(out, "\x10x", 2);
    /* The byte that breaks the match may begin the next. */
    ck_assert(feed("\x10\x10\x11"));
    ck_assert_uint_eq(n, 1);
    ck_assert_mem_eq(out, "\x10", 1);
}
END_TEST

START_TEST(keys_that_overlap_themselves)
{
    keys("aab");
    ck_assert(feed("aaab"));
    ck_assert_uint_eq(n, 1);
    ck_assert_mem_eq(out, "a", 1);
    keys("abab!");
    ck_assert(!feed("ababab"));
    ck_assert_uint_eq(n, 2);
    ck_assert(feed("!"));
}
END_TEST

START_TEST(too_many_keys_are_none)
{
    detach_init(&d, (const uint8_t *)"a", SHIM_DETACH_KEYS_MAX + 1);
    ck_assert(!feed("a"));
    ck_assert_uint_eq(n, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shim_detach");
    TCase *t = tcase_create("shim_detach");
    SRunner *r;
    int failed;

    tcase_add_test(t, no_keys_pass_everything);
    tcase_add_test(t, text_before_the_keys_is_kept);
    tcase_add_test(t, keys_in_pieces);
    tcase_add_test(t, held_back_bytes_come_out_on_mismatch);
    tcase_add_test(t, keys_that_overlap_themselves);
    tcase_add_test(t, too_many_keys_are_none);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
