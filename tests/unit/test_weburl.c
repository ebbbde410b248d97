#include "weburl.h"

#include <check.h>
#include <stdlib.h>

#include "mem.h"

static const struct {
    const char *url, *shown;
} shown[] = {
    {"http://host/path", "http://host/path"},
    {"https://user:pass@host:8080/path", "https://host:8080/path"},
    {"https://token@host", "https://host"},
    {"http://a@b:c@host/x@y", "http://host/x@y"},
    {"http://user:p%40ss@host/x?token=secret", "http://host/x"},
    {"http://host?token=secret", "http://host"},
    {"http://host/#secret", "http://host/"},
    {"http://[::1]:80/x", "http://[::1]:80/x"},
    {"HTTP://u:p@host/", "HTTP://host/"},
    {"u:p@host/x", "host/x"},
    {"host/x?back=http://u:p@other/", "host/x"},
    {"http://", "http://"},
    {"", ""},
};

START_TEST(test_show)
{
    _cleanup_free_ char *got = weburl_show(shown[_i].url);

    ck_assert_str_eq(got, shown[_i].shown);
}
END_TEST

static const struct {
    const char *text, *redacted;
} redacted[] = {
    {"ADD http://u:p@host/x?a=b /y", "ADD http://host/x?a=b /y"},
    {"ADD [\"https://u:p@host/x\",\"http://t@h\", \"/y\"]",
     "ADD [\"https://host/x\",\"http://h\", \"/y\"]"},
    {"no URL: a@b", "no URL: a@b"},
    {"http://host /x@y", "http://host /x@y"},
    {"http://host\tx@y", "http://host\tx@y"},
    {"http://a@b@c/@", "http://c/@"},
    {"://u@h", "://u@h"},
    {"git+ssh://git@host/x", "git+ssh://host/x"},
    {"http://http://u@h/", "http://http://h/"},
    {"http://u@", "http://"},
    {"", ""},
};

START_TEST(test_redact)
{
    _cleanup_free_ char *got = weburl_redact(redacted[_i].text);

    ck_assert_str_eq(got, redacted[_i].redacted);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("weburl");
    TCase *t = tcase_create("weburl");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, test_show, 0, ARRAY_SIZE(shown));
    tcase_add_loop_test(t, test_redact, 0, ARRAY_SIZE(redacted));
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
