/* Shared by the files that make up the network object; nobody else includes this. */
#pragma once

#include <pthread.h>

#include "network.h"

/* Sockets are kept open and shared by the pool's threads: the kernel serialises both protocols
 * anyway (rtnl lock, nf_tables commit lock). */
struct network {
    struct network_config config; /* address and mtu filled in by bridge_open() */
    uint32_t bridge_index;
    pthread_mutex_t route_lock;
    int route_fd; /* NETLINK_ROUTE, under route_lock */
    pthread_mutex_t filter_lock;
    int filter_fd; /* NETLINK_NETFILTER, under filter_lock */
};

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
/* What the rules must be in force for first. */
int bridge_set_sysctls(const struct network *network, struct err *reterr);
int bridge_delete(struct network *network, struct err *reterr);
/* The table as configured; 1 if it was made anew, 0 if it was there.  Under filter_lock. */
int network_ensure_ruleset(struct network *network, struct err *reterr);
/* Delete a veth; none is success: 1 if there was one.  Under route_lock. */
int endpoint_delete_veth(struct network *network, const char *name, struct err *reterr);
