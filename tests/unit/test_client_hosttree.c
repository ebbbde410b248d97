#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "hosttree.h"
#include "str.h"
#include "tar.h"

static const struct host_file *find(const struct host_tree *t, const char *path)
{
    for (size_t i = 0; i < t->n; i++) {
        if (streq(t->files[i].path, path + (*path == '/')))
            return &t->files[i];
    }
    return NULL;
}

static int elf_of(const char *path, struct elf_info *ret)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    return elf_read(fd, ret);
}

START_TEST(what_a_file_asks_for)
{
    _cleanup_elf_ struct elf_info a = {0}, b = {0}, c = {0};

    ck_assert_int_eq(elf_of(FIXTURES "/fixture_runpath", &a), 1);
    ck_assert_ptr_nonnull(a.interp);
    ck_assert_str_eq(a.needed[0], "libfixture_outer.so");
    ck_assert_str_eq(a.runpath, "$ORIGIN");
    ck_assert_ptr_null(a.rpath);
    ck_assert_int_eq(elf_of(FIXTURES "/fixture_rpath", &b), 1);
    ck_assert_str_eq(b.rpath, "$ORIGIN");
    ck_assert_ptr_null(b.runpath);
    ck_assert_int_eq(elf_of(FIXTURES "/deep/libfixture_inner.so", &c), 1);
    ck_assert_ptr_null(c.interp);
    ck_assert_int_eq(c.machine, a.machine);
    ck_assert_uint_eq(c.bits, a.bits);
}
END_TEST

START_TEST(no_elf_and_broken_elf)
{
    _cleanup_free_ char *text = NULL;
    ssize_t len = file_read(AT_FDCWD, FIXTURES "/fixture_runpath", 1 << 20, &text);
    struct elf_info e;
    int fd = memfd_create("test", MFD_CLOEXEC);

    ck_assert_int_gt((int)len, 1000);
    ck_assert_int_eq(elf_read(fd, &e), 0);
    ck_assert_int_eq((int)write(fd, "#!/bin/sh\n1234567890", 20), 20);
    ck_assert_int_eq(elf_read(fd, &e), 0);
    /* Cut anywhere: never a crash, and in the headers an error. */
    for (ssize_t n = 16; n < len; n += n < 1200 ? 1 : 97) {
        ck_assert_int_eq(ftruncate(fd, 0), 0);
        ck_assert_int_eq((int)pwrite(fd, text, (size_t)n, 0), (int)n);
        int r = elf_read(fd, &e);

        ck_assert(n < 64 ? r == -EBADMSG : r == -EBADMSG || r == 1);
        elf_info_done(&e);
    }
    close(fd);
}
END_TEST

static void closure_of(const char *program)
{
    _cleanup_host_tree_ struct host_tree t;
    _cleanup_free_ char *name = NULL, *loader = NULL;
    _cleanup_elf_ struct elf_info elf = {0};
    struct err e = {0};

    host_tree_init(&t);
    ck_assert_msg(host_tree_add(&t, program, &name, &e) == 0, "%s", e.message);
    ck_assert_str_eq(name, program);
    ck_assert_ptr_nonnull(find(&t, program));
    ck_assert_ptr_nonnull(find(&t, FIXTURES "/libfixture_outer.so"));
    ck_assert_ptr_nonnull(find(&t, FIXTURES "/deep/libfixture_inner.so"));
    ck_assert_int_eq(elf_of(program, &elf), 1);
    loader = realpath(elf.interp, NULL);
    ck_assert_ptr_nonnull(loader);
    ck_assert_ptr_nonnull(find(&t, loader));
    /* Directories before what is in them, nothing twice. */
    for (size_t i = 0; i < t.n; i++) {
        const char *slash = strrchr(t.files[i].path, '/');
        _cleanup_free_ char *dir =
            slash ? xstrndup(t.files[i].path, (size_t)(slash - t.files[i].path)) : NULL;

        ck_assert(find(&t, t.files[i].path) == &t.files[i]);
        ck_assert(!dir || (find(&t, dir) && find(&t, dir) < &t.files[i]));
    }
}

START_TEST(closures)
{
    closure_of(FIXTURES "/fixture_runpath");
    closure_of(FIXTURES "/fixture_rpath");
}
END_TEST

START_TEST(what_is_missing)
{
    _cleanup_host_tree_ struct host_tree t;
    struct err e = {0};

    host_tree_init(&t);
    ck_assert_int_eq(host_tree_add(&t, "/no/such/file", NULL, &e), -ENOENT);
    ck_assert_str_eq(e.message, "/no/such/file: no such file or directory");
    ck_assert_int_lt(host_tree_add(&t, "no-such-program-anywhere", NULL, &e), 0);
    ck_assert_int_lt(host_tree_add(&t, "/dev/null", NULL, &e), 0);
}
END_TEST

/* ---- the cache ---- */

static void put32(struct buf *b, uint32_t v)
{
    buf_append(b, &v, sizeof(v));
}

/* Entries "a.so" -> "/x/a.so", "b.so" -> "/x/b.so", "a.so" -> "/y/a.so". */
static void make_cache(struct buf *b)
{
    static const char strings[] = "a.so\0b.so\0/x/a.so\0/x/b.so\0/y/a.so";
    static const uint32_t entries[3][2] = {{0, 10}, {5, 18}, {0, 26}};
    uint32_t at = 48 + 3 * 24;

    buf_append(b, "glibc-ld.so.cache1.1", 20);
    put32(b, 3);
    put32(b, sizeof(strings));
    for (int i = 0; i < 5; i++)
        put32(b, 0);
    for (int i = 0; i < 3; i++) {
        put32(b, 3);
        put32(b, at + entries[i][0]);
        put32(b, at + entries[i][1]);
        for (int k = 0; k < 3; k++)
            put32(b, 0);
    }
    buf_append(b, strings, sizeof(strings));
}

START_TEST(cached)
{
    _cleanup_buf_ struct buf b = {0}, old = {0};
    _cleanup_(strv_freep) char **a = NULL, **o = NULL, **none = NULL;

    make_cache(&b);
    a = ldso_cached(buf_head(&b), buf_size(&b), "a.so");
    ck_assert_uint_eq(strv_len(a), 2);
    ck_assert_str_eq(a[0], "/x/a.so");
    ck_assert_str_eq(a[1], "/y/a.so");
    none = ldso_cached(buf_head(&b), buf_size(&b), "a");
    ck_assert_ptr_null(none);
    /* With one of the old kind before it. */
    buf_append(&old, "ld.so-1.7.0\0\1\0\0\0", 16);
    buf_append(&old, "123456789012....", 16);
    buf_append(&old, buf_head(&b), buf_size(&b));
    o = ldso_cached(buf_head(&old), buf_size(&old), "b.so");
    ck_assert_uint_eq(strv_len(o), 1);
    for (size_t n = 0; n < buf_size(&b); n++)
        strv_free(ldso_cached(buf_head(&b), n, "a.so"));
}
END_TEST

START_TEST(search_paths)
{
    static char *const dirs[] = {"/usr/lib", NULL};
    struct ldso l = {.dirs = (char **)dirs};
    struct elf_info program = {.rpath = "/p:$ORIGIN/sub"},
                    new = {.runpath = "${ORIGIN}/n:rel:$X/y"},
                    old = {.rpath = "/o/$LIB", .runpath = NULL};
    struct ldso_object p = {.dir = "/prog", .elf = &program},
                       n = {.by = &p, .dir = "/new", .elf = &new},
                       o = {.by = &n, .dir = "/old", .elf = &old};
    static const struct {
        const char *path;
        bool of_new, of_old;
    } cases[] = {{"/new/n/l.so", true, false},
                 {"/p/l.so", false, true},
                 {"/prog/sub/l.so", false, true},
                 {"/o/lib64/l.so", false, true},
                 {"/usr/lib/l.so", true, true}};
    _cleanup_(strv_freep) char **a = ldso_candidates(&l, &n, "l.so"),
                               **b = ldso_candidates(&l, &o, "l.so");

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool in_a = false, in_b = false;

        for (size_t k = 0; a[k]; k++)
            in_a |= streq(a[k], cases[i].path);
        for (size_t k = 0; b[k]; k++)
            in_b |= streq(b[k], cases[i].path);
        ck_assert_msg(in_a == cases[i].of_new && in_b == cases[i].of_old, "%s", cases[i].path);
    }
    ck_assert_uint_eq(strv_len(a), 2); /* neither what is relative nor what is unknown */
    ck_assert_str_eq(b[0], "/o/lib64/l.so");
}
END_TEST

/* ---- the archive ---- */

START_TEST(long_names_and_numbers)
{
    _cleanup_buf_ struct buf b = {0};
    _cleanup_free_ char *path = xmalloc(301);
    struct tar_entry e = {.type = TAR_FILE, .mode = 0644, .uid = 0x70000000, .size = 3};

    memset(path, 'x', 300);
    path[300] = '\0';
    e.name = path;
    tar_put_header(&b, &e);
    buf_append(&b, "abc", 3);
    tar_pad(&b, 3);
    tar_end(&b);
    ck_assert_uint_eq(buf_size(&b), (size_t)(1 + 1 + 1 + 1 + 2) * TAR_BLOCK);
    ck_assert_int_eq(buf_head(&b)[156], 'x');
    ck_assert_ptr_nonnull(memmem(buf_head(&b), buf_size(&b), "310 path=xxx", 12));
    ck_assert_ptr_nonnull(memmem(buf_head(&b), buf_size(&b), "18 uid=1879048192\n", 18));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_hosttree");
    TCase *tc = tcase_create("client_hosttree");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, what_a_file_asks_for);
    tcase_add_test(tc, no_elf_and_broken_elf);
    tcase_add_test(tc, closures);
    tcase_add_test(tc, what_is_missing);
    tcase_add_test(tc, cached);
    tcase_add_test(tc, search_paths);
    tcase_add_test(tc, long_names_and_numbers);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
