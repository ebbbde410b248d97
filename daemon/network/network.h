/* The networks of one daemon.  A fabric is what they share: one nftables table and two netlink
 * sockets; a network is a bridge, and some elements in the table's sets; a container on it has a
 * veth pair, and an element for each port it publishes.  Rules never change.
 *
 * Addresses and ports are leases in the database (ipam.h, ports.h); bridges and veths are in the
 * kernel and survive the daemon.  What the table should hold is kept here as well, so that it can
 * be made again when somebody has flushed it.  Tables, chains and links of others are never
 * touched. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "inet4.h"
#include "inet6.h"
#include "leases.h"
#include "mem.h"
#include "route.h"

#define NETWORK_TABLE_MAX 32
#define NETWORK_MTU_DEFAULT 1500

/* ---- what all networks share ---- */

struct fabric;

struct fabric_config {
    const char *table; /* name of the nftables table (families ip and, once needed, ip6) */
    bool obeys_input;  /* the INPUT chain of the host decides about what comes from outside */
    const struct inet4_pool *pools; /* for networks that name no subnet; copied */
    size_t n_pools;                 /* 0: Docker's */
};

/* The table is made when the first network is opened.  Opens some sockets, nothing else. */
int fabric_open(const struct fabric_config *config, struct fabric **ret, struct err *reterr);
/* Close the networks first.  Everything in the kernel stays. */
void fabric_close(struct fabric *fabric);
DEFINE_FREEP(struct fabric *, fabric_close)

/* Are TCP ports published on all addresses reachable at those of IPv6 even where the container has
 * none?  NULL: no. */
bool fabric_relays_ipv6(const struct fabric *fabric);

/* One transaction: the table as it should be, with all networks and published ports, in place of
 * the one that is there or is gone.  Any thread. */
int fabric_rebuild(struct fabric *fabric, struct err *reterr);

/* A socket, nonblocking, that tells what others change in nftables; what the fabric does itself is
 * filtered out in the kernel.  fd or -errno; the caller's. */
int fabric_monitor(const struct fabric *fabric);
enum fabric_news {
    FABRIC_LOST = 1,    /* something of our table was deleted, or could have been */
    FABRIC_FOREIGN = 2, /* the FORWARD chain of iptables may drop now, or not have our rule */
};
/* Read all that has arrived: flags of fabric_news. */
unsigned fabric_monitor_read(const struct fabric *fabric, int fd);
/* Let our packets pass the FORWARD chain of iptables where its policy drops them.  What
 * network_open and the others do, for when that changes.  Any thread. */
void fabric_settle_forward(struct fabric *fabric);

/* ---- one network ---- */

struct network_config {
    char bridge[IFNAMSIZ];
    /* Not "": no bridge but a macvlan link on this one for each container, beside the host and in
     * none of its rules; address is then that of the router outside, and given. */
    char parent[IFNAMSIZ];
    bool parent_may_be_gone; /* now: it is looked for with each container */
    uint32_t macvlan_mode;   /* MACVLAN_MODE_* of linux/if_link.h; 0: bridge */
    struct inet4 address;    /* of the bridge; address 0: adopt the bridge's or choose */
    struct inet6 address6;   /* of the bridge, too; prefix 0: none */
    uint32_t mtu;            /* 0: NETWORK_MTU_DEFAULT */
    bool ip_forward;         /* switch net.ipv4.ip_forward on */
    bool bridge_is_ours;     /* false (--bridge=NAME): must exist with an address, is not changed */
    bool internal;           /* nothing leads in or out */
    bool no_icc;             /* its containers do not reach each other */
    bool no_masquerade;      /* outside they are seen by their own addresses */
    struct routes routes;    /* of its containers */
    /* Subnets that must not be chosen besides what the host routes; borrowed for the call. */
    const struct inet4 *reserved;
    size_t n_reserved;
};

struct network;

/* Make or adopt bridge and table; idempotent, also after a crash at any step.  The published ports
 * of an existing table stay in force if its rules are the wanted ones; otherwise it is replaced, so
 * call fabric_reconcile() afterwards.  Blocks for some milliseconds.  Any thread. */
int network_open(struct fabric *fabric, const struct network_config *config, struct network **ret,
                 struct err *reterr);
/* Frees the object; everything in the kernel stays. */
void network_close(struct network *network);
DEFINE_FREEP(struct network *, network_close)
/* Take it out of the table and remove the bridge, if it is ours; the object stays to be closed.
 * Any thread. */
int network_destroy(struct network *network, struct err *reterr);

/* Is there a link of this name?  Then a network of that bridge would adopt it. */
bool network_link_exists(const char *name);

/* The bridge's address is the containers' gateway; store it and pass it in next time. */
struct inet4 network_address(const struct network *network);
struct inet6 network_address6(const struct network *network);
uint32_t network_mtu(const struct network *network);
const char *network_bridge(const struct network *network);

/* ---- one container on it ---- */

#define LINK_LOCAL_MAX 8 /* of one endpoint */

/* A value: pool threads get a copy, `ports` is borrowed for the call. */
struct endpoint_spec {
    struct network *network;
    char veth[IFNAMSIZ];                     /* host end, from endpoint_veth_name() */
    char ifname[IFNAMSIZ];                   /* inside: eth0, eth1, ... */
    uint32_t address;                        /* from ipam_take() */
    struct inet6 address6;                   /* prefix 0: none */
    uint8_t mac[MAC_LEN];                    /* normally mac_from_address(address) */
    struct inet4 link_local[LINK_LOCAL_MAX]; /* further ones, up to the first with prefix 0 */
    bool gateway;                            /* the default route leads here */
    const struct port_lease *ports;
    size_t n_ports;
};

/* Name of the host end, out of this fabric's mark and an endpoint's id of >= 10 hex digits. */
void endpoint_veth_name(const struct fabric *fabric, const char *id, char ret[IFNAMSIZ]);

/* Connect the network namespace netns_fd: lo, the link with address and MAC, default and static
 * routes, published ports.  rtnl_fd: a NETLINK_ROUTE socket made inside that namespace (stays the
 * caller's), or < 0: the calling thread visits the namespace to make one.  Any thread.  On failure
 * nothing is left behind. */
int endpoint_up(const struct endpoint_spec *spec, int netns_fd, int rtnl_fd, struct err *reterr);

/* For --network none: lo only.  Any thread. */
int endpoint_loopback_up(int netns_fd, int rtnl_fd, struct err *reterr);

/* A NETLINK_ROUTE socket of another network namespace; fd or -errno.  Any thread. */
int endpoint_open_socket(int netns_fd);

/* Of an endpoint that is up: lead the default route here (spec->gateway), or away from here if it
 * does, and publish (or withdraw) its ports. */
int endpoint_set_gateway(const struct endpoint_spec *spec, int rtnl_fd, struct err *reterr);

enum endpoint_down_flags {
    ENDPOINT_DELETE_LINK = 1, /* else the link dies with the network namespace */
};

/* Withdraw the published ports (and forget UDP flows to the container, which would outlive it in
 * conntrack).  What is gone already is success.  Call it before the leases go back: it withdraws
 * by host port, whoever has that.  rtnl_fd: made inside, to delete the link; else unused.  Any
 * thread. */
int endpoint_down(const struct endpoint_spec *spec, unsigned flags, int rtnl_fd,
                  struct err *reterr);

/* A container has ended, and the link dies with its network namespace; if that lives on, which is
 * what a socket with something to say to a peer that does not answer any more makes it do for
 * minutes, it is deleted half a second from now.  Before a link of that name may be made again;
 * what is gone already is success.  Any thread. */
int endpoint_expect_end(struct fabric *fabric, const char *veth, struct err *reterr);

/* After a restart of the daemon: in one transaction the sets and maps hold exactly the open
 * networks and the ports of specs[n]; veths in our bridges that belong to none of them are
 * deleted. */
int fabric_reconcile(struct fabric *fabric, const struct endpoint_spec *specs, size_t n,
                     struct err *reterr);
