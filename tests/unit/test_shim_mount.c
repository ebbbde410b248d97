#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "mem.h"
#include "mount.h"
#include "path.h"

/* A directory with "root" in it, and everything else of it is outside. */
static char base[] = "/tmp/ctl-unit-mount-XXXXXX";
static int outer = -EBADF, root = -EBADF;

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(base));
    outer = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(mkdirat(outer, "root", 0755), 0);
    root = openat(outer, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(root, 0);
}

static void teardown(void)
{
    fd_close(root);
    fd_close(outer);
    path_rm_rf(AT_FDCWD, base);
    snprintf(base + sizeof(base) - 7, 7, "XXXXXX");
}

static int target(const char *path, bool directory)
{
    int fd = mount_target(root, path, directory);

    fd_close(fd);
    return fd < 0 ? fd : 0;
}

static void link_to(const char *to, const char *name)
{
    ck_assert_int_eq(symlinkat(to, root, name), 0);
}

static bool is(const char *path, mode_t type)
{
    struct stat st;

    return fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == type;
}

/* Nothing was made beside the root. */
static bool kept_inside(void)
{
    struct stat st;

    return fstatat(outer, ".", &st, 0) == 0 && st.st_nlink == 3 &&
           fstatat(outer, "out", &st, AT_SYMLINK_NOFOLLOW) < 0;
}

START_TEST(made)
{
    ck_assert_int_eq(target("/a/b/c", true), 0);
    ck_assert(is("a/b/c", S_IFDIR));
    ck_assert_int_eq(target("/a/file", false), 0);
    ck_assert(is("a/file", S_IFREG));
    ck_assert_int_eq(target("/a/file", true), -ENOTDIR);
    ck_assert_int_eq(target("/a/b", false), -EISDIR);
    ck_assert_int_eq(target("/a/file/x", true), -ENOTDIR);
    ck_assert_int_eq(target("/", true), -EBUSY);
    ck_assert_int_eq(target("/a/..", true), -EBUSY);
}
END_TEST

START_TEST(stays_inside)
{
    char absolute[64];

    snprintf(absolute, sizeof(absolute), "%s/out", base);
    link_to(absolute, "absolute");
    link_to("../../../../out", "up");
    link_to("..", "parent");
    ck_assert_int_eq(target("/absolute/x", true), 0);
    ck_assert_int_eq(target("/up/x", true), 0);
    ck_assert_int_eq(target("/parent/parent/../out/y", true), 0);
    ck_assert_int_eq(target("/../../out/z", false), 0);
    ck_assert(is("out/x", S_IFDIR));
    ck_assert(is("out/y", S_IFDIR));
    ck_assert(is("out/z", S_IFREG));
    ck_assert(is(absolute + 1, S_IFDIR));
    ck_assert(kept_inside());
}
END_TEST

START_TEST(dangling)
{
    ck_assert_int_eq(mkdirat(root, "etc", 0755), 0);
    link_to("../run/x/resolv.conf", "etc/resolv.conf");
    link_to("next", "first");
    link_to("/deep/er", "next");
    ck_assert_int_eq(target("/etc/resolv.conf", false), 0);
    ck_assert(is("run/x/resolv.conf", S_IFREG));
    ck_assert_int_eq(target("/first/y", true), 0);
    ck_assert(is("deep/er/y", S_IFDIR));
    ck_assert(kept_inside());
}
END_TEST

START_TEST(endless)
{
    char from[16], to[16];

    link_to("self", "self");
    link_to("pong", "ping");
    link_to("ping", "pong");
    link_to("grow/x", "grow");
    ck_assert_int_eq(target("/self", false), -ELOOP);
    ck_assert_int_eq(target("/ping/x", true), -ELOOP);
    ck_assert_int_lt(target("/grow", true), 0);
    /* Shorter than what the kernel follows, longer than what we make. */
    for (int i = 0; i < 30; i++) {
        snprintf(from, sizeof(from), "l%d", i);
        snprintf(to, sizeof(to), "l%d", i + 1);
        link_to(to, from);
    }
    ck_assert_int_eq(target("/l0/x", true), -ELOOP);
    ck_assert_int_eq(target("/l0", false), -ELOOP);
    ck_assert_int_eq(target("/l20/x", true), 0);
    ck_assert(is("l30/x", S_IFDIR));
}
END_TEST

/* Each link is short, but the way leads over many of them: all count together. */
START_TEST(many)
{
    char path[512] = "", name[16];

    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        link_to(name + 1, name);
        snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s/..", name);
    }
    ck_assert_int_eq(target(path, true), -ELOOP);
    ck_assert(is("0", S_IFDIR));
    ck_assert(!is("19", S_IFDIR));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shim_mount");
    TCase *t = tcase_create("mount_target");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, made);
    tcase_add_test(t, stays_inside);
    tcase_add_test(t, dangling);
    tcase_add_test(t, endless);
    tcase_add_test(t, many);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
