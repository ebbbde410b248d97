/* IPv4 addresses with a prefix length: parsing, overlap, choice of a free subnet.  Pure functions,
 * any thread.  Addresses are in host byte order throughout the project; only netlink and nftables
 * messages hold them in network byte order. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct inet4 {
    uint32_t address;
    uint8_t prefix; /* 0..32 */
};

#define INET4_STR_MAX 20 /* "255.255.255.255/32" */
#define MAC_LEN 6
#define MAC_STR_MAX 18

/* Dotted quad; 0 or -EINVAL. */
int inet4_parse_address(const char *s, uint32_t *ret);
void inet4_format_address(uint32_t address, char ret[INET4_STR_MAX]);
/* "a.b.c.d/n"; 0 or -EINVAL. */
int inet4_parse(const char *s, struct inet4 *ret);
void inet4_format(const struct inet4 *net, char ret[INET4_STR_MAX]);

/* --bip: a host address with a prefix of /8../30 that is neither network nor broadcast address. */
int inet4_parse_bip(const char *s, struct inet4 *ret, struct err *reterr);

uint32_t inet4_mask(uint8_t prefix);
uint32_t inet4_first(const struct inet4 *net); /* network address */
uint32_t inet4_last(const struct inet4 *net);  /* broadcast address */
bool inet4_contains(const struct inet4 *net, uint32_t address);
bool inet4_overlap(const struct inet4 *a, const struct inet4 *b);

/* Subnets of one size to choose from, one after the other. */
struct inet4_pool {
    uint32_t first;
    uint8_t prefix; /* of each */
    uint32_t count;
};
#define INET4_POOLS_MAX 64

/* "base=10.0.0.0/8,size=24", in any order; 0 or -EINVAL. */
int inet4_pool_parse(const char *s, struct inet4_pool *ret);

/* The first subnet of pools[n_pools] that overlaps none of used[n] (entries with prefix 0, default
 * routes, are ignored); the bridge gets its first host address.  Without pools it is of Docker's
 * (172.17..31.0.0/16, then 192.168.0.0/16 in steps of /20), or when all 31 are taken of
 * 10.224.0.0/11 in steps of /20.  0 or -EADDRNOTAVAIL. */
int inet4_choose(const struct inet4_pool *pools, size_t n_pools, const struct inet4 *used, size_t n,
                 struct inet4 *ret);

/* 02:42 + the address, as Docker does: an address that is given out again keeps its MAC, so no
 * neighbour's ARP entry is ever stale; the bridge forgets the old port with the old veth. */
void mac_from_address(uint32_t address, uint8_t ret[MAC_LEN]);
int mac_parse(const char *s, uint8_t ret[MAC_LEN]);
void mac_format(const uint8_t mac[MAC_LEN], char ret[MAC_STR_MAX]);
