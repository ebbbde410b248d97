#include <check.h>
#include <stdlib.h>

#include "refname.h"
#include "url.h"

static void name(const char *text, const char *repository, const char *tag, const char *familiar)
{
    struct refname r = {0};

    ck_assert_int_eq(refname_parse(text, &r), 0);
    ck_assert_str_eq(r.repository, repository);
    ck_assert_str_eq(r.tag, tag);
    ck_assert_str_eq(r.familiar, familiar);
    refname_done(&r);
}

START_TEST(references)
{
    struct refname r = {0};

    name("busybox", "docker.io/library/busybox", "latest", "busybox:latest");
    name("busybox:1", "docker.io/library/busybox", "1", "busybox:1");
    name("foo/bar", "docker.io/foo/bar", "latest", "foo/bar:latest");
    name("docker.io/busybox", "docker.io/library/busybox", "latest", "busybox:latest");
    name("localhost/x", "localhost/x", "latest", "localhost/x:latest");
    name("localhost:5000/x", "localhost:5000/x", "latest", "localhost:5000/x:latest");
    name("host:5000/a/b:t", "host:5000/a/b", "t", "host:5000/a/b:t");
    name("x@sha256:00", "docker.io/library/x", "sha256:00", "x@sha256:00");
    ck_assert_int_lt(refname_parse("", &r), 0);
    ck_assert_int_lt(refname_parse(":tag", &r), 0);
}
END_TEST

START_TEST(targets)
{
    char *url = url_format("/images/%s/json", "host:5000/a b?c#d%");

    ck_assert_str_eq(url, "/images/host:5000/a%20b%3Fc%23d%25/json");
    url_add(&url, "none", NULL);
    url_add(&url, "filters", "{\"a\":1}");
    url_add_bool(&url, "all", 1);
    url_add_bool(&url, "not", 0);
    ck_assert_str_eq(url,
                     "/images/host:5000/a%20b%3Fc%23d%25/json?filters=%7B%22a%22%3A1%7D&all=1");
    free(url);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_refname");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, references);
    tcase_add_test(tc, targets);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
