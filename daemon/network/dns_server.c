/* The server of one container: its sockets, and what it answers by itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns_impl.h"
#include "fd.h"

/* ---- answers ---- */

/* Keep an answer back until all of the batch are there. */
static bool add_to_batch(struct dns_server *server, const struct dns_origin *origin,
                         const uint8_t *data, size_t len)
{
    struct dns_batch *b = &server->dns->batch;

    if (b->server != server || b->n_out == DNS_BATCH || len > sizeof(b->out_data[0]))
        return false;
    memcpy(b->out_data[b->n_out], data, len);
    b->to[b->n_out] = origin->address;
    b->out_vec[b->n_out] = (struct iovec){b->out_data[b->n_out], len};
    b->out[b->n_out] = (struct mmsghdr){.msg_hdr = {.msg_name = &b->to[b->n_out],
                                                    .msg_namelen = sizeof(b->to[0]),
                                                    .msg_iov = &b->out_vec[b->n_out],
                                                    .msg_iovlen = 1}};
    b->n_out++;
    return true;
}

/* What cannot be sent is lost as any datagram may be: the others are not. */
static void send_batch(struct dns_server *server)
{
    struct dns_batch *b = &server->dns->batch;

    for (unsigned done = 0; done < b->n_out;) {
        int n = sendmmsg(server->sockets.udp, b->out + done, b->n_out - done,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        done += n > 0 ? (unsigned)n : 1;
    }
    b->n_out = 0;
}

void dns_reply(struct dns_server *server, const struct dns_origin *origin, const uint8_t *data,
               size_t len)
{
    if (origin->client)
        dns_client_reply(origin->client, data, len);
    else if (!add_to_batch(server, origin, data, len))
        /* what a full buffer or a closed port swallows is lost as any datagram may be */
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

/* How often may it ask once more, at most so often?  If not at all, it is left alone for a moment.
 */
static unsigned allowance(struct dns_server *server, unsigned want)
{
    uint64_t now = uv_now(server->dns->loop), more = (now - server->filled_ms) * DNS_SERVER_RATE;

    if (more > 0) {
        server->allowance = (unsigned)MIN(more + server->allowance, (uint64_t)DNS_SERVER_BURST);
        server->filled_ms = now;
    }
    if (server->allowance > 0)
        return MIN(server->allowance, want);
    uv_poll_stop(&server->udp);
    server->receive_ms = now + PAUSE_MS;
    dns_resume_at(server->dns, server->receive_ms);
    dns_schedule(server->dns);
    return 0;
}

static int receive_batch(struct dns_server *server, unsigned n)
{
    struct dns_batch *b = &server->dns->batch;

    for (unsigned i = 0; i < n; i++) {
        b->in_vec[i] = (struct iovec){b->in_data[i], sizeof(b->in_data[i])};
        b->in[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &b->from[i],
                                                .msg_namelen = sizeof(b->from[i]),
                                                .msg_iov = &b->in_vec[i],
                                                .msg_iovlen = 1}};
    }
    return recvmmsg(server->sockets.udp, b->in, n, MSG_DONTWAIT, NULL);
}

static void serve_batch(struct dns_server *server, unsigned n)
{
    struct dns_batch *b = &server->dns->batch;

    b->server = server;
    for (unsigned i = 0; i < n; i++) {
        struct dns_origin origin = {.address = b->from[i]};

        dns_serve(server, b->in_data[i], b->in[i].msg_len, &origin);
    }
    b->server = NULL;
    send_batch(server);
}

static void on_datagram(uv_poll_t *poll, int status, int events)
{
    struct dns_server *server = poll->data;
    unsigned left = DNS_EVENT_MAX, want;

    (void)events;
    if (status < 0) /* an error that belongs to none of the next packets */
        uv_poll_start(poll, UV_READABLE, on_datagram);
    while (left > 0 && (want = allowance(server, MIN(left, (unsigned)DNS_BATCH))) > 0) {
        int n = receive_batch(server, want);

        if (n <= 0)
            return;
        server->allowance -= (unsigned)n;
        left -= (unsigned)n;
        serve_batch(server, (unsigned)n);
        if ((unsigned)n < want)
            return;
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

int dns_server_socket(const struct dns_server *server)
{
    return server->sockets.udp;
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
