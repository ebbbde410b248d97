#include "journal.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "json.h"
#include "str.h"

static char dir[64];

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/ctl-journal-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void teardown(void)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct journal *opened(void)
{
    struct journal *j;
    struct err err;

    ck_assert_int_eq(journal_open(dir, &j, &err), 0);
    return j;
}

/* pad: bytes of an attribute */
static struct journal_pos add(struct journal *j, long long at, int pad)
{
    struct journal_pos end;
    char *line = xasprintf("{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"c%lld\","
                           "\"Attributes\":{\"pad\":\"%0*d\"}},\"time\":0,\"timeNano\":%lld}\n",
                           at, pad, 0, at);

    ck_assert_int_eq(journal_append(j, line, strlen(line), &end), 0);
    free(line);
    return end;
}

/* All matching lines, over as many reads as it takes. */
static char *read_all(struct journal *j, struct journal_query q)
{
    struct journal_pos pos = {0}, end = journal_end(j);
    struct buf out = {0};

    for (int i = 0; i < 1000; i++) {
        struct buf part = {0};

        ck_assert_int_eq(journal_read(j, &q, &pos, end, &part), 0);
        ck_assert_uint_le(buf_size(&part), JOURNAL_READ_MAX + JOURNAL_LINE_MAX);
        buf_append(&out, buf_head(&part), buf_size(&part));
        buf_done(&part);
        if (pos.segment == end.segment && pos.offset == end.offset)
            return buf_take_str(&out);
    }
    ck_abort_msg("it never ends");
}

static int lines_of(const char *text)
{
    int n = 0;

    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

START_TEST(bounds_are_inclusive)
{
    struct journal *j = opened();
    _cleanup_free_ char *some = NULL, *all = NULL;

    for (int at = 1; at <= 9; at++)
        add(j, at, 1);
    some = read_all(j, (struct journal_query){.since_ns = 3, .until_ns = 5});
    ck_assert_int_eq(lines_of(some), 3);
    ck_assert_ptr_nonnull(strstr(some, "\"c3\""));
    ck_assert_ptr_nonnull(strstr(some, "\"c5\""));
    all = read_all(j, (struct journal_query){0});
    ck_assert_int_eq(lines_of(all), 9);
    journal_close(j);
}
END_TEST

START_TEST(filters_are_heeded)
{
    struct journal *j = opened();
    json_t *filters = json_pack("{s:[s]}", "container", "c7");
    _cleanup_free_ char *text = NULL;

    for (int at = 1; at <= 9; at++)
        add(j, at, 1);
    text = read_all(j, (struct journal_query){.filters = filters});
    ck_assert_int_eq(lines_of(text), 1);
    ck_assert_ptr_nonnull(strstr(text, "\"c7\""));
    json_decref(filters);
    journal_close(j);
}
END_TEST

START_TEST(goes_on_after_a_torn_line)
{
    struct journal *j = opened();
    _cleanup_free_ char *path = xasprintf("%s/0000000001.jsonl", dir), *text = NULL;
    int fd;

    add(j, 1, 1);
    journal_close(j);
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    ck_assert_int_eq(write(fd, "{\"torn", 6), 6);
    close(fd);
    j = opened();
    add(j, 2, 1);
    text = read_all(j, (struct journal_query){0});
    ck_assert_int_eq(lines_of(text), 2);
    ck_assert_ptr_nonnull(strstr(text, "\"c2\""));
    journal_close(j);
}
END_TEST

START_TEST(keeps_the_last_segments_only)
{
    struct journal *j = opened();
    struct dirent *entry;
    _cleanup_free_ char *text = NULL;
    const int each = 64 << 10, n = (JOURNAL_SEGMENTS + 2) * (JOURNAL_SEGMENT_MAX / each);
    int files = 0;
    DIR *d;

    for (int at = 1; at <= n; at++)
        add(j, at, each);
    d = opendir(dir);
    while ((entry = readdir(d)))
        files += str_ends(entry->d_name, ".jsonl");
    closedir(d);
    ck_assert_int_eq(files, JOURNAL_SEGMENTS);
    text = read_all(j, (struct journal_query){.since_ns = 1});
    ck_assert_int_gt(lines_of(text), (JOURNAL_SEGMENTS - 1) * (JOURNAL_SEGMENT_MAX / each) - 8);
    ck_assert_int_le(lines_of(text), JOURNAL_SEGMENTS * (JOURNAL_SEGMENT_MAX / each));
    ck_assert_ptr_null(strstr(text, "\"c1\""));
    journal_close(j);
}
END_TEST

START_TEST(numbers_go_on_after_reopening)
{
    struct journal *j = opened();
    struct journal_pos before = add(j, 1, JOURNAL_SEGMENT_MAX / 8), after;

    for (int i = 2; before.segment == 1; i++)
        before = add(j, i, JOURNAL_SEGMENT_MAX / 8);
    journal_close(j);
    j = opened();
    after = journal_end(j);
    ck_assert_uint_eq(after.segment, before.segment);
    ck_assert_int_eq(after.offset, before.offset);
    journal_close(j);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("journal");
    TCase *t = tcase_create("journal");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, bounds_are_inclusive);
    tcase_add_test(t, filters_are_heeded);
    tcase_add_test(t, goes_on_after_a_torn_line);
    tcase_add_test(t, keeps_the_last_segments_only);
    tcase_add_test(t, numbers_go_on_after_reopening);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
