/* Queries on their way to other servers: one after the other is asked, in rounds; the first usable
 * answer goes back. */
#include <stdlib.h>
#include <string.h>

#include "dns_impl.h"

static size_t cost(const struct dns_forward *f)
{
    return sizeof(*f) + f->len;
}

static void leave(struct dns_forward *f)
{
    dns_channel_leave(f);
    dns_stream_leave(f);
}

void dns_forward_drop(struct dns_forward *f)
{
    struct dns *dns = f->server->dns;

    leave(f);
    if (f->origin.client)
        dns_client_set_forward(f->origin.client, NULL);
    TAILQ_REMOVE(&dns->in_flight, f, by_deadline);
    LIST_REMOVE(f, of_server);
    dns->forward_bytes -= cost(f);
    f->server->forward_bytes -= cost(f);
    free(f);
}

static struct dns_upstreams *upstreams_of(struct dns_server *server)
{
    if (server->upstreams.n > 0)
        return &server->upstreams;
    return dns_host_upstreams(&server->dns->host, uv_now(server->dns->loop));
}

static void finish(struct dns_forward *f, const uint8_t *data, size_t len)
{
    struct dns_server *server = f->server;
    struct dns_origin origin = f->origin;

    dns_forward_drop(f);
    dns_reply(server, &origin, data, len);
}

static void finish_with_error(struct dns_forward *f, enum dns_rcode rcode)
{
    uint8_t out[DNS_LOCAL_ANSWER_MAX];
    struct dns_query query;

    dns_set_id(f->query, f->client_id);
    dns_query_parse(f->query, f->len, &query); /* it was read before */
    finish(f, out, dns_build_error(&query, rcode, out));
}

static int send_to(struct dns_forward *f, const struct sockaddr_storage *to)
{
    struct dns *dns = f->server->dns;

    return f->origin.client ? dns_stream_send(dns, f, to) : dns_channel_send(dns, f, to);
}

/* Ask the next server that can be sent to. */
static void try_next(struct dns_forward *f)
{
    struct dns *dns = f->server->dns;
    const struct dns_upstreams *upstreams = upstreams_of(f->server);

    leave(f);
    TAILQ_REMOVE(&dns->in_flight, f, by_deadline);
    f->deadline_ms = uv_now(dns->loop) + DNS_TRY_TIMEOUT_MS;
    TAILQ_INSERT_TAIL(&dns->in_flight, f, by_deadline);
    while (f->tries < DNS_ROUNDS * upstreams->n) {
        f->upstream = (f->first + f->tries++) % upstreams->n;
        if (send_to(f, &upstreams->list[f->upstream]) >= 0)
            return;
    }
    finish_with_error(f, DNS_SERVFAIL);
}

static bool has_room(const struct dns_server *server, size_t bytes)
{
    size_t own = server->forward_bytes + bytes, all = server->dns->forward_bytes + bytes;

    return own <= DNS_SERVER_FORWARD_BYTES_SURE ||
           (own <= DNS_SERVER_FORWARD_BYTES_MAX && all <= DNS_FORWARD_BYTES_MAX);
}

void dns_forward_start(struct dns_server *server, const struct dns_query *query,
                       const uint8_t *data, size_t len, const struct dns_origin *origin)
{
    struct dns *dns = server->dns;
    struct dns_forward *f;
    size_t bytes = sizeof(*f) + len;

    if (!has_room(server, bytes)) {
        uint8_t out[DNS_LOCAL_ANSWER_MAX];

        dns_reply(server, origin, out, dns_build_error(query, DNS_SERVFAIL, out));
        return;
    }
    f = xcalloc(1, bytes);
    f->server = server;
    f->origin = *origin;
    f->client_id = query->id;
    f->udp_size = query->udp_size;
    f->first = upstreams_of(server)->first;
    f->len = len;
    memcpy(f->query, data, len);
    dns->forward_bytes += bytes;
    server->forward_bytes += bytes;
    LIST_INSERT_HEAD(&server->forwards, f, of_server);
    TAILQ_INSERT_TAIL(&dns->in_flight, f, by_deadline);
    if (origin->client)
        dns_client_set_forward(origin->client, f);
    try_next(f);
    dns_schedule(dns);
}

/* "I cannot" of one server is no reason not to ask another. */
static bool is_refusal(const uint8_t *data)
{
    enum dns_rcode rcode = dns_rcode(data);

    return rcode == DNS_SERVFAIL || rcode == DNS_REFUSED || rcode == DNS_NOTIMP;
}

void dns_forward_answered(struct dns_forward *f, uint8_t *data, size_t len)
{
    struct dns_upstreams *upstreams = upstreams_of(f->server);
    struct dns_query query;

    if (is_refusal(data) && f->tries < upstreams->n) {
        try_next(f);
        return;
    }
    if (!is_refusal(data) && f->upstream < upstreams->n)
        upstreams->first = f->upstream;
    dns_set_id(data, f->client_id);
    if (!f->origin.client && len > f->udp_size) {
        /* More than was asked for: the client comes again by TCP. */
        dns_set_id(f->query, f->client_id);
        dns_query_parse(f->query, f->len, &query);
        len = dns_build_error(&query, DNS_NOERROR, data);
        dns_set_truncated(data);
    }
    finish(f, data, len);
}

void dns_forward_failed(struct dns_forward *f)
{
    try_next(f);
}

void dns_forwards_expire(struct dns *dns, uint64_t now_ms)
{
    struct dns_forward *f;

    while ((f = TAILQ_FIRST(&dns->in_flight)) && f->deadline_ms <= now_ms)
        try_next(f);
}
