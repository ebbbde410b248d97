#include "inet4.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "str.h"

int inet4_parse_address(const char *s, uint32_t *ret)
{
    struct in_addr a;

    if (!s || inet_pton(AF_INET, s, &a) != 1)
        return -EINVAL;
    *ret = ntohl(a.s_addr);
    return 0;
}

void inet4_format_address(uint32_t address, char ret[INET4_STR_MAX])
{
    snprintf(ret, INET4_STR_MAX, "%u.%u.%u.%u", address >> 24, address >> 16 & 0xff,
             address >> 8 & 0xff, address & 0xff);
}

int inet4_parse(const char *s, struct inet4 *ret)
{
    const char *slash = s ? strchr(s, '/') : NULL;
    char address[INET_ADDRSTRLEN];
    uint64_t prefix;
    struct inet4 net;

    if (!slash || (size_t)(slash - s) >= sizeof(address))
        return -EINVAL;
    memcpy(address, s, slash - s);
    address[slash - s] = '\0';
    if (inet4_parse_address(address, &net.address) < 0 || str_parse_u64(slash + 1, 32, &prefix) < 0)
        return -EINVAL;
    net.prefix = prefix;
    *ret = net;
    return 0;
}

void inet4_format(const struct inet4 *net, char ret[INET4_STR_MAX])
{
    size_t len;

    inet4_format_address(net->address, ret);
    len = strlen(ret);
    snprintf(ret + len, INET4_STR_MAX - len, "/%u", net->prefix);
}

int inet4_parse_bip(const char *s, struct inet4 *ret, struct err *reterr)
{
    struct inet4 net;

    if (inet4_parse(s, &net) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid CIDR address: %s", s ? s : "");
    if (net.prefix < 8 || net.prefix > 30)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "bridge address %s: the prefix length must be 8 to 30", s);
    if (net.address == inet4_first(&net) || net.address == inet4_last(&net))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "bridge address %s: not the address of a host in its subnet", s);
    *ret = net;
    return 0;
}

uint32_t inet4_mask(uint8_t prefix)
{
    return prefix ? ~(uint32_t)0 << (32 - prefix) : 0;
}

uint32_t inet4_first(const struct inet4 *net)
{
    return net->address & inet4_mask(net->prefix);
}

uint32_t inet4_last(const struct inet4 *net)
{
    return net->address | ~inet4_mask(net->prefix);
}

bool inet4_contains(const struct inet4 *net, uint32_t address)
{
    return ((address ^ net->address) & inet4_mask(net->prefix)) == 0;
}

bool inet4_overlap(const struct inet4 *a, const struct inet4 *b)
{
    uint8_t shorter = a->prefix < b->prefix ? a->prefix : b->prefix;

    return ((a->address ^ b->address) & inet4_mask(shorter)) == 0;
}

/* The one that is in the way, or NULL. */
static const struct inet4 *find_overlap(const struct inet4 *candidate, const struct inet4 *used,
                                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (used[i].prefix > 0 && inet4_overlap(candidate, &used[i]))
            return &used[i];
    }
    return NULL;
}

int inet4_pool_parse(const char *s, struct inet4_pool *ret)
{
    _cleanup_free_ char *copy = xstrdup(s);
    struct inet4 base = {0};
    uint64_t size = 0;
    char *rest = copy;

    for (char *word; (word = strsep(&rest, ","));) {
        if (strncmp(word, "base=", 5) == 0
                ? inet4_parse(word + 5, &base) < 0
                : strncmp(word, "size=", 5) != 0 || str_parse_u64(word + 5, 30, &size) < 0)
            return -EINVAL;
    }
    if (base.prefix == 0 || size < base.prefix || size == 0 || base.prefix > 30)
        return -EINVAL;
    *ret = (struct inet4_pool){.first = inet4_first(&base),
                               .prefix = (uint8_t)size,
                               .count = UINT32_C(1) << (size - base.prefix)};
    return 0;
}

/* A subnet that is used is stepped over as a whole, so that wide pools cost no more than narrow
 * ones. */
static bool choose_from(const struct inet4_pool *pool, const struct inet4 *used, size_t n,
                        struct inet4 *ret)
{
    uint64_t size = UINT64_C(1) << (32 - pool->prefix), end = pool->first + pool->count * size;

    for (uint64_t at = pool->first; at < end;) {
        struct inet4 net = {(uint32_t)at, pool->prefix};
        const struct inet4 *in_the_way = find_overlap(&net, used, n);
        uint64_t behind;

        if (!in_the_way) {
            net.address++;
            *ret = net;
            return true;
        }
        behind = (uint64_t)inet4_last(in_the_way) + 1;
        at = behind > at + size ? (behind + size - 1) / size * size : at + size;
    }
    return false;
}

int inet4_choose(const struct inet4_pool *pools, size_t n_pools, const struct inet4 *used, size_t n,
                 struct inet4 *ret)
{
    static const struct inet4_pool defaults[] = {
        {0xac110000, 16, 15},  /* 172.17.0.0/16 .. 172.31.0.0/16 */
        {0xc0a80000, 20, 16},  /* 192.168.0.0/20 .. 192.168.240.0/20 */
        {0x0ae00000, 20, 512}, /* 10.224.0.0/20 .. 10.255.240.0/20 */
    };

    if (n_pools == 0) {
        pools = defaults;
        n_pools = ARRAY_SIZE(defaults);
    }
    for (size_t p = 0; p < n_pools; p++) {
        if (choose_from(&pools[p], used, n, ret))
            return 0;
    }
    return -EADDRNOTAVAIL;
}

void mac_from_address(uint32_t address, uint8_t ret[MAC_LEN])
{
    uint32_t wire = htonl(address);

    ret[0] = 0x02;
    ret[1] = 0x42;
    memcpy(ret + 2, &wire, sizeof(wire));
}

int mac_parse(const char *s, uint8_t ret[MAC_LEN])
{
    unsigned b[MAC_LEN];
    int end = 0;

    if (!s || strlen(s) != MAC_STR_MAX - 1 ||
        sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) !=
            MAC_LEN ||
        end != MAC_STR_MAX - 1)
        return -EINVAL;
    for (int i = 0; i < MAC_LEN; i++)
        ret[i] = b[i];
    return 0;
}

void mac_format(const uint8_t mac[MAC_LEN], char ret[MAC_STR_MAX])
{
    snprintf(ret, MAC_STR_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
}
