#include <check.h>
#include <unistd.h>

#include "json.h"
#include "mounts.h"
#include "options.h"
#include "str.h"

START_TEST(mount_fields)
{
    struct err e;
    json_t *m = NULL;

    ck_assert_int_eq(
        value_mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave", &m, &e), 0);
    ck_assert_str_eq(json_get_str(m, "Type", ""), "bind");
    ck_assert_str_eq(json_get_str(m, "Source", ""), "/a");
    ck_assert_str_eq(json_get_str(m, "Target", ""), "/b");
    ck_assert(json_get_bool(m, "ReadOnly", false));
    ck_assert_str_eq(json_string_value(json_at(m, "BindOptions.Propagation")), "rslave");
    json_decref(m);
    ck_assert_int_eq(value_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770", &m, &e), 0);
    ck_assert_int_eq(json_integer_value(json_at(m, "TmpfsOptions.SizeBytes")), 1 << 20);
    ck_assert_int_eq(json_integer_value(json_at(m, "TmpfsOptions.Mode")), 01770);
    json_decref(m);
    ck_assert_int_eq(value_mount("dst=/v,\"volume-opt=o=a,b\",volume-nocopy", &m, &e), 0);
    ck_assert_str_eq(json_get_str(m, "Type", ""), "volume");
    ck_assert_str_eq(json_string_value(json_at(m, "VolumeOptions.DriverConfig.Options.o")), "a,b");
    json_decref(m);
    ck_assert_int_eq(value_mount("type=bind,src=/a,dst=/b,ro,bind-propagation=rprivate,"
                                 "bind-recursive=readonly",
                                 &m, &e),
                     0);
    ck_assert(json_is_true(json_at(m, "BindOptions.ReadOnlyForceRecursive")));
    json_decref(m);
}
END_TEST

START_TEST(mount_from_here)
{
    static const struct {
        const char *value, *source;
    } cases[] = {
        {"src=.,type=bind,dst=/b", "/tmp"},
        {"type=bind,src=./a/../c/,dst=/b", "/tmp/c"},
        {"type=bind,src=.a,dst=/b", ".a"},
        {"type=bind,src=a,dst=/b", "a"},
        {"src=.,dst=/b", "."},
    };

    ck_assert_int_eq(chdir("/tmp"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e;
        json_t *m = NULL;

        ck_assert_int_eq(value_mount(cases[i].value, &m, &e), 0);
        ck_assert_str_eq(json_get_str(m, "Source", ""), cases[i].source);
        json_decref(m);
    }
}
END_TEST

START_TEST(mount_refused)
{
    static const struct {
        const char *value, *message;
    } cases[] = {
        {"type=bind", "target is required"},
        {"dst=/x,foo=bar", "unexpected key 'foo' in 'foo=bar'"},
        {"xyz", "invalid field 'xyz' must be a key=value pair"},
        {"type=tmpfs,dst=/x,tmpfs-mode=zz", "invalid value for tmpfs-mode: zz"},
        {"type=bind,dst=/x,readonly=maybe", "invalid value for readonly: maybe"},
        {"type=bind,src=/a,dst=/x,tmpfs-mode=7",
         "cannot mix 'tmpfs-*' options with mount type 'bind'"},
        {"type=bind,src=/a,dst=/x,bind-recursive=writable",
         "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction"},
        {"type=bind,src=/a,dst=/x,ro,bind-recursive=readonly",
         "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in "
         "conjunction"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e = {0};
        json_t *m = NULL;

        ck_assert_int_lt(value_mount(cases[i].value, &m, &e), 0);
        ck_assert_str_eq(e.message, cases[i].message);
        ck_assert_ptr_null(m);
    }
}
END_TEST

static const char *bind(json_t **body, const char *spec)
{
    struct err e;
    const json_t *list;

    ck_assert_int_eq(mounts_add_volume(body, spec, &e), 0);
    list = json_at(*body, "HostConfig.Binds");
    return json_string_value(json_array_get(list, json_array_size(list) - 1));
}

START_TEST(volumes)
{
    _cleanup_free_ char *cwd = getcwd(NULL, 0), *want = xasprintf("%s/rel:/r", cwd);
    json_t *body = NULL;
    struct err e;

    ck_assert_str_eq(bind(&body, "/a:/b:ro"), "/a:/b:ro");
    ck_assert_str_eq(bind(&body, "vol:/b"), "vol:/b");
    ck_assert_str_eq(bind(&body, "./x/../rel:/r"), want);
    ck_assert_int_eq(mounts_add_volume(&body, "/anon", &e), 0);
    ck_assert_ptr_nonnull(json_object_get(json_object_get(body, "Volumes"), "/anon"));
    ck_assert_int_lt(mounts_add_volume(&body, ":/b", &e), 0);
    ck_assert_str_eq(e.message, "invalid spec: :/b: empty section between colons");
    ck_assert_int_lt(mounts_add_volume(&body, "/a:", &e), 0);
    ck_assert_int_lt(mounts_add_volume(&body, "", &e), 0);
    json_decref(body);
}
END_TEST

START_TEST(tmpfs)
{
    json_t *body = NULL;
    const json_t *map;

    mounts_add_tmpfs(&body, "/tmp:size=1m,mode=700");
    mounts_add_tmpfs(&body, "/run");
    map = json_at(body, "HostConfig.Tmpfs");
    ck_assert_str_eq(json_string_value(json_object_get(map, "/tmp")), "size=1m,mode=700");
    ck_assert_str_eq(json_string_value(json_object_get(map, "/run")), "");
    json_decref(body);
}
END_TEST

static void device(const char *spec, const char *host, const char *inside, const char *mode)
{
    json_t *body = NULL, *d;
    struct err e;

    ck_assert_int_eq(mounts_add_device(&body, spec, &e), 0);
    d = json_array_get(json_at(body, "HostConfig.Devices"), 0);
    ck_assert_str_eq(json_get_str(d, "PathOnHost", ""), host);
    ck_assert_str_eq(json_get_str(d, "PathInContainer", ""), inside);
    ck_assert_str_eq(json_get_str(d, "CgroupPermissions", ""), mode);
    json_decref(body);
}

START_TEST(devices)
{
    json_t *body = NULL;
    struct err e;

    device("/dev/a", "/dev/a", "/dev/a", "rwm");
    device("/dev/a:r", "/dev/a", "/dev/a", "r");
    device("/dev/a:/dev/b", "/dev/a", "/dev/b", "rwm");
    device("/dev/a:/dev/b:mr", "/dev/a", "/dev/b", "mr");
    ck_assert_int_lt(mounts_add_device(&body, "a:/b:c", &e), 0);
    ck_assert_str_eq(e.message, "bad mode specified: c");
    ck_assert_int_lt(mounts_add_device(&body, "a:b:r:q", &e), 0);
    ck_assert_str_eq(e.message, "bad format for path: a:b:r:q");
    ck_assert_int_lt(mounts_add_device(&body, "a", &e), 0);
    ck_assert_str_eq(e.message, "a is not an absolute path");
    ck_assert_int_eq(mounts_add_device(&body, "vendor.com/gpu=all", &e), 0);
    ck_assert_uint_eq(json_array_size(json_at(body, "HostConfig.DeviceRequests")), 1);
    json_decref(body);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_mounts");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, mount_fields);
    tcase_add_test(tc, mount_from_here);
    tcase_add_test(tc, mount_refused);
    tcase_add_test(tc, volumes);
    tcase_add_test(tc, tmpfs);
    tcase_add_test(tc, devices);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
