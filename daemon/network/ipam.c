#include "ipam.h"

#include <errno.h>

#include "leases.h"

struct ipam {
    struct db *db;        /* borrowed */
    char *network;        /* owned */
    struct inet4 gateway; /* with the subnet's prefix */
    uint32_t last;        /* given out most recently */
};

int ipam_new(struct db *db, const char *network, const struct inet4 *gateway, struct ipam **ret,
             struct err *reterr)
{
    uint32_t last = gateway->address;
    struct ipam *ipam;
    int r;

    r = leases_address_max(db, network, &last, reterr);
    if (r < 0)
        return r;
    ipam = xcalloc(1, sizeof(*ipam));
    ipam->db = db;
    ipam->network = xstrdup(network);
    ipam->gateway = *gateway;
    ipam->last = inet4_contains(gateway, last) ? last : gateway->address;
    *ret = ipam;
    return 0;
}

void ipam_free(struct ipam *ipam)
{
    free(ipam->network);
    free(ipam);
}

static int take_wanted(struct ipam *ipam, const char *container_id, uint32_t wanted,
                       struct err *reterr)
{
    const struct inet4 *net = &ipam->gateway;
    int r;

    if (!inet4_contains(net, wanted) || wanted == inet4_first(net) || wanted == inet4_last(net))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid address: the requested address is not in the subnet of network %s",
                       ipam->network);
    r = wanted == net->address
            ? -EEXIST
            : leases_address_add(ipam->db, ipam->network, wanted, container_id, reterr);
    if (r == -EEXIST)
        return err_set(reterr, ERR_FORBIDDEN, EADDRINUSE, "Address already in use");
    return r;
}

/* First free address in [from, to] besides the gateway: 1, or 0 if there is none. */
static int find_free(struct ipam *ipam, uint32_t from, uint32_t to, uint32_t *ret,
                     struct err *reterr)
{
    uint32_t address = 0;
    int r = leases_address_free(ipam->db, ipam->network, from, to, &address, reterr);

    if (r == 1 && address == ipam->gateway.address)
        r = leases_address_free(ipam->db, ipam->network, address + 1, to, &address, reterr);
    if (r == 1)
        *ret = address;
    return r;
}

static int take_next(struct ipam *ipam, const char *container_id, uint32_t *ret, struct err *reterr)
{
    uint32_t first = inet4_first(&ipam->gateway) + 1, last = inet4_last(&ipam->gateway) - 1;
    uint32_t address = 0;
    int r = 0;

    if (ipam->last < last)
        r = find_free(ipam, ipam->last + 1, last, &address, reterr);
    if (r == 0)
        r = find_free(ipam, first, last, &address, reterr);
    if (r < 0)
        return r;
    if (r == 0)
        return err_set(reterr, ERR_UNAVAILABLE, EADDRNOTAVAIL,
                       "no available IPv4 addresses on this network's address pools: %s",
                       ipam->network);
    r = leases_address_add(ipam->db, ipam->network, address, container_id, reterr);
    if (r < 0)
        return r;
    ipam->last = address;
    *ret = address;
    return 0;
}

int ipam_take(struct ipam *ipam, const char *container_id, uint32_t wanted, uint32_t *ret,
              struct err *reterr)
{
    uint32_t held;
    int r = leases_address_get(ipam->db, ipam->network, container_id, &held, reterr);

    if (r < 0)
        return r;
    if (r == 1 && (wanted == 0 || wanted == held)) {
        *ret = held;
        return 0;
    }
    if (r == 1) { /* another one is wanted now */
        r = ipam_release(ipam, container_id, reterr);
        if (r < 0)
            return r;
    }
    if (wanted == 0)
        return take_next(ipam, container_id, ret, reterr);
    r = take_wanted(ipam, container_id, wanted, reterr);
    if (r >= 0)
        *ret = wanted;
    return r;
}

int ipam_release(struct ipam *ipam, const char *container_id, struct err *reterr)
{
    return leases_address_drop(ipam->db, container_id, reterr);
}
