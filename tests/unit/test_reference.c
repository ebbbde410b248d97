#include "duration.h"
#include "reference.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "str.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64
#define FORMAT "invalid reference format"

static const struct {
    const char *in, *canonical, *familiar, *name;
} good[] = {
    {"busybox", "docker.io/library/busybox:latest", "busybox:latest", "busybox"},
    {"busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36", "busybox"},
    {"library/busybox", "docker.io/library/busybox:latest", "busybox:latest", "busybox"},
    {"docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest", "busybox"},
    {"index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest", "busybox"},
    {"index.docker.io/a/b:t", "docker.io/a/b:t", "a/b:t", "a/b"},
    {"a/b", "docker.io/a/b:latest", "a/b:latest", "a/b"},
    {"library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest", "library/a/b"},
    {"localhost/a", "localhost/a:latest", "localhost/a:latest", "localhost/a"},
    {"localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b"},
    {"Host/a", "Host/a:latest", "Host/a:latest", "Host/a"},
    {"quay.io/x/y-z__w.v", "quay.io/x/y-z__w.v:latest", "quay.io/x/y-z__w.v:latest",
     "quay.io/x/y-z__w.v"},
    {"[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest", "[::1]:5000/a"},
    {"a---b", "docker.io/library/a---b:latest", "a---b:latest", "a---b"},
    {"a:_T.x-1", "docker.io/library/a:_T.x-1", "a:_T.x-1", "a"},
    {"a@" DIGEST, "docker.io/library/a@" DIGEST, "a@" DIGEST, "a"},
    {"a:t@" DIGEST, "docker.io/library/a:t@" DIGEST, "a:t@" DIGEST, "a"},
    {"Localhost/a", "Localhost/a:latest", "Localhost/a:latest", "Localhost/a"},
    {"h/a", "docker.io/h/a:latest", "h/a:latest", "h/a"},
    {"127.0.0.1/a", "127.0.0.1/a:latest", "127.0.0.1/a:latest", "127.0.0.1/a"},
    {"h:80/a:t@" DIGEST, "h:80/a:t@" DIGEST, "h:80/a:t@" DIGEST, "h:80/a"},
    {"sha256:abc", "docker.io/library/sha256:abc", "sha256:abc", "sha256"},
};

static const struct {
    const char *in, *error;
} wrong[] = {
    {"", FORMAT},
    {"-a", FORMAT},
    {"a-", FORMAT},
    {"a..b", FORMAT},
    {"a___b", FORMAT},
    {"a._b", FORMAT},
    {"a/", FORMAT},
    {"/a", FORMAT},
    {"a//b", FORMAT},
    {"a b", FORMAT},
    {"a:", FORMAT},
    {"a:-t", FORMAT},
    {"a:t:u", FORMAT},
    {"a:t/b", FORMAT},
    {"a@sha256:123", FORMAT},
    {"a@md5:" HEX64, FORMAT},
    {"a@", FORMAT},
    {"localhost:x/a", FORMAT},
    {"-h.io/a", FORMAT},
    {"h-.io/a", FORMAT},
    {"../a", FORMAT},
    {"a\n", FORMAT},
    {"h.:5000/a", FORMAT},
    {"h_h.io/a", FORMAT},
    {"h.io:/a", FORMAT},
    {"[::1/a", FORMAT},
    {"[::g]:1/a", FORMAT},
    {"a_", FORMAT},
    {"a.-b", FORMAT},
    {"a@sha256:" HEX64 "0", FORMAT},
    {"a@" DIGEST "@" DIGEST, FORMAT},
    {"h.io/A/b", FORMAT ": repository name (A/b) must be lowercase"},
    {"Foo", FORMAT ": repository name (library/Foo) must be lowercase"},
    {"a/Foo:t", FORMAT ": repository name (a/Foo) must be lowercase"},
    {HEX64, "invalid repository name (" HEX64 "), cannot specify 64-byte hexadecimal strings"},
};

START_TEST(test_good)
{
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_free_ char *canonical = NULL, *familiar = NULL, *name = NULL, *again = NULL;

    ck_assert_int_eq(reference_parse(good[_i].in, &ref, NULL), 0);
    reference_tag_default(&ref);
    canonical = reference_canonical(&ref);
    familiar = reference_familiar(&ref);
    name = reference_familiar_name(&ref);
    ck_assert_str_eq(canonical, good[_i].canonical);
    ck_assert_str_eq(familiar, good[_i].familiar);
    ck_assert_str_eq(name, good[_i].name);
    again = reference_familiar_of(canonical);
    ck_assert_str_eq(again, familiar);
}
END_TEST

START_TEST(test_wrong)
{
    struct reference ref = {0};
    struct err e = {0};

    ck_assert_int_lt(reference_parse(wrong[_i].in, &ref, &e), 0);
    ck_assert_int_eq(e.kind, ERR_INVALID);
    ck_assert_str_eq(e.message, wrong[_i].error);
    ck_assert_ptr_null(ref.path);
}
END_TEST

START_TEST(test_limits)
{
    char text[REFERENCE_MAX + 2];
    struct reference ref = {0};

    memset(text, 'a', sizeof(text));
    text[REFERENCE_MAX + 1] = '\0';
    ck_assert_int_lt(reference_parse(text, &ref, NULL), 0);
    /* "library/" counts. */
    text[REFERENCE_NAME_MAX - 8 + 1] = '\0';
    ck_assert_int_lt(reference_parse(text, &ref, NULL), 0);
    text[REFERENCE_NAME_MAX - 8] = '\0';
    ck_assert_int_eq(reference_parse(text, &ref, NULL), 0);
    reference_done(&ref);
    text[0] = 'x';
    memset(text + 1, 't', REFERENCE_TAG_MAX);
    text[REFERENCE_TAG_MAX] = '\0';
    ck_assert(reference_tag_valid(text));
    text[REFERENCE_TAG_MAX] = 't';
    text[REFERENCE_TAG_MAX + 1] = '\0';
    ck_assert(!reference_tag_valid(text));
}
END_TEST

START_TEST(test_repo_tag)
{
    _cleanup_reference_ struct reference a = {0}, b = {0}, c = {0};

    ck_assert_int_eq(reference_parse_repo_tag("x", "1", &a, NULL), 0);
    ck_assert_str_eq(a.tag, "1");
    ck_assert_int_eq(reference_parse_repo_tag("x:2", "", &b, NULL), 0);
    ck_assert_str_eq(b.tag, "2");
    ck_assert_int_eq(reference_parse_repo_tag("x", NULL, &c, NULL), 0);
    ck_assert_str_eq(c.tag, "latest");
    ck_assert_int_lt(reference_parse_repo_tag("x", "bad tag", &a, NULL), 0);
    ck_assert_int_lt(reference_parse_repo_tag("x@" DIGEST, "t", &a, NULL), 0);
}
END_TEST

START_TEST(test_tag_names)
{
    _cleanup_reference_ struct reference hash = {0}, longer = {0}, other = {0}, tag = {0};

    ck_assert_int_eq(reference_parse("sha256:abc", &hash, NULL), 0);
    ck_assert_int_lt(reference_check_tag(&hash, NULL), 0);
    ck_assert_int_eq(reference_parse("sha256/x:1", &longer, NULL), 0);
    ck_assert_int_eq(reference_check_tag(&longer, NULL), 0);
    ck_assert_int_eq(reference_parse("quay.io/sha256:1", &other, NULL), 0);
    ck_assert_int_eq(reference_check_tag(&other, NULL), 0);
    ck_assert_int_lt(reference_parse_repo_tag("sha256", "abc", &tag, NULL), 0);
}
END_TEST

START_TEST(test_image_id)
{
    ck_assert_str_eq(reference_image_id(HEX64), HEX64);
    ck_assert_str_eq(reference_image_id(DIGEST), HEX64);
    ck_assert_ptr_null(reference_image_id("sha256:12"));
    ck_assert_ptr_null(reference_image_id("busybox"));
}
END_TEST

START_TEST(test_match)
{
    _cleanup_reference_ struct reference ref = {0};

    ck_assert_int_eq(reference_parse("quay.io/a/busybox:1.36", &ref, NULL), 0);
    ck_assert(reference_match("quay.io/a/busybox", &ref));
    ck_assert(reference_match("quay.io/a/busy*", &ref));
    ck_assert(reference_match("quay.io/*/busybox:1.*", &ref));
    ck_assert(!reference_match("quay.io/*", &ref));
    ck_assert(!reference_match("busybox", &ref));
}
END_TEST

START_TEST(test_durations)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "0s"},           {1, "1ms"},
                 {999, "999ms"},      {1000, "1s"},
                 {1500, "1.5s"},      {30000, "30s"},
                 {90000, "1m30s"},    {60000, "1m0s"},
                 {3600000, "1h0m0s"}, {3661010, "1h1m1.01s"}};
    char text[32];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        duration_format(cases[i].ms * 1000000, text, sizeof(text));
        ck_assert_str_eq(text, cases[i].text);
        ck_assert_int_eq(duration_parse(text), cases[i].ms * 1000000);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reference");
    TCase *t = tcase_create("reference");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, test_good, 0, (int)ARRAY_SIZE(good));
    tcase_add_loop_test(t, test_wrong, 0, (int)ARRAY_SIZE(wrong));
    tcase_add_test(t, test_limits);
    tcase_add_test(t, test_repo_tag);
    tcase_add_test(t, test_tag_names);
    tcase_add_test(t, test_image_id);
    tcase_add_test(t, test_match);
    tcase_add_test(t, test_durations);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
