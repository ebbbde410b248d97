#include "ipam.h"

#include <errno.h>

#include "leases.h"

struct ipam {
    struct db *db;        /* borrowed */
    char *network;        /* owned */
    struct inet4 gateway; /* with the subnet's prefix */
    struct inet4 range;   /* to choose from */
    uint32_t *reserved;   /* owned */
    size_t n_reserved;
    uint32_t last; /* given out most recently */
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
    ipam->gateway = ipam->range = *gateway;
    ipam->last = inet4_contains(gateway, last) ? last : gateway->address;
    *ret = ipam;
    return 0;
}

void ipam_restrict(struct ipam *ipam, const struct inet4 *range, const uint32_t *reserved, size_t n)
{
    if (range->prefix > 0)
        ipam->range = *range;
    if (!inet4_contains(&ipam->range, ipam->last))
        ipam->last = inet4_first(&ipam->range) - 1;
    ipam->reserved = xcalloc(n + 1, sizeof(*reserved));
    for (size_t i = 0; i < n; i++)
        ipam->reserved[i] = reserved[i];
    ipam->n_reserved = n;
}

void ipam_free(struct ipam *ipam)
{
    free(ipam->reserved);
    free(ipam->network);
    free(ipam);
}

static bool is_reserved(const struct ipam *ipam, uint32_t address)
{
    for (size_t i = 0; i < ipam->n_reserved; i++) {
        if (ipam->reserved[i] == address)
            return true;
    }
    return address == ipam->gateway.address;
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
    r = is_reserved(ipam, wanted)
            ? -EEXIST
            : leases_address_add(ipam->db, ipam->network, wanted, container_id, reterr);
    if (r == -EEXIST)
        return err_set(reterr, ERR_FORBIDDEN, EADDRINUSE, "Address already in use");
    return r;
}

/* First free address in [from, to] besides the reserved: 1, or 0 if there is none. */
static int find_free(struct ipam *ipam, uint32_t from, uint32_t to, uint32_t *ret,
                     struct err *reterr)
{
    uint32_t address = from;
    int r;

    for (;; from = address + 1) {
        r = leases_address_free(ipam->db, ipam->network, from, to, &address, reterr);
        if (r != 1 || !is_reserved(ipam, address))
            break;
    }
    if (r == 1)
        *ret = address;
    return r;
}

static int take_next(struct ipam *ipam, const char *container_id, uint32_t *ret, struct err *reterr)
{
    uint32_t first = inet4_first(&ipam->range), last = inet4_last(&ipam->range), address = 0;
    int r = 0;

    if (first == inet4_first(&ipam->gateway))
        first++;
    if (last == inet4_last(&ipam->gateway))
        last--;
    if (ipam->last >= first && ipam->last < last)
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
    return leases_address_drop(ipam->db, ipam->network, container_id, reterr);
}
