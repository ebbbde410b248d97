#include <check.h>

#include "json.h"
#include "options.h"
#include "ports.h"
#include "ps.h"
#include "str.h"

/* "port ip:host" of the only binding, or the error. */
static void publish(const char *spec, const char *port, const char *ip, const char *host)
{
    json_t *body = NULL;
    struct err e = {0};
    const json_t *list;

    ck_assert_msg(ports_publish(&body, spec, &e) == 0, "%s: %s", spec, e.message);
    ck_assert_ptr_nonnull(json_object_get(json_object_get(body, "ExposedPorts"), port));
    list = json_object_get(json_at(body, "HostConfig.PortBindings"), port);
    ck_assert_uint_eq(json_array_size(list), 1);
    ck_assert_str_eq(json_get_str(json_array_get(list, 0), "HostIp", "?"), ip);
    ck_assert_str_eq(json_get_str(json_array_get(list, 0), "HostPort", "?"), host);
    json_decref(body);
}

START_TEST(forms)
{
    publish("80", "80/tcp", "", "");
    publish("8080:80", "80/tcp", "", "8080");
    publish("127.0.0.1::53/UDP", "53/udp", "127.0.0.1", "");
    publish("[::1]:8080:80", "80/tcp", "::1", "8080");
    publish("::1:8080:80", "80/tcp", "::1", "8080");
    publish("8000-8010:80", "80/tcp", "", "8000-8010");
}
END_TEST

START_TEST(ranges)
{
    json_t *body = NULL;
    struct err e;
    const json_t *bindings;

    ck_assert_int_eq(ports_publish(&body, "1.2.3.4:10-12:20-22/sctp", &e), 0);
    bindings = json_at(body, "HostConfig.PortBindings");
    ck_assert_uint_eq(json_object_size(bindings), 3);
    ck_assert_str_eq(
        json_get_str(json_array_get(json_object_get(bindings, "22/sctp"), 0), "HostPort", ""),
        "12");
    ck_assert_int_eq(ports_publish(&body, "99:22/sctp", &e), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(bindings, "22/sctp")), 2);
    json_decref(body);
}
END_TEST

START_TEST(refused)
{
    static const struct {
        const char *spec, *message;
    } cases[] = {
        {"x:80", "invalid hostPort: x"},
        {"80:x", "invalid containerPort: x"},
        {"99999:80", "invalid hostPort: 99999"},
        {"1:2:3:4", "invalid IP address: 1:2"},
        {"300.1.1.1:80:80", "invalid IP address: 300.1.1.1"},
        {"1-3:5-6", "invalid ranges specified for container and host Ports: 5-6 and 1-3"},
        {"80/foo", "invalid proto: foo"},
        {"80:", "no port specified: 80:<empty>"},
        {"", "no port specified: <empty>"},
        {"3-1:80", "invalid hostPort: 3-1"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_t *body = NULL;
        struct err e = {0};

        ck_assert_int_lt(ports_publish(&body, cases[i].spec, &e), 0);
        ck_assert_str_eq(e.message, cases[i].message);
        json_decref(body);
    }
}
END_TEST

START_TEST(expose)
{
    json_t *body = NULL;
    struct err e;

    ck_assert_int_eq(ports_expose(&body, "99", &e), 0);
    ck_assert_int_eq(ports_expose(&body, "10-11/udp", &e), 0);
    ck_assert_uint_eq(json_object_size(json_object_get(body, "ExposedPorts")), 3);
    ck_assert_ptr_nonnull(json_object_get(json_object_get(body, "ExposedPorts"), "11/udp"));
    ck_assert_int_lt(ports_expose(&body, "5-3", &e), 0);
    ck_assert_int_lt(ports_expose(&body, "foo", &e), 0);
    ck_assert_int_lt(ports_expose(&body, "80:80", &e), 0);
    json_decref(body);
}
END_TEST

static void column(const char *json, const char *want)
{
    json_t *list = json_loads(json, 0, NULL);
    char *got = ps_ports(list);

    ck_assert_str_eq(got, want);
    free(got);
    json_decref(list);
}

START_TEST(ports_column)
{
    column("[]", "");
    column("[{\"PrivatePort\":80,\"Type\":\"tcp\"}]", "80/tcp");
    column("[{\"PrivatePort\":81,\"Type\":\"tcp\"},{\"PrivatePort\":80,\"Type\":\"tcp\"},"
           "{\"PrivatePort\":90,\"Type\":\"tcp\"}]",
           "80-81/tcp, 90/tcp");
    column("[{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"},"
           "{\"IP\":\"::\",\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"}]",
           "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
    column("[{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":80,\"Type\":\"tcp\"},"
           "{\"IP\":\"0.0.0.0\",\"PrivatePort\":81,\"PublicPort\":81,\"Type\":\"tcp\"}]",
           "0.0.0.0:80-81->80-81/tcp");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_ports");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, forms);
    tcase_add_test(tc, ranges);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, expose);
    tcase_add_test(tc, ports_column);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
