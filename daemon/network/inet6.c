#include "inet6.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "str.h"

int inet6_parse_address(const char *s, uint8_t ret[INET6_LEN])
{
    return s && inet_pton(AF_INET6, s, ret) == 1 ? 0 : -EINVAL;
}

int inet6_parse(const char *s, struct inet6 *ret)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = s ? strchr(s, '/') : NULL;
    uint64_t prefix;

    if (!slash || (size_t)(slash - s) >= sizeof(address))
        return -EINVAL;
    memcpy(address, s, (size_t)(slash - s));
    address[slash - s] = '\0';
    if (str_parse_u64(slash + 1, 128, &prefix) < 0 || prefix == 0)
        return -EINVAL;
    ret->prefix = (uint8_t)prefix;
    return inet6_parse_address(address, ret->address);
}

void inet6_format_address(const uint8_t address[INET6_LEN], char ret[INET6_STR_MAX])
{
    inet_ntop(AF_INET6, address, ret, INET6_STR_MAX);
}

void inet6_format(const struct inet6 *net, char ret[INET6_STR_MAX])
{
    size_t n;

    inet6_format_address(net->address, ret);
    n = strlen(ret);
    snprintf(ret + n, INET6_STR_MAX - n, "/%u", net->prefix);
}

/* Of byte i those bits that belong to the prefix. */
static uint8_t mask_at(uint8_t prefix, int i)
{
    int bits = prefix - 8 * i;

    return bits >= 8 ? 0xff : bits <= 0 ? 0 : (uint8_t)(0xff << (8 - bits));
}

void inet6_first(const struct inet6 *net, struct inet6 *ret)
{
    for (int i = 0; i < INET6_LEN; i++)
        ret->address[i] = net->address[i] & mask_at(net->prefix, i);
    ret->prefix = net->prefix;
}

void inet6_behind(const struct inet6 *net, uint8_t ret[INET6_LEN])
{
    unsigned carry = 1;

    for (int i = INET6_LEN - 1; i >= 0; i--) {
        unsigned v = (net->address[i] | (uint8_t)~mask_at(net->prefix, i)) + carry;

        ret[i] = (uint8_t)v;
        carry = v >> 8;
    }
}

bool inet6_contains(const struct inet6 *net, const uint8_t address[INET6_LEN])
{
    for (int i = 0; i < INET6_LEN; i++) {
        if ((net->address[i] ^ address[i]) & mask_at(net->prefix, i))
            return false;
    }
    return true;
}

bool inet6_overlap(const struct inet6 *a, const struct inet6 *b)
{
    return a->prefix < b->prefix ? inet6_contains(a, b->address) : inet6_contains(b, a->address);
}

void inet6_with4(const struct inet6 *net, uint32_t address4, uint8_t ret[INET6_LEN])
{
    uint32_t wire = htonl(address4);
    struct inet6 first;

    inet6_first(net, &first);
    memcpy(ret, first.address, INET6_LEN);
    memcpy(ret + INET6_LEN - sizeof(wire), &wire, sizeof(wire));
}

int inet6_random_ula(struct inet6 *ret)
{
    *ret = (struct inet6){.prefix = 64};
    ret->address[0] = 0xfd;
    return getrandom(ret->address + 1, 7, 0) == 7 ? 0 : -EIO;
}
