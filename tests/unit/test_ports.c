#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ports.h"

#define LOCALHOST 0x7f000001u

static struct db *db;
static struct ports *ports;
static struct err err;
static uint16_t foreign_port; /* what some other program of the host has */

static int probe(void *userdata, const struct port_lease *lease)
{
    (void)userdata;
    if (lease->host_ip == 0x01020304)
        return -EADDRNOTAVAIL;
    return lease->host_port == foreign_port ? -EADDRINUSE : 0;
}

static void setup(void)
{
    ck_assert_int_eq(db_open(":memory:", &db, &err), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(db_run(db,
                                db_query(db,
                                         "INSERT INTO containers(id, name, created, image_id,"
                                         " config, state) VALUES(?1, ?1, 0, '', '{}', '{}')",
                                         "s", i ? "b" : "a"),
                                &err),
                         0);
    ports = ports_new(db);
    ports_set_probe(ports, probe, NULL);
    foreign_port = 0;
}

static void teardown(void)
{
    ports_free(ports);
    db_close(db);
}

static int take(const char *id, uint8_t proto, uint32_t ip, unsigned first, unsigned last)
{
    struct port_request request = {.proto = proto,
                                   .container_port = 80,
                                   .host_ip = ip,
                                   .host_port_first = (uint16_t)first,
                                   .host_port_last = (uint16_t)last};
    struct port_lease lease;
    int r = ports_take(ports, id, &request, &lease, &err);

    if (r < 0)
        return r;
    ck_assert_uint_eq(lease.container_port, 80);
    ck_assert_uint_eq(lease.proto, proto);
    ck_assert_uint_eq(lease.host_ip, ip);
    return lease.host_port;
}

START_TEST(a_port_belongs_to_one_container)
{
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 80, 80), 80);
    ck_assert_int_lt(take("b", IPPROTO_TCP, INADDR_ANY, 80, 80), 0);
    ck_assert_int_eq(err.kind, ERR_SYSTEM);
    ck_assert_str_eq(err.message, "Bind for 0.0.0.0:80 failed: port is already allocated");
    ck_assert_int_eq(take("b", IPPROTO_UDP, INADDR_ANY, 80, 80), 80);
    ck_assert_int_eq(ports_release(ports, "a", &err), 0);
    ck_assert_int_eq(take("b", IPPROTO_TCP, INADDR_ANY, 80, 80), 80);
}
END_TEST

START_TEST(any_address_conflicts_with_each_address)
{
    ck_assert_int_eq(take("a", IPPROTO_TCP, LOCALHOST, 80, 80), 80);
    ck_assert_int_lt(take("b", IPPROTO_TCP, INADDR_ANY, 80, 80), 0);
    ck_assert_int_eq(take("b", IPPROTO_TCP, 0xc0000202, 80, 80), 80);
    ck_assert_int_lt(take("b", IPPROTO_TCP, LOCALHOST, 80, 80), 0);
    ck_assert_str_eq(err.message, "Bind for 127.0.0.1:80 failed: port is already allocated");
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 81, 81), 81);
    ck_assert_int_lt(take("b", IPPROTO_TCP, LOCALHOST, 81, 81), 0);
}
END_TEST

/* "*": all addresses of both families */
static int take_on(const char *id, const char *ip)
{
    struct port_request request = {
        .proto = IPPROTO_TCP, .container_port = 80, .host_port_first = 80, .host_port_last = 80};
    struct port_lease lease;
    uint32_t wire = 0;

    if (strchr(ip, ':')) {
        request.family = AF_INET6;
        ck_assert_int_eq(inet_pton(AF_INET6, ip, request.host_ip6), 1);
    } else if (ip[0] != '*') {
        request.family = AF_INET;
        ck_assert_int_eq(inet_pton(AF_INET, ip, &wire), 1);
        request.host_ip = ntohl(wire);
    }
    return ports_take(ports, id, &request, &lease, &err);
}

START_TEST(families_conflict_where_they_meet)
{
    static const struct {
        const char *first, *second;
        bool both;
    } table[] = {
        {"*", "0.0.0.0", false},    {"*", "::", false},       {"*", "::1", false},
        {"*", "10.0.0.1", false},   {"0.0.0.0", "*", false},  {"::", "*", false},
        {"::1", "*", false},        {"::", "::1", false},     {"::1", "::", false},
        {"::1", "::1", false},      {"0.0.0.0", "::", true},  {"0.0.0.0", "::1", true},
        {"127.0.0.1", "::1", true}, {"::", "10.0.0.1", true}, {"::1", "2001:db8::1", true},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        ck_assert_int_eq(take_on("a", table[i].first), 0);
        ck_assert_msg((take_on("b", table[i].second) >= 0) == table[i].both, "%s beside %s",
                      table[i].second, table[i].first);
        ports_release(ports, "a", &err);
        ports_release(ports, "b", &err);
    }
    ck_assert_int_eq(take_on("a", "::"), 0);
    ck_assert_int_lt(take_on("b", "::"), 0);
    ck_assert_str_eq(err.message, "Bind for :::80 failed: port is already allocated");
}
END_TEST

START_TEST(families_are_kept)
{
    struct port_lease *list = NULL;
    char ip[LEASE_IP_MAX];
    size_t n = 0;

    ck_assert_int_eq(take_on("a", "::1"), 0);
    ck_assert_int_eq(take_on("b", "*"), -EADDRINUSE);
    ck_assert_int_eq(take_on("b", "0.0.0.0"), 0);
    ck_assert_int_eq(leases_port_list(db, "a", &list, &n, &err), 0);
    ck_assert_uint_eq(n, 1);
    lease_format_ip(&list[0], ip);
    ck_assert_str_eq(ip, "::1");
    ck_assert(!lease_on_ipv4(&list[0]) && lease_on_ipv6(&list[0]) && !lease_on_any(&list[0]));
    free(list);
    ck_assert_int_eq(leases_port_list(db, "b", &list, &n, &err), 0);
    ck_assert(lease_on_ipv4(&list[0]) && !lease_on_ipv6(&list[0]) && lease_on_any(&list[0]));
    free(list);
}
END_TEST

START_TEST(ephemeral_ports_go_round)
{
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 0, 0), PORT_EPHEMERAL_FIRST);
    foreign_port = PORT_EPHEMERAL_FIRST + 1;
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 0, 0), PORT_EPHEMERAL_FIRST + 2);
    ck_assert_int_eq(ports_release(ports, "a", &err), 0);
    ck_assert_int_eq(take("b", IPPROTO_TCP, INADDR_ANY, 0, 0), PORT_EPHEMERAL_FIRST + 3);
    for (int port = PORT_EPHEMERAL_FIRST + 4; port <= PORT_EPHEMERAL_LAST; port++)
        ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 0, 0), port);
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 0, 0), PORT_EPHEMERAL_FIRST);
}
END_TEST

START_TEST(daemons_begin_at_different_places)
{
    static const uint32_t last = PORT_EPHEMERAL_LAST - PORT_EPHEMERAL_FIRST;

    ports_spread(ports, 7);
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 0, 0), PORT_EPHEMERAL_FIRST + 7);
    ports_spread(ports, last);
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 0, 0), PORT_EPHEMERAL_LAST);
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 0, 0), PORT_EPHEMERAL_FIRST);
    ports_spread(ports, last + 3);
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 0, 0), PORT_EPHEMERAL_FIRST + 2);
}
END_TEST

START_TEST(a_range_yields_its_first_free_port)
{
    foreign_port = 8001;
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 8000, 8002), 8000);
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 8000, 8002), 8002);
    ck_assert_int_lt(take("a", IPPROTO_TCP, INADDR_ANY, 8000, 8002), 0);
    ck_assert_str_eq(err.message, "Bind for 0.0.0.0:8000-8002 failed: all ports are allocated");
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 65535, 65535), 65535);
}
END_TEST

START_TEST(ports_of_other_programs_are_refused)
{
    foreign_port = 8080;
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 8080, 8080), -EADDRINUSE);
    ck_assert_str_eq(err.message,
                     "failed to bind host port for 0.0.0.0:8080/tcp: address already in use");
    ck_assert_int_eq(take("a", IPPROTO_TCP, 0x01020304, 80, 80), -EADDRNOTAVAIL);
    ck_assert_int_eq(err.kind, ERR_SYSTEM);
}
END_TEST

START_TEST(nonsense_is_refused)
{
    struct port_request none = {.proto = IPPROTO_TCP}; /* no container port */
    struct port_lease lease;

    ck_assert_int_eq(ports_take(ports, "a", &none, &lease, &err), -EINVAL);
    ck_assert_int_eq(take("a", 99, INADDR_ANY, 80, 80), -EINVAL);
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 81, 80), -EINVAL);
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 0, 80), -EINVAL);
    ck_assert_int_eq(err.kind, ERR_INVALID);
}
END_TEST

START_TEST(the_trial_bind_sees_listeners)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(LOCALHOST)};
    socklen_t len = sizeof(sin);
    struct ports *real = ports_new(db);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct port_request request = {
        .proto = IPPROTO_TCP, .container_port = 80, .host_ip = INADDR_ANY};
    struct port_lease lease;

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    request.host_port_first = request.host_port_last = ntohs(sin.sin_port);
    ck_assert_int_eq(ports_take(real, "a", &request, &lease, &err), -EADDRINUSE);
    close(fd);
    ck_assert_int_eq(ports_take(real, "a", &request, &lease, &err), 0);
    ports_free(real);
}
END_TEST

START_TEST(leases_are_listed)
{
    struct port_lease *list;
    size_t n;

    ck_assert_int_eq(take("a", IPPROTO_UDP, INADDR_ANY, 53, 53), 53);
    ck_assert_int_eq(take("a", IPPROTO_TCP, LOCALHOST, 81, 81), 81);
    ck_assert_int_eq(take("a", IPPROTO_TCP, INADDR_ANY, 80, 80), 80);
    ck_assert_int_eq(take("b", IPPROTO_TCP, INADDR_ANY, 82, 82), 82);
    ck_assert_int_eq(leases_port_list(db, "a", &list, &n, &err), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_uint_eq(list[0].host_port, 80);
    ck_assert_uint_eq(list[1].host_ip, LOCALHOST);
    ck_assert_uint_eq(list[2].proto, IPPROTO_UDP);
    free(list);
    ck_assert_int_eq(leases_port_list(db, "nobody", &list, &n, &err), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_ptr_null(list);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ports");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_port_belongs_to_one_container);
    tcase_add_test(t, any_address_conflicts_with_each_address);
    tcase_add_test(t, families_conflict_where_they_meet);
    tcase_add_test(t, families_are_kept);
    tcase_add_test(t, ephemeral_ports_go_round);
    tcase_add_test(t, daemons_begin_at_different_places);
    tcase_add_test(t, a_range_yields_its_first_free_port);
    tcase_add_test(t, ports_of_other_programs_are_refused);
    tcase_add_test(t, nonsense_is_refused);
    tcase_add_test(t, the_trial_bind_sees_listeners);
    tcase_add_test(t, leases_are_listed);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
