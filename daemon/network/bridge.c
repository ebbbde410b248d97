#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "bridge_link.h"
#include "fd.h"
#include "internal.h"
#include "rtnl.h"
#include "str.h"

/* Daemons that start at the same time choose their subnets one after the other. */
#define CHOICE_LOCK "/run/containerd-lite.network.lock"

static int choose_address(const struct network *network, const struct rtnl_addresses *addresses,
                          struct inet4 *ret, struct err *reterr)
{
    const struct network_config *config = &network->config;
    const struct fabric *fabric = network->fabric;
    size_t n = addresses->n + config->n_reserved;
    _cleanup_free_ struct inet4 *used = xcalloc(n + 1, sizeof(*used));

    for (size_t i = 0; i < addresses->n; i++)
        used[i] = addresses->list[i].net;
    for (size_t i = 0; i < config->n_reserved; i++)
        used[addresses->n + i] = config->reserved[i];
    if (inet4_choose(fabric->pools, fabric->n_pools, used, n, ret) < 0)
        return err_set(reterr, ERR_UNAVAILABLE, EADDRNOTAVAIL,
                       "could not find an available, non-overlapping IPv4 address pool among the "
                       "defaults to assign to the network");
    return 0;
}

/* The wanted address, else the one an existing bridge has, else a free one. */
static int settle_address(struct network *network, const struct rtnl_link *link,
                          const struct rtnl_addresses *addresses, struct err *reterr)
{
    struct inet4 *address = &network->config.address;

    for (size_t i = 0; i < addresses->n && address->address == 0; i++) {
        if (link->index && addresses->list[i].index == link->index)
            *address = addresses->list[i].net;
    }
    if (address->address != 0)
        return 0;
    if (!network->config.bridge_is_ours)
        return err_set(reterr, ERR_INVALID, EADDRNOTAVAIL, "bridge %s has no IPv4 address",
                       network->config.bridge);
    return choose_address(network, addresses, address, reterr);
}

/* No multicast router lives here: without snooping a port has no timers and tables for it.  A
 * read-only /sys only costs those. */
static void tune_bridge(const char *name)
{
    _cleanup_free_ char *path = xasprintf("/sys/class/net/%s/bridge/multicast_snooping", name);

    (void)file_write(AT_FDCWD, path, "0", 1);
}

static int create_bridge(struct network *network, struct rtnl_link *link, struct err *reterr)
{
    const struct network_config *c = &network->config;
    uint8_t mac[MAC_LEN];
    int r;

    /* A bridge without an address of its own takes that of one port or another as they come and
     * go, and every neighbour's ARP entry for the gateway goes stale. */
    mac_from_address(c->address.address, mac);
    r = bridge_link_create(c->bridge, mac, c->mtu, &c->address, reterr);
    if (r < 0)
        return r;
    network->bridge_is_new = true;
    tune_bridge(c->bridge);
    return rtnl_get_link(network->fabric->route_fd, c->bridge, link, reterr);
}

/* Our bridge has the one address and is up. */
static int configure_bridge(struct network *network, const struct rtnl_link *link,
                            const struct rtnl_addresses *addresses, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    const struct inet4 *want = &network->config.address;
    int r;

    for (size_t i = 0; i < addresses->n; i++) {
        const struct rtnl_address *a = &addresses->list[i];

        if (a->index == link->index &&
            (a->net.address != want->address || a->net.prefix != want->prefix))
            rtnl_put_address_delete(&batch, link->index, &a->net);
    }
    rtnl_put_address(&batch, link->index, want);
    if (network->config.address6.prefix)
        rtnl_put_address6(&batch, link->index, &network->config.address6);
    if (!link->is_up)
        rtnl_put_link_up(&batch, network->config.bridge);
    r = nl_run(network->fabric->route_fd, &batch, NULL, NULL, reterr);
    return r < 0 ? err_wrap(reterr, "bridge %s", network->config.bridge) : 0;
}

static int check_link(const struct network *network, const struct rtnl_link *link,
                      struct err *reterr)
{
    const char *name = network->config.bridge;

    if (link->index == 0 && !network->config.bridge_is_ours)
        return err_set(reterr, ERR_INVALID, ENODEV, "bridge %s does not exist", name);
    if (link->index != 0 && !link->is_bridge)
        return err_set(reterr, ERR_INVALID, EEXIST, "network device %s exists and is no bridge",
                       name);
    return 0;
}

/* Write unless it is so already: /proc/sys may be read-only, and right. */
static int set_sysctl(const char *path, const char *value)
{
    _cleanup_free_ char *now = NULL;
    ssize_t n = file_read(AT_FDCWD, path, 64, &now);

    if (n > 0 && now[0] == value[0])
        return 0;
    return file_write(AT_FDCWD, path, value, strlen(value));
}

/* The host must not take router advertisements from containers (CVE-2020-13401), and on an IPv4
 * network not be reachable by link-local addresses.  No IPv6 at all is as good.  Its own link-local
 * address is nobody's but its own: while that was being detected, for a second or two after the
 * first container's link comes up, the host would not look for neighbours for packets that it
 * forwards. */
static int settle_ipv6(const struct network *network, struct err *reterr)
{
    const char *name = network->config.bridge;
    _cleanup_free_ char *disable = xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    _cleanup_free_ char *accept = xasprintf("/proc/sys/net/ipv6/conf/%s/accept_ra", name);
    _cleanup_free_ char *dad = xasprintf("/proc/sys/net/ipv6/conf/%s/accept_dad", name);
    bool wanted = network->config.address6.prefix;
    int r = 0;

    if (wanted)
        r = set_sysctl(accept, "0");
    if (wanted && r >= 0)
        r = set_sysctl(dad, "0");
    if (r >= 0)
        r = set_sysctl(disable, wanted ? "0" : "1");
    if (r == -ENOENT && !wanted)
        return 0;
    return r < 0 ? err_sys(reterr, -r, "set %s", disable) : 0;
}

/* A host that forwards takes no router advertisements any more, unless it is told to: links that
 * did go on doing so. */
static int forward_ipv6(struct err *reterr)
{
    struct if_nameindex *links = if_nameindex();
    int r;

    for (size_t i = 0; links && links[i].if_index; i++) {
        _cleanup_free_ char *path =
            xasprintf("/proc/sys/net/ipv6/conf/%s/accept_ra", links[i].if_name);
        _cleanup_free_ char *now = NULL;

        if (file_read(AT_FDCWD, path, 64, &now) > 0 && now[0] == '1')
            (void)file_write(AT_FDCWD, path, "2", 1);
    }
    if (links)
        if_freenameindex(links);
    r = set_sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    return r < 0 ? err_sys(reterr, -r, "enable net.ipv6.conf.all.forwarding") : 0;
}

/* Under route_lock. */
static int settle_bridge(struct network *network, struct err *reterr)
{
    _cleanup_(rtnl_addresses_done) struct rtnl_addresses addresses = {0};
    int route_fd = network->fabric->route_fd;
    struct rtnl_link link;
    int r = rtnl_get_link(route_fd, network->config.bridge, &link, reterr);

    if (r >= 0)
        r = check_link(network, &link, reterr);
    if (r >= 0)
        r = rtnl_get_addresses(route_fd, &addresses, reterr);
    if (r >= 0)
        r = settle_address(network, &link, &addresses, reterr);
    if (r >= 0 && link.index == 0)
        r = create_bridge(network, &link, reterr);
    if (r >= 0 && network->config.bridge_is_ours)
        r = settle_ipv6(network, reterr);
    if (r >= 0 && network->config.bridge_is_ours)
        r = configure_bridge(network, &link, &addresses, reterr);
    if (r < 0)
        return r;
    network->bridge_index = link.index;
    if (!network->config.bridge_is_ours && link.mtu)
        network->config.mtu = link.mtu;
    return 0;
}

int bridge_open(struct network *network, struct err *reterr)
{
    _cleanup_close_ int lock = open(CHOICE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (lock >= 0)
        flock(lock, LOCK_EX);
    LOCKED(&network->fabric->route_lock);
    return settle_bridge(network, reterr);
}

int bridge_set_sysctls(const struct network *network, struct err *reterr)
{
    const char *name = network->config.bridge;
    _cleanup_free_ char *localnet = xasprintf("/proc/sys/net/ipv4/conf/%s/route_localnet", name);
    int r;

    if (network->config.ip_forward) {
        r = set_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
        if (r < 0)
            return err_sys(reterr, -r, "enable net.ipv4.ip_forward");
    }
    r = set_sysctl(localnet, "1");
    if (r < 0)
        return err_sys(reterr, -r, "enable %s", localnet);
    if (network->config.ip_forward && network->config.address6.prefix)
        return forward_ipv6(reterr);
    return 0;
}

int bridge_delete(struct network *network, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    int r;

    rtnl_put_link_delete(&batch, network->config.bridge);
    r = nl_run(network->fabric->route_fd, &batch, NULL, NULL, reterr);
    return r == -ENODEV ? 0 : r;
}
