/* The bridge network of one daemon: a bridge, one nftables table, and a veth pair per container.
 *
 * Nothing here keeps state of its own: addresses and ports are leases in the database (ipam.h,
 * ports.h), the rest is in the kernel and survives the daemon.  Adding a container makes links and
 * map elements, never rules.  Tables, chains and links of others are never touched.
 *
 * With --bridge=none there is no network object at all; containers then get
 * endpoint_loopback_up(). */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "inet4.h"
#include "leases.h"
#include "mem.h"

#define NETWORK_TABLE_MAX 32
#define NETWORK_MTU_DEFAULT 1500

struct network_config {
    char bridge[IFNAMSIZ];
    char table[NETWORK_TABLE_MAX]; /* name of the nftables table (family ip) */
    struct inet4 address;          /* of the bridge; address 0: adopt the bridge's or choose */
    uint32_t mtu;                  /* 0: NETWORK_MTU_DEFAULT */
    bool ip_forward;               /* switch net.ipv4.ip_forward on */
    bool bridge_is_ours; /* false (--bridge=NAME): must exist with an address, is not changed */
};

struct network;

/* Make or adopt bridge and table; idempotent, also after a crash at any step.  The published ports
 * of an existing table stay in force if its rules are the wanted ones; otherwise it is replaced, so
 * call network_reconcile() afterwards.  Blocks for some milliseconds: call at start. */
int network_open(const struct network_config *config, struct network **ret, struct err *reterr);
/* Frees the object; everything in the kernel stays. */
void network_close(struct network *network);
DEFINE_FREEP(struct network *, network_close)
/* Remove table and (if ours) bridge; the object stays to be closed. */
int network_destroy(struct network *network, struct err *reterr);

/* The bridge's address is the containers' gateway; store it and pass it in next time. */
struct inet4 network_address(const struct network *network);
uint32_t network_mtu(const struct network *network);
const char *network_bridge(const struct network *network);

/* One container on the bridge.  A value: pool threads get a copy, `ports` is borrowed for the call.
 */
struct endpoint_spec {
    char veth[IFNAMSIZ];  /* host end, from endpoint_veth_name() */
    uint32_t address;     /* from ipam_take() */
    uint8_t mac[MAC_LEN]; /* normally mac_from_address(address) */
    const struct port_lease *ports;
    size_t n_ports;
};

/* Name of the host end, out of this network's prefix and an id of >= 10 hex digits (container or
 * endpoint). */
void endpoint_veth_name(const struct network *network, const char *id, char ret[IFNAMSIZ]);

/* Connect the network namespace netns_fd: lo, eth0 with address, MAC and default route, published
 * ports.  rtnl_fd: a NETLINK_ROUTE socket made inside that namespace (stays the caller's), or < 0:
 * the calling thread visits the namespace to make one.  Any thread.  On failure nothing is left
 * behind. */
int endpoint_up(struct network *network, const struct endpoint_spec *spec, int netns_fd,
                int rtnl_fd, struct err *reterr);

/* For --network none: lo only.  Any thread. */
int endpoint_loopback_up(int netns_fd, int rtnl_fd, struct err *reterr);

enum endpoint_down_flags {
    ENDPOINT_DELETE_VETH = 1, /* else the veth pair dies with the network namespace */
};

/* Withdraw the published ports (and forget UDP flows to the container, which would outlive it in
 * conntrack).  What is gone already is success.  Call it before the leases go back: it withdraws
 * by host port, whoever has that.  Any thread. */
int endpoint_down(struct network *network, const struct endpoint_spec *spec, unsigned flags,
                  struct err *reterr);

/* After a restart of the daemon: in one transaction the maps hold exactly the ports of specs[n];
 * veths of this network that belong to none of them are deleted. */
int network_reconcile(struct network *network, const struct endpoint_spec *specs, size_t n,
                      struct err *reterr);
