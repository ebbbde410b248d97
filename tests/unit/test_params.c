#include "params.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "mem.h"

START_TEST(test_time)
{
    static const struct {
        const char *text;
        int64_t want;
    } good[] = {
        {"0", 0},
        {"1700000000", 1700000000000000000},
        {"1700000000.5", 1700000000500000000},
        {"1700000000.000000001", 1700000000000000001},
        {"1700000000.0000000019", 1700000000000000001},
        {"2023-11-14T22:13:20Z", 1700000000000000000},
        {"0001-01-01T00:00:00Z", 1},
        {"1969-12-31T23:59:59Z", 1},
        {"9999-12-31T23:59:59Z", INT64_MAX},
    };
    static const char *const bad[] = {"x", "1.x", "-1", "1.5.5", "99999999999999999999", "1 "};
    int64_t got;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        ck_assert_msg(param_parse_time(good[i].text, &got) == 0, "%s", good[i].text);
        ck_assert_msg(got == good[i].want, "%s gave %lld", good[i].text, (long long)got);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_msg(param_parse_time(bad[i], &got) == -EINVAL, "%s", bad[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("params");
    TCase *t = tcase_create("params");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, test_time);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
