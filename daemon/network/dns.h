/* The name server of user-defined networks: one for each container, at 127.0.0.11 port 53 inside
 * its network namespace, all of them served by the loop of the daemon.
 *
 * Names of containers are asked of the backend; everything else is forwarded to the servers of the
 * host (its resolv.conf, read again when it changes) or to those the container was given, from
 * sockets of the host's namespace.  Nothing is cached.  Queries in flight are bounded by the memory
 * they take, not by their number.  Loop thread only, but for dns_sockets_open(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "dns_packet.h"
#include "err.h"

#define DNS_SERVER_ADDRESS "127.0.0.11"
#define DNS_FORWARD_BYTES_MAX (32 << 20)       /* of queries in flight, of all containers */
#define DNS_SERVER_FORWARD_BYTES_MAX (8 << 20) /* of one container's: some 25,000 usual ones */
#define DNS_TCP_CLIENTS_MAX 64                 /* connections of one container */
#define DNS_TCP_CLIENTS_TOTAL_MAX 1024
/* What each container has even where others have taken all there is. */
#define DNS_SERVER_FORWARD_BYTES_SURE (16 << 10)
#define DNS_TCP_CLIENTS_SURE 2
/* Datagrams of one container: more wait in its own socket's buffer, so that one that floods takes a
 * part of the loop's time only. */
#define DNS_SERVER_RATE 40 /* in a millisecond */
#define DNS_SERVER_BURST 4000
#define DNS_UPSTREAMS_MAX 8     /* servers of one list; more are not asked */
#define DNS_TRY_TIMEOUT_MS 2500 /* then the next server, or the only one again */
#define DNS_ROUNDS 2            /* through the list, then SERVFAIL */
#define DNS_TCP_IDLE_MS 10000   /* then a connection without a query is closed */

/* What the server asks for names.  Called with the id of the asking container. */
struct dns_backend {
    void *data;
    /* The addresses of a name in lower case, of those families that are asked for.  1: the name is
     * known, though it may have no such address; 0: it is not; < 0: nobody should be asking. */
    int (*resolve)(void *data, const char *id, const char *name, bool ipv4, bool ipv6,
                   struct dns_answer *ret);
    /* The name of an address; results as above. */
    int (*reverse)(void *data, const char *id, uint32_t address, char ret[DNS_NAME_MAX]);
    int (*reverse6)(void *data, const char *id, const uint8_t address[DNS_IPV6_LEN],
                    char ret[DNS_NAME_MAX]);
    /* May the rest leave the host?  Else it does not exist. */
    bool (*forwards)(void *data, const char *id);
};

struct dns;
struct dns_server;

/* resolv_conf: path of the host's, read at the first query that is forwarded. */
struct dns *dns_new(uv_loop_t *loop, const struct dns_backend *backend, const char *resolv_conf);
/* Closes all servers; memory is freed in close callbacks, so the loop must run once more. */
void dns_free(struct dns *dns);

/* UDP and listening TCP socket of one server. */
struct dns_sockets {
    int udp, tcp;
};

#define DNS_SOCKETS_NONE ((struct dns_sockets){-EBADF, -EBADF})
void dns_sockets_close(struct dns_sockets *sockets);

/* Make them in a network namespace whose loopback is up, with the table that leads port 53 there.
 * They are not on port 53 themselves: name servers that run in containers bind it.  The same ports
 * are taken again after the daemon was killed, for the sake of flows that lead there.  Blocks; any
 * thread, which visits the namespace. */
int dns_sockets_open(int netns_fd, struct dns_sockets *ret, struct err *reterr);

/* Serve a container.  Takes the sockets over (also on failure).  servers (NULL-terminated, may be
 * NULL) are addresses to forward to instead of the host's. */
int dns_server_open(struct dns *dns, const char *id, struct dns_sockets *sockets,
                    const char *const *servers, struct dns_server **ret, struct err *reterr);
/* Its UDP socket, borrowed: by it the container's network namespace is found. */
int dns_server_socket(const struct dns_server *server);
/* Queries in flight are forgotten.  NULL is allowed. */
void dns_server_close(struct dns_server *server);
