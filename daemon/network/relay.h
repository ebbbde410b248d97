/* Published TCP ports where rewriting addresses does not do: connections to ::1 (the kernel takes
 * answers to it from the loopback only), connections by IPv6 to containers that have none, and all
 * from outside when the INPUT chain of the host is to decide.  A rule hands them to one listening
 * socket (tproxy), with the address and port that the client named, and one thread carries bytes
 * between client and container: no process and no socket for a port.  What it carries ends with the
 * daemon. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "err.h"

/* What clients may take.  Who is cut sees a reset. */
struct relay_limits {
    unsigned connections;  /* in all; two sockets and two pipes each, and of descriptors never more
                              than half of what the process may have.  A port has as many as are
                              left for the others. */
    unsigned connecting_s; /* until the container has to answer */
    unsigned half_open_s;  /* without a byte, when one direction has ended */
    unsigned idle_s;       /* without a byte */
    unsigned spare_s;      /* idle so long: makes room for a new one where there is none */
};

/* As connection tracking has them for what is rewritten: nf_conntrack_tcp_timeout_established and
 * _fin_wait, where an answer after the end of the request gets some more. */
#define RELAY_LIMITS_DEFAULT                                                                       \
    ((struct relay_limits){.connections = 2048,                                                    \
                           .connecting_s = 60,                                                     \
                           .half_open_s = 600,                                                     \
                           .idle_s = 5 * 86400,                                                    \
                           .spare_s = 600})

struct relay;

/* Where a connection to this address of the host leads: 1 and an address of a container, or 0.
 * Called on the relay's thread. */
typedef int (*relay_target_fn)(void *arg, const struct sockaddr_storage *host,
                               struct sockaddr_storage *ret);

/* Listen; nothing is accepted before relay_start().  ipv4: for that family, too.  A kernel without
 * IPv6 is no failure. */
int relay_open(bool ipv4, const struct relay_limits *limits, relay_target_fn target, void *arg,
               struct relay **ret, struct err *reterr);
/* Begin to serve; once begun, nothing. */
int relay_start(struct relay *relay, struct err *reterr);
/* Waits for the thread; connections are cut. */
void relay_close(struct relay *relay);
/* Port of the listening socket, 0: none of that family. */
uint16_t relay_port(const struct relay *relay, int family);
