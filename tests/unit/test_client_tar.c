/* Tars of cp: what is written is read back, what is malformed is an error and no more. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "copy_path.h"
#include "str.h"
#include "tar.h"

/* Gives its bytes in pieces of `step`. */
struct input {
    const char *data;
    size_t len, step;
};

static int feed(void *arg, struct buf *in, struct err *reterr)
{
    struct input *i = arg;
    size_t n = i->len < i->step ? i->len : i->step;

    (void)reterr;
    buf_append(in, i->data, n);
    i->data += n;
    i->len -= n;
    return n > 0;
}

static void add(struct buf *out, const char *name, char type, const char *link, int64_t size,
                const char *data)
{
    struct tar_entry e = {.type = type,
                          .name = (char *)name,
                          .link = (char *)link,
                          .mode = 0640,
                          .uid = 1000,
                          .gid = 3000000,
                          .size = size,
                          .mtime = 1234567890};
    char zeros[TAR_BLOCK] = {0};

    tar_put_header(out, &e);
    buf_append(out, data, strlen(data));
    buf_append(out, zeros, tar_padding((int64_t)strlen(data)));
}

static void check_entry(struct tar_reader *t, const char *name, char type, const char *link,
                        const char *data)
{
    _cleanup_tar_entry_ struct tar_entry e = {0};
    _cleanup_buf_ struct buf all = {0};
    const char *piece;
    struct err err;
    ssize_t n;

    ck_assert_int_eq(tar_next(t, &e, &err), 1);
    ck_assert_str_eq(e.name, name);
    ck_assert_str_eq(e.link, link);
    ck_assert_int_eq(e.type, type);
    ck_assert_uint_eq(e.mode, 0640);
    ck_assert_uint_eq(e.uid, 1000);
    ck_assert_uint_eq(e.gid, 3000000);
    ck_assert_int_eq(e.mtime, 1234567890);
    while ((n = tar_data(t, &piece, &err)) > 0)
        buf_append(&all, piece, (size_t)n);
    ck_assert_int_eq(n, 0);
    ck_assert_uint_eq(buf_size(&all), strlen(data));
    ck_assert_int_eq(memcmp(buf_head(&all), data, strlen(data)), 0);
}

START_TEST(test_round_trip)
{
    static const size_t steps[] = {1, 7, 511, 512, 1000000};
    _cleanup_buf_ struct buf out = {0};
    char longer[300], zeros[2 * TAR_BLOCK] = {0};

    memset(longer, 'n', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    add(&out, "file", TAR_FILE, "", 4, "data");
    add(&out, longer, TAR_SYMLINK, longer, 0, "");
    add(&out, "dir/", TAR_DIRECTORY, "", 0, "");
    add(&out, "again", TAR_HARDLINK, "file", 0, "");
    buf_append(&out, zeros, sizeof(zeros));
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        struct input in = {buf_head(&out), buf_size(&out), steps[i]};
        struct tar_reader t = {.fill = feed, .arg = &in};
        struct tar_entry end;
        struct err err;

        check_entry(&t, "file", TAR_FILE, "", "data");
        check_entry(&t, longer, TAR_SYMLINK, longer, "");
        check_entry(&t, "dir/", TAR_DIRECTORY, "", "");
        check_entry(&t, "again", TAR_HARDLINK, "file", "");
        ck_assert_int_eq(tar_next(&t, &end, &err), 0);
        ck_assert_int_eq(t.total, (int64_t)buf_size(&out));
        tar_reader_done(&t);
    }
}
END_TEST

/* Larger than the eleven octal digits of ustar. */
START_TEST(test_large)
{
    const int64_t size = 9LL << 33;
    _cleanup_tar_entry_ struct tar_entry e = {0};
    _cleanup_buf_ struct buf out = {0};
    struct input in;
    struct tar_reader t = {.fill = feed, .arg = &in};
    struct err err;

    add(&out, "large", TAR_FILE, "", size, "");
    in = (struct input){buf_head(&out), buf_size(&out), 4096};
    ck_assert_int_eq(tar_next(&t, &e, &err), 1);
    ck_assert_int_eq(e.size, size);
    tar_reader_done(&t);
}
END_TEST

START_TEST(test_cut_anywhere)
{
    _cleanup_buf_ struct buf out = {0};

    add(&out, "file", TAR_FILE, "", 4, "data");
    for (size_t len = 1; len < buf_size(&out); len++) {
        struct input in = {buf_head(&out), len, 100};
        struct tar_reader t = {.fill = feed, .arg = &in};
        struct err err;
        int r;

        do {
            _cleanup_tar_entry_ struct tar_entry e = {0};

            r = tar_next(&t, &e, &err);
        } while (r > 0);
        /* Only the padding may be missing: behind a pax header, a header, and the data. */
        ck_assert_msg(len == 3 * TAR_BLOCK + 4 ? r == 0 : r < 0, "%zu bytes: %d", len, r);
        tar_reader_done(&t);
    }
}
END_TEST

START_TEST(test_malformed)
{
    _cleanup_buf_ struct buf out = {0};
    struct input in;
    struct tar_reader t = {.fill = feed, .arg = &in};
    struct tar_entry e;
    struct err err;

    add(&out, "file", TAR_FILE, "", 4, "data");
    out.data[out.start]++;
    in = (struct input){buf_head(&out), buf_size(&out), 4096};
    ck_assert_int_eq(tar_next(&t, &e, &err), -EBADMSG);
    tar_reader_done(&t);
}
END_TEST

START_TEST(test_paths)
{
    static const struct {
        const char *path, *base, *dir;
    } cases[] = {{"/a/b", "b", "/a"}, {"/a/b/", "b", "/a"}, {"/a/.", ".", "/a"}, {"a", "a", "."},
                 {"/", "/", "/"},     {".", ".", "."},      {"a/./b", "b", "a"}, {"./", ".", "."}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *dir, *base;

        copy_split(cases[i].path, &dir, &base);
        ck_assert_str_eq(base, cases[i].base);
        ck_assert_str_eq(dir, cases[i].dir);
        free(dir);
        free(base);
    }
}
END_TEST

START_TEST(test_ends)
{
    static const struct {
        const char *clean, *path, *wanted;
    } cases[] = {{"/a", "a/", "/a/"}, {"/a", "a/.", "/a/."}, {"/a", "a", "/a"}, {"/", "/.", "/."}};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *got = copy_keep_end(cases[i].clean, cases[i].path);

        ck_assert_str_eq(got, cases[i].wanted);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_tar");
    TCase *tc = tcase_create("tar");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_large);
    tcase_add_test(tc, test_cut_anywhere);
    tcase_add_test(tc, test_malformed);
    tcase_add_test(tc, test_paths);
    tcase_add_test(tc, test_ends);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
