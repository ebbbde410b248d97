/* Static routes of a network, which each of its containers gets: the text that the request gives,
 * "10.9.0.0/16=172.18.0.5,fd00:9::/64=fd00:1::5", parsed and checked.  Pure functions, any
 * thread. */
#pragma once

#include <stddef.h>

#include "err.h"
#include "inet4.h"
#include "inet6.h"

#define ROUTES_MAX 64 /* of one network */

struct route {
    struct inet4 to; /* with to6.prefix 0 */
    struct inet6 to6;
    uint32_t via;
    uint8_t via6[INET6_LEN];
};

struct routes {
    size_t n;
    struct route list[ROUTES_MAX];
};

/* DESTINATION=GATEWAY, separated by commas; "" is none.  Destinations are networks, none twice, and
 * not all there is: the default route is the network's own.  -EINVAL. */
int routes_parse(const char *text, struct routes *ret, struct err *reterr);
/* Do the gateways live in the network, and the destinations not?  Prefix 0: it has no subnet of the
 * family, or none that was named.  -EINVAL. */
int routes_check(const struct routes *routes, const struct inet4 *subnet,
                 const struct inet6 *subnet6, struct err *reterr);

#define ROUTE_STR_MAX (INET6_STR_MAX * 2)
/* "DESTINATION=GATEWAY" */
void route_format(const struct route *route, char ret[ROUTE_STR_MAX]);
