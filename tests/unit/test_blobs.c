/* Blobs in the storage: commit, orphans, partial downloads. */
#include "blobs.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "path.h"
#include "str.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char *root;
static struct storage *st;
static struct stage stage;

static void setup(void)
{
    char dir[] = "/tmp/test-blobs-XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(dir));
    root = xstrdup(dir);
    ck_assert_int_eq(storage_open(root, NULL, &st, NULL), 0);
    ck_assert_int_eq(storage_stage_new(st, &stage, NULL), 0);
}

static void teardown(void)
{
    storage_stage_discard(st, &stage);
    storage_close(st);
    path_rm_rf(AT_FDCWD, root);
    free(root);
}

static void put(const char *name, const char *text)
{
    ck_assert_int_eq(file_replace(stage.fd, name, text, strlen(text), 0644, false), 0);
}

static char *content(const char *digest)
{
    int64_t size;
    _cleanup_close_ int fd = blob_open(st, digest, &size, NULL);
    char *text = xcalloc(1, 64);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(read(fd, text, 63), size);
    return text;
}

START_TEST(test_commit)
{
    _cleanup_free_ char *text = NULL;
    struct stat sb;

    ck_assert_int_eq(blob_open(st, A, NULL, NULL), -ENOENT);
    ck_assert_int_eq(blob_size(st, A), -ENOENT);
    put("x", "one");
    ck_assert_int_eq(blob_commit(st, stage.fd, "x", A, 3, NULL), 0);
    ck_assert_int_eq(fstatat(stage.fd, "x", &sb, 0), -1);
    /* The first one wins. */
    put("y", "two!");
    ck_assert_int_eq(blob_commit(st, stage.fd, "y", A, 4, NULL), 0);
    ck_assert_int_eq(blob_size(st, A), 3);
    text = content(A);
    ck_assert_str_eq(text, "one");
    ck_assert_int_eq(blobs_fsync(st, NULL), 0);
}
END_TEST

START_TEST(test_commit_refuses)
{
    struct stat sb;

    put("x", "one");
    ck_assert_int_eq(blob_commit(st, stage.fd, "x", "../x", 3, NULL), -EINVAL);
    ck_assert_int_eq(blob_commit(st, stage.fd, "x", A "0", 3, NULL), -EINVAL);
    ck_assert_int_eq(blob_commit(st, stage.fd, "none", A, 3, NULL), -ENOENT);
    ck_assert_int_eq(mkdirat(stage.fd, "d", 0700), 0);
    ck_assert_int_eq(blob_commit(st, stage.fd, "d", A, 3, NULL), -EINVAL);
    ck_assert_int_eq(blob_commit(st, stage.fd, "x", A, 4, NULL), -EBADMSG);
    ck_assert_int_eq(fstatat(stage.fd, "x", &sb, 0), 0);
    ck_assert_int_eq(blob_open(st, "..", NULL, NULL), -EINVAL);
}
END_TEST

START_TEST(test_partial)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int fd = -EBADF;
    int64_t offset;

    fd = blob_partial_open(st, A, &offset, NULL);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(offset, 0);
    ck_assert_int_eq(write(fd, "half", 4), 4);
    fd = fd_close(fd);
    fd = blob_partial_open(st, A, &offset, NULL);
    ck_assert_int_eq(offset, 4);
    ck_assert_int_gt(blob_partial_usage(st), 0);
    ck_assert_int_eq(blob_partial_commit(st, A, 8, NULL), -EBADMSG);
    ck_assert_int_eq(blob_size(st, A), -ENOENT);
    ck_assert_int_gt(blob_partial_usage(st), 0);
    ck_assert_int_eq(blob_partial_commit(st, A, 4, NULL), 0);
    ck_assert_int_eq(blob_partial_usage(st), 0);
    text = content(A);
    ck_assert_str_eq(text, "half");
    /* Somebody else was faster. */
    ck_assert_int_eq(blob_partial_commit(st, A, 4, NULL), 0);
    ck_assert_int_eq(blob_partial_commit(st, B, 4, NULL), -ENOENT);
}
END_TEST

static bool is_b(void *arg, const char *digest)
{
    (void)arg;
    return streq(digest, B);
}

START_TEST(test_sweep)
{
    _cleanup_(strv_freep) char **trash = NULL;
    int64_t bytes = 0;
    int a = blob_partial_open(st, A, NULL, NULL), b = blob_partial_open(st, B, NULL, NULL);

    ck_assert_int_eq(write(a, "12", 2), 2);
    ck_assert_int_eq(write(b, "12", 2), 2);
    fd_close(a);
    fd_close(b);
    ck_assert_int_eq(blob_partial_sweep(st, INT64_MAX, NULL, NULL, &bytes, NULL, NULL), 0);
    ck_assert_int_eq(bytes, 0);
    ck_assert_int_eq(blob_partial_sweep(st, 0, is_b, NULL, &bytes, &trash, NULL), 0);
    ck_assert_int_gt(bytes, 0);
    ck_assert_int_eq(strv_len(trash), 1);
    ck_assert_int_eq(storage_trash_remove(st, trash[0]), 0);
    ck_assert_int_eq(blob_partial_commit(st, A, 2, NULL), -ENOENT);
    ck_assert_int_eq(blob_partial_commit(st, B, 2, NULL), 0);
}
END_TEST

START_TEST(test_orphaned_downloads)
{
    _cleanup_(strv_freep) char **v = NULL;

    fd_close(blob_partial_open(st, A, NULL, NULL));
    fd_close(blob_partial_open(st, B, NULL, NULL));
    ck_assert_int_eq(blob_partial_orphans(st, is_b, NULL, &v, NULL), 0);
    ck_assert_int_eq(strv_len(v), 1);
    ck_assert_str_eq(v[0], A);
}
END_TEST

START_TEST(test_orphans_and_removal)
{
    _cleanup_(strv_freep) char **v = NULL;
    _cleanup_free_ char *trash = NULL;
    _cleanup_close_ int fd = -EBADF;
    char c;

    put("a", "1");
    put("b", "2");
    ck_assert_int_eq(blob_commit(st, stage.fd, "a", A, 1, NULL), 0);
    ck_assert_int_eq(blob_commit(st, stage.fd, "b", B, 1, NULL), 0);
    ck_assert_int_eq(blob_orphans(st, is_b, NULL, &v, NULL), 0);
    ck_assert_int_eq(strv_len(v), 1);
    ck_assert_str_eq(v[0], A);
    fd = blob_open(st, A, NULL, NULL);
    ck_assert_int_eq(blob_remove(st, A, &trash, NULL), 0);
    ck_assert_ptr_nonnull(trash);
    ck_assert_int_eq(blob_size(st, A), -ENOENT);
    ck_assert_int_eq(storage_trash_remove(st, trash), 0);
    ck_assert_int_eq(read(fd, &c, 1), 1); /* whoever reads it goes on */
    ck_assert_int_eq(blob_remove(st, A, NULL, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("blobs");
    TCase *t = tcase_create("blobs");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_commit);
    tcase_add_test(t, test_commit_refuses);
    tcase_add_test(t, test_partial);
    tcase_add_test(t, test_sweep);
    tcase_add_test(t, test_orphaned_downloads);
    tcase_add_test(t, test_orphans_and_removal);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
