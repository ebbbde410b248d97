#include "filters.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "json.h"
#include "str.h"

static const char *const known[] = {"label", "name", NULL};

static void gives(const char *text, const char *want)
{
    _cleanup_json_ json_t *got = NULL, *expected = json_loads(want, 0, NULL);
    _cleanup_free_ char *shown = NULL;
    struct err err = {0};

    ck_assert_msg(filters_parse(text, known, &got, &err) == 0, "%s: %s", text, err.message);
    shown = json_to_str(got);
    ck_assert_msg(json_equal(got, expected), "%s gave %s", text, shown);
}

static void fails(const char *text, const char *message)
{
    json_t *got = NULL;
    struct err err = {0};

    ck_assert_int_eq(filters_parse(text, known, &got, &err), -EINVAL);
    ck_assert_ptr_null(got);
    ck_assert_int_eq(err.kind, ERR_INVALID);
    ck_assert_str_eq(err.message, message);
}

START_TEST(test_forms)
{
    gives(NULL, "{}");
    gives("", "{}");
    gives("{}", "{}");
    gives("{\"name\":{\"a\":true,\"b\":true}}", "{\"name\":[\"a\",\"b\"]}");
    gives("{\"name\":{\"a\":false}}", "{\"name\":[]}");
    gives("{\"name\":[\"a\",\"b\"],\"label\":[]}", "{\"name\":[\"a\",\"b\"],\"label\":[]}");
}
END_TEST

START_TEST(test_refused)
{
    fails("{\"foo\":[\"a\"]}", "invalid filter 'foo'");
    fails("{\"name\":\"a\"}", "invalid filter '{\"name\":\"a\"}'");
    fails("{\"name\":[1]}", "invalid filter '{\"name\":[1]}'");
    fails("{\"name\":{\"a\":1}}", "invalid filter '{\"name\":{\"a\":1}}'");
    fails("[]", "invalid filter '[]'");
    fails("{", "invalid filter '{'");
    fails("{}x", "invalid filter '{}x'");
}
END_TEST

START_TEST(test_any_key)
{
    _cleanup_json_ json_t *got = NULL;

    ck_assert_int_eq(filters_parse("{\"foo\":[\"a\"]}", NULL, &got, NULL), 0);
    ck_assert_uint_eq(json_array_size(json_get(got, "foo")), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("filters");
    TCase *t = tcase_create("filters");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, test_forms);
    tcase_add_test(t, test_refused);
    tcase_add_test(t, test_any_key);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
