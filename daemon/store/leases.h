/* Typed queries on the tables `addresses` and `ports`: what a container holds on loan from start to
 * exit.  Uniqueness is the table's; choosing what to try is network/ipam.c's and network/ports.c's.
 * Loop thread only.  Addresses are in host byte order. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "str.h"

/* One published port.  Family 0 with INADDR_ANY is every address of the host, of both families;
 * with AF_INET or AF_INET6 the address that is 0 is every one of that family. */
struct port_lease {
    uint8_t proto;  /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP */
    uint8_t family; /* AF_INET6: of host_ip6; else of host_ip */
    uint16_t host_port;
    uint16_t container_port;
    uint32_t host_ip;
    uint8_t host_ip6[16]; /* network byte order */
};

bool lease_on_ipv4(const struct port_lease *lease);
bool lease_on_ipv6(const struct port_lease *lease);
/* Every address, of the family or families that it is on? */
bool lease_on_any(const struct port_lease *lease);
#define LEASE_IP_MAX 46 /* INET6_ADDRSTRLEN */
/* The address as Docker writes it: "0.0.0.0" is any, also of both families. */
void lease_format_ip(const struct port_lease *lease, char ret[LEASE_IP_MAX]);

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

/* 0; -EEXIST if the port is taken on the same address, or on any where one of the two is any
 * of the family.  reterr is not filled for -EEXIST. */
int leases_port_add(struct db *db, const struct port_lease *lease, const char *container_id,
                    struct err *reterr);
/* The container's ports, ordered by protocol and host port; caller frees *ret (NULL if none). */
int leases_port_list(struct db *db, const char *container_id, struct port_lease **ret,
                     size_t *ret_n, struct err *reterr);
int leases_port_drop(struct db *db, const char *container_id, struct err *reterr);
