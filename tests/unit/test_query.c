#include "query.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static void decodes_to(const char *in, bool plus, const char *want)
{
    _cleanup_free_ char *got = percent_decode(in, strlen(in), plus);

    if (!want) {
        ck_assert_msg(!got, "\"%s\" was decoded", in);
        return;
    }
    ck_assert_msg(got != NULL, "\"%s\" was refused", in);
    ck_assert_str_eq(got, want);
}

START_TEST(test_decode)
{
    decodes_to("", false, "");
    decodes_to("/a%2Fb%20c", false, "/a/b c");
    decodes_to("a+b", false, "a+b");
    decodes_to("a+b%2B", true, "a b+");
    decodes_to("%e2%82%ac", false, "\xe2\x82\xac");
}
END_TEST

START_TEST(test_decode_refuses)
{
    static const char *const bad[] = {"%",           "%4",        "a%2",  "%zz",
                                      "%00",         "a%00b",     "%ff",  "%c0%af",
                                      "%e2%82",      "%ed%a0%80", "\xff", "%f8%88%80%80%80",
                                      "%f4%90%80%80"};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        decodes_to(bad[i], false, NULL);
}
END_TEST

/* Not NUL-terminated where it ends: nothing behind the length may count. */
START_TEST(test_decode_length)
{
    _cleanup_free_ char *got = percent_decode("ab%41", 4, false);
    _cleanup_free_ char *part = percent_decode("ab%41", 2, false);

    ck_assert_ptr_null(got);
    ck_assert_str_eq(part, "ab");
}
END_TEST

START_TEST(test_parse)
{
    struct query q;

    ck_assert_int_eq(query_parse("a=1&b&&c=x%3Dy=z&a=2&=v&d=", &q), 0);
    ck_assert_uint_eq(q.n, 6);
    ck_assert_str_eq(query_nth(&q, "a", 0), "1");
    ck_assert_str_eq(query_nth(&q, "a", 1), "2");
    ck_assert_ptr_null(query_nth(&q, "a", 2));
    ck_assert_str_eq(query_nth(&q, "b", 0), "");
    ck_assert_str_eq(query_nth(&q, "c", 0), "x=y=z");
    ck_assert_str_eq(query_nth(&q, "d", 0), "");
    ck_assert_str_eq(query_nth(&q, "", 0), "v");
    ck_assert_ptr_null(query_nth(&q, "A", 0));
    query_done(&q);
}
END_TEST

START_TEST(test_parse_limits)
{
    char text[2 * QUERY_MAX_ITEMS + 3];
    struct query q;

    ck_assert_int_eq(query_parse("a=%4", &q), -EINVAL);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 2 ? '&' : 'a';
    text[2 * QUERY_MAX_ITEMS] = '\0';
    ck_assert_int_eq(query_parse(text, &q), 0);
    ck_assert_uint_eq(q.n, QUERY_MAX_ITEMS);
    query_done(&q);
    text[2 * QUERY_MAX_ITEMS] = 'a';
    text[2 * QUERY_MAX_ITEMS + 1] = '\0';
    ck_assert_int_eq(query_parse(text, &q), -E2BIG);
}
END_TEST

START_TEST(test_booleans)
{
    static const char *const no[] = {"", "0", "no", "false", "none", "False", "NO"};
    static const char *const yes[] = {"1", "true", "yes", "2", "x", "00", " "};

    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        ck_assert_msg(!query_is_true(no[i]), "%s", no[i]);
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        ck_assert_msg(query_is_true(yes[i]), "%s", yes[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("query");
    TCase *t = tcase_create("query");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, test_decode);
    tcase_add_test(t, test_decode_refuses);
    tcase_add_test(t, test_decode_length);
    tcase_add_test(t, test_parse);
    tcase_add_test(t, test_parse_limits);
    tcase_add_test(t, test_booleans);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
