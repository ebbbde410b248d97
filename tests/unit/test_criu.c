/* What is told to criu, and what is made of its words. */
#include <check.h>
#include <stdlib.h>

#include "criu.h"
#include "str.h"

static const struct {
    const char *log, *errors; /* NULL: none */
} logs[] = {
    {"(00.01) fine\n(00.02) Error (criu/mount.c:12): mnt: no such thing\n", "mnt: no such thing"},
    {"Error (criu/vdso.c:1): a\nWarn  (criu/x.c:1): w\n(00.1)     13: Error (criu/y.c:2): b",
     "a; b"},
    {"Error (a.c:1): 1\nError (a.c:1): 2\nError (a.c:1): 3\nError (a.c:1): 4\n", "1; 2; 3"},
    {"Error (criu/x.c:1): \n", NULL},
    {"Error (criu/x.c:1", NULL},
    {"Error \n", NULL},
    {"", NULL},
};

START_TEST(errors)
{
    char *got = criu_errors(logs[_i].log);

    ck_assert_pstr_eq(got, logs[_i].errors);
    free(got);
}
END_TEST

#define HOST                                                                                       \
    "22 1 259:1 / / rw - ext4 /dev/root rw\n"                                                      \
    "23 22 0:21 / /proc rw - proc proc rw\n"                                                       \
    "24 22 0:25 / /run rw shared:1 - tmpfs tmpfs rw\n"                                             \
    "25 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"                                        \
    "26 22 0:5 / /dev rw - devtmpfs udev rw\n"

static const struct {
    const char *line, *point; /* NULL: criu's own affair */
} mounts[] = {
    {"50 49 0:60 / / rw - overlay overlay rw", NULL},
    {"51 50 0:61 / /proc rw - proc proc rw", NULL},
    {"52 50 0:61 /bus /proc/bus ro - proc proc rw", NULL},
    {"53 50 0:62 / /dev rw - tmpfs tmpfs rw,size=64k", NULL},
    {"54 53 0:63 / /dev/pts rw - devpts devpts rw", NULL},
    {"55 50 0:64 / /t rw - tmpfs tmpfs rw", NULL},
    {"56 50 0:65 / /sys ro - sysfs sysfs ro", NULL},
    {"57 56 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw", "/sys/fs/cgroup"},
    {"58 50 259:1 /srv/a\\040b /a\\040b rw - ext4 /dev/root rw", "/a b"},
    {"59 50 0:5 /null /proc/kcore ro - devtmpfs udev rw", "/proc/kcore"},
    {"60 50 0:25 / /hostrun rw master:1 - tmpfs tmpfs rw", "/hostrun"},
    {"61 50 0:21 / /hostproc rw - proc proc rw", "/hostproc"},
    {"62 50 0:70 / /nfs rw - nfs4 server:/x rw", "/nfs"},
    {"63 50 0:71 / /back\\134slash rw - fuse.lxcfs lxcfs rw", "/back\\slash"},
    {"64 50 0:2 / /other rw - tmpfs tmpfs rw", NULL}, /* 0:21 is another */
    {"not a line of it", NULL},
    {"", NULL},
};

START_TEST(externals)
{
    char **got = criu_external_mounts(mounts[_i].line, HOST);

    ck_assert_uint_eq(strv_len(got), mounts[_i].point ? 1 : 0);
    if (mounts[_i].point)
        ck_assert_str_eq(got[0], mounts[_i].point);
    strv_free(got);
}
END_TEST

START_TEST(several_lines)
{
    char **got = criu_external_mounts("57 56 0:26 / /c rw - cgroup2 c rw\n"
                                      "55 50 0:64 / /t rw - tmpfs tmpfs rw\n"
                                      "58 50 259:1 /x /x rw - ext4 /dev/root rw\n",
                                      HOST);

    ck_assert_uint_eq(strv_len(got), 2);
    ck_assert_str_eq(got[0], "/c");
    ck_assert_str_eq(got[1], "/x");
    strv_free(got);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("criu");
    TCase *t = tcase_create("criu");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, errors, 0, sizeof(logs) / sizeof(*logs));
    tcase_add_loop_test(t, externals, 0, sizeof(mounts) / sizeof(*mounts));
    tcase_add_test(t, several_lines);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
