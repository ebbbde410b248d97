#include "tree.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static const struct {
    const char *in, *out; /* NULL: refused */
} names[] = {
    {"a", "a"},       {"./a", "a"},   {"/a", "a"},    {"a/b/", "a/b"},        {"a//b/./c", "a/b/c"},
    {".", ""},        {"./", ""},     {"/", ""},      {"..a/b..", "..a/b.."}, {"...", "..."},
    {"..", NULL},     {"../a", NULL}, {"a/..", NULL}, {"a/../b", NULL},       {"/../etc", NULL},
    {"./../a", NULL},
};

START_TEST(test_clean)
{
    char out[PATH_MAX];
    struct err e = {0};
    int r = tree_clean(names[_i].in, out, &e);

    if (names[_i].out) {
        ck_assert_int_eq(r, 0);
        ck_assert_str_eq(out, names[_i].out);
    } else {
        ck_assert_int_lt(r, 0);
        ck_assert_int_eq(e.kind, ERR_INVALID);
    }
}
END_TEST

static char *repeat(const char *unit, size_t n)
{
    size_t len = strlen(unit);
    char *s = xmalloc(n * len + 1);

    for (size_t i = 0; i < n; i++)
        memcpy(s + i * len, unit, len);
    s[n * len] = '\0';
    return s;
}

START_TEST(test_limits)
{
    _cleanup_free_ char *fits = repeat("n", NAME_MAX), *wide = repeat("n", NAME_MAX + 1);
    _cleanup_free_ char *deep = repeat("d/", TREE_DEPTH_MAX);
    _cleanup_free_ char *deeper = repeat("d/", TREE_DEPTH_MAX + 1);
    _cleanup_free_ char *longest = repeat("123456789012345678901234567890123456789/", 120);
    char out[PATH_MAX];

    ck_assert_int_eq(tree_clean(fits, out, NULL), 0);
    ck_assert_str_eq(out, fits);
    ck_assert_int_lt(tree_clean(wide, out, NULL), 0);
    ck_assert_int_eq(tree_clean(deep, out, NULL), 0);
    ck_assert_int_lt(tree_clean(deeper, out, NULL), 0);
    ck_assert_int_lt(tree_clean(longest, out, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tree");
    TCase *t = tcase_create("tree");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, test_clean, 0, (int)ARRAY_SIZE(names));
    tcase_add_test(t, test_limits);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
