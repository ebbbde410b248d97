/* The server of one container: its sockets, and what it answers by itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns_impl.h"
#include "fd.h"

/* ---- answers ---- */

void dns_reply(struct dns_server *server, const struct dns_origin *origin, const uint8_t *data,
               size_t len)
{
    if (origin->client)
        dns_client_reply(origin->client, data, len);
    else /* what a full buffer or a closed port swallows is lost as any datagram may be */
        sendto(server->sockets.udp, data, len, MSG_DONTWAIT | MSG_NOSIGNAL,
               (const struct sockaddr *)&origin->address, sizeof(origin->address));
}

static void reply_error(struct dns_server *server, const struct dns_origin *origin,
                        const struct dns_query *query, enum dns_rcode rcode)
{
    uint8_t out[DNS_LOCAL_ANSWER_MAX];

    dns_reply(server, origin, out, dns_build_error(query, rcode, out));
}

/* Many clients take the first address only: each gets its turn. */
static void rotate(struct dns *dns, void *list, size_t n, size_t size)
{
    uint8_t turned[DNS_ADDRESSES_MAX * DNS_IPV6_LEN];
    size_t start;

    if (n < 2)
        return;
    start = dns_random(dns) % n * size;
    memcpy(turned, (uint8_t *)list + start, n * size - start);
    memcpy(turned + n * size - start, list, start);
    memcpy(list, turned, n * size);
}

/* What a name stands for; of other types than these it has nothing, which is an answer, too. */
static int resolve(struct dns_server *server, const struct dns_query *query, struct dns_answer *ret)
{
    const struct dns_backend *backend = &server->dns->backend;
    bool any = query->type == DNS_TYPE_ANY;
    int r =
        backend->resolve(backend->data, server->id, query->name, any || query->type == DNS_TYPE_A,
                         any || query->type == DNS_TYPE_AAAA, ret);

    if (r > 0) {
        rotate(server->dns, ret->addresses, ret->n, sizeof(ret->addresses[0]));
        rotate(server->dns, ret->addresses6, ret->n6, sizeof(ret->addresses6[0]));
    }
    return r;
}

/* As dns_backend's functions. */
static int ask_backend(struct dns_server *server, const struct dns_query *query,
                       struct dns_answer *ret)
{
    const struct dns_backend *backend = &server->dns->backend;
    uint8_t address6[DNS_IPV6_LEN];
    uint32_t address;

    if (!query->plain || !*query->name || query->klass != DNS_CLASS_IN)
        return 0;
    if (query->type == DNS_TYPE_PTR && dns_reverse_name_parse(query->name, &address))
        return backend->reverse(backend->data, server->id, address, ret->name);
    if (query->type == DNS_TYPE_PTR && dns_reverse6_name_parse(query->name, address6))
        return backend->reverse6(backend->data, server->id, address6, ret->name);
    return resolve(server, query, ret);
}

static void serve_query(struct dns_server *server, const struct dns_query *query,
                        const uint8_t *data, size_t len, const struct dns_origin *origin)
{
    const struct dns_backend *backend = &server->dns->backend;
    struct dns_answer answer = {.rcode = DNS_NOERROR, .authoritative = true};
    uint8_t out[DNS_LOCAL_ANSWER_MAX];
    int r = ask_backend(server, query, &answer);

    if (r < 0)
        reply_error(server, origin, query, DNS_REFUSED);
    else if (r > 0)
        dns_reply(server, origin, out,
                  dns_build_answer(query, &answer,
                                   origin->client ? DNS_MESSAGE_MAX : query->udp_size, out));
    else if (backend->forwards(backend->data, server->id))
        dns_forward_start(server, query, data, len, origin);
    else /* There are no other names, and an error that may pass would be asked for again. */
        reply_error(server, origin, query, DNS_NXDOMAIN);
}

void dns_serve(struct dns_server *server, const uint8_t *data, size_t len,
               const struct dns_origin *origin)
{
    struct dns_query query;
    int r = dns_query_parse(data, len, &query);

    if (r == -EPROTO)
        return;
    if (r == -EBADMSG)
        reply_error(server, origin, &query, DNS_FORMERR);
    else if (r < 0)
        reply_error(server, origin, &query, DNS_NOTIMP);
    else if (query.edns && query.edns_version > 0)
        reply_error(server, origin, &query, DNS_BADVERS);
    else
        serve_query(server, &query, data, len, origin);
}

/* ---- sockets ---- */

#define PAUSE_MS 5

/* May it ask once more?  If not, it is left alone for a moment. */
static bool take_allowance(struct dns_server *server)
{
    uint64_t now = uv_now(server->dns->loop), more = (now - server->filled_ms) * DNS_SERVER_RATE;

    if (more > 0) {
        server->allowance = (unsigned)MIN(more + server->allowance, (uint64_t)DNS_SERVER_BURST);
        server->filled_ms = now;
    }
    if (server->allowance > 0) {
        server->allowance--;
        return true;
    }
    uv_poll_stop(&server->udp);
    server->receive_ms = now + PAUSE_MS;
    dns_resume_at(server->dns, server->receive_ms);
    dns_schedule(server->dns);
    return false;
}

static void on_datagram(uv_poll_t *poll, int status, int events)
{
    struct dns_server *server = poll->data;
    uint8_t *packet = server->dns->packet;

    (void)events;
    if (status < 0) /* an error that belongs to none of the next packets */
        uv_poll_start(poll, UV_READABLE, on_datagram);
    for (int i = 0; i < DNS_EVENT_MAX && take_allowance(server); i++) {
        struct dns_origin origin = {0};
        socklen_t size = sizeof(origin.address);
        ssize_t n = recvfrom(server->sockets.udp, packet, DNS_MESSAGE_MAX, MSG_DONTWAIT,
                             (struct sockaddr *)&origin.address, &size);

        if (n < 0)
            return;
        dns_serve(server, packet, (size_t)n, &origin);
    }
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    (void)events;
    if (status < 0)
        uv_poll_start(poll, UV_READABLE, on_connection);
    dns_clients_accept(poll->data);
}

void dns_sockets_close(struct dns_sockets *sockets)
{
    sockets->udp = fd_close(sockets->udp);
    sockets->tcp = fd_close(sockets->tcp);
}

static void server_unref(struct dns_server *server)
{
    if (--server->n_handles > 0)
        return;
    free(server->id);
    free(server);
}

static void on_closed(uv_handle_t *handle)
{
    server_unref(handle->data);
}

static int poll_start(struct dns_server *server, uv_poll_t *poll, int fd, uv_poll_cb callback)
{
    int r = uv_poll_init(server->dns->loop, poll, fd);

    if (r < 0)
        return r;
    poll->data = server;
    server->n_handles++;
    return uv_poll_start(poll, UV_READABLE, callback);
}

int dns_server_open(struct dns *dns, const char *id, struct dns_sockets *sockets,
                    const char *const *servers, struct dns_server **ret, struct err *reterr)
{
    struct dns_server *server = xcalloc(1, sizeof(*server));
    int r;

    server->dns = dns;
    server->id = xstrdup(id);
    server->sockets = *sockets;
    *sockets = DNS_SOCKETS_NONE;
    server->n_handles = 1; /* the caller's */
    LIST_INIT(&server->forwards);
    LIST_INIT(&server->clients);
    for (; servers && *servers; servers++)
        dns_upstreams_add(&server->upstreams, *servers);
    LIST_INSERT_HEAD(&dns->servers, server, of_dns);
    r = poll_start(server, &server->udp, server->sockets.udp, on_datagram);
    if (r >= 0)
        r = poll_start(server, &server->tcp, server->sockets.tcp, on_connection);
    if (r < 0) {
        dns_server_close(server);
        return err_sys(reterr, -r, "cannot wait for queries");
    }
    *ret = server;
    return 0;
}

static void handle_close(uv_poll_t *poll)
{
    if (poll->data) /* it was initialised */
        uv_close((uv_handle_t *)poll, on_closed);
}

void dns_server_close(struct dns_server *server)
{
    struct dns_client *client;
    struct dns_forward *forward;

    if (!server)
        return;
    LIST_REMOVE(server, of_dns);
    while ((client = LIST_FIRST(&server->clients)))
        dns_client_close(client);
    while ((forward = LIST_FIRST(&server->forwards)))
        dns_forward_drop(forward);
    handle_close(&server->udp);
    handle_close(&server->tcp);
    dns_sockets_close(&server->sockets);
    server_unref(server);
}

/* *time_ms: when, 0 is never.  Returns when to come again. */
static uint64_t resume(uv_poll_t *poll, uv_poll_cb callback, uint64_t *time_ms, uint64_t now_ms)
{
    if (*time_ms > now_ms)
        return *time_ms;
    if (*time_ms > 0)
        uv_poll_start(poll, UV_READABLE, callback);
    *time_ms = 0;
    return UINT64_MAX;
}

uint64_t dns_server_resume(struct dns_server *server, uint64_t now_ms)
{
    uint64_t udp = resume(&server->udp, on_datagram, &server->receive_ms, now_ms),
             tcp = resume(&server->tcp, on_connection, &server->accept_ms, now_ms);

    return MIN(udp, tcp);
}
