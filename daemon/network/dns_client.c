/* TCP connections of a container to its name server: one query of each at a time, the next is read
 * when that is answered. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "dns_impl.h"
#include "fd.h"

#define READ_CHUNK 4096
#define RESUME_MS 1000

struct dns_client {
    uv_poll_t poll;
    LIST_ENTRY(dns_client) of_server;
    TAILQ_ENTRY(dns_client) by_deadline;
    struct dns_server *server;
    int fd;
    uint64_t deadline_ms;
    struct dns_forward *forward; /* that it waits for */
    bool advancing;
    bool half_closed; /* no more queries will come; the last one's answer is still wanted */
    struct buf in, out;
};

static void on_closed(uv_handle_t *handle)
{
    struct dns_client *client = handle->data;

    buf_done(&client->in);
    buf_done(&client->out);
    free(client);
}

void dns_client_close(struct dns_client *client)
{
    struct dns_server *server = client->server;

    if (client->forward)
        dns_forward_drop(client->forward);
    LIST_REMOVE(client, of_server);
    TAILQ_REMOVE(&server->dns->clients, client, by_deadline);
    server->n_clients--;
    server->dns->n_clients--;
    uv_poll_stop(&client->poll);
    client->fd = fd_close(client->fd);
    uv_close((uv_handle_t *)&client->poll, on_closed);
}

static void put_off(struct dns_client *client)
{
    struct dns *dns = client->server->dns;

    TAILQ_REMOVE(&dns->clients, client, by_deadline);
    client->deadline_ms = uv_now(dns->loop) + DNS_TCP_IDLE_MS;
    TAILQ_INSERT_TAIL(&dns->clients, client, by_deadline);
}

/* 1: there is a whole query. */
static int has_query(const struct dns_client *client, size_t *ret_len)
{
    const uint8_t *head = (const uint8_t *)buf_head(&client->in);

    if (buf_size(&client->in) < 2)
        return 0;
    *ret_len = (size_t)head[0] << 8 | head[1];
    return buf_size(&client->in) >= 2 + *ret_len;
}

static int flush(struct dns_client *client)
{
    while (buf_size(&client->out) > 0) {
        ssize_t n = send(client->fd, buf_head(&client->out), buf_size(&client->out),
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0)
            return -errno;
        buf_consume(&client->out, (size_t)n);
    }
    return 0;
}

static int fill(struct dns_client *client)
{
    ssize_t n = recv(client->fd, buf_reserve(&client->in, READ_CHUNK), READ_CHUNK, MSG_DONTWAIT);

    if (n < 0)
        return -errno;
    client->in.len += (size_t)n;
    return n > 0 ? 0 : -EPIPE;
}

/* Poll for nothing: the answer to what was forwarded is what goes on. */
#define WAIT_FOR_ANSWER INT_MAX

/* One step: 0 to go on at once, else the events to wait for; < 0 ends the connection. */
static int step(struct dns_client *client)
{
    size_t len;
    int r;

    if (buf_size(&client->out) > 0) {
        r = flush(client);
        return r == -EAGAIN || r == -EINTR ? UV_WRITABLE : r;
    }
    if (client->forward)
        return client->half_closed ? WAIT_FOR_ANSWER : UV_DISCONNECT;
    if (has_query(client, &len)) {
        struct dns_origin origin = {.client = client};

        dns_serve(client->server, (const uint8_t *)buf_head(&client->in) + 2, len, &origin);
        buf_consume(&client->in, 2 + len);
        put_off(client);
        return 0;
    }
    r = fill(client);
    return r == -EAGAIN || r == -EINTR ? UV_READABLE : r;
}

static void on_event(uv_poll_t *poll, int status, int events);

static void advance(struct dns_client *client)
{
    int events = 0;

    client->advancing = true;
    for (int i = 0; i < DNS_EVENT_MAX && events == 0; i++)
        events = step(client);
    client->advancing = false;
    if (events < 0)
        dns_client_close(client);
    else if (events == WAIT_FOR_ANSWER)
        uv_poll_stop(&client->poll);
    else /* enough for now: writable at once, most likely */
        uv_poll_start(&client->poll, events > 0 ? events : UV_WRITABLE, on_event);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct dns_client *client = poll->data;

    uint8_t byte;

    /* Who has sent all its queries may close that direction and still read (RFC 9293, 3.6); a
     * reset is the end. */
    if (events & UV_DISCONNECT)
        client->half_closed = true;
    if (client->half_closed && recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
        errno != EAGAIN && errno != EINTR)
        status = -errno;
    if (status < 0)
        dns_client_close(client);
    else
        advance(client);
}

void dns_client_reply(struct dns_client *client, const uint8_t *data, size_t len)
{
    uint8_t prefix[2] = {(uint8_t)(len >> 8), (uint8_t)len};

    buf_append(&client->out, prefix, sizeof(prefix));
    buf_append(&client->out, data, len);
    if (!client->advancing)
        advance(client);
}

void dns_client_set_forward(struct dns_client *client, struct dns_forward *forward)
{
    client->forward = forward;
}

void dns_clients_expire(struct dns *dns, uint64_t now_ms)
{
    struct dns_client *client;

    while ((client = TAILQ_FIRST(&dns->clients)) && client->deadline_ms <= now_ms) {
        if (client->forward)
            put_off(client);
        else
            dns_client_close(client);
    }
}

uint64_t dns_clients_deadline(const struct dns *dns)
{
    const struct dns_client *client = TAILQ_FIRST(&dns->clients);

    return client ? client->deadline_ms : UINT64_MAX;
}

static void client_new(struct dns_server *server, int fd)
{
    struct dns *dns = server->dns;
    struct dns_client *client;

    if (server->n_clients >= DNS_TCP_CLIENTS_MAX || (server->n_clients >= DNS_TCP_CLIENTS_SURE &&
                                                     dns->n_clients >= DNS_TCP_CLIENTS_TOTAL_MAX)) {
        fd_close(fd);
        return;
    }
    client = xcalloc(1, sizeof(*client));
    if (uv_poll_init(dns->loop, &client->poll, fd) < 0) {
        fd_close(fd);
        free(client);
        return;
    }
    client->poll.data = client;
    client->server = server;
    client->fd = fd;
    client->deadline_ms = uv_now(dns->loop) + DNS_TCP_IDLE_MS;
    LIST_INSERT_HEAD(&server->clients, client, of_server);
    TAILQ_INSERT_TAIL(&dns->clients, client, by_deadline);
    server->n_clients++;
    dns->n_clients++;
    uv_poll_start(&client->poll, UV_READABLE, on_event);
}

void dns_clients_accept(struct dns_server *server)
{
    struct dns *dns = server->dns;

    for (int i = 0; i < DNS_EVENT_MAX; i++) {
        int fd = accept4(server->sockets.tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            client_new(server, fd);
            continue;
        }
        /* It listens no more: who has CAP_NET_ADMIN in there may end any socket (sock_diag(7),
         * SOCK_DESTROY).  That stays readable for good. */
        if (errno == EINVAL)
            uv_poll_stop(&server->tcp);
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* The connection stays in the queue: waiting for it would be a busy loop. */
            uv_poll_stop(&server->tcp);
            server->accept_ms = uv_now(dns->loop) + RESUME_MS;
            dns_resume_at(dns, server->accept_ms);
        }
        break;
    }
    dns_schedule(dns);
}
