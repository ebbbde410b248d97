#include "router.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "mem.h"
#include "routes.h"
#include "status.h"
#include "str.h"

/* The real table is what is tested: handlers are only compared, never called. */
static void leads_to(const char *method, const char *path, http_handler want, const char *param)
{
    _cleanup_free_ char *got = NULL;
    const struct http_route *r = router_find(http_routes, method, path, &got);

    ck_assert_msg((r ? r->handler : NULL) == want, "%s %s", method, path);
    ck_assert_msg(streq_null(got, param), "%s %s gave \"%s\"", method, path, got ? got : "NULL");
}

START_TEST(test_routes)
{
    leads_to("GET", "/_ping", system_ping, NULL);
    leads_to("HEAD", "/_ping", system_ping, NULL);
    leads_to("GET", "/containers/json", containers_list, NULL);
    leads_to("GET", "/containers/json/json", containers_inspect, "json");
    leads_to("GET", "/containers/a/json", containers_inspect, "a");
    leads_to("DELETE", "/containers/a", containers_remove, "a");
    leads_to("POST", "/exec/a/start", exec_start, "a");
    leads_to("GET", "/networks/", networks_list, NULL);
    leads_to("POST", "/swarm/init", system_not_swarm, "init");
    leads_to("DELETE", "/services/x", system_not_swarm, "x");
}
END_TEST

START_TEST(test_names_hold_slashes)
{
    leads_to("GET", "/images/docker.io/foo/bar:1/json", images_route_inspect,
             "docker.io/foo/bar:1");
    leads_to("GET", "/images/json/json/json", images_route_inspect, "json/json");
    leads_to("DELETE", "/images/a/b", images_route_remove, "a/b");
    leads_to("POST", "/images/a/tag/tag", images_route_tag, "a/tag");
}
END_TEST

START_TEST(test_not_found)
{
    leads_to("POST", "/containers/json", NULL, NULL);
    leads_to("get", "/_ping", NULL, NULL);
    leads_to("GET", "/", NULL, NULL);
    leads_to("GET", "", NULL, NULL);
    leads_to("GET", "/containers//json", NULL, NULL);
    leads_to("GET", "/images/json/", NULL, NULL);
    leads_to("GET", "/imagesjson", NULL, NULL);
}
END_TEST

START_TEST(test_version_prefix)
{
    static const struct {
        const char *path, *rest;
        int version;
    } cases[] = {
        {"/_ping", "/_ping", 151},     {"/v1.41/info", "/info", 141},
        {"/v1.9/info", "/info", 109},  {"/v1.51.1/info", "/info", 152},
        {"/v2/info", "/info", 200},    {"/v1.1000000000000/info", "/info", 199},
        {"/volumes", "/volumes", 151}, {"/v1.41", "/v1.41", 151},
        {"/vx/info", "/vx/info", 151}, {"/v1.4x/info", "/v1.4x/info", 151},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *rest;
        int version;

        router_split_version(cases[i].path, &rest, &version);
        ck_assert_str_eq(rest, cases[i].rest);
        ck_assert_msg(version == cases[i].version, "%s gave %d", cases[i].path, version);
    }
}
END_TEST

static void refused(const char *path, const char *message)
{
    struct err err = {0};
    const char *rest;
    int version;

    router_split_version(path, &rest, &version);
    ck_assert_int_eq(router_check_version(path, version, &err), -EINVAL);
    ck_assert_str_eq(err.message, message);
    ck_assert_uint_eq(http_status_of(&err), 400);
}

START_TEST(test_version_bounds)
{
    struct err err;

    ck_assert_int_eq(router_check_version("/v1.24/x", 124, &err), 0);
    ck_assert_int_eq(router_check_version("/v1.51/x", 151, &err), 0);
    refused("/v1.99/info", "client version 1.99 is too new. Maximum supported API version is 1.51");
    refused("/v1.9/info",
            "client version 1.9 is too old. Minimum supported API version is 1.24, please upgrade "
            "your client to a newer version");
}
END_TEST

START_TEST(test_status)
{
    struct err err = {.kind = ERR_NOT_MODIFIED};

    ck_assert_uint_eq(http_status_of(&err), 304);
    err.kind = ERR_CONFLICT;
    ck_assert_uint_eq(http_status_of(&err), 409);
    err.kind = ERR_SYSTEM;
    ck_assert_uint_eq(http_status_of(&err), 500);
    err.kind = 12345; /* came over the shim's socket */
    ck_assert_uint_eq(http_status_of(&err), 500);
    err.kind = -1;
    ck_assert_uint_eq(http_status_of(&err), 500);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("router");
    TCase *t = tcase_create("router");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, test_routes);
    tcase_add_test(t, test_names_hold_slashes);
    tcase_add_test(t, test_not_found);
    tcase_add_test(t, test_version_prefix);
    tcase_add_test(t, test_version_bounds);
    tcase_add_test(t, test_status);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
