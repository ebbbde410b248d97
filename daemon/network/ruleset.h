/* The static part of our nftables table: chains, rules, empty sets and maps, made once in one
 * transaction.  Networks (members.h) and containers (nat.h) come and go as elements only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "inet4.h"
#include "netlink.h"

/* Maps of published ports; both lead to (container address . container port). */
#define MAP_ANY "published"         /* protocol . host port */
#define MAP_SPECIFIC "published_on" /* host address . protocol . host port */

/* The same for ranges of ports of one container that keep their numbers, with intervals for host
 * port; both lead to (container address). */
#define MAP_ANY_RANGES "published_ranges"
#define MAP_SPECIFIC_RANGES "published_ranges_on"

/* Of the ports, those that the relay serves: protocol . port, address . protocol . port. */
#define SET_RELAYED "relayed"
#define SET_RELAYED_ON "relayed_on"
#define SET_RELAYED_RANGES "relayed_ranges"
#define SET_RELAYED_ON_RANGES "relayed_ranges_on"
#define MAP_RELAY "relay" /* protocol: the port that the relay listens on, on the loopback */

#define SET_BRIDGES "bridges"       /* names of all our bridges */
#define SET_INTERNAL "internal"     /* of these: nothing leads in or out */
#define SET_SAME "same"             /* bridge . bridge where containers may talk to each other */
#define SET_SUBNETS "subnets"       /* of all networks */
#define SET_MASQUERADE "masquerade" /* of these: the host's address stands for them outside */

/* What differs between one fabric's rules and another's. */
struct ruleset {
    bool obeys_input;                 /* published ports are not rewritten but relayed */
    uint16_t relay_port, relay_port6; /* 0: none */
};

/* Append a request of the nf_tables subsystem to a batch opened with nft_begin(). */
struct nlmsghdr *nft_request(struct nl_batch *batch, const char *what, uint16_t type,
                             uint16_t flags);
/* Of the requests from here on: NFPROTO_IPV4, which it is at first, or NFPROTO_IPV6. */
void nft_family(struct nl_batch *batch, uint8_t nfproto);
void nft_begin(struct nl_batch *batch);
void nft_end(struct nl_batch *batch);

/* There is a table for each family, with the same rules; which one is meant is the batch's family,
 * or the argument's.
 *
 * Append the whole table, empty, in place of the one that is there. */
void ruleset_put(struct nl_batch *batch, const char *table, const struct ruleset *ruleset);
/* Make the table, or replace it if it was made by another version.
 * fd: NETLINK_NETFILTER.  1 if it was (re)made: its sets are empty; 0 if it was there, with the
 * elements of an earlier process, but this one's relay. */
int ruleset_ensure(int fd, uint8_t nfproto, const char *table, const struct ruleset *ruleset,
                   struct err *reterr);
/* No such table is success. */
int ruleset_delete(int fd, uint8_t nfproto, const char *table, struct err *reterr);
