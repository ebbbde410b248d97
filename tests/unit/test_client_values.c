#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bytesize.h"
#include "csv.h"
#include "mem.h"
#include "str.h"
#include "values.h"

#define NOW INT64_C(1700000000500000000)

static int64_t bytes(const char *s)
{
    struct err e;
    int64_t v = -1;

    return bytesize_parse(s, &v, &e) < 0 ? -1 : v;
}

START_TEST(sizes)
{
    ck_assert_int_eq(bytes("0"), 0);
    ck_assert_int_eq(bytes("64m"), 64 << 20);
    ck_assert_int_eq(bytes("1.5G"), 3LL << 29);
    ck_assert_int_eq(bytes("32 KiB"), 32768);
    ck_assert_int_eq(bytes("7kb"), 7168);
    ck_assert_int_eq(bytes("5b"), 5);
    ck_assert_int_eq(bytes("2t"), 2LL << 40);
    ck_assert_int_eq(bytes(""), -1);
    ck_assert_int_eq(bytes("m"), -1);
    ck_assert_int_eq(bytes("-1"), -1);
    ck_assert_int_eq(bytes("1zb"), -1);
    ck_assert_int_eq(bytes("1mibs"), -1);
    ck_assert_int_eq(bytes("1.2.3m"), -1);
    ck_assert_int_eq(bytes("99999999999p"), -1);
}
END_TEST

static int64_t duration(const char *s)
{
    struct err e;
    int64_t v = -1;

    return parse_duration(s, &v, &e) < 0 ? -1 : v;
}

START_TEST(durations)
{
    ck_assert_int_eq(duration("0"), 0);
    ck_assert_int_eq(duration("1h30m"), 5400LL * 1000000000);
    ck_assert_int_eq(duration("1.5s"), 1500000000);
    ck_assert_int_eq(duration("10ms"), 10000000);
    ck_assert_int_eq(duration("3us"), 3000);
    ck_assert_int_eq(duration("-2s"), -2000000000);
    ck_assert_int_eq(duration("5"), -1);
    ck_assert_int_eq(duration("5x"), -1);
    ck_assert_int_eq(duration(""), -1);
    ck_assert_int_eq(duration("s"), -1);
    ck_assert_int_eq(duration("999999999999h"), -1);
}
END_TEST

START_TEST(duration_messages)
{
    struct err e;
    int64_t v;

    parse_duration("5", &v, &e);
    ck_assert_str_eq(e.message, "time: missing unit in duration \"5\"");
    parse_duration("5x", &v, &e);
    ck_assert_str_eq(e.message, "time: unknown unit \"x\" in duration \"5x\"");
}
END_TEST

static void stamp(const char *s, const char *want)
{
    struct err e;
    char *got = parse_timestamp(s, NOW, &e);

    if (!want) {
        ck_assert_ptr_null(got);
        return;
    }
    ck_assert_ptr_nonnull(got);
    ck_assert_str_eq(got, want);
    free(got);
}

START_TEST(timestamps)
{
    setenv("TZ", "UTC", 1);
    stamp("10m", "1699999400");
    stamp("0s", "1700000000");
    stamp("1136073600", "1136073600");
    stamp("1136073600.000000001", "1136073600.000000001");
    stamp("2006-01-02T15:04:05Z", "1136214245.000000000");
    stamp("2006-01-02T15:04:05.5+01:00", "1136210645.500000000");
    stamp("2006-01-02T15:04", "1136214240.000000000");
    stamp("2006-01-02", "1136160000.000000000");
    stamp("foo", NULL);
    stamp("2006-01-02Tfoo", NULL);
    stamp("", NULL);
}
END_TEST

START_TEST(cpus)
{
    static const struct {
        const char *s;
        int64_t want;
    } cases[] = {{"1.5", 1500000000}, {".5", 500000000},           {"2", 2000000000}, {"0", 0},
                 {"0.000000001", 1},  {"1.0000000000", 1000000000}};
    struct err e;
    json_t *v;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ck_assert_int_eq(value_cpus(cases[i].s, &v, &e), 0);
        ck_assert_int_eq(json_integer_value(v), cases[i].want);
        json_decref(v);
    }
    ck_assert_int_lt(value_cpus("1.0000000001", &v, &e), 0);
    ck_assert_str_eq(e.message, "value is too precise");
    ck_assert_int_lt(value_cpus("x", &v, &e), 0);
    ck_assert_str_eq(e.message, "failed to parse x as a rational number");
}
END_TEST

START_TEST(numbers_and_booleans)
{
    struct err e;
    json_t *v;
    bool b;
    int64_t i;

    ck_assert_int_eq(parse_bool("T", &b, &e), 0);
    ck_assert(b);
    ck_assert_int_eq(parse_bool("FALSE", &b, &e), 0);
    ck_assert(!b);
    ck_assert_int_lt(parse_bool("yes", &b, &e), 0);
    ck_assert_int_eq(parse_int("-0x10", &i, &e), 0);
    ck_assert_int_eq(i, -16);
    ck_assert_int_lt(parse_int(" 1", &i, &e), 0);
    ck_assert_int_lt(parse_int("99999999999999999999", &i, &e), 0);
    ck_assert_str_eq(e.message,
                     "strconv.ParseInt: parsing \"99999999999999999999\": value out of range");
    ck_assert_int_lt(value_uint16("65536", &v, &e), 0);
    ck_assert_int_eq(value_bytes_swap("-1", &v, &e), 0);
    ck_assert_int_eq(json_integer_value(v), -1);
    json_decref(v);
    ck_assert_int_lt(value_bytes_swap("-2", &v, &e), 0);
}
END_TEST

START_TEST(invalid_utf8_is_refused)
{
    struct err e;
    json_t *v;

    ck_assert_int_lt(value_string("\xff\xfe", &v, &e), 0);
}
END_TEST

START_TEST(comma_separated)
{
    char **v = csv_split("a,\"b,c\",,\"d\"\"e\"");

    ck_assert_uint_eq(strv_len(v), 4);
    ck_assert_str_eq(v[1], "b,c");
    ck_assert_str_eq(v[2], "");
    ck_assert_str_eq(v[3], "d\"e");
    strv_free(v);
    ck_assert_ptr_null(csv_split("\"open"));
    v = split_at("a::b", ':');
    ck_assert_uint_eq(strv_len(v), 3);
    strv_free(v);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_values");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, sizes);
    tcase_add_test(tc, durations);
    tcase_add_test(tc, duration_messages);
    tcase_add_test(tc, timestamps);
    tcase_add_test(tc, cpus);
    tcase_add_test(tc, numbers_and_booleans);
    tcase_add_test(tc, invalid_utf8_is_refused);
    tcase_add_test(tc, comma_separated);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
