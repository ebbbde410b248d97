/* Rows of blobs, manifests and repository digests: who keeps what alive. */
#include "blob_rows.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "images.h"
#include "path.h"

#define DIFF "1111111111111111111111111111111111111111111111111111111111111111"
#define PLAIN "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ZIPPED "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define IMAGE "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define OTHER "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
#define MANIFEST "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
#define REPO "docker.io/library/busybox"

static char dir[64];
static struct db *db;

static void put_image(const char *id)
{
    const char *chains[] = {DIFF};
    struct image_row row = {.id = (char *)id, .config = (char *)"{}", .config_len = 2};

    ck_assert_int_eq(db_image_put(db, &row, chains, 1, NULL), 0);
}

static void setup(void)
{
    char path[96];

    strcpy(dir, "/tmp/test-blob-rows-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/db", dir);
    ck_assert_int_eq(db_open(path, &db, NULL), 0);
    ck_assert_int_eq(db_layer_put(db, DIFF, DIFF, NULL, 10, NULL), 0);
    put_image(IMAGE);
    ck_assert_int_eq(db_blob_put(db, PLAIN, 100, NULL), 0);
    ck_assert_int_eq(db_blob_put(db, ZIPPED, 30, NULL), 0);
    ck_assert_int_eq(db_layer_blob_put(db, DIFF, PLAIN, "plain", NULL), 0);
    ck_assert_int_eq(db_layer_blob_put(db, DIFF, ZIPPED, "zipped", NULL), 0);
}

static void teardown(void)
{
    db_close(db);
    path_rm_rf(AT_FDCWD, dir);
}

START_TEST(test_blobs_of_a_layer)
{
    struct layer_blob *v;
    size_t n;
    int64_t count, bytes, size;

    ck_assert_int_eq(db_layer_blob_list(db, DIFF, &v, &n, NULL), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(v[0].digest, PLAIN);
    ck_assert_str_eq(v[1].media_type, "zipped");
    ck_assert_int_eq(v[1].size, 30);
    layer_blobs_free(v, n);
    ck_assert_int_eq(db_layer_blob_list(db, OTHER, &v, &n, NULL), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_ptr_null(v);
    ck_assert_int_eq(db_layer_blob_exists(db, DIFF, ZIPPED), 1);
    ck_assert_int_eq(db_layer_blob_exists(db, OTHER, ZIPPED), 0);
    ck_assert_int_eq(db_blob_usage(db, &count, &bytes, NULL), 0);
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(bytes, 130);
    /* The first size stands. */
    ck_assert_int_eq(db_blob_put(db, PLAIN, 1, NULL), 0);
    ck_assert_int_eq(db_blob_get(db, PLAIN, &size, NULL), 1);
    ck_assert_int_eq(size, 100);
    ck_assert_int_eq(db_blob_delete(db, PLAIN, NULL), 0);
    ck_assert_int_eq(db_blob_get(db, PLAIN, NULL, NULL), 0);
    ck_assert_int_eq(db_layer_blob_exists(db, DIFF, PLAIN), 0);
}
END_TEST

START_TEST(test_collect)
{
    char **gone = NULL;
    int64_t bytes;

    ck_assert_int_eq(db_blob_source_put(db, ZIPPED, REPO, NULL), 0);
    ck_assert_int_eq(db_blob_collect(db, &gone, &bytes, NULL), 0);
    ck_assert_ptr_null(gone);
    ck_assert_int_eq(bytes, 0);
    ck_assert_int_eq(db_image_delete(db, IMAGE, NULL), 0);
    ck_assert_int_eq(db_blob_collect(db, &gone, NULL, NULL), 0);
    ck_assert_ptr_null(gone); /* the layer's row is still there */
    ck_assert_int_eq(db_layer_collect(db, &gone, NULL, NULL), 0);
    ck_assert_uint_eq(strv_len(gone), 1);
    strv_free(gone);
    ck_assert_int_eq(db_blob_collect(db, &gone, &bytes, NULL), 0);
    ck_assert_uint_eq(strv_len(gone), 2);
    ck_assert_int_eq(bytes, 130);
    strv_free(gone);
    ck_assert_int_eq(db_blob_source_list(db, ZIPPED, &gone, NULL), 0);
    ck_assert_ptr_null(gone);
}
END_TEST

START_TEST(test_manifests)
{
    struct manifest_row *v;
    size_t n;

    ck_assert_int_eq(db_manifest_put(db, IMAGE, MANIFEST, "m", "{\"a\":1}", 7, NULL), 0);
    ck_assert_int_eq(db_manifest_put(db, IMAGE, MANIFEST, "m", "{}", 2, NULL), 0);
    ck_assert_int_eq(db_manifest_put(db, IMAGE, PLAIN, "index", "", 0, NULL), 0);
    ck_assert_int_eq(db_manifest_list(db, IMAGE, &v, &n, NULL), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(v[0].digest, MANIFEST);
    ck_assert_uint_eq(v[0].len, 7);
    ck_assert_str_eq(v[0].body, "{\"a\":1}");
    ck_assert_str_eq(v[1].media_type, "index");
    ck_assert_str_eq(v[1].body, "");
    manifest_rows_free(v, n);
    ck_assert_int_eq(db_image_delete(db, IMAGE, NULL), 0);
    ck_assert_int_eq(db_manifest_list(db, IMAGE, &v, &n, NULL), 0);
    ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(test_repo_digests)
{
    char **v = NULL, id[ID_LEN + 1];

    put_image(OTHER);
    ck_assert_int_eq(db_repo_digest_put(db, REPO, MANIFEST, IMAGE, NULL), 0);
    ck_assert_int_eq(db_repo_digest_put(db, "quay.io/a/b", MANIFEST, IMAGE, NULL), 0);
    ck_assert_int_eq(db_repo_digest_get(db, REPO, MANIFEST, id, NULL), 1);
    ck_assert_str_eq(id, IMAGE);
    ck_assert_int_eq(db_repo_digest_get(db, REPO, PLAIN, id, NULL), 0);
    ck_assert_int_eq(db_repo_digest_list(db, IMAGE, &v, NULL), 0);
    ck_assert_uint_eq(strv_len(v), 2);
    ck_assert_str_eq(v[0], REPO "@sha256:" MANIFEST);
    strv_free(v);
    ck_assert_int_eq(db_repo_digest_put(db, REPO, MANIFEST, OTHER, NULL), 0);
    ck_assert_int_eq(db_repo_digest_get(db, REPO, MANIFEST, id, NULL), 1);
    ck_assert_str_eq(id, OTHER);
    ck_assert_int_eq(db_repo_digest_delete(db, OTHER, REPO, PLAIN, NULL), 0);
    ck_assert_int_eq(db_repo_digest_get(db, REPO, MANIFEST, id, NULL), 1);
    ck_assert_int_eq(db_repo_digest_delete(db, OTHER, NULL, NULL, NULL), 0);
    ck_assert_int_eq(db_repo_digest_get(db, REPO, MANIFEST, id, NULL), 0);
    ck_assert_int_eq(db_image_delete(db, IMAGE, NULL), 0);
    ck_assert_int_eq(db_repo_digest_get(db, "quay.io/a/b", MANIFEST, id, NULL), 0);
}
END_TEST

START_TEST(test_sources)
{
    char **v = NULL;

    ck_assert_int_eq(db_blob_source_put(db, PLAIN, "r/b", NULL), 0);
    ck_assert_int_eq(db_blob_source_put(db, PLAIN, "r/a", NULL), 0);
    ck_assert_int_eq(db_blob_source_put(db, PLAIN, "r/a", NULL), 0);
    ck_assert_int_lt(db_blob_source_put(db, MANIFEST, "r/a", NULL), 0);
    ck_assert_int_eq(db_blob_source_list(db, PLAIN, &v, NULL), 0);
    ck_assert_uint_eq(strv_len(v), 2);
    ck_assert_str_eq(v[0], "r/a");
    strv_free(v);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("blob_rows");
    TCase *t = tcase_create("blob_rows");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_blobs_of_a_layer);
    tcase_add_test(t, test_collect);
    tcase_add_test(t, test_manifests);
    tcase_add_test(t, test_repo_digests);
    tcase_add_test(t, test_sources);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
