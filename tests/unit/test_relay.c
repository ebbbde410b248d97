#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay.h"

#define WAIT_MS 20000 /* far more than the relay's own pauses */

static struct relay *relay;
static int server; /* stands for the container: it listens and never accepts, or says a byte */

static int to_server(void *arg, const struct sockaddr_storage *host, struct sockaddr_storage *ret)
{
    socklen_t len = sizeof(*ret);

    (void)arg, (void)host;
    return getsockname(server, (struct sockaddr *)ret, &len) < 0 ? 0 : 1;
}

static void open_all(struct relay_limits limits)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct err err;

    server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(server, 64), 0);
    ck_assert_int_eq(relay_open(true, &limits, to_server, NULL, &relay, &err), 0);
    ck_assert_int_eq(relay_start(relay, &err), 0);
}

static void close_all(void)
{
    relay_close(relay);
    close(server);
}

static int connect_client(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(relay_port(relay, AF_INET)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* The container's end of the next connection, which it greets with a byte; -1: none comes. */
static int accept_one(int timeout_ms)
{
    struct pollfd p = {.fd = server, .events = POLLIN};
    int fd;

    if (poll(&p, 1, timeout_ms) < 1)
        return -1;
    fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    return fd;
}

/* 1: greeted, 0: ended or reset. */
static int hears(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;

    ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
    return recv(fd, &byte, 1, 0) == 1;
}

static const struct relay_limits patient = {
    .connections = 8, .connecting_s = 600, .half_open_s = 600, .idle_s = 600, .spare_s = 600};

START_TEST(a_port_leaves_half_to_others)
{
    int clients[8], servers[8], n = 0;

    open_all(patient);
    for (int i = 0; i < 8; i++) {
        clients[i] = connect_client();
        servers[i] = i < 4 ? accept_one(WAIT_MS) : -1;
        ck_assert_int_eq(hears(clients[i]), i < 4);
        n += servers[i] >= 0;
    }
    ck_assert_int_eq(n, 4);
    /* One that ends makes room for one more. */
    close(clients[0]);
    close(servers[0]);
    for (int i = 0; i < 1000; i++) {
        close(clients[7]);
        clients[7] = connect_client();
        servers[7] = accept_one(10);
        if (servers[7] >= 0)
            break;
    }
    ck_assert_int_eq(hears(clients[7]), 1);
    close_all();
    for (int i = 1; i < 8; i++) {
        ck_assert_int_eq(hears(clients[i]), 0);
        close(clients[i]);
        if (servers[i] >= 0)
            close(servers[i]);
    }
}
END_TEST

START_TEST(the_idlest_makes_room)
{
    struct relay_limits limits = patient;
    int clients[5], servers[5];

    limits.spare_s = 0;
    open_all(limits);
    for (int i = 0; i < 5; i++) {
        clients[i] = connect_client();
        servers[i] = accept_one(WAIT_MS);
        ck_assert_int_eq(hears(clients[i]), 1);
        if (i == 3) { /* no longer the idlest */
            ck_assert_int_eq(write(servers[0], "y", 1), 1);
            ck_assert_int_eq(hears(clients[0]), 1);
        }
    }
    ck_assert_int_eq(hears(clients[1]), 0);
    ck_assert_int_eq(write(servers[0], "z", 1), 1);
    ck_assert_int_eq(hears(clients[0]), 1);
    close_all();
    for (int i = 0; i < 5; i++) {
        close(clients[i]);
        close(servers[i]);
    }
}
END_TEST

START_TEST(idle_ones_are_cut)
{
    struct relay_limits limits = patient;
    int client, back;

    limits.idle_s = 1;
    open_all(limits);
    client = connect_client();
    back = accept_one(WAIT_MS);
    ck_assert_int_eq(hears(client), 1);
    ck_assert_int_eq(hears(client), 0);
    close(client);
    close(back);
    close_all();
}
END_TEST

START_TEST(half_open_ones_are_cut_sooner)
{
    struct relay_limits limits = patient;
    int clients[2], servers[2];

    limits.half_open_s = 1;
    open_all(limits);
    for (int i = 0; i < 2; i++) {
        clients[i] = connect_client();
        servers[i] = accept_one(WAIT_MS);
        ck_assert_int_eq(hears(clients[i]), 1);
    }
    shutdown(clients[0], SHUT_WR);
    ck_assert_int_eq(hears(clients[0]), 0);
    ck_assert_int_eq(write(servers[1], "y", 1), 1);
    ck_assert_int_eq(hears(clients[1]), 1);
    for (int i = 0; i < 2; i++) {
        close(clients[i]);
        close(servers[i]);
    }
    close_all();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("relay");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    if (geteuid() != 0)
        return EXIT_SUCCESS; /* a transparent socket needs CAP_NET_ADMIN */
    tcase_add_test(t, a_port_leaves_half_to_others);
    tcase_add_test(t, the_idlest_makes_room);
    tcase_add_test(t, idle_ones_are_cut);
    tcase_add_test(t, half_open_ones_are_cut_sooner);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
