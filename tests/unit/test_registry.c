#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "auth.h"
#include "base64.h"
#include "challenge.h"
#include "hosts.h"
#include "remote_impl.h"
#include "str.h"

START_TEST(test_challenges)
{
    static const struct {
        const char *header;
        size_t n;
        const char *scheme, *realm, *service, *scope;
    } cases[] = {
        {"Bearer "
         "realm=\"https://auth.example/token\",service=\"reg\",scope=\"repository:a/b:pull\"",
         1, "bearer", "https://auth.example/token", "reg", "repository:a/b:pull"},
        {"Basic realm=\"x y\", charset=\"UTF-8\"", 1, "basic", "x y", NULL, NULL},
        {"BASIC realm=token", 1, "basic", "token", NULL, NULL},
        {"Basic realm=\"a \\\"b\\\" \\\\\"", 1, "basic", "a \"b\" \\", NULL, NULL},
        {"Bearer realm = \"r\" , service = \"s\"", 1, "bearer", "r", "s", NULL},
        {"Negotiate, Basic realm=\"b\"", 2, "negotiate", NULL, NULL, NULL},
        {"Bearer realm=\"r\", Basic realm=\"b\"", 2, "bearer", "r", NULL, NULL},
        {"Bearer realm=\"unclosed", 1, "bearer", NULL, NULL, NULL},
        {", ,Basic", 1, "basic", NULL, NULL, NULL},
        {"", 0, NULL, NULL, NULL, NULL},
        {"=", 0, NULL, NULL, NULL, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct challenge got[CHALLENGES_MAX];
        size_t n = challenge_parse(cases[i].header, got);

        ck_assert_msg(n == cases[i].n, "%s: %zu challenges", cases[i].header, n);
        if (n > 0) {
            ck_assert_msg(streq_null(got[0].scheme, cases[i].scheme), "%s", cases[i].header);
            ck_assert_msg(streq_null(got[0].realm, cases[i].realm), "%s: realm %s", cases[i].header,
                          got[0].realm);
            ck_assert_msg(streq_null(got[0].service, cases[i].service), "%s", cases[i].header);
            ck_assert_msg(streq_null(got[0].scope, cases[i].scope), "%s", cases[i].header);
        }
        for (size_t k = 0; k < n; k++)
            challenge_done(&got[k]);
    }
}
END_TEST

START_TEST(test_many_challenges)
{
    struct challenge got[CHALLENGES_MAX];
    size_t n = challenge_parse("a,b,c,d,e,f,g,h,i,j,k", got);

    ck_assert_uint_eq(n, CHALLENGES_MAX);
    for (size_t k = 0; k < n; k++)
        challenge_done(&got[k]);
}
END_TEST

START_TEST(test_base64)
{
    static const char *const texts[] = {"",     "f",     "fo",     "foo",
                                        "foob", "fooba", "foobar", "\xff\xfe>?"};
    static const char *const bad[] = {"a", "abcde", "ab!c", "a b c"};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        char *encoded = base64_encode(texts[i], strlen(texts[i])), *decoded;
        size_t n;

        for (int url = 0; url < 3; url++) {
            for (char *p = encoded; url == 1 && *p; p++)
                *p = (char)(*p == '+' ? '-' : *p == '/' ? '_' : *p);
            if (url == 2)
                encoded[strcspn(encoded, "=")] = '\0';
            decoded = base64_decode(encoded, &n);
            ck_assert_ptr_nonnull(decoded);
            ck_assert_str_eq(decoded, texts[i]);
            ck_assert_uint_eq(n, strlen(texts[i]));
            free(decoded);
        }
        free(encoded);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_ptr_null(base64_decode(bad[i], NULL));
}
END_TEST

START_TEST(test_auth_header)
{
    struct registry_auth a;

    ck_assert_int_eq(registry_auth_decode(NULL, &a, NULL), 0);
    ck_assert(registry_auth_empty(&a));
    ck_assert_int_eq(registry_auth_decode("e30=", &a, NULL), 0);
    ck_assert(registry_auth_empty(&a));
    /* {"username":"u","password":"p:q","serveraddress":"host"} */
    ck_assert_int_eq(
        registry_auth_decode("eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InA6cSIsInNlcnZlcmFkZ"
                             "HJlc3MiOiJob3N0In0",
                             &a, NULL),
        0);
    ck_assert_str_eq(a.username, "u");
    ck_assert_str_eq(a.password, "p:q");
    ck_assert_str_eq(a.server, "host");
    registry_auth_done(&a);
    /* {"auth":"dTpwOnE="}: "u:p:q" */
    ck_assert_int_eq(registry_auth_decode("eyJhdXRoIjoiZFRwd09uRT0ifQ==", &a, NULL), 0);
    ck_assert_str_eq(a.username, "u");
    ck_assert_str_eq(a.password, "p:q");
    registry_auth_done(&a);
    ck_assert_int_eq(registry_auth_decode("W10=", &a, NULL), -EINVAL);
    ck_assert_int_eq(registry_auth_decode("!!!", &a, NULL), -EINVAL);
}
END_TEST

START_TEST(test_insecure_hosts)
{
    const char *const insecure[] = {"plain.example", "plain.example:5000", "10.1.0.0/15",
                                    "fd00::/9", NULL};
    static const char *const yes[] = {"plain.example", "plain.example:5000", "localhost",
                                      "localhost:1",   "127.9.9.9:5000",     "[::1]:5000",
                                      "10.0.255.1",    "10.1.1.1:80",        "[fd70::1]:5000"};
    static const char *const no[] = {"plain.example:5001", "other.example", "10.2.0.1",
                                     "127.example",        "[fe80::1]:1",   "localhost.example"};
    struct hosts_options o = {.insecure = insecure};
    struct hosts *h;

    ck_assert_int_eq(hosts_new(&o, &h, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        ck_assert_msg(hosts_is_insecure(h, yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        ck_assert_msg(!hosts_is_insecure(h, no[i]), "%s", no[i]);
    hosts_free(h);
}
END_TEST

static void check_endpoints(const struct hosts *h, const char *domain, const char *want)
{
    struct host_endpoint list[HOSTS_ENDPOINTS_MAX];
    size_t n = hosts_endpoints(h, domain, list);
    struct buf b = {0};
    char *got;

    for (size_t i = 0; i < n; i++) {
        buf_printf(&b, "%s%s ", list[i].base, list[i].mirror ? "!" : "");
        host_endpoint_done(&list[i]);
    }
    got = buf_take_str(&b);
    ck_assert_str_eq(got, want);
    free(got);
}

START_TEST(test_endpoints)
{
    const char *const mirrors[] = {"https://m1.example/", "http://m2.example:5000", NULL};
    const char *const insecure[] = {"plain.example", NULL};
    const char *const wrong[] = {"m1.example", NULL};
    struct hosts_options o = {.mirrors = mirrors, .insecure = insecure};
    struct hosts *h;

    ck_assert_int_eq(hosts_new(&o, &h, NULL), 0);
    check_endpoints(h, "docker.io",
                    "https://m1.example! http://m2.example:5000! https://registry-1.docker.io ");
    check_endpoints(h, "other.example:1", "https://other.example:1 ");
    check_endpoints(h, "plain.example", "https://plain.example http://plain.example ");
    hosts_free(h);
    o.mirrors = wrong;
    ck_assert_int_eq(hosts_new(&o, &h, NULL), -EINVAL);
}
END_TEST

static void check_retry_after_date(void)
{
    char text[64];
    time_t then = time(NULL) + 30;
    struct tm tm;

    ck_assert_ptr_nonnull(gmtime_r(&then, &tm));
    ck_assert_uint_gt(strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm), 0);
    ck_assert_int_le(answer_retry_after(text), 30);
    ck_assert_int_gt(answer_retry_after(text), 0);
}

START_TEST(test_headers)
{
    static const struct {
        const char *link, *next;
    } links[] = {
        {"</v2/a/tags/list?last=b&n=2>; rel=\"next\"", "/v2/a/tags/list?last=b&n=2"},
        {"<a>; rel=\"prev\", <b>; rel=\"next\"", "b"},
        {"<a>; rel=\"prev\"", NULL},
        {"<a", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        char *next = link_next(links[i].link);

        ck_assert_msg(streq_null(next, links[i].next), "%s", links[i].link);
        free(next);
    }
    ck_assert_ptr_null(link_next(NULL));
    ck_assert_int_eq(content_range_start("bytes 5-9/10"), 5);
    ck_assert_int_eq(content_range_start("bytes */10"), -1);
    ck_assert_int_eq(content_range_start("lines 5-9"), -1);
    ck_assert_int_eq(content_range_start(NULL), -1);
    ck_assert_int_eq(answer_retry_after("7"), 7);
    ck_assert_int_eq(answer_retry_after("Thu, 01 Jan 1970 00:00:09 GMT"), 0);
    ck_assert_int_gt(answer_retry_after("Fri, 01 Jan 2100 00:00:00 GMT"), 1000000);
    check_retry_after_date();
    ck_assert_int_eq(answer_retry_after("soon"), -1);
    ck_assert_int_eq(answer_retry_after("-7"), -1);
    ck_assert_int_eq(answer_retry_after(NULL), -1);
}
END_TEST

static void check_error(int status, const char *body, enum err_kind kind, const char *code,
                        const char *text)
{
    char got[64];
    struct err e;

    answer_error(status, body, strlen(body), NULL, got, &e);
    ck_assert_msg(e.kind == (int)kind, "%d %s: kind %d", status, body, e.kind);
    ck_assert_str_eq(got, code);
    ck_assert_str_eq(e.message, text);
}

START_TEST(test_errors)
{
    check_error(404,
                "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}",
                ERR_NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown: manifest unknown");
    check_error(404, "<html>", ERR_NOT_FOUND, "", "not found");
    check_error(403, "", ERR_FORBIDDEN, "DENIED",
                "denied: requested access to the resource is denied");
    check_error(401, "{\"details\":\"incorrect username or password\"}", ERR_UNAUTHORIZED,
                "UNAUTHORIZED", "unauthorized: incorrect username or password");
    check_error(429, "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"a\\u001bb\\nc\"}]}",
                ERR_UNAVAILABLE, "TOOMANYREQUESTS", "toomanyrequests: a b c");
    check_error(502, "", ERR_UNAVAILABLE, "", "received unexpected HTTP status: 502");
    check_error(418, "{\"errors\":[]}", ERR_INVALID, "", "received unexpected HTTP status: 418");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("registry");
    TCase *t = tcase_create("registry");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, test_challenges);
    tcase_add_test(t, test_many_challenges);
    tcase_add_test(t, test_base64);
    tcase_add_test(t, test_auth_header);
    tcase_add_test(t, test_insecure_hosts);
    tcase_add_test(t, test_endpoints);
    tcase_add_test(t, test_headers);
    tcase_add_test(t, test_errors);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
