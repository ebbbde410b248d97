#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "plan.h"
#include "str.h"

/* A finished plan in malloc'ed memory, so that the sanitizer sees reads beyond its end. */
static char *finish(struct plan *p, size_t *ret_size)
{
    _cleanup_close_ int fd = plan_memfd(p);
    struct stat st;
    char *data;

    plan_done(p);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    *ret_size = (size_t)st.st_size;
    data = malloc(*ret_size);
    ck_assert_int_eq(pread(fd, data, *ret_size, 0), st.st_size);
    return data;
}

static void add_sample(struct plan *p)
{
    char *const env[] = {"A=1", "", "LONG=xxxxxxxxxxxxxxxx", NULL};

    plan_add(p, PLAN_RUN_DIR, 0, 0, 0, 0, "/run/x", NULL);
    plan_add(p, PLAN_CAPS, 1, UINT64_MAX, 3, 4, NULL);
    plan_add_strv(p, PLAN_ENV, 0, env);
    plan_add_blob(p, PLAN_SECCOMP, "0123456789", 10, 7, NULL);
    plan_add(p, PLAN_MOUNT, 1, 2, 0, 0, "proc", "proc", "/proc", "", NULL);
}

START_TEST(reads_what_was_added)
{
    struct plan p = {0};
    const struct plan_op *op;
    _cleanup_free_ char *data = NULL;
    size_t size;

    add_sample(&p);
    data = finish(&p, &size);
    ck_assert_int_eq(plan_check(data, size), 0);
    op = plan_next(data, NULL);
    ck_assert_int_eq(op->code, PLAN_RUN_DIR);
    ck_assert_str_eq(plan_str(op, 0), "/run/x");
    ck_assert_str_eq(plan_str(op, 1), "");
    op = plan_find(data, NULL, PLAN_CAPS);
    ck_assert_uint_eq(op->arg[1], UINT64_MAX);
    op = plan_find(data, NULL, PLAN_ENV);
    ck_assert_uint_eq(op->strings, 3);
    ck_assert_str_eq(plan_str(op, 1), "");
    ck_assert_str_eq(plan_str(op, 2), "LONG=xxxxxxxxxxxxxxxx");
    op = plan_find(data, NULL, PLAN_SECCOMP);
    ck_assert_mem_eq(plan_blob(op), "0123456789", 10);
    ck_assert_uint_eq((uintptr_t)plan_blob(op) % 8, 0);
    op = plan_find(data, op, PLAN_MOUNT);
    ck_assert_str_eq(plan_str(op, 2), "/proc");
    ck_assert_ptr_null(plan_next(data, op));
    ck_assert_ptr_null(plan_find(data, NULL, PLAN_ARGV));
}
END_TEST

START_TEST(memfd_is_sealed)
{
    struct plan p = {0};
    _cleanup_close_ int fd = -EBADF;

    add_sample(&p);
    fd = plan_memfd(&p);
    plan_done(&p);
    ck_assert_int_lt(write(fd, "x", 1), 0);
    ck_assert_int_lt(ftruncate(fd, 0), 0);
}
END_TEST

START_TEST(truncated_is_refused)
{
    struct plan p = {0};
    _cleanup_free_ char *data = NULL;
    size_t size;

    add_sample(&p);
    data = finish(&p, &size);
    for (size_t n = 0; n < size; n++) {
        _cleanup_free_ char *cut = malloc(n ? n : 1);

        memcpy(cut, data, n);
        ck_assert_int_eq(plan_check(cut, n), -EINVAL);
        /* The same with a header that agrees with the cut. */
        if (n >= sizeof(struct plan_header)) {
            ((struct plan_header *)cut)->size = (uint32_t)n;
            ck_assert_int_eq(plan_check(cut, n), -EINVAL);
        }
    }
}
END_TEST

/* Any single changed byte: refused, or still walkable without leaving the memory. */
START_TEST(mangled_is_safe)
{
    struct plan p = {0};
    _cleanup_free_ char *data = NULL, *bad = NULL;
    size_t size, refused = 0;

    add_sample(&p);
    data = finish(&p, &size);
    bad = malloc(size);
    for (size_t i = 0; i < size * 256; i++) {
        const struct plan_op *op = NULL;

        memcpy(bad, data, size);
        bad[i / 256] = (char)(i % 256);
        if (plan_check(bad, size) < 0) {
            refused++;
            continue;
        }
        while ((op = plan_next(bad, op))) {
            for (unsigned k = 0; k <= op->strings && k < 64; k++)
                ck_assert_uint_le(strlen(plan_str(op, k)), size);
        }
    }
    ck_assert_uint_gt(refused, size);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plan");
    TCase *t = tcase_create("plan");
    SRunner *r;
    int failed;

    tcase_add_test(t, reads_what_was_added);
    tcase_add_test(t, memfd_is_sealed);
    tcase_add_test(t, truncated_is_refused);
    tcase_add_test(t, mangled_is_safe);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
