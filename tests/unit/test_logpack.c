#include "logpack.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "logrotated.h"
#include "logset.h"
#include "str.h"

#define LEN (3 * PACK_FRAME + 4711)

static char dir[64];
static char *text;

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/ctl-logpack-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    text = xmalloc(LEN);
    for (size_t i = 0; i < LEN; i++)
        text[i] = (char)('a' + i % 23 + (i >> 16) % 3);
}

static void teardown(void)
{
    free(text);
    rmdir(dir);
}

static char *name_of(unsigned n)
{
    return xasprintf("%s/x.log.%u", dir, n);
}

static void make(unsigned n)
{
    _cleanup_free_ char *name = name_of(n);

    ck_assert_int_eq(file_replace(AT_FDCWD, name, text, LEN, 0600, 0), 0);
}

static void drop(unsigned n)
{
    _cleanup_free_ char *name = name_of(n);

    ck_assert_int_eq(unlink(name), 0);
}

static int open_it(unsigned n)
{
    _cleanup_free_ char *name = name_of(n);

    return open(name, O_RDWR | O_CLOEXEC);
}

static void settle(uint64_t files)
{
    _cleanup_free_ char *base = xasprintf("%s/x.log", dir);

    log_set_settle(base, files);
}

/* Any piece of it is what was written. */
static void check_pieces(struct log_file *f)
{
    static const int64_t at[] = {0, 1, PACK_FRAME - 1, PACK_FRAME, 2 * PACK_FRAME + 17, LEN - 5};
    _cleanup_free_ char *got = xmalloc(LEN);

    ck_assert_int_eq(log_file_size(f), LEN);
    for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
        size_t rest = LEN - (size_t)at[i], want = rest < 300000 ? rest : 300000;

        ck_assert_int_eq(log_file_read(f, got, 300000, at[i]), (ssize_t)want);
        ck_assert(memcmp(got, text + at[i], want) == 0);
    }
    ck_assert_int_eq(log_file_read(f, got, 10, LEN), 0);
    ck_assert_int_eq(log_file_read(f, got, 10, LEN + 1000), 0);
}

START_TEST(packs_all_but_the_last)
{
    struct log_file f = LOG_FILE_INIT;
    struct stat st;

    for (unsigned n = 5; n <= 7; n++)
        make(n);
    settle(3);
    for (unsigned n = 5; n <= 7; n++) {
        ck_assert_int_eq(log_file_use(&f, open_it(n)), 0);
        ck_assert_int_eq(fstat(f.fd, &st), 0);
        ck_assert_int_eq(f.index != NULL, n < 7);
        if (n < 7)
            ck_assert_int_lt(st.st_size, LEN / 10);
        check_pieces(&f);
        drop(n);
    }
    log_file_done(&f);
}
END_TEST

START_TEST(removes_what_is_too_old)
{
    _cleanup_free_ char *base = xasprintf("%s/x.log", dir);
    uint64_t first, last;

    ck_assert_int_eq(log_set_numbers(base, &first, &last), -ENOENT);
    for (unsigned n = 1; n <= 5; n++)
        make(n);
    settle(2);
    ck_assert_int_eq(log_set_numbers(base, &first, &last), 0);
    ck_assert_uint_eq(first, 4);
    ck_assert_uint_eq(last, 5);
    drop(4);
    drop(5);
}
END_TEST

/* A packed file that is cut, or says nonsense, reads as empty or ends early; nothing worse. */
START_TEST(broken_ones)
{
    struct log_file f = LOG_FILE_INIT;
    _cleanup_free_ char *got = xmalloc(LEN);
    struct stat st;
    int fd;

    make(1);
    make(2);
    settle(2);
    fd = open_it(1);
    ck_assert_int_eq(fstat(fd, &st), 0);
    for (off_t at = st.st_size - 60; at < st.st_size; at++) {
        char was, bad;

        ck_assert_int_eq(pread(fd, &was, 1, at), 1);
        bad = (char)(was ^ 0x41);
        ck_assert_int_eq(pwrite(fd, &bad, 1, at), 1);
        log_file_use(&f, fcntl(fd, F_DUPFD_CLOEXEC, 0));
        ck_assert_int_le(log_file_read(&f, got, LEN, 0), LEN);
        ck_assert_int_eq(pwrite(fd, &was, 1, at), 1);
    }
    ck_assert_int_eq(ftruncate(fd, st.st_size - 1), 0);
    ck_assert_int_eq(log_file_use(&f, fd), -EBADMSG);
    ck_assert_int_eq(log_file_size(&f), 0);
    ck_assert_int_eq(log_file_read(&f, got, LEN, 0), 0);
    log_file_done(&f);
    drop(1);
    drop(2);
}
END_TEST

/* ---- gzip ---- */

static int open_named(const char *end, int flags)
{
    _cleanup_free_ char *name = xasprintf("%s/x.log%s", dir, end);

    return open(name, O_CLOEXEC | flags, 0600);
}

static void drop_named(const char *end)
{
    _cleanup_free_ char *name = xasprintf("%s/x.log%s", dir, end);

    ck_assert_int_eq(unlink(name), 0);
}

static void settle_rotated(uint64_t files)
{
    _cleanup_free_ char *base = xasprintf("%s/x.log", dir);

    close(open_named("", O_CREAT | O_WRONLY));
    log_rotated_settle(base, files);
}

START_TEST(gzips_what_was_rotated)
{
    static const char *const packed[] = {".1.gz", ".2.gz"};
    struct log_file f = LOG_FILE_INIT;
    struct stat st;

    make(1);
    make(2);
    make(3); /* one too many: not ours */
    settle_rotated(3);
    for (size_t i = 0; i < ARRAY_SIZE(packed); i++) {
        ck_assert_int_eq(log_file_use(&f, open_named(packed[i], O_RDONLY)), 0);
        ck_assert_ptr_nonnull(f.index);
        ck_assert_int_eq(fstat(f.fd, &st), 0);
        ck_assert_int_lt(st.st_size, LEN / 10);
        check_pieces(&f);
        drop_named(packed[i]);
    }
    log_file_done(&f);
    ck_assert_int_eq(open_it(1), -1);
    ck_assert_int_eq(open_named(".packing", O_RDONLY), -1);
    drop(3);
    drop_named("");
}
END_TEST

START_TEST(broken_gzip)
{
    struct log_file f = LOG_FILE_INIT;
    _cleanup_free_ char *got = xmalloc(LEN);
    struct stat st;
    int fd;

    make(1);
    settle_rotated(2);
    fd = open_named(".1.gz", O_RDWR);
    ck_assert_int_eq(fstat(fd, &st), 0);
    for (off_t at = 0; at < st.st_size; at += at < 64 || at > st.st_size - 64 ? 1 : 61) {
        char was, bad;

        ck_assert_int_eq(pread(fd, &was, 1, at), 1);
        bad = (char)(was ^ 0x41);
        ck_assert_int_eq(pwrite(fd, &bad, 1, at), 1);
        log_file_use(&f, fcntl(fd, F_DUPFD_CLOEXEC, 0));
        ck_assert_int_le(log_file_read(&f, got, LEN, 0), LEN);
        ck_assert_int_eq(pwrite(fd, &was, 1, at), 1);
    }
    ck_assert_int_eq(ftruncate(fd, st.st_size - 1), 0);
    ck_assert_int_eq(log_file_use(&f, fd), -EBADMSG);
    ck_assert_int_eq(log_file_size(&f), 0);
    ck_assert_int_eq(log_file_read(&f, got, LEN, 0), 0);
    log_file_done(&f);
    drop_named(".1.gz");
    drop_named("");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("logpack");
    TCase *t = tcase_create("logpack");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, packs_all_but_the_last);
    tcase_add_test(t, removes_what_is_too_old);
    tcase_add_test(t, broken_ones);
    tcase_add_test(t, gzips_what_was_rotated);
    tcase_add_test(t, broken_gzip);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
