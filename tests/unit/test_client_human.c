#include <check.h>
#include <stdlib.h>

#include "human.h"
#include "str.h"
#include "table.h"

START_TEST(sizes)
{
    char s[HUMAN_MAX];

    human_size(0, 3, s);
    ck_assert_str_eq(s, "0B");
    human_size(999, 3, s);
    ck_assert_str_eq(s, "999B");
    human_size(1984000, 3, s);
    ck_assert_str_eq(s, "1.98MB");
    human_size(1984123, 4, s);
    ck_assert_str_eq(s, "1.984MB");
    human_size(4e18, 3, s);
    ck_assert_str_eq(s, "4EB");
    human_bytes(25276514304.0, s);
    ck_assert_str_eq(s, "23.54GiB");
}
END_TEST

START_TEST(durations)
{
    static const struct {
        int64_t seconds;
        const char *want;
    } cases[] = {
        {0, "Less than a second"}, {1, "1 second"},         {59, "59 seconds"},
        {60, "About a minute"},    {119, "About a minute"}, {120, "2 minutes"},
        {3599, "59 minutes"},      {3600, "About an hour"}, {5399, "About an hour"},
        {5400, "2 hours"},         {47 * 3600, "47 hours"}, {48 * 3600, "2 days"},
        {14 * 86400, "2 weeks"},   {59 * 86400, "8 weeks"}, {61 * 86400, "2 months"},
        {730 * 86400, "2 years"},
    };
    char s[HUMAN_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        human_duration(cases[i].seconds, s);
        ck_assert_str_eq(s, cases[i].want);
    }
}
END_TEST

START_TEST(times)
{
    char s[HUMAN_MAX];

    setenv("TZ", "UTC", 1);
    human_time(1136214245, s);
    ck_assert_str_eq(s, "2006-01-02 15:04:05 +0000 UTC");
    human_ago(0, s);
    ck_assert_str_eq(s, "N/A");
    human_ago(time_now_ns() / 1000000000 - 130, s);
    ck_assert_str_eq(s, "2 minutes ago");
}
END_TEST

static void cut(const char *s, size_t max, const char *want)
{
    char *got = ellipsis(s, max);

    ck_assert_str_eq(got, want);
    free(got);
}

START_TEST(ids_and_ellipsis)
{
    char id[13];

    short_id("sha256:0123456789abcdef", id);
    ck_assert_str_eq(id, "0123456789ab");
    short_id("abc", id);
    ck_assert_str_eq(id, "abc");
    cut("short", 20, "short");
    cut("exactly twenty chars", 20, "exactly twenty chars");
    cut("exactly twenty-1 chars", 20, "exactly twenty-1 ch\xe2\x80\xa6");
    cut("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", 3, "\xc3\xa4\xc3\xb6\xe2\x80\xa6");
}
END_TEST

static void aligned(const char *lines, const char *want)
{
    struct table t = TABLE_INIT;
    struct buf out = {0};
    char *got;

    table_add(&t, lines);
    table_flush(&t, &out);
    got = buf_take_str(&out);
    ck_assert_str_eq(got, want);
    free(got);
}

START_TEST(tables)
{
    aligned("ID\tNAME\nlonger text\tx\n", "ID            NAME\nlonger text   x\n");
    aligned("A\tB\t\n", "A         B         \n");
    aligned("\xc3\xa4\tx\n", "\xc3\xa4         x\n");
    /* A line without that column ends the block; what follows is fitted by itself. */
    aligned("aaaaaaaaaaaa\tb\nsingle\nc\td\n", "aaaaaaaaaaaa   b\nsingle\nc         d\n");
    aligned("", "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_human");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, sizes);
    tcase_add_test(tc, durations);
    tcase_add_test(tc, times);
    tcase_add_test(tc, ids_and_ellipsis);
    tcase_add_test(tc, tables);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
