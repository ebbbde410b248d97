#include "jsonlog.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "logfile.h"
#include "plan.h"
#include "str.h"

static struct jsonlog_stream stream;
static struct jsonlog_tail tail;
static char *out; /* exactly the promised room, so that the sanitizer sees an overrun */

static void setup(void)
{
    stream.len = 0;
    out = malloc(JSONLOG_RECORD_MAX);
    jsonlog_tail(&tail, "stdout", INT64_C(1700000000120000000));
}

static void teardown(void)
{
    free(out);
}

#define REST "\",\"stream\":\"stdout\",\"time\":\"2023-11-14T22:13:20.12Z\"}\n"

/* Feed text whole and check the one record it gives. */
static void check_record(const char *text, size_t len, const char *want)
{
    size_t n = jsonlog_next(&stream, &tail, &text, &len, out), k = strlen(want);

    ck_assert_uint_eq(len, 0);
    ck_assert_uint_eq(n, 8 + k + strlen(REST));
    ck_assert_mem_eq(out, "{\"log\":\"", 8);
    ck_assert_mem_eq(out + 8, want, k);
    ck_assert_mem_eq(out + 8 + k, REST, strlen(REST));
}

#define CHECK_RECORD(text, want) check_record(text, sizeof(text) - 1, want)

START_TEST(escapes)
{
    CHECK_RECORD("plain\n", "plain\\n");
    CHECK_RECORD("\n", "\\n");
    CHECK_RECORD("a\"b\\c\r\n", "a\\\"b\\\\c\\r\\n");
    CHECK_RECORD("\t\x01\x1f\x7f\n", "\\u0009\\u0001\\u001f\x7f\\n");
    CHECK_RECORD("<a href=1&2>\n", "\\u003ca href=1\\u00262\\u003e\\n");
    CHECK_RECORD("\0x\n", "\\u0000x\\n");
    /* The same at each place of the eight-byte step. */
    CHECK_RECORD("1234567\"1234567<1234567\x1f\n", "1234567\\\"1234567\\u003c1234567\\u001f\\n");
    CHECK_RECORD("!#%'()*=?@[]^{|}~ 0123456789;:\n", "!#%'()*=?@[]^{|}~ 0123456789;:\\n");
}
END_TEST

START_TEST(every_byte_alone_and_among_eight)
{
    for (int c = 0; c < 256; c++) {
        char text[10] = "aaaaaaaa\n", alone[2] = {(char)c, '\n'};
        const char *p = alone;
        size_t len = 2, n, m;
        char want[16];

        if (c == '\n')
            continue;
        n = jsonlog_next(&stream, &tail, &p, &len, out) - 8 - 2 - strlen(REST);
        memcpy(want, out + 8, n);
        for (int at = 0; at < 8; at++) {
            memset(text, 'a', 8);
            text[at] = (char)c;
            p = text;
            len = 9;
            m = jsonlog_next(&stream, &tail, &p, &len, out) - 8 - 2 - strlen(REST);
            ck_assert_uint_eq(m, n + 7);
            ck_assert_mem_eq(out + 8 + at, want, n);
        }
    }
}
END_TEST

START_TEST(utf8)
{
    CHECK_RECORD("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n",
                 "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\\n");
    CHECK_RECORD("\xe2\x80\xa8\xe2\x80\xa9\n", "\\u2028\\u2029\\n");
    CHECK_RECORD("\xff\n", "\\ufffd\\n");
    CHECK_RECORD("\xc0\xaf\n", "\\ufffd\\ufffd\\n");                       /* overlong */
    CHECK_RECORD("\xed\xa0\x80\n", "\\ufffd\\ufffd\\ufffd\\n");            /* surrogate */
    CHECK_RECORD("\xf4\x90\x80\x80\n", "\\ufffd\\ufffd\\ufffd\\ufffd\\n"); /* beyond Unicode */
    CHECK_RECORD("\xe2\x82\n", "\\ufffd\\ufffd\\n");                       /* cut */
}
END_TEST

START_TEST(lines_in_pieces)
{
    const char *a = "one ", *b = "two\nthree";
    size_t n = 4, m = 9;

    ck_assert_uint_eq(jsonlog_next(&stream, &tail, &a, &n, out), 0);
    ck_assert_uint_gt(jsonlog_next(&stream, &tail, &b, &m, out), 0);
    ck_assert_mem_eq(out, "{\"log\":\"one two\\n", 17);
    ck_assert_uint_eq(m, 5);
    ck_assert_uint_eq(jsonlog_next(&stream, &tail, &b, &m, out), 0);
    ck_assert_uint_gt(jsonlog_flush(&stream, &tail, out), 0);
    ck_assert_mem_eq(out, "{\"log\":\"three\"", 14);
    ck_assert_uint_eq(jsonlog_flush(&stream, &tail, out), 0);
}
END_TEST

START_TEST(long_lines_are_split)
{
    size_t len = 2 * JSONLOG_LINE_MAX + 1, n;
    _cleanup_free_ char *text = malloc(len);
    const char *p = text;

    memset(text, '\x01', len);
    text[len - 1] = '\n';
    n = jsonlog_next(&stream, &tail, &p, &len, out);
    ck_assert_uint_eq(n, 8 + 6 * JSONLOG_LINE_MAX + strlen(REST));
    n = jsonlog_next(&stream, &tail, &p, &len, out);
    ck_assert_uint_eq(n, 8 + 6 * JSONLOG_LINE_MAX + strlen(REST));
    n = jsonlog_next(&stream, &tail, &p, &len, out);
    ck_assert_uint_eq(n, 8 + 2 + strlen(REST));
    ck_assert_uint_eq(len, 0);
}
END_TEST

START_TEST(times)
{
    static const struct {
        int64_t ns;
        const char *text;
    } table[] = {
        {0, "1970-01-01T00:00:00Z"},
        {INT64_C(951782399999999999), "2000-02-28T23:59:59.999999999Z"},
        {INT64_C(951782400000000000), "2000-02-29T00:00:00Z"},
        {INT64_C(4107542399500000000), "2100-02-28T23:59:59.5Z"},
        {INT64_C(4107542400000000001), "2100-03-01T00:00:00.000000001Z"},
    };
    char text[CLOCK_TEXT_MAX], common[TIME_STR_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        ck_assert_uint_eq(clock_format(table[i].ns, text), strlen(table[i].text));
        ck_assert_str_eq(text, table[i].text);
        time_format_nano(table[i].ns, common);
        ck_assert_str_eq(text, common);
    }
}
END_TEST

static const char *make_log_plan(char dir[32], char path[64], uint64_t max, uint64_t files)
{
    static char data[512] __attribute__((aligned(8)));
    struct plan p = {0};
    _cleanup_close_ int fd = -EBADF;

    strcpy(dir, "/tmp/ctl-log-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, 64, "%s/log.json", dir);
    plan_add(&p, PLAN_LOG, max, files, 0, 0, path, NULL);
    fd = plan_memfd(&p);
    plan_done(&p);
    ck_assert_int_gt(pread(fd, data, sizeof(data), 0), 0);
    return data;
}

START_TEST(rotates_by_size)
{
    char dir[32], path[64], one[80], two[80];
    struct stat st;
    const char *plan = make_log_plan(dir, path, 1000, 2);

    snprintf(one, sizeof(one), "%s.1", path);
    snprintf(two, sizeof(two), "%s.2", path);
    ck_assert_int_eq(logfile_open(plan, NULL), 0);
    for (int i = 0; i < 100; i++)
        logfile_write(LOGFILE_STDERR, "0123456789\n", 11);
    logfile_write(LOGFILE_STDOUT, "no newline", 10);
    logfile_flush();
    ck_assert_int_eq(stat(path, &st), 0);
    /* A file is over its limit by less than one record. */
    ck_assert_int_lt(st.st_size, 1100);
    ck_assert_int_eq(stat(one, &st), 0);
    ck_assert_int_ge(st.st_size, 1000);
    ck_assert_int_lt(st.st_size, 1100);
    ck_assert_int_lt(stat(two, &st), 0);
    ck_assert_uint_eq(logfile_dropped(), 0);
    unlink(path);
    unlink(one);
    rmdir(dir);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("jsonlog");
    TCase *t = tcase_create("jsonlog");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, escapes);
    tcase_add_test(t, every_byte_alone_and_among_eight);
    tcase_add_test(t, utf8);
    tcase_add_test(t, lines_in_pieces);
    tcase_add_test(t, long_lines_are_split);
    tcase_add_test(t, times);
    tcase_add_test(t, rotates_by_size);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
