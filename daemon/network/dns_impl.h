/* Shared by the files of the name server; nobody else includes this. */
#pragma once

#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "buf.h"
#include "dns.h"

/* Packets and connections that one event is good for; the loop has others to serve. */
#define DNS_EVENT_MAX 64
/* Datagrams that are received and answered by one system call each. */
#define DNS_BATCH 16
#define DNS_DATAGRAM_MAX 4096 /* of a query: what is longer is cut, thus malformed */

/* ---- dns_upstream.c: whom to forward to ---- */

struct dns_upstreams {
    size_t n;
    size_t first; /* asked first: answered when those before it did not */
    struct sockaddr_storage list[DNS_UPSTREAMS_MAX];
};

/* Add a server by its address, port 53; -EINVAL if it is none, -ENOSPC. */
int dns_upstreams_add(struct dns_upstreams *upstreams, const char *address);
/* The nameserver lines of a resolv.conf(5); others mean nothing here. */
void dns_upstreams_parse(struct dns_upstreams *upstreams, const char *text);

struct dns_host_conf {
    char *path;
    uint64_t checked_ms; /* 0: never */
    struct stat seen;
    struct dns_upstreams upstreams;
};

/* Read the file again if it changed; looks at most every half second. */
struct dns_upstreams *dns_host_upstreams(struct dns_host_conf *conf, uint64_t now_ms);

/* ---- objects ---- */

struct dns_client;
struct dns_channel;
struct dns_stream;

/* Where a query came from. */
struct dns_origin {
    struct sockaddr_in address; /* of a datagram */
    struct dns_client *client;  /* or NULL */
};

/* A query in flight. */
struct dns_forward {
    TAILQ_ENTRY(dns_forward) by_deadline;
    LIST_ENTRY(dns_forward) of_server;
    LIST_ENTRY(dns_forward) in_slot; /* of channel */
    struct dns_server *server;
    struct dns_origin origin;
    struct dns_channel *channel; /* where it waits for its answer, or NULL */
    struct dns_stream *stream;   /* or NULL */
    uint64_t deadline_ms;
    size_t first;    /* server of the list to begin with */
    size_t upstream; /* that was asked last */
    unsigned tries;
    uint16_t client_id, udp_size;
    size_t len;
    uint8_t query[]; /* with the id of the latest try */
};

TAILQ_HEAD(dns_forward_queue, dns_forward);
LIST_HEAD(dns_forward_list, dns_forward);
TAILQ_HEAD(dns_client_queue, dns_client);
LIST_HEAD(dns_client_list, dns_client);
LIST_HEAD(dns_channel_list, dns_channel);
LIST_HEAD(dns_server_list, dns_server);

/* The datagrams of a container that are being looked at, and the answers to them so far. */
struct dns_batch {
    struct dns_server *server; /* NULL: none */
    unsigned n_out;
    struct mmsghdr in[DNS_BATCH], out[DNS_BATCH];
    struct iovec in_vec[DNS_BATCH], out_vec[DNS_BATCH];
    struct sockaddr_in from[DNS_BATCH], to[DNS_BATCH];
    uint8_t in_data[DNS_BATCH][DNS_DATAGRAM_MAX], out_data[DNS_BATCH][DNS_LOCAL_ANSWER_MAX];
};

struct dns {
    uv_loop_t *loop;
    struct dns_backend backend;
    struct dns_host_conf host;
    struct dns_server_list servers;
    struct dns_forward_queue in_flight; /* in order of their deadlines */
    struct dns_channel_list channels;   /* that take more queries */
    size_t forward_bytes;
    struct dns_client_queue clients; /* in order of their deadlines */
    size_t n_clients;
    uint64_t resume_ms; /* when to look at paused servers again, or UINT64_MAX */
    uv_timer_t timer;
    size_t random_left;
    uint16_t random[256];
    uint8_t packet[DNS_MESSAGE_MAX + 1]; /* the answer from elsewhere that is being looked at */
    struct dns_batch batch;
};

struct dns_server {
    struct dns *dns;
    LIST_ENTRY(dns_server) of_dns;
    char *id;
    struct dns_sockets sockets;
    uv_poll_t udp, tcp;
    uint64_t accept_ms;             /* no descriptors were left: when to try again; 0: it waits */
    uint64_t receive_ms;            /* as accept_ms, after more queries than its share */
    uint64_t filled_ms;             /* when the allowance was counted */
    unsigned allowance;             /* datagrams that it may send now */
    unsigned n_handles;             /* to be closed before it is freed */
    struct dns_upstreams upstreams; /* own ones; n == 0: the host's */
    struct dns_forward_list forwards;
    size_t forward_bytes;
    struct dns_client_list clients;
    size_t n_clients;
};

uint16_t dns_random(struct dns *dns);
/* Let the timer ring when the next deadline is due. */
void dns_schedule(struct dns *dns);

/* ---- dns_server.c ---- */

/* Answer a query, or forward it. */
void dns_serve(struct dns_server *server, const uint8_t *data, size_t len,
               const struct dns_origin *origin);
void dns_reply(struct dns_server *server, const struct dns_origin *origin, const uint8_t *data,
               size_t len);

/* Go on with what was paused and is due; when to come again, UINT64_MAX: need not. */
uint64_t dns_server_resume(struct dns_server *server, uint64_t now_ms);
/* Be asked so then, at the latest. */
void dns_resume_at(struct dns *dns, uint64_t time_ms);

/* ---- dns_client.c: connections of a container ---- */

void dns_clients_accept(struct dns_server *server);
/* The answer to the query that the client waits for. */
void dns_client_reply(struct dns_client *client, const uint8_t *data, size_t len);
/* The client waits for this one (NULL: for none). */
void dns_client_set_forward(struct dns_client *client, struct dns_forward *forward);
void dns_client_close(struct dns_client *client);
void dns_clients_expire(struct dns *dns, uint64_t now_ms);
uint64_t dns_clients_deadline(const struct dns *dns); /* UINT64_MAX: none */

/* ---- dns_forward.c ---- */

/* Send a query on; it is answered by dns_reply(), at last with SERVFAIL. */
void dns_forward_start(struct dns_server *server, const struct dns_query *query,
                       const uint8_t *data, size_t len, const struct dns_origin *origin);
void dns_forward_drop(struct dns_forward *forward);
/* Called by channels and streams: the answer came (data may be changed), or none will. */
void dns_forward_answered(struct dns_forward *forward, uint8_t *data, size_t len);
void dns_forward_failed(struct dns_forward *forward);
void dns_forwards_expire(struct dns *dns, uint64_t now_ms);

/* ---- dns_channel.c: UDP sockets to servers ---- */

/* Send by a socket with a source port and an id that nobody can know; sets channel. */
int dns_channel_send(struct dns *dns, struct dns_forward *forward,
                     const struct sockaddr_storage *to);
/* Wait no longer. */
void dns_channel_leave(struct dns_forward *forward);

/* ---- dns_stream.c: TCP connections to servers, one for a query ---- */

int dns_stream_send(struct dns *dns, struct dns_forward *forward,
                    const struct sockaddr_storage *to);
void dns_stream_leave(struct dns_forward *forward);
