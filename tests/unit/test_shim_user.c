#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "failure.h"
#include "fd.h"
#include "lookup.h"
#include "user.h"

static const char passwd_text[] = "# comment\n"
                                  "evil\n"
                                  "bad:x:zero:0::/:/bin/sh\n"
                                  "wrap:x:4294967296:0::/:/bin/sh\n"
                                  "root:x:0:0:root:/root:/bin/sh\n"
                                  "1000:x:77:77::/trap:/bin/sh\n"
                                  "bob:x:1000:1001:Bob:/home/bob:/bin/sh\n"
                                  "last:x:5:6::/last:/bin/sh";
static const char group_text[] =
    "root:x:0:\nwheel:x:10:root,bob\nstaff:x:20:bobby,bob,x\nbob:x:1001:\n"
    "broken:x:nine:bob\n";

static struct user_ids ids;
static struct err e;

static int memory_file(const char *text, size_t len)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    ck_assert_int_eq(fd_write_all(fd, text, len), 0);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static int resolve(const char *spec)
{
    _cleanup_close_ int p = memory_file(passwd_text, sizeof(passwd_text) - 1);
    _cleanup_close_ int g = memory_file(group_text, sizeof(group_text) - 1);

    memset(&e, 0, sizeof(e));
    return user_resolve(spec, p, g, &ids, &e);
}

static bool has_group(gid_t gid)
{
    for (size_t i = 0; i < ids.groups; i++) {
        if (ids.group[i] == gid)
            return true;
    }
    return false;
}

START_TEST(names)
{
    ck_assert_int_eq(resolve("bob"), 0);
    ck_assert_uint_eq(ids.uid, 1000);
    ck_assert_uint_eq(ids.gid, 1001);
    ck_assert_str_eq(ids.home, "/home/bob");
    ck_assert_uint_eq(ids.groups, 3);
    ck_assert(has_group(10) && has_group(20) && has_group(1001));
    ck_assert_int_eq(resolve("last"), 0); /* no newline at the end of the file */
    ck_assert_uint_eq(ids.gid, 6);
}
END_TEST

START_TEST(root_is_the_default)
{
    ck_assert_int_eq(resolve(""), 0);
    ck_assert_uint_eq(ids.uid, 0);
    ck_assert_str_eq(ids.home, "/root");
    ck_assert(has_group(10));
    ck_assert_int_eq(user_resolve("", -EBADF, -EBADF, &ids, &e), 0);
    ck_assert_uint_eq(ids.uid, 0);
    ck_assert_str_eq(ids.home, "/");
    ck_assert_uint_eq(ids.groups, 1);
}
END_TEST

START_TEST(digits_are_never_a_name)
{
    ck_assert_int_eq(resolve("1000"), 0);
    ck_assert_uint_eq(ids.uid, 1000);
    ck_assert_uint_eq(ids.gid, 1001);
    ck_assert_str_eq(ids.home, "/home/bob");
    ck_assert_int_eq(resolve("12345"), 0);
    ck_assert_uint_eq(ids.uid, 12345);
    ck_assert_uint_eq(ids.gid, 0);
    ck_assert_int_eq(resolve("5:7"), 0);
    ck_assert_uint_eq(ids.uid, 5);
    ck_assert_uint_eq(ids.gid, 7);
}
END_TEST

START_TEST(a_group_replaces_memberships)
{
    ck_assert_int_eq(resolve("bob:wheel"), 0);
    ck_assert_uint_eq(ids.gid, 10);
    ck_assert_uint_eq(ids.groups, 1);
    ck_assert_int_eq(resolve(":wheel"), 0);
    ck_assert_uint_eq(ids.uid, 0);
    ck_assert_uint_eq(ids.gid, 10);
}
END_TEST

START_TEST(out_of_range_is_refused)
{
    static const char *const specs[] = {"2147483648",  "4294967295",  "4294967296",
                                        "-1",          "+2147483648", "99999999999999999999999",
                                        "0:4294967296"};

    for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
        ck_assert_int_eq(resolve(specs[i]), -ERANGE);
        ck_assert_str_eq(e.message, "uids and gids must be in range 0-2147483647");
    }
    ck_assert_int_eq(resolve("2147483647"), 0);
    ck_assert_uint_eq(ids.uid, 2147483647);
}
END_TEST

START_TEST(unknown_names)
{
    ck_assert_int_eq(resolve("joe"), -ENOENT);
    ck_assert_str_eq(e.message, "unable to find user joe: no matching entries in passwd file");
    ck_assert_int_eq(resolve("bob:nogrp"), -ENOENT);
    ck_assert_str_eq(e.message, "unable to find group nogrp: no matching entries in group file");
    /* Malformed lines count as absent; they must not become user 0. */
    ck_assert_int_eq(resolve("evil"), -ENOENT);
    ck_assert_int_eq(resolve("bad"), -ENOENT);
    ck_assert_int_eq(resolve("wrap"), -ENOENT);
    ck_assert_int_eq(resolve("joe:"), -ENOENT);
}
END_TEST

START_TEST(overlong_lines_are_skipped)
{
    _cleanup_free_ char *text = malloc(100100);
    _cleanup_close_ int fd = -EBADF;
    size_t n = 100000;

    memset(text, 'a', n);
    /* The end of the long line would match if the line were cut into pieces. */
    memcpy(text + n - 20, "\0bob:x:0:0::/:/bin/sh", 20);
    memset(text + n - 20, ':', 1);
    n += (size_t)sprintf(text + n, "\nbob:x:9:9::/nine:/bin/sh\n");
    fd = memory_file(text, n);
    ck_assert_int_eq(user_resolve("bob", fd, -EBADF, &ids, &e), 0);
    ck_assert_uint_eq(ids.uid, 9);
}
END_TEST

START_TEST(additional_groups)
{
    _cleanup_close_ int g = memory_file(group_text, sizeof(group_text) - 1);

    ck_assert_int_eq(resolve("5:5"), 0);
    ck_assert_int_eq(user_add_group(&ids, "wheel", g, &e), 0);
    ck_assert_int_eq(user_add_group(&ids, "4711", -EBADF, &e), 0);
    ck_assert_int_eq(user_add_group(&ids, "4711", -EBADF, &e), 0);
    ck_assert_uint_eq(ids.groups, 3);
    ck_assert(has_group(10) && has_group(4711));
    ck_assert_int_eq(user_add_group(&ids, "nope", -EBADF, &e), -ENOENT);
    ck_assert_str_eq(e.message, "Unable to find group nope: no matching entries in group file");
}
END_TEST

START_TEST(programs)
{
    char path[PATH_MAX];
    struct shim_fail f;

    ck_assert_int_eq(lookup_program("sh", "/nonexistent::relative:/bin", path, &e), 0);
    ck_assert_str_eq(path, "/bin/sh");
    ck_assert_int_eq(lookup_program("/bin/sh", NULL, path, &e), 0);
    ck_assert_int_lt(lookup_program("sh", NULL, path, &e), 0);
    failure_describe(&f, &e);
    ck_assert_str_eq(f.message, "exec: \"sh\": executable file not found in $PATH");
    ck_assert_int_eq(f.code, 127);
    ck_assert_int_lt(lookup_program("/nope/x", NULL, path, &e), 0);
    failure_describe(&f, &e);
    ck_assert_str_eq(f.message, "exec: \"/nope/x\": stat /nope/x: no such file or directory");
    ck_assert_int_eq(f.code, 127);
    ck_assert_int_lt(lookup_program("/etc", NULL, path, &e), 0);
    failure_describe(&f, &e);
    ck_assert_str_eq(f.message, "exec: \"/etc\": is a directory: permission denied");
    ck_assert_int_eq(f.code, 126);
    ck_assert_int_lt(lookup_program("/etc/passwd", NULL, path, &e), 0);
    failure_describe(&f, &e);
    ck_assert_str_eq(f.message, "exec: \"/etc/passwd\": permission denied");
    ck_assert_int_eq(f.code, 126);
    ck_assert_int_lt(lookup_program("", "/bin", path, &e), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shim_user");
    TCase *t = tcase_create("shim_user");
    SRunner *r;
    int failed;

    tcase_add_test(t, names);
    tcase_add_test(t, root_is_the_default);
    tcase_add_test(t, digits_are_never_a_name);
    tcase_add_test(t, a_group_replaces_memberships);
    tcase_add_test(t, out_of_range_is_refused);
    tcase_add_test(t, unknown_names);
    tcase_add_test(t, overlong_lines_are_skipped);
    tcase_add_test(t, additional_groups);
    tcase_add_test(t, programs);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
