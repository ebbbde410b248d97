/* rtnetlink(7) requests for links, addresses and routes, appended to a batch.
 *
 * Each put_* adds one acknowledged request; the get_* run one.  Any thread, one per socket. */
#pragma once

#include <stdbool.h>

#include "inet4.h"
#include "inet6.h"
#include "netlink.h"
#include "route.h"

/* A veth pair whose peer is born inside a namespace, the host end in a bridge, both down. */
struct rtnl_veth {
    const char *name;
    const char *peer_name;
    uint32_t master; /* index of the bridge */
    uint32_t mtu;
    const uint8_t *peer_mac; /* MAC_LEN */
    int peer_netns_fd;
};

/* A macvlan link, born inside a namespace, down. */
struct rtnl_macvlan {
    const char *name;
    uint32_t index;  /* that it is to have inside */
    uint32_t parent; /* index */
    uint32_t mode;
    const uint8_t *mac; /* MAC_LEN */
    int netns_fd;
};
void rtnl_put_macvlan(struct nl_batch *batch, const struct rtnl_macvlan *macvlan);

struct rtnl_link {
    uint32_t index; /* 0: no such link */
    bool is_bridge;
    bool is_up;
    uint32_t mtu;
};

void rtnl_put_veth(struct nl_batch *batch, const struct rtnl_veth *veth);
/* For a port that is not up yet: no IPv6 link-local address of its own (a port needs none, and
 * each costs a multicast exchange that is flooded to all ports); with hairpin it may send back
 * where it received: with br_netfilter a container's packet to its own published port is turned
 * around inside the bridge.  Isolated ports do not reach each other, only the bridge itself. */
void rtnl_put_port_options(struct nl_batch *batch, const char *name, bool hairpin, bool isolated);
void rtnl_put_link_up(struct nl_batch *batch, const char *name);
void rtnl_put_link_delete(struct nl_batch *batch, const char *name);
void rtnl_put_link_delete_index(struct nl_batch *batch, uint32_t index);
/* Address and its connected route; an address that is there already is success. */
void rtnl_put_address(struct nl_batch *batch, uint32_t index, const struct inet4 *address);
/* At once, without looking whether somebody else has it: it is ours to give. */
void rtnl_put_address6(struct nl_batch *batch, uint32_t index, const struct inet6 *address);
void rtnl_put_default_route6(struct nl_batch *batch, uint32_t index,
                             const uint8_t gateway[INET6_LEN]);
void rtnl_put_address_delete(struct nl_batch *batch, uint32_t index, const struct inet4 *address);
void rtnl_put_default_route(struct nl_batch *batch, uint32_t index, uint32_t gateway);
void rtnl_put_route(struct nl_batch *batch, uint32_t index, const struct route *route,
                    uint32_t metric);
/* The default route of this link; -ESRCH if there is none.  family: AF_INET, AF_INET6. */
void rtnl_put_default_route_delete(struct nl_batch *batch, uint32_t index, uint8_t family);
/* The reply goes to rtnl_on_link() with a struct rtnl_link. */
void rtnl_put_link_get(struct nl_batch *batch, const char *name);
int rtnl_on_link(const struct nlmsghdr *reply, void *link);

/* 0 also if there is no such link (index 0). */
int rtnl_get_link(int fd, const char *name, struct rtnl_link *ret, struct err *reterr);

struct rtnl_address {
    uint32_t index; /* of its link; 0 for the destination of a route */
    struct inet4 net;
};

struct rtnl_addresses {
    struct rtnl_address *list; /* owned */
    size_t n;
};

void rtnl_addresses_done(struct rtnl_addresses *addresses);
/* Append all IPv4 addresses of the host, and the destinations of all its routes. */
int rtnl_get_addresses(int fd, struct rtnl_addresses *addresses, struct err *reterr);

/* Names of all links in a bridge (strv_free). */
int rtnl_get_ports(int fd, uint32_t master, char ***ret, struct err *reterr);
