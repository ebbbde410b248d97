/* The static part of our nftables table: chains, rules and empty maps, made once in one
 * transaction.  Containers come and go as map elements only (nat.h). */
#pragma once

#include "inet4.h"
#include "netlink.h"

/* Maps of published ports; both lead to (container address . container port). */
#define MAP_ANY "published"         /* protocol . host port */
#define MAP_SPECIFIC "published_on" /* host address . protocol . host port */

struct ruleset {
    const char *table;
    const char *bridge;
    struct inet4 subnet; /* of the bridge */
};

/* Append a request of the nf_tables subsystem to a batch opened with nft_begin(). */
struct nlmsghdr *nft_request(struct nl_batch *batch, const char *what, uint16_t type,
                             uint16_t flags);
void nft_begin(struct nl_batch *batch);
void nft_end(struct nl_batch *batch);

/* Make the table, or replace it if it was made for another bridge or by another version.
 * fd: NETLINK_NETFILTER.  1 if it was (re)made: its maps are empty; 0 if it was there. */
int ruleset_ensure(int fd, const struct ruleset *ruleset, struct err *reterr);
/* No such table is success. */
int ruleset_delete(int fd, const char *table, struct err *reterr);
