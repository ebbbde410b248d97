/* IPv6 addresses with a prefix length, as bytes in network order.  Pure functions, any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define INET6_LEN 16
#define INET6_STR_MAX 52 /* address, "/128" */

struct inet6 {
    uint8_t address[INET6_LEN];
    uint8_t prefix; /* 0: none at all */
};

/* "a::b/n"; 0 or -EINVAL. */
int inet6_parse(const char *s, struct inet6 *ret);
int inet6_parse_address(const char *s, uint8_t ret[INET6_LEN]);
void inet6_format(const struct inet6 *net, char ret[INET6_STR_MAX]);
void inet6_format_address(const uint8_t address[INET6_LEN], char ret[INET6_STR_MAX]);
/* The network itself: host bits are 0. */
void inet6_first(const struct inet6 *net, struct inet6 *ret);
/* The first address behind it; all 0 if there is none. */
void inet6_behind(const struct inet6 *net, uint8_t ret[INET6_LEN]);
bool inet6_contains(const struct inet6 *net, const uint8_t address[INET6_LEN]);
bool inet6_overlap(const struct inet6 *a, const struct inet6 *b);
/* The address in net (prefix at most 96) whose last four bytes are an IPv4 address. */
void inet6_with4(const struct inet6 *net, uint32_t address4, uint8_t ret[INET6_LEN]);
/* A random unique local /64 (RFC 4193); 0 or -errno. */
int inet6_random_ula(struct inet6 *ret);
