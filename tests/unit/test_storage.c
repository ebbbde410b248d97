#include "storage.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "path.h"
#include "str.h"

#define CHAIN_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CHAIN_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define CONTAINER "c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0"

static char *root;
static struct storage *st;

static void setup(void)
{
    char dir[] = "/tmp/test-storage-XXXXXX";
    struct err e;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    root = xasprintf("%s/data", dir);
    ck_assert_msg(storage_open(root, NULL, &st, &e) == 0, "%s", e.message);
}

static void teardown(void)
{
    storage_close(st);
    *strrchr(root, '/') = '\0';
    path_rm_rf(AT_FDCWD, root);
    free(root);
}

static bool exists(const char *name)
{
    _cleanup_free_ char *path = path_join(root, name);

    return access(path, F_OK) == 0;
}

static mode_t mode_of(const char *name)
{
    _cleanup_free_ char *path = path_join(root, name);
    struct stat sb;

    ck_assert_int_eq(lstat(path, &sb), 0);
    return sb.st_mode & 07777;
}

static void make_file(const char *name, size_t size)
{
    _cleanup_free_ char *path = path_join(root, name);
    _cleanup_close_ int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
}

START_TEST(test_open)
{
    struct storage *other;
    struct err e = {0};

    ck_assert_uint_eq(mode_of("layers"), 0700);
    ck_assert_uint_eq(mode_of("tmp"), 0700);
    ck_assert_uint_eq(mode_of("containers"), 0711);
    ck_assert(exists("init/etc/hosts") && exists("init/dev/pts") && exists("init/proc"));
    ck_assert_int_lt(storage_open(root, "zfs", &other, &e), 0);
    ck_assert_int_eq(e.kind, ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.message, "zfs"));
    ck_assert_int_eq(storage_open(root, "overlay", &other, &e), 0);
    ck_assert_str_eq(storage_driver_name(other), "overlay2");
    storage_close(other);
}
END_TEST

START_TEST(test_stale_is_deleted)
{
    struct stage stage = STAGE_NONE;
    _cleanup_free_ char *path = NULL;
    struct storage *other;
    struct err e;

    ck_assert_int_eq(storage_stage_new(st, &stage, &e), 0);
    path = xstrdup(stage.path);
    storage_stage_forget(&stage);
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(storage_open(root, NULL, &other, &e), 0);
    ck_assert_int_eq(access(path, F_OK), 0);
    storage_delete_stale(other);
    ck_assert_int_lt(access(path, F_OK), 0);
    storage_close(other);
}
END_TEST

START_TEST(test_deleting_stops)
{
    struct stage stage = STAGE_NONE;
    _cleanup_free_ char *path = NULL;
    struct storage *other;
    struct err e;

    ck_assert_int_eq(storage_stage_new(st, &stage, &e), 0);
    path = xasprintf("%s/one", stage.path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    storage_stage_forget(&stage);
    ck_assert_int_eq(storage_open(root, NULL, &other, &e), 0);
    storage_stop_deleting(other);
    storage_delete_stale(other);
    ck_assert_int_eq(access(path, F_OK), 0);
    storage_close(other);
}
END_TEST

static void commit(const char *chain_id)
{
    struct stage stage = STAGE_NONE;

    ck_assert_int_eq(storage_stage_new(st, &stage, NULL), 0);
    ck_assert_int_eq(mkdirat(stage.fd, "l0", 0700), 0);
    ck_assert_int_eq(mkdirat(stage.fd, "l0/diff", 0755), 0);
    ck_assert_int_eq(storage_layer_commit(st, &stage, "l0", chain_id, NULL), 0);
    storage_stage_discard(st, &stage);
}

static bool knows_a(void *arg, const char *chain_id)
{
    (void)arg;
    return streq(chain_id, CHAIN_A);
}

START_TEST(test_layers)
{
    _cleanup_(strv_freep) char **orphans = NULL;
    _cleanup_free_ char *trash = NULL;

    ck_assert(!storage_layer_exists(st, CHAIN_A));
    commit(CHAIN_A);
    commit(CHAIN_A); /* the second finds it there */
    commit(CHAIN_B);
    ck_assert(storage_layer_exists(st, CHAIN_A) && exists("layers/" CHAIN_A "/diff"));
    ck_assert_int_eq(storage_layer_orphans(st, knows_a, NULL, &orphans, NULL), 0);
    ck_assert_uint_eq(strv_len(orphans), 1);
    ck_assert_str_eq(orphans[0], CHAIN_B);
    ck_assert_int_eq(storage_layer_remove(st, CHAIN_B, &trash, NULL), 0);
    ck_assert(!storage_layer_exists(st, CHAIN_B));
    ck_assert_ptr_nonnull(trash);
    ck_assert_int_eq(storage_trash_remove(st, trash), 0);
    ck_assert_int_eq(storage_layer_remove(st, CHAIN_B, NULL, NULL), 0);
    ck_assert_int_lt(storage_layer_remove(st, "../containers", NULL, NULL), 0);
    ck_assert(exists("containers"));
}
END_TEST

static struct rootfs_spec spec_of(const char *id)
{
    return (struct rootfs_spec){.container_id = id};
}

static int prepare(const char *id)
{
    struct rootfs_spec spec = spec_of(id);

    return storage_rootfs_prepare(st, &spec, NULL);
}

START_TEST(test_what_fsck_asks)
{
    struct stage stage = STAGE_NONE;
    _cleanup_(strv_freep) char **containers = NULL;
    _cleanup_free_ char *diff = path_join(root, "layers/" CHAIN_A "/diff");

    ck_assert(!storage_layer_is_whole(st, CHAIN_A) && !storage_layer_is_whole(st, "../tmp"));
    commit(CHAIN_A);
    ck_assert(storage_layer_is_whole(st, CHAIN_A));
    ck_assert_int_eq(rmdir(diff), 0);
    ck_assert(storage_layer_exists(st, CHAIN_A) && !storage_layer_is_whole(st, CHAIN_A));
    make_file("layers/" CHAIN_A "/diff", 1);
    ck_assert(!storage_layer_is_whole(st, CHAIN_A));
    /* Of two that share a stage the slower one finds the layer, or nothing at all. */
    ck_assert_int_eq(storage_stage_new(st, &stage, NULL), 0);
    ck_assert_int_eq(mkdirat(stage.fd, "l0", 0700), 0);
    ck_assert_int_eq(storage_layer_commit(st, &stage, "l0", CHAIN_B, NULL), 0);
    ck_assert_int_eq(storage_layer_commit(st, &stage, "l0", CHAIN_B, NULL), 0);
    ck_assert_int_eq(storage_layer_remove(st, CHAIN_B, NULL, NULL), 0);
    ck_assert_int_eq(storage_layer_commit(st, &stage, "l0", CHAIN_B, NULL), -ENOENT);
    storage_stage_discard(st, &stage);

    ck_assert_int_eq(prepare(CHAIN_A), 0);
    ck_assert_int_eq(prepare(CONTAINER), 0);
    ck_assert_int_eq(storage_container_orphans(st, knows_a, NULL, &containers, NULL), 0);
    ck_assert_uint_eq(strv_len(containers), 1);
    ck_assert_str_eq(containers[0], CONTAINER);
}
END_TEST

START_TEST(test_rootfs)
{
    const char *chain_ids[] = {CHAIN_A, CHAIN_B};
    struct rootfs_spec spec = spec_of(CONTAINER);
    struct rootfs_dirs dirs;
    char **lowers;
    int64_t size = -1;

    spec.chain_ids = chain_ids;
    spec.n_layers = 2;
    storage_rootfs_dirs(st, &spec, &dirs);
    lowers = dirs.lowers;
    ck_assert(str_ends(dirs.upper, CONTAINER "/upper") && str_ends(dirs.work, CONTAINER "/work"));
    ck_assert_uint_eq(strv_len(lowers), 3);
    ck_assert(str_ends(lowers[0], "/layers/" CHAIN_B "/diff"));
    ck_assert(str_ends(lowers[1], "/layers/" CHAIN_A "/diff"));
    ck_assert(str_ends(lowers[2], "/init"));
    rootfs_dirs_done(&dirs);
    ck_assert_int_eq(prepare(CONTAINER), 0);
    ck_assert_int_eq(prepare(CONTAINER), 0);
    ck_assert_uint_eq(mode_of("containers/" CONTAINER), 0710);
    ck_assert_uint_eq(mode_of("containers/" CONTAINER "/upper"), 0755);
    ck_assert_int_eq(storage_rootfs_usage(st, CONTAINER, &size, NULL), 0);
    ck_assert_int_eq(size, 0);
    ck_assert_int_lt(prepare("../x"), 0);
}
END_TEST

START_TEST(test_usage_counts_links_once)
{
    _cleanup_free_ char *from = path_join(root, "containers/" CONTAINER "/upper/a");
    _cleanup_free_ char *to = path_join(root, "containers/" CONTAINER "/upper/d/b");
    _cleanup_free_ char *dir = path_join(root, "containers/" CONTAINER "/upper/d");
    int64_t size = 0;

    ck_assert_int_eq(prepare(CONTAINER), 0);
    make_file("containers/" CONTAINER "/upper/a", 1000);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    ck_assert_int_eq(link(from, to), 0);
    make_file("containers/" CONTAINER "/upper/d/c", 24);
    ck_assert_int_eq(storage_rootfs_usage(st, CONTAINER, &size, NULL), 0);
    ck_assert_int_eq(size, 1024);
}
END_TEST

START_TEST(test_remove)
{
    _cleanup_free_ char *trash = NULL;

    ck_assert_int_eq(prepare(CONTAINER), 0);
    make_file("containers/" CONTAINER "/upper/a", 1);
    make_file("containers/" CONTAINER "/hosts", 1);
    ck_assert_int_eq(storage_container_remove(st, CONTAINER, &trash, NULL), 0);
    ck_assert(!exists("containers/" CONTAINER));
    ck_assert_int_eq(storage_trash_remove(st, trash), 0);
    ck_assert_int_eq(storage_container_remove(st, CONTAINER, NULL, NULL), 0);
}
END_TEST

/* A container can nest directories far deeper than descriptors or stack would last. */
START_TEST(test_remove_deep_tree)
{
    _cleanup_free_ char *upper = path_join(root, "containers/" CONTAINER "/upper");
    int fd;

    ck_assert_int_eq(prepare(CONTAINER), 0);
    fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        int next;

        ck_assert_int_eq(mkdirat(fd, "d", 0700), 0);
        ck_assert_int_eq(mkdirat(fd, "e", 0700), 0);
        next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_ge(next, 0);
        fd_close(fd);
        fd = next;
    }
    fd_close(fd);
    ck_assert_int_eq(storage_container_remove(st, CONTAINER, NULL, NULL), 0);
    ck_assert(!exists("containers/" CONTAINER));
}
END_TEST

START_TEST(test_graph_data)
{
    const char *chain_ids[] = {CHAIN_A, CHAIN_B};
    json_t *c = storage_graph_data(st, CONTAINER, chain_ids, 2);
    json_t *i = storage_graph_data(st, NULL, chain_ids, 2);
    json_t *data = json_object_get(c, "Data");

    ck_assert_str_eq(json_string_value(json_object_get(c, "Name")), "overlay2");
    ck_assert(str_ends(json_string_value(json_object_get(data, "UpperDir")), CONTAINER "/upper"));
    ck_assert(str_ends(json_string_value(json_object_get(data, "MergedDir")), CONTAINER "/merged"));
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(data, "LowerDir")), CHAIN_B "/diff:"));
    data = json_object_get(i, "Data");
    ck_assert(str_ends(json_string_value(json_object_get(data, "UpperDir")), CHAIN_B "/diff"));
    ck_assert(str_ends(json_string_value(json_object_get(data, "LowerDir")), CHAIN_A "/diff"));
    json_decref(c);
    json_decref(i);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("storage");
    TCase *t = tcase_create("storage");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_open);
    tcase_add_test(t, test_stale_is_deleted);
    tcase_add_test(t, test_deleting_stops);
    tcase_add_test(t, test_layers);
    tcase_add_test(t, test_what_fsck_asks);
    tcase_add_test(t, test_rootfs);
    tcase_add_test(t, test_usage_counts_links_once);
    tcase_add_test(t, test_remove);
    tcase_add_test(t, test_remove_deep_tree);
    tcase_add_test(t, test_graph_data);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
