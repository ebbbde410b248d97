/* The image store over a database and directories of its own: lookup, list, remove, prune. */
#include "image.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "digest.h"
#include "images.h"
#include "json.h"
#include "path.h"

#define DIFF_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define DIFF_2 "2222222222222222222222222222222222222222222222222222222222222222"
#define CONTAINER "c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0"
#define SECOND 1000000000LL

static char *root;
static struct db *db;
static struct storage *st;
static struct images *im;
static uv_loop_t loop;
static char base_id[ID_LEN + 1], app_id[ID_LEN + 1], chain_1[ID_LEN + 1], chain_2[ID_LEN + 1];
static char events[1024];
static int users;
static bool user_runs;
static const char *user_image;

static void on_event(void *arg, const char *action, const char *id, const char *name,
                     const json_t *labels)
{
    size_t n = strlen(events);

    (void)arg;
    (void)id;
    (void)labels;
    snprintf(events + n, sizeof(events) - n, "%s %.30s;", action, name);
}

static int count_containers(void *arg, const char *image_id, char ret[ID_LEN + 1],
                            bool *ret_running)
{
    (void)arg;
    if (!user_image || !streq(user_image, image_id))
        return 0;
    memcpy(ret, CONTAINER, ID_LEN + 1);
    *ret_running = user_runs;
    return users;
}

static void make_layer(const char *chain_id)
{
    _cleanup_free_ char *path = xasprintf("%s/layers/%s", root, chain_id);

    ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void put_image(const char *config, int64_t created, size_t n_layers, char ret[ID_LEN + 1])
{
    const char *chains[] = {chain_1, chain_2};
    struct image_row row = {.config = (char *)config,
                            .config_len = strlen(config),
                            .size = 100 * (int64_t)n_layers,
                            .created = created * SECOND,
                            .loaded = 5};

    digest_sha256(config, strlen(config), ret);
    row.id = ret;
    ck_assert_int_eq(db_image_put(db, &row, chains, n_layers, NULL), 0);
}

static void setup(void)
{
    char dir[] = "/tmp/test-images-XXXXXX";
    struct images_options opt = {.hooks = {.event = on_event, .containers = count_containers},
                                 .worker_path = "/proc/nonexistent"};
    _cleanup_free_ char *path = NULL;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    root = xstrdup(dir);
    path = path_join(root, "db");
    ck_assert_int_eq(db_open(path, &db, NULL), 0);
    ck_assert_int_eq(storage_open(root, NULL, &st, NULL), 0);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    digest_chain_id(NULL, DIFF_1, chain_1);
    digest_chain_id(chain_1, DIFF_2, chain_2);
    ck_assert_int_eq(db_layer_put(db, chain_1, DIFF_1, NULL, 100, NULL), 0);
    ck_assert_int_eq(db_layer_put(db, chain_2, DIFF_2, chain_1, 50, NULL), 0);
    make_layer(chain_1);
    make_layer(chain_2);
    put_image("{\"os\":\"linux\",\"config\":{\"Labels\":{\"kind\":\"base\"}}}", 100, 1, base_id);
    put_image(
        "{\"os\":\"linux\",\"config\":{\"Cmd\":[\"x\"],\"Labels\":{\"kind\":\"app\",\"v\":\"1\"}},"
        "\"history\":[{\"created_by\":\"one\"},{\"created_by\":\"e\",\"empty_layer\":true},"
        "{\"created_by\":\"two\",\"comment\":\"c\"}]}",
        200, 2, app_id);
    opt.db = db;
    opt.storage = st;
    opt.loop = &loop;
    ck_assert_int_eq(images_open(&opt, &im, NULL), 0);
    ck_assert_int_eq(images_tag(im, base_id, "base", "1", NULL), 0);
    ck_assert_int_eq(images_tag(im, app_id, "quay.io/me/app", NULL, NULL), 0);
    events[0] = '\0';
    users = 0;
    user_runs = false;
    user_image = NULL;
}

static void teardown(void)
{
    images_close(im);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    storage_close(st);
    db_close(db);
    path_rm_rf(AT_FDCWD, root);
    free(root);
}

static bool layer_there(const char *chain_id)
{
    int64_t size;

    ck_assert_int_eq(db_layer_get(db, chain_id, &size, NULL), storage_layer_exists(st, chain_id));
    return storage_layer_exists(st, chain_id);
}

static void assert_found(const char *name, const char *id)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    struct err e = {0};

    ck_assert_msg(images_lookup(im, name, &img, &e) == 0, "%s: %s", name, e.message);
    ck_assert_str_eq(img->id, id);
}

static void assert_missing(const char *name, int kind, const char *message)
{
    struct image *img = NULL;
    struct err e = {0};

    ck_assert_int_lt(images_lookup(im, name, &img, &e), 0);
    ck_assert_int_eq(e.kind, kind);
    ck_assert_str_eq(e.message, message);
}

START_TEST(test_lookup)
{
    _cleanup_free_ char *with_algorithm = xasprintf("sha256:%s", app_id);
    _cleanup_free_ char *prefix = xstrndup(app_id, 12);
    _cleanup_free_ char *long_prefix = xasprintf("sha256:%.12s", base_id);

    assert_found("base:1", base_id);
    assert_found("docker.io/library/base:1", base_id);
    assert_found("quay.io/me/app", app_id);
    assert_found(app_id, app_id);
    assert_found(with_algorithm, app_id);
    assert_found(prefix, app_id);
    assert_found(long_prefix, base_id);
    assert_missing("base", ERR_NOT_FOUND, "No such image: base:latest");
    assert_missing("quay.io/me/app:2", ERR_NOT_FOUND, "No such image: quay.io/me/app:2");
    assert_missing("Base", ERR_INVALID,
                   "invalid reference format: repository name (library/Base) must be lowercase");
    assert_missing("a b", ERR_INVALID, "invalid reference format");
    assert_missing("sha256:" DIFF_1, ERR_NOT_FOUND, "No such image: sha256:" DIFF_1);
}
END_TEST

START_TEST(test_tag_decides_before_id_prefix)
{
    _cleanup_free_ char *prefix = xstrndup(app_id, 8);

    ck_assert_int_eq(images_tag(im, base_id, prefix, NULL, NULL), 0);
    assert_found(prefix, base_id);
}
END_TEST

START_TEST(test_ambiguous_prefix)
{
    struct image *img;
    struct err e = {0};
    char id[ID_LEN + 1];
    char one[2] = {0};

    /* 17 images share 16 first digits. */
    for (int i = 0; i < 17; i++) {
        char config[32];

        snprintf(config, sizeof(config), "{\"n\":%d}", i);
        put_image(config, 1, 0, id);
    }
    for (int digit = 0; digit < 16; digit++) {
        one[0] = "0123456789abcdef"[digit];
        if (db_image_find(db, one, id, NULL) == -ENOTUNIQ)
            break;
    }
    ck_assert_int_eq(db_image_find(db, one, id, NULL), -ENOTUNIQ);
    /* One of several is none: it may be the name of an image that is not here. */
    ck_assert_int_eq(images_lookup(im, one, &img, &e), -ENOENT);
    ck_assert_int_eq(e.kind, ERR_NOT_FOUND);
    ck_assert(str_starts(e.message, "No such image: "));
}
END_TEST

static const struct {
    const char *filters;
    bool base, app;
} lists[] = {
    {NULL, true, true},
    {"{}", true, true},
    {"{\"label\":[\"kind\"]}", true, true},
    {"{\"label\":[\"kind=app\"]}", false, true},
    {"{\"label\":[\"kind=app\",\"v=2\"]}", false, false},
    {"{\"label\":{\"kind=base\":true}}", true, false},
    {"{\"label\":[\"nope\"]}", false, false},
    {"{\"dangling\":[\"true\"]}", false, false},
    {"{\"dangling\":[\"false\"]}", true, true},
    {"{\"reference\":[\"base\"]}", true, false},
    {"{\"reference\":[\"base:2\"]}", false, false},
    {"{\"reference\":[\"quay.io/*/app\",\"bas*:1\"]}", true, true},
    {"{\"before\":[\"quay.io/me/app\"]}", true, false},
    {"{\"since\":[\"base:1\"]}", false, true},
    {"{\"until\":[\"150\"]}", true, false},
    {"{\"until\":[\"1970-01-01T00:03:21Z\"]}", true, true},
    {"{\"until\":[\"1h\"]}", true, true},
};

START_TEST(test_list)
{
    _cleanup_json_ json_t *filters = NULL, *out = NULL;
    struct images_list_options opt = {0};
    bool base = false, app = false;
    json_t *item;
    size_t i;

    if (lists[_i].filters)
        opt.filters = filters = json_loads(lists[_i].filters, 0, NULL);
    ck_assert_int_eq(images_list(im, &opt, &out, NULL), 0);
    json_array_foreach (out, i, item) {
        const char *id = json_get_str(item, "Id", "") + strlen("sha256:");

        base = base || streq(id, base_id);
        app = app || streq(id, app_id);
        ck_assert_int_eq(json_get_int(item, "SharedSize", 0), -1);
    }
    ck_assert_int_eq(base, lists[_i].base);
    ck_assert_int_eq(app, lists[_i].app);
}
END_TEST

static const char *const bad_filters[] = {"{\"nope\":[\"x\"]}", "{\"dangling\":[\"maybe\"]}",
                                          "{\"until\":[\"soon\"]}"};

START_TEST(test_bad_filter)
{
    _cleanup_json_ json_t *filters = json_loads(bad_filters[_i], 0, NULL);
    struct images_list_options opt = {.filters = filters};
    struct err e = {0};
    json_t *out;

    ck_assert_int_lt(images_list(im, &opt, &out, &e), 0);
    ck_assert_int_eq(e.kind, ERR_INVALID);
    ck_assert(str_starts(e.message, "invalid filter '"));
}
END_TEST

START_TEST(test_inspect_and_history)
{
    _cleanup_json_ json_t *image = NULL, *history = NULL;

    ck_assert_int_eq(images_inspect(im, "quay.io/me/app", &image, NULL), 0);
    ck_assert_int_eq(json_get_int(image, "Size", 0), 200);
    ck_assert_str_eq(json_get_str(image, "Created", ""), "1970-01-01T00:03:20Z");
    ck_assert(json_is_object(json_get(image, "ContainerConfig")));
    ck_assert(json_is_null(json_object_get(json_get(image, "Config"), "Env")));
    ck_assert_int_eq(images_history(im, app_id, &history, NULL), 0);
    ck_assert_uint_eq(json_array_size(history), 3);
    ck_assert_str_eq(json_get_str(json_array_get(history, 0), "CreatedBy", ""), "two");
    ck_assert_int_eq(json_get_int(json_array_get(history, 0), "Size", -1), 50);
    ck_assert_int_eq(json_get_int(json_array_get(history, 1), "Size", -1), 0);
    ck_assert_int_eq(json_get_int(json_array_get(history, 2), "Size", -1), 100);
    ck_assert(str_starts(json_get_str(json_array_get(history, 0), "Id", ""), "sha256:"));
    ck_assert_str_eq(json_get_str(json_array_get(history, 2), "Id", ""), "<missing>");
}
END_TEST

static void assert_conflict(const char *name, bool force, const char *text)
{
    struct err e = {0};
    json_t *out;

    ck_assert_int_lt(images_remove(im, name, force, false, &out, &e), 0);
    ck_assert_int_eq(e.kind, ERR_CONFLICT);
    ck_assert_msg(strstr(e.message, text), "%s", e.message);
}

static char *removed(const char *name, bool force)
{
    _cleanup_json_ json_t *out = NULL;
    struct err e = {0};

    ck_assert_msg(images_remove(im, name, force, false, &out, &e) == 0, "%s", e.message);
    return json_to_str(out);
}

START_TEST(test_remove_last_tag)
{
    _cleanup_free_ char *out = removed("quay.io/me/app", false);
    _cleanup_free_ char *wanted = xasprintf("[{\"Untagged\":\"quay.io/me/app:latest\"},"
                                            "{\"Deleted\":\"sha256:%s\"},"
                                            "{\"Deleted\":\"sha256:%s\"}]",
                                            app_id, chain_2);

    ck_assert_str_eq(out, wanted);
    ck_assert(!layer_there(chain_2));
    ck_assert(layer_there(chain_1)); /* base has it too */
    ck_assert(str_starts(events, "untag quay.io/me/app:latest;delete sha256:"));
}
END_TEST

START_TEST(test_remove_one_of_two_tags)
{
    _cleanup_free_ char *out = NULL;

    ck_assert_int_eq(images_tag(im, "base:1", "base", "2", NULL), 0);
    assert_conflict(base_id, false, "(must be forced) - image is referenced in multiple");
    out = removed("base:2", false);
    ck_assert_str_eq(out, "[{\"Untagged\":\"base:2\"}]");
    assert_found("base:1", base_id);
}
END_TEST

START_TEST(test_remove_in_use)
{
    _cleanup_free_ char *text = xasprintf("conflict: unable to remove repository reference "
                                          "\"base:1\" (must force) - container c0c0c0c0c0c0 is "
                                          "using its referenced image %.12s",
                                          base_id);
    _cleanup_free_ char *out = NULL;

    users = 1;
    user_image = base_id;
    assert_conflict("base:1", false, text);
    assert_conflict(base_id, false, "image is being used by stopped container c0c0c0c0c0c0");
    user_runs = true;
    assert_conflict(base_id, true, "(cannot be forced) - image is being used by running container");
    out = removed("base:1", true);
    ck_assert_str_eq(out, "[{\"Untagged\":\"base:1\"}]");
    assert_found(base_id, base_id);
}
END_TEST

static void add_container(void)
{
    ck_assert_int_eq(db_run(db,
                            db_query(db,
                                     "INSERT INTO containers(id, name, created, image_id, config,"
                                     " state) VALUES(?,'/x',0,?,'{}','{}')",
                                     "ss", CONTAINER, app_id),
                            NULL),
                     0);
}

START_TEST(test_container_holds_layers)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    _cleanup_(strv_freep) char **held = NULL;
    _cleanup_free_ char *out = NULL, *out2 = NULL;

    add_container();
    ck_assert_int_eq(images_lookup(im, app_id, &img, NULL), 0);
    ck_assert_int_eq(images_hold(im, CONTAINER, img, NULL), 0);
    out = removed(app_id, true);
    out2 = removed("base:1", true);
    ck_assert(layer_there(chain_1) && layer_there(chain_2));
    ck_assert_int_eq(images_held(im, CONTAINER, &held, NULL), 0);
    ck_assert_uint_eq(strv_len(held), 2);
    ck_assert_str_eq(held[0], chain_1);
    ck_assert_int_eq(
        db_run(db, db_query(db, "DELETE FROM containers WHERE id=?", "s", CONTAINER), NULL), 0);
    images_released(im, app_id);
    ck_assert(!layer_there(chain_1) && !layer_there(chain_2));
}
END_TEST

START_TEST(test_prune)
{
    _cleanup_json_ json_t *nothing = NULL, *all = NULL, *filters = NULL;

    ck_assert_int_eq(images_prune(im, NULL, &nothing, NULL), 0);
    ck_assert(json_is_null(json_object_get(nothing, "ImagesDeleted")));
    users = 1;
    user_image = base_id;
    filters = json_loads("{\"dangling\":[\"false\"]}", 0, NULL);
    ck_assert_int_eq(images_prune(im, filters, &all, NULL), 0);
    ck_assert_int_eq(json_get_int(all, "SpaceReclaimed", 0), 50);
    ck_assert_int_eq(images_count(im), 1);
    assert_found("base:1", base_id);
}
END_TEST

START_TEST(test_open_removes_orphans)
{
    struct images_options opt = {
        .db = db, .storage = st, .loop = &loop, .worker_path = "/proc/nonexistent"};
    struct images *again;

    make_layer(DIFF_2);
    ck_assert_int_eq(images_open(&opt, &again, NULL), 0);
    ck_assert(!storage_layer_exists(st, DIFF_2));
    ck_assert(layer_there(chain_2));
    images_close(again);
}
END_TEST

START_TEST(test_missing_worker_leaves_nothing)
{
    struct image_job_callbacks cb = {0};
    struct err e = {0};

    ck_assert_ptr_null(images_load(im, open("/dev/null", O_RDONLY), true, &cb, &e));
    ck_assert_int_eq(e.errnum, ENOENT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("images");
    TCase *t = tcase_create("images");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_lookup);
    tcase_add_test(t, test_tag_decides_before_id_prefix);
    tcase_add_test(t, test_ambiguous_prefix);
    tcase_add_loop_test(t, test_list, 0, (int)ARRAY_SIZE(lists));
    tcase_add_loop_test(t, test_bad_filter, 0, (int)ARRAY_SIZE(bad_filters));
    tcase_add_test(t, test_inspect_and_history);
    tcase_add_test(t, test_remove_last_tag);
    tcase_add_test(t, test_remove_one_of_two_tags);
    tcase_add_test(t, test_remove_in_use);
    tcase_add_test(t, test_container_holds_layers);
    tcase_add_test(t, test_prune);
    tcase_add_test(t, test_open_removes_orphans);
    tcase_add_test(t, test_missing_worker_leaves_nothing);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
