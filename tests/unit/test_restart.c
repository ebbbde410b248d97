/* The pauses of restart policies. */
#include <check.h>
#include <stdlib.h>

#include "private.h"

#define SECOND INT64_C(1000000000)

START_TEST(pauses_double_up_to_a_minute)
{
    int64_t ms = 0, sum = 0;

    ms = restart_backoff(ms, 0);
    ck_assert_int_eq(ms, 100);
    for (int i = 0; i < 9; i++) {
        ck_assert_int_eq(restart_backoff(ms, SECOND), ms * 2);
        ms = restart_backoff(ms, SECOND);
        sum += ms;
    }
    ck_assert_int_eq(ms, 51200);
    ck_assert_int_eq(sum, 102200);
    ms = restart_backoff(ms, 0);
    ck_assert_int_eq(ms, 60000);
    ck_assert_int_eq(restart_backoff(ms, 0), 60000);
    ck_assert_int_eq(restart_backoff(INT64_MAX, 0), 60000);
}
END_TEST

START_TEST(a_run_of_ten_seconds_begins_anew)
{
    ck_assert_int_eq(restart_backoff(51200, 10 * SECOND - 1), 60000);
    ck_assert_int_eq(restart_backoff(51200, 10 * SECOND), 100);
    ck_assert_int_eq(restart_backoff(60000, 3600 * SECOND), 100);
}
END_TEST

START_TEST(a_clock_set_back_does_no_harm)
{
    ck_assert_int_eq(restart_backoff(200, -5 * SECOND), 400);
    ck_assert_int_eq(restart_backoff(-1, 0), 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("restart");
    TCase *tc = tcase_create("backoff");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, pauses_double_up_to_a_minute);
    tcase_add_test(tc, a_run_of_ten_seconds_begins_anew);
    tcase_add_test(tc, a_clock_set_back_does_no_harm);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
