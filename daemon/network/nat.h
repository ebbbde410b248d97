/* Published ports: elements of the maps of the ruleset, and of the sets of relayed ones.  Ports in
 * a row are one element with an interval, where they keep their numbers or are relayed. */
#pragma once

#include <stdbool.h>

#include "inet6.h"
#include "leases.h"
#include "netlink.h"

/* Ports in a row that are worth an interval: sets of these are copied when one of them changes,
 * while single ports cost the same however many there are. */
#define NAT_RANGE_MIN 8

#define NAT_KEY_MAX 24
#define NAT_DATA_LEN 8
#define NAT_DATA6_LEN 20

/* Key of a lease in its map, each field padded to four bytes as nf_tables wants it; the length. */
size_t nat_key(const struct port_lease *lease, uint8_t ret[NAT_KEY_MAX]);
void nat_data(const struct port_lease *lease, uint32_t address, uint8_t ret[NAT_DATA_LEN]);

/* Ports that lead to one container. */
struct nat_target {
    uint32_t address;
    struct inet6 address6;          /* prefix 0: none; what comes by IPv6 is then relayed */
    bool obeys_input;               /* all that comes from outside is relayed */
    const struct port_lease *ports; /* borrowed */
    size_t n_ports;
};

/* Has it elements in the table of IPv6? */
bool nat_needs_ipv6(const struct nat_target *target);

/* Append requests that publish all of them, in the batch's family. */
void nat_put(struct nl_batch *batch, const char *table, const struct nat_target *targets, size_t n);
/* Each in one transaction.  fd: NETLINK_NETFILTER.
 * nat_publish: -EEXIST if a port leads elsewhere already, -ENOENT if the table is gone. */
int nat_publish(int fd, const char *table, const struct nat_target *target, struct err *reterr);
/* Ports that are not published (or no table) are success. */
int nat_withdraw(int fd, const char *table, const struct nat_target *target, struct err *reterr);
