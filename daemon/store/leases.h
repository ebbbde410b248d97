/* Typed queries on the tables `addresses` and `ports`: what a container holds on loan from start to
 * exit.  Uniqueness is the table's; choosing what to try is network/ipam.c's and network/ports.c's.
 * Loop thread only.  Addresses are in host byte order. */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "str.h"

/* One published port.  host_ip INADDR_ANY is every address of the host. */
struct port_lease {
    uint8_t proto; /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP */
    uint16_t host_port;
    uint16_t container_port;
    uint32_t host_ip;
};

/* "tcp", "udp", "sctp"; NULL / -EINVAL for anything else. */
const char *proto_name(uint8_t proto);
int proto_parse(const char *name, uint8_t *ret);

/* 0; -EEXIST if another container has the address (reterr is filled: pass NULL to try on). */
int leases_address_add(struct db *db, const char *network, uint32_t address,
                       const char *container_id, struct err *reterr);
/* First address in [from, to] that nobody holds: 1, or 0 if there is none. */
int leases_address_free(struct db *db, const char *network, uint32_t from, uint32_t to,
                        uint32_t *ret, struct err *reterr);
/* Highest address on loan: 1, or 0 if there is none. */
int leases_address_max(struct db *db, const char *network, uint32_t *ret, struct err *reterr);
/* The container's address on a network: 1, or 0 if it has none. */
int leases_address_get(struct db *db, const char *network, const char *container_id, uint32_t *ret,
                       struct err *reterr);
int leases_address_drop(struct db *db, const char *network, const char *container_id,
                        struct err *reterr);
struct lease_holder {
    char *network; /* owned */
    char container_id[ID_LEN + 1];
};
/* Who has addresses; caller frees members and *ret (NULL if none). */
int leases_address_holders(struct db *db, struct lease_holder **ret, size_t *ret_n,
                           struct err *reterr);
/* On all networks. */
int leases_address_drop_all(struct db *db, const char *container_id, struct err *reterr);

/* 0; -EEXIST if the port is taken on the same address, or on any where one of the two is
 * INADDR_ANY.  reterr is not filled for -EEXIST. */
int leases_port_add(struct db *db, const struct port_lease *lease, const char *container_id,
                    struct err *reterr);
/* The container's ports, ordered by protocol and host port; caller frees *ret (NULL if none). */
int leases_port_list(struct db *db, const char *container_id, struct port_lease **ret,
                     size_t *ret_n, struct err *reterr);
int leases_port_drop(struct db *db, const char *container_id, struct err *reterr);
