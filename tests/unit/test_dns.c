/* The name server on loopback sockets, with an upstream server made here. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns_impl.h"
#include "fd.h"

#define MANY 10000

static uv_loop_t loop;
static struct dns *dns;
static struct dns_server *server;
static struct sockaddr_in server_udp, server_tcp, upstream_address;
static int upstream = -EBADF, upstream_tcp = -EBADF, client = -EBADF;
static bool forwards;

/* ---- the backend ---- */

static int resolve(void *data, const char *id, const char *name, bool ipv4, bool ipv6,
                   struct dns_answer *ret)
{
    (void)data;
    ck_assert_str_eq(id, "c1");
    if (strcmp(name, "six") == 0) {
        ret->n6 = ipv6;
        ret->addresses6[0][15] = 7;
        return 1;
    }
    if (strcmp(name, "many") == 0) {
        ret->n = DNS_ADDRESSES_MAX;
        for (size_t i = 0; i < ret->n; i++)
            ret->addresses[i] = 0x0a000100 + (uint32_t)i;
        return 1;
    }
    if (strcmp(name, "web") != 0)
        return 0;
    ret->n = ipv4;
    ret->addresses[0] = 0x0a000002;
    return 1;
}

static int reverse(void *data, const char *id, uint32_t address, char ret[DNS_NAME_MAX])
{
    (void)data;
    (void)id;
    if (address != 0x0a000002)
        return 0;
    snprintf(ret, DNS_NAME_MAX, "web.front");
    return 1;
}

static int reverse6(void *data, const char *id, const uint8_t address[DNS_IPV6_LEN],
                    char ret[DNS_NAME_MAX])
{
    (void)data;
    (void)id;
    if (address[0] != 0xfd || address[15] != 7)
        return 0;
    snprintf(ret, DNS_NAME_MAX, "six.front");
    return 1;
}

static bool may_forward(void *data, const char *id)
{
    (void)data;
    (void)id;
    return forwards;
}

/* ---- sockets ---- */

static int bound(int type, struct sockaddr_in *ret)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), size = 16 << 20;
    socklen_t len = sizeof(*ret);

    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_ge(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)ret, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)ret, &len), 0);
    if (type == SOCK_STREAM)
        ck_assert_int_eq(listen(fd, 16), 0);
    return fd;
}

static void set_upstream(size_t i, in_port_t port)
{
    ((struct sockaddr_in *)&server->upstreams.list[i])->sin_port = port;
}

/* UDP and TCP on the same port, which may take more than one attempt. */
static void open_upstream(void)
{
    for (int i = 0; i < 64; i++) {
        upstream = bound(SOCK_DGRAM, &upstream_address);
        upstream_tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (bind(upstream_tcp, (struct sockaddr *)&upstream_address, sizeof(upstream_address)) ==
            0) {
            ck_assert_int_eq(listen(upstream_tcp, 16), 0);
            return;
        }
        upstream = fd_close(upstream);
        upstream_tcp = fd_close(upstream_tcp);
    }
    ck_abort_msg("no port is free for both");
}

static void setup(void)
{
    static const char *const servers[] = {"127.0.0.1", "127.0.0.1", NULL};
    static const struct dns_backend backend = {NULL, resolve, reverse, reverse6, may_forward};
    struct dns_sockets sockets = {bound(SOCK_DGRAM, &server_udp), bound(SOCK_STREAM, &server_tcp)};
    struct sockaddr_in unused;

    ck_assert_int_eq(uv_loop_init(&loop), 0);
    dns = dns_new(&loop, &backend, "/nonexistent");
    ck_assert_int_eq(dns_server_open(dns, "c1", &sockets, servers, &server, NULL), 0);
    ck_assert_int_eq(sockets.udp, -EBADF);
    open_upstream();
    server->upstreams.n = 1;
    set_upstream(0, upstream_address.sin_port);
    client = bound(SOCK_DGRAM, &unused);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&server_udp, sizeof(server_udp)), 0);
    forwards = true;
}

static void teardown(void)
{
    dns_free(dns);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    upstream = fd_close(upstream);
    upstream_tcp = fd_close(upstream_tcp);
    client = fd_close(client);
}

/* Let the server work until fd is readable. */
static void run_until(int fd)
{
    for (int i = 0; i < 2000; i++) {
        uint8_t byte;

        uv_run(&loop, UV_RUN_NOWAIT);
        if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN)
            return;
        usleep(1000);
    }
    ck_abort_msg("nothing came");
}

static void run_some(void)
{
    for (int i = 0; i < 50; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

static size_t make_query(uint8_t *out, uint16_t id, const char *name, uint16_t type)
{
    size_t n = DNS_HEADER_LEN, len;

    memset(out, 0, n);
    dns_set_id(out, id);
    out[2] = 1;
    out[5] = 1;
    for (; *name; name += len + (name[len] == '.')) {
        len = strcspn(name, ".");
        out[n++] = (uint8_t)len;
        memcpy(out + n, name, len);
        n += len;
    }
    memcpy(out + n, (uint8_t[]){0, (uint8_t)(type >> 8), (uint8_t)type, 0, 1}, 5);
    return n + 5;
}

static void ask(uint16_t id, const char *name, uint16_t type)
{
    uint8_t packet[512];
    size_t n = make_query(packet, id, name, type);

    ck_assert_int_eq(send(client, packet, n, 0), (ssize_t)n);
}

static ssize_t take_answer(uint8_t *out)
{
    run_until(client);
    return recv(client, out, DNS_MESSAGE_MAX, MSG_DONTWAIT);
}

static uint8_t packet[DNS_MESSAGE_MAX];

/* What the upstream server got; answered with one made-up record, or a code. */
static uint16_t upstream_answer(const struct sockaddr_in *from, enum dns_rcode rcode)
{
    struct dns_answer answer = {.rcode = rcode, .n = 1, .addresses = {0x01020304}};
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    uint8_t out[DNS_LOCAL_ANSWER_MAX];
    struct dns_query query;
    ssize_t n;

    run_until(upstream);
    n = recvfrom(upstream, packet, sizeof(packet), 0, (struct sockaddr *)&address, &len);
    ck_assert_int_gt(n, 0);
    ck_assert_int_eq(dns_query_parse(packet, (size_t)n, &query), 0);
    n = (ssize_t)dns_build_answer(&query, &answer, 512, out);
    ck_assert_int_eq(sendto(upstream, out, (size_t)n, 0,
                            (const struct sockaddr *)(from ? from : &address), sizeof(address)),
                     n);
    return query.id;
}

/* ---- tests ---- */

START_TEST(answers_names_itself)
{
    ask(7, "WEB", DNS_TYPE_A);
    ck_assert_int_eq(take_answer(packet), 12 + 9 + 16);
    ck_assert_uint_eq(dns_id(packet), 7);
    ck_assert_mem_eq(packet + 12 + 9 + 12, "\12\0\0\2", 4);
    ask(8, "web", DNS_TYPE_AAAA);
    ck_assert_int_eq(take_answer(packet), 12 + 9);
    ck_assert_uint_eq(dns_rcode(packet), DNS_NOERROR);
    ask(8, "six", DNS_TYPE_AAAA);
    ck_assert_int_eq(take_answer(packet), 12 + 9 + 28);
    ck_assert_uint_eq(packet[12 + 9 + 27], 7);
    ask(8, "six", DNS_TYPE_A);
    ck_assert_int_eq(take_answer(packet), 12 + 9);
    ask(9, "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.f.ip6.arpa",
        DNS_TYPE_PTR);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(packet[7], 1);
    ask(9, "2.0.0.10.in-addr.arpa", DNS_TYPE_PTR);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(packet[7], 1);
}
END_TEST

START_TEST(addresses_take_turns)
{
    uint8_t first[2] = {0};

    for (int i = 0; i < 64 && first[0] == first[1]; i++) {
        ask(1, "many", DNS_TYPE_A);
        ck_assert_int_gt(take_answer(packet), 0);
        first[i > 0] = packet[12 + 10 + 15];
    }
    ck_assert_uint_ne(first[0], first[1]);
}
END_TEST

START_TEST(forwards_what_it_does_not_know)
{
    uint16_t seen[8], same = 0;

    for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
        ask(7, "example.com", DNS_TYPE_A);
        seen[i] = upstream_answer(NULL, DNS_NOERROR);
        same += seen[i] == 7;
        ck_assert_int_gt(take_answer(packet), 0);
        ck_assert_uint_eq(dns_id(packet), 7);
        ck_assert_uint_eq(packet[7], 1);
    }
    ck_assert_uint_lt(same, 2); /* ids of our own */
    ck_assert(TAILQ_EMPTY(&dns->in_flight) && LIST_EMPTY(&dns->channels));
    ck_assert_uint_eq(dns->forward_bytes, 0);
}
END_TEST

START_TEST(keeps_inside_what_may_not_leave)
{
    forwards = false;
    ask(7, "example.com", DNS_TYPE_A);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(dns_rcode(packet), DNS_NXDOMAIN);
    ck_assert_int_lt(recv(upstream, packet, 1, MSG_DONTWAIT), 0);
}
END_TEST

START_TEST(believes_only_who_was_asked)
{
    struct sockaddr_in from = {0}, other;
    socklen_t len = sizeof(from);
    int forger = bound(SOCK_DGRAM, &other);
    uint8_t out[512];
    ssize_t n;

    ask(7, "example.com", DNS_TYPE_A);
    run_until(upstream);
    n = recvfrom(upstream, out, sizeof(out), MSG_PEEK, (struct sockaddr *)&from, &len);
    out[2] |= 0x80;
    sendto(forger, out, (size_t)n, 0, (struct sockaddr *)&from, len); /* another address */
    dns_set_id(out, (uint16_t)(dns_id(out) + 1));
    sendto(upstream, out, (size_t)n, 0, (struct sockaddr *)&from, len); /* another id */
    dns_set_id(out, (uint16_t)(dns_id(out) - 1));
    out[13] ^= 1;
    sendto(upstream, out, (size_t)n, 0, (struct sockaddr *)&from, len); /* another question */
    sendto(upstream, out, 5, 0, (struct sockaddr *)&from, len);
    run_some();
    ck_assert_int_lt(recv(client, packet, 1, MSG_DONTWAIT), 0);
    upstream_answer(NULL, DNS_NOERROR);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(packet[7], 1);
    fd_close(forger);
}
END_TEST

START_TEST(asks_the_next_server)
{
    struct sockaddr_in closed;
    int fd = bound(SOCK_DGRAM, &closed);

    fd_close(fd);
    server->upstreams.n = 2;
    set_upstream(0, closed.sin_port); /* nobody is there */
    set_upstream(1, upstream_address.sin_port);
    ask(7, "example.com", DNS_TYPE_A);
    upstream_answer(NULL, DNS_NOERROR);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(dns_rcode(packet), DNS_NOERROR);
    ck_assert_uint_eq(server->upstreams.first, 1); /* and that one first from now on */
    set_upstream(0, upstream_address.sin_port);
    ask(8, "example.com", DNS_TYPE_A);
    upstream_answer(NULL, DNS_REFUSED);
    upstream_answer(NULL, DNS_NOERROR);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(dns_rcode(packet), DNS_NOERROR);
    server->upstreams.n = 1;
    ask(9, "example.com", DNS_TYPE_A); /* the last word of the last one */
    upstream_answer(NULL, DNS_REFUSED);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(dns_rcode(packet), DNS_REFUSED);
}
END_TEST

START_TEST(long_answers_are_marked_as_cut)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n;

    ask(7, "example.com", DNS_TYPE_A);
    run_until(upstream);
    n = recvfrom(upstream, packet, sizeof(packet), 0, (struct sockaddr *)&from, &len);
    packet[2] |= 0x80;
    memset(packet + n, 0, 700); /* more than who does without EDNS takes */
    sendto(upstream, packet, (size_t)n + 700, 0, (struct sockaddr *)&from, len);
    ck_assert_int_eq(take_answer(packet), n);
    ck_assert_uint_eq(dns_id(packet), 7);
    ck_assert(packet[2] & 2);
}
END_TEST

START_TEST(says_at_last_that_it_failed)
{
    struct sockaddr_in closed;
    int fd = bound(SOCK_DGRAM, &closed);

    fd_close(fd);
    set_upstream(0, closed.sin_port);
    ask(7, "example.com", DNS_TYPE_A);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(dns_rcode(packet), DNS_SERVFAIL);
    server->upstreams.n = 0; /* the host's: none either */
    ask(8, "example.com", DNS_TYPE_A);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(dns_id(packet), 8);
    ck_assert_uint_eq(dns_rcode(packet), DNS_SERVFAIL);
}
END_TEST

START_TEST(many_queries_are_in_flight)
{
    static bool answered[MANY];
    size_t got = 0;

    memset(answered, 0, sizeof(answered));
    for (uint16_t i = 0; i < MANY; i++) {
        ask(i, "example.com", DNS_TYPE_A);
        if (i % 100 == 99)
            uv_run(&loop, UV_RUN_NOWAIT);
    }
    run_some();
    ck_assert_uint_ge(dns->forward_bytes, MANY * sizeof(struct dns_forward));
    for (int i = 0; i < MANY; i++) {
        upstream_answer(NULL, DNS_NOERROR);
        while (recv(client, packet, sizeof(packet), MSG_DONTWAIT) > 0) {
            ck_assert(!answered[dns_id(packet)]);
            answered[dns_id(packet)] = true;
            got++;
        }
    }
    for (; got < MANY; got++) {
        ck_assert_int_gt(take_answer(packet), 0);
        ck_assert(!answered[dns_id(packet)]);
        answered[dns_id(packet)] = true;
    }
    ck_assert_uint_eq(dns->forward_bytes, 0);
}
END_TEST

START_TEST(memory_of_queries_is_bounded)
{
    server->forward_bytes = DNS_SERVER_FORWARD_BYTES_MAX - 100;
    ask(7, "example.com", DNS_TYPE_A);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(dns_rcode(packet), DNS_SERVFAIL);
    server->forward_bytes = 0;
}
END_TEST

START_TEST(malformed_packets_do_not_hurt)
{
    unsigned seed = 1;

    send(client, "", 0, 0);
    send(client, "abc", 3, 0);
    for (int i = 0; i < 2000; i++) {
        uint8_t out[600];
        size_t n = make_query(out, 1, "example.com", DNS_TYPE_A);

        for (int k = 0; k < 4; k++)
            out[(size_t)rand_r(&seed) % n] = (uint8_t)rand_r(&seed);
        send(client, out, n - (size_t)(rand_r(&seed) % 4), 0);
        uv_run(&loop, UV_RUN_NOWAIT);
        while (recv(client, packet, sizeof(packet), MSG_DONTWAIT) > 0)
            continue;
    }
    forwards = false;
    run_some();
    while (recv(client, packet, sizeof(packet), MSG_DONTWAIT) > 0)
        continue;
    ask(77, "web", DNS_TYPE_A);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(dns_id(packet), 77);
}
END_TEST

static int connect_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&server_tcp, sizeof(server_tcp)), 0);
    return fd;
}

static size_t tcp_query(uint8_t *out, uint16_t id, const char *name, uint16_t type)
{
    size_t n = make_query(out + 2, id, name, type);

    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)n;
    return n + 2;
}

static size_t tcp_read(int fd, uint8_t *out, size_t want)
{
    size_t n = 0;

    while (n < want) {
        ssize_t r;

        run_until(fd);
        r = recv(fd, out + n, want - n, MSG_DONTWAIT);
        ck_assert_int_gt(r, 0);
        n += (size_t)r;
    }
    return n;
}

START_TEST(answers_by_tcp)
{
    uint8_t out[256];
    size_t n = tcp_query(out, 1, "many", DNS_TYPE_A), want = 12 + 10 + 64 * 16;
    int fd = connect_client();

    n += tcp_query(out + n, 2, "web", DNS_TYPE_A); /* two at once, and byte by byte */
    for (size_t i = 0; i < n; i++) {
        send(fd, out + i, 1, 0);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    tcp_read(fd, packet, 2 + want);
    ck_assert_uint_eq((size_t)packet[0] << 8 | packet[1], want);
    ck_assert_uint_eq(dns_id(packet + 2), 1);
    tcp_read(fd, packet, 2 + 12 + 9 + 16);
    ck_assert_uint_eq(dns_id(packet + 2), 2);
    fd_close(fd);
    run_some();
    ck_assert_uint_eq(dns->n_clients, 0);
}
END_TEST

static int accept_upstream(void)
{
    int fd = -1;

    for (int i = 0; i < 2000 && fd < 0; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        fd = accept4(upstream_tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        usleep(1000);
    }
    ck_assert_int_ge(fd, 0);
    return fd;
}

START_TEST(forwards_by_tcp)
{
    static uint8_t big[2 + 40000];
    uint8_t out[256];
    size_t n = tcp_query(out, 5, "example.com", DNS_TYPE_A), sent = 0;
    int fd = connect_client(), up;

    send(fd, out, n, 0);
    up = accept_upstream();
    tcp_read(up, big, n);
    ck_assert_mem_eq(big + 4, out + 4, n - 4);
    big[0] = 40000 >> 8;
    big[1] = 40000 & 0xff;
    big[4] |= 0x80; /* now an answer, with much behind it */
    while (sent < sizeof(big)) {
        ssize_t r = send(up, big + sent, sizeof(big) - sent, MSG_NOSIGNAL);

        sent += r > 0 ? (size_t)r : 0;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    tcp_read(fd, packet, sizeof(big));
    ck_assert_uint_eq(dns_id(packet + 2), 5);
    ck_assert_mem_eq(packet + 4, big + 4, sizeof(big) - 4);
    fd_close(fd);
    run_some();
    ck_assert(TAILQ_EMPTY(&dns->in_flight));
    ck_assert_uint_eq(dns->n_clients, 0);
    fd_close(up);
}
END_TEST

/* How a client leaves before the answer is there: what it sent last is answered unless it is gone
 * for good. */
START_TEST(half_closed_connections)
{
    static const struct linger at_once = {.l_onoff = 1};
    uint8_t out[256];
    size_t n = tcp_query(out, 5, "example.com", DNS_TYPE_A);
    int fd = connect_client(), up;

    send(fd, out, n, 0);
    shutdown(fd, SHUT_WR);
    up = accept_upstream();
    tcp_read(up, packet, n);
    ck_assert(!TAILQ_EMPTY(&dns->in_flight));
    packet[4] |= 0x80; /* now an answer */
    send(up, packet, n, 0);
    tcp_read(fd, packet, n);
    ck_assert_uint_eq(dns_id(packet + 2), 5);
    run_some();
    ck_assert_int_eq(recv(fd, packet, 1, MSG_DONTWAIT), 0);
    ck_assert_uint_eq(dns->n_clients, 0);
    fd_close(fd);
    fd_close(up);

    fd = connect_client();
    send(fd, out, n, 0);
    up = accept_upstream();
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    fd_close(fd);
    run_some();
    ck_assert(TAILQ_EMPTY(&dns->in_flight));
    ck_assert_uint_eq(dns->n_clients, 0);
    fd_close(up);
}
END_TEST

/* More than its share waits in the container's socket, and is not lost. */
START_TEST(floods_wait)
{
    uint8_t out[64];
    size_t n = make_query(out, 9, "web", DNS_TYPE_A), answered = 0;

    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(send(client, out, n, 0), (int)n);
    uv_update_time(&loop);
    server->allowance = 0;
    server->filled_ms = uv_now(&loop);
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_gt(server->receive_ms, 0);
    for (int i = 0; i < 2000 && answered < 200; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        while (recv(client, packet, sizeof(packet), MSG_DONTWAIT) > 0)
            answered++;
        usleep(1000);
    }
    ck_assert_uint_eq(answered, 200);
    ck_assert_uint_eq(server->receive_ms, 0);
}
END_TEST

START_TEST(connections_are_bounded)
{
    int fds[DNS_TCP_CLIENTS_MAX + 8];

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = connect_client();
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    run_some();
    ck_assert_uint_eq(dns->n_clients, DNS_TCP_CLIENTS_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fd_close(fds[i]);
    run_some();
    ck_assert_uint_eq(dns->n_clients, 0);
}
END_TEST

START_TEST(others_leave_something_for_each)
{
    uint8_t out[256];
    size_t n = tcp_query(out, 9, "web", DNS_TYPE_A);
    int fds[DNS_TCP_CLIENTS_SURE + 1];

    dns->forward_bytes += DNS_FORWARD_BYTES_MAX; /* as if of other containers */
    dns->n_clients += DNS_TCP_CLIENTS_TOTAL_MAX;
    ask(8, "example.com", DNS_TYPE_A);
    upstream_answer(NULL, DNS_NOERROR);
    ck_assert_int_gt(take_answer(packet), 0);
    ck_assert_uint_eq(dns_id(packet), 8);
    ck_assert_uint_eq(dns_rcode(packet), DNS_NOERROR);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = connect_client();
    send(fds[0], out, n, 0);
    tcp_read(fds[0], packet, 2 + 12 + 9 + 16);
    ck_assert_uint_eq(dns_id(packet + 2), 9);
    run_some();
    ck_assert_uint_eq(server->n_clients, DNS_TCP_CLIENTS_SURE); /* and no more than that */
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fd_close(fds[i]);
    run_some();
    for (uint16_t i = 0; i < 200; i++)
        ask(i, "example.com", DNS_TYPE_A);
    run_some();
    ck_assert_uint_le(server->forward_bytes, DNS_SERVER_FORWARD_BYTES_SURE);
    dns->forward_bytes -= DNS_FORWARD_BYTES_MAX;
    dns->n_clients -= DNS_TCP_CLIENTS_TOTAL_MAX;
}
END_TEST

/* As the container can, with CAP_NET_ADMIN: a loop that goes on being told of it does nothing else.
 */
START_TEST(ended_listener_is_left_alone)
{
    unsigned rounds = 0;

    ck_assert_int_eq(shutdown(server->sockets.tcp, SHUT_RDWR), 0);
    while (rounds < 8 && uv_is_active((uv_handle_t *)&server->tcp)) {
        uv_run(&loop, UV_RUN_NOWAIT);
        rounds++;
    }
    ck_assert(!uv_is_active((uv_handle_t *)&server->tcp));
    ask(1, "web", DNS_TYPE_A); /* the other socket is not affected */
    ck_assert_int_gt(take_answer(packet), 0);
}
END_TEST

START_TEST(closes_with_everything_in_flight)
{
    uint8_t out[256];
    size_t n = tcp_query(out, 5, "example.com", DNS_TYPE_A);
    int fd = connect_client();

    send(fd, out, n, 0);
    for (uint16_t i = 0; i < 600; i++)
        ask(i, "example.com", DNS_TYPE_A);
    run_some();
    ck_assert(!TAILQ_EMPTY(&dns->in_flight));
    fd_close(fd); /* teardown closes the loop, which fails if a handle is left */
}
END_TEST

START_TEST(reads_resolv_conf_again)
{
    struct dns_host_conf conf = {.path = (char *)"resolv.test"};
    static const char first[] = "# a comment\nsearch x\nnameserver 10.0.0.1\nnameserver\t::1 \n"
                                "nameserver nonsense\nnameserverx 1.2.3.4\n",
                      second[] = "nameserver 10.0.0.2\n";
    const struct dns_upstreams *u;

    conf.path = xasprintf("/tmp/resolv.%d", getpid());
    file_replace(AT_FDCWD, conf.path, first, strlen(first), 0644, false);
    u = dns_host_upstreams(&conf, 1000);
    ck_assert_uint_eq(u->n, 2);
    ck_assert_int_eq(u->list[1].ss_family, AF_INET6);
    file_replace(AT_FDCWD, conf.path, second, strlen(second), 0644, false);
    ck_assert_uint_eq(dns_host_upstreams(&conf, 2000)->n, 1);
    unlink(conf.path);
    ck_assert_uint_eq(dns_host_upstreams(&conf, 3000)->n, 1); /* being replaced: what was known */
    free(conf.path);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {answers_names_itself,
                                  addresses_take_turns,
                                  forwards_what_it_does_not_know,
                                  keeps_inside_what_may_not_leave,
                                  believes_only_who_was_asked,
                                  asks_the_next_server,
                                  long_answers_are_marked_as_cut,
                                  says_at_last_that_it_failed,
                                  many_queries_are_in_flight,
                                  memory_of_queries_is_bounded,
                                  malformed_packets_do_not_hurt,
                                  answers_by_tcp,
                                  forwards_by_tcp,
                                  half_closed_connections,
                                  floods_wait,
                                  connections_are_bounded,
                                  others_leave_something_for_each,
                                  ended_listener_is_left_alone,
                                  closes_with_everything_in_flight,
                                  reads_resolv_conf_again};
    Suite *s = suite_create("dns");
    TCase *t = tcase_create("dns");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(t, tests[i]);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
