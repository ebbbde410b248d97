/* Shared by the files that make up fabric and network; nobody else includes this. */
#pragma once

#include <pthread.h>

#include "map.h"
#include "network.h"
#include "reaper.h"
#include "relay.h"

/* Sockets are kept open and shared by the pool's threads: the kernel serialises both protocols
 * anyway (rtnl lock, nf_tables commit lock). */
struct fabric {
    char table[NETWORK_TABLE_MAX];
    pthread_mutex_t open_lock; /* one network at a time chooses its subnet */
    pthread_mutex_t route_lock;
    int route_fd; /* NETLINK_ROUTE, under route_lock */
    pthread_mutex_t filter_lock;
    int filter_fd;         /* NETLINK_NETFILTER, under filter_lock */
    struct reaper *reaper; /* owned */
    bool obeys_input;
    struct inet4_pool *pools; /* owned */
    size_t n_pools;
    struct relay *relay; /* owned; NULL: this kernel has none */
    /* What the table holds, under filter_lock. */
    bool has_ipv6;             /* the table of that family is there */
    struct network **networks; /* owned array of borrowed pointers */
    size_t n_networks;
    struct map published; /* veth -> struct published, owned */
};

/* The ports of one container, as they are in the table. */
struct published {
    uint32_t address;
    struct inet6 address6;
    size_t n_ports;
    struct port_lease ports[];
};

struct network {
    struct fabric *fabric;        /* borrowed */
    struct network_config config; /* address and mtu filled in by bridge_open() */
    uint32_t bridge_index;        /* none of macvlan */
    bool bridge_is_new;           /* made by this bridge_open() */
};

static inline bool network_is_macvlan(const struct network *network)
{
    return network->config.parent[0] != '\0';
}

static inline void unlockp(pthread_mutex_t **lock)
{
    pthread_mutex_unlock(*lock);
}

/* Hold a lock to the end of the scope. */
#define LOCKED(lock)                                                                               \
    _cleanup_(unlockp) pthread_mutex_t *locked_ = (lock);                                          \
    pthread_mutex_lock(locked_)

/* Make or adopt the bridge with its address; fills in bridge_index and config. */
int bridge_open(struct network *network, struct err *reterr);
/* The index that the parent of a macvlan network has now: it may have been made again since.  Under
 * route_lock. */
int network_find_parent(const struct network *network, uint32_t *ret, struct err *reterr);
/* What the rules must be in force for first. */
int bridge_set_sysctls(const struct network *network, struct err *reterr);
int bridge_delete(struct network *network, struct err *reterr);
/* Delete a veth; none is success: 1 if there was one.  Under route_lock. */
int endpoint_delete_veth(struct fabric *fabric, const char *name, struct err *reterr);

/* ---- fabric.c: all under filter_lock ---- */

/* The network's elements are in the table from here on. */
int fabric_add(struct fabric *fabric, struct network *network, struct err *reterr);
/* Not any more.  table_too: false leaves the kernel alone. */
int fabric_remove(struct fabric *fabric, struct network *network, bool table_too,
                  struct err *reterr);
int fabric_publish(struct fabric *fabric, const struct endpoint_spec *spec, struct err *reterr);
int fabric_withdraw(struct fabric *fabric, const struct endpoint_spec *spec, struct err *reterr);
