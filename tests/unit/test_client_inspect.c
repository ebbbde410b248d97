#include <check.h>
#include <stdlib.h>

#include "format.h"
#include "inspect.h"
#include "json.h"
#include "progress.h"

static void indented(const char *json, const char *want)
{
    struct buf out = {0};
    char *got;

    json_text_indent(json, 4, 0, &out);
    got = buf_take_str(&out);
    ck_assert_str_eq(got, want);
    free(got);
}

START_TEST(indentation)
{
    indented("{}", "{}");
    indented("[ ]", "[]");
    indented(
        "{\"a\":1,\"b\":[true,null],\"c\":{}}\n",
        "{\n    \"a\": 1,\n    \"b\": [\n        true,\n        null\n    ],\n    \"c\": {}\n}");
    indented("\"{,:\\\"}\"", "\"{,:\\\"}\"");
    /* Values stay as they were written. */
    indented("[18446744073709551615,1.10,\"\\u003c\"]",
             "[\n    18446744073709551615,\n    1.10,\n    \"\\u003c\"\n]");
    indented("\"cut", "\"cut");
}
END_TEST

START_TEST(rows_as_json)
{
    json_t *row = json_pack("{s:s, s:s}", "b", "<none>", "a", "x&y");
    char *s = format_json(row);

    ck_assert_str_eq(s, "{\"a\":\"x\\u0026y\",\"b\":\"\\u003cnone\\u003e\"}");
    free(s);
    json_decref(row);
    s = format_unescape("a\\tb\\nc\\x");
    ck_assert_str_eq(s, "a\tb\nc\\x");
    free(s);
}
END_TEST

START_TEST(objects_of_a_stream)
{
    struct buf b = {0};
    bool bad;
    json_t *v;

    buf_append_str(&b, "{\"a\":1}\r\n{\"a\":2}{\"a\"");
    for (int i = 1; i <= 2; i++) {
        v = json_take_object(&b, &bad);
        ck_assert_ptr_nonnull(v);
        ck_assert_int_eq(json_get_int(v, "a", 0), i);
        json_decref(v);
    }
    ck_assert_ptr_null(json_take_object(&b, &bad));
    ck_assert(!bad);
    buf_append_str(&b, ":3}\n");
    v = json_take_object(&b, &bad);
    ck_assert_int_eq(json_get_int(v, "a", 0), 3);
    json_decref(v);
    ck_assert_ptr_null(json_take_object(&b, &bad));
    ck_assert(!bad);
    buf_append_str(&b, "junk");
    ck_assert_ptr_null(json_take_object(&b, &bad));
    ck_assert(bad);
    buf_done(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_inspect");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, indentation);
    tcase_add_test(tc, rows_as_json);
    tcase_add_test(tc, objects_of_a_stream);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
