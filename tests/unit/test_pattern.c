/* Regular expressions of clients: what they find, and which are not even compiled. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

static const struct {
    const char *pattern, *text;
    bool found;
} taken[] = {
    {"^web[0-9]+$", "web12", true},
    {"^web[0-9]+$", "web", false},
    {"(a|b){2,3}c", "xabac", true},
    {"a{2}{2}", "aaaa", true},
    {"x{,3}y", "y", true},
    {"x{3,}y", "xxy", false},
    {"[]a]{2}b", "a]b", true},
    {"[^]]x", "ax", true},
    {"[[:alpha:]{}]{5}", "ab{}c", true},
    {"\\(\\+", "(+", true},
    {"((((((((((a))))))))))", "a", true},
    {"a{900}", "a", false},
    {"", "anything", true},
};

static const char *const refused[] = {
    "[",
    "[[:alpha",
    "(",
    "\\",
    "a{1,65536}",
    "a{4294967297}",
    "((a{1,255}){1,255}){1,255}",
    "((((((((((a+)+)+)+)+)+)+)+)+)+",
    "[[:alpha:]{}]{1,30000}",
    "((){900}){900}",
    "(a*)*\\1",
    "((((((((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))))))))))",
};

START_TEST(what_is_taken)
{
    regex_t re;

    ck_assert_int_eq(pattern_compile(taken[_i].pattern, &re), 0);
    ck_assert_int_eq(pattern_found(&re, taken[_i].text), taken[_i].found);
    regfree(&re);
}
END_TEST

START_TEST(what_is_refused)
{
    regex_t re;

    ck_assert_int_eq(pattern_compile(refused[_i], &re), -EINVAL);
}
END_TEST

START_TEST(long_ones)
{
    char text[1026];
    regex_t re;

    memset(text, 'a', sizeof(text) - 1);
    text[1025] = '\0';
    ck_assert_int_eq(pattern_compile(text, &re), -EINVAL);
    text[900] = '\0';
    ck_assert_int_eq(pattern_compile(text, &re), 0);
    regfree(&re);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pattern");
    TCase *t = tcase_create("all");
    SRunner *sr = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, what_is_taken, 0, sizeof(taken) / sizeof(taken[0]));
    tcase_add_loop_test(t, what_is_refused, 0, sizeof(refused) / sizeof(refused[0]));
    tcase_add_test(t, long_ones);
    suite_add_tcase(s, t);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
