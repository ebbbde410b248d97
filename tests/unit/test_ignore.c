#include "ignore.h"

#include <check.h>
#include <stdlib.h>

#include "mem.h"

static const struct {
    const char *list, *path;
    bool out;
} cases[] = {
    {"", "a", false},
    {"a", "a", true},
    {"a", "b/a", false},
    {"a", "a/b/c", true},
    {"a", "ab", false},
    {"/a/", "a", true},
    {"./a", "a", true},
    {"# a\na", "a", true},
    {"  a  \r\n", "a", true},
    {"*", "anything", true},
    {"*.md", "x.md", true},
    {"*.md", "d/x.md", false},
    {"*/x", "d/x", true},
    {"*/x", "d/e/x", false},
    {"**/x", "x", true},
    {"**/x", "d/e/x", true},
    {"**/x", "d/ex", false},
    {"**/*.go", "a/b/c.go", true},
    {"**/*.go", "a/b/c.gone", false},
    {"a/**", "a/b", true},
    {"a/**/z", "a/b/c/z", true},
    {"a/**/z", "a/z", true},
    {"a/**/z", "a/bz", false},
    {"a?c", "abc", true},
    {"a?c", "a/c", false},
    {"[a-c]x", "bx", true},
    {"[^a-c]x", "bx", false},
    {"[^a-c]x", "dx", true},
    {"[a", "a", false},
    {"\\*", "*", true},
    {"\\*", "a", false},
    {"*.md\n!README.md", "README.md", false},
    {"*.md\n!README.md", "x.md", true},
    {"*\n!keep\nkeep/not", "keep/yes", false},
    {"*\n!keep\nkeep/not", "keep/not", true},
    {"!a\na", "a", true},
    {"a*b*c*d*e*f*g", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     false},
    {".", "a", false},
};

START_TEST(test_match)
{
    struct ignore ig = {0};

    ck_assert_int_eq(ignore_parse(cases[_i].list, &ig), 0);
    ck_assert_int_eq(ignore_match(&ig, cases[_i].path), cases[_i].out);
    ignore_done(&ig);
}
END_TEST

START_TEST(test_may_hold)
{
    struct ignore ig = {0};

    ck_assert_int_eq(ignore_parse("d\ne\n!d/x\n", &ig), 0);
    ck_assert(ig.exceptions);
    ck_assert(ignore_may_hold(&ig, "d"));
    ck_assert(!ignore_may_hold(&ig, "e"));
    ignore_done(&ig);
    ck_assert_int_eq(ignore_parse("*\n!**/x\n", &ig), 0);
    ck_assert(ignore_may_hold(&ig, "e"));
    ignore_done(&ig);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ignore");
    TCase *tc = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_loop_test(tc, test_match, 0, ARRAY_SIZE(cases));
    tcase_add_test(tc, test_may_hold);
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
