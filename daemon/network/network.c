#include "network.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "internal.h"
#include "map.h"
#include "nat.h"
#include "rtnl.h"
#include "ruleset.h"
#include "str.h"

#define VETH_PREFIX_LEN 5

static int check_config(const struct network_config *config, struct err *reterr)
{
    if (str_empty(config->bridge) || !str_is_filename(config->bridge))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid bridge name: '%s'", config->bridge);
    if (str_empty(config->table))
        return err_set(reterr, ERR_INVALID, EINVAL, "the nftables table needs a name");
    return 0;
}

static int open_sockets(struct network *network, struct err *reterr)
{
    network->route_fd = nl_open(NETLINK_ROUTE);
    if (network->route_fd < 0)
        return err_sys(reterr, -network->route_fd, "open rtnetlink socket");
    network->filter_fd = nl_open(NETLINK_NETFILTER);
    if (network->filter_fd < 0)
        return err_sys(reterr, -network->filter_fd, "open nftables socket");
    return 0;
}

int network_ensure_ruleset(struct network *network, struct err *reterr)
{
    struct ruleset set = {.table = network->config.table,
                          .bridge = network->config.bridge,
                          .subnet = network->config.address};

    return ruleset_ensure(network->filter_fd, &set, reterr);
}

int network_open(const struct network_config *config, struct network **ret, struct err *reterr)
{
    _cleanup_(network_closep) struct network *network = NULL;
    int r;

    r = check_config(config, reterr);
    if (r < 0)
        return r;
    network = xcalloc(1, sizeof(*network));
    network->config = *config;
    network->route_fd = network->filter_fd = -EBADF;
    pthread_mutex_init(&network->route_lock, NULL);
    pthread_mutex_init(&network->filter_lock, NULL);
    if (network->config.mtu == 0)
        network->config.mtu = NETWORK_MTU_DEFAULT;
    r = open_sockets(network, reterr);
    if (r >= 0)
        r = bridge_open(network, reterr);
    if (r >= 0)
        r = network_ensure_ruleset(network, reterr);
    if (r >= 0)
        r = bridge_set_sysctls(network, reterr);
    if (r < 0)
        return err_wrap(reterr, "network");
    *ret = TAKE_PTR(network);
    return 0;
}

void network_close(struct network *network)
{
    fd_close(network->route_fd);
    fd_close(network->filter_fd);
    pthread_mutex_destroy(&network->route_lock);
    pthread_mutex_destroy(&network->filter_lock);
    free(network);
}

int network_destroy(struct network *network, struct err *reterr)
{
    int r, q = 0;

    {
        LOCKED(&network->filter_lock);
        r = ruleset_delete(network->filter_fd, network->config.table, reterr);
    }
    if (network->config.bridge_is_ours) {
        LOCKED(&network->route_lock);
        q = bridge_delete(network, r < 0 ? NULL : reterr);
    }
    return r < 0 ? r : q;
}

struct inet4 network_address(const struct network *network)
{
    return network->config.address;
}

uint32_t network_mtu(const struct network *network)
{
    return network->config.mtu;
}

const char *network_bridge(const struct network *network)
{
    return network->config.bridge;
}

static int replace_ports(struct network *network, const struct endpoint_spec *specs, size_t n,
                         struct err *reterr)
{
    _cleanup_free_ struct nat_target *targets = xcalloc(n + 1, sizeof(*targets));
    int r;

    for (size_t i = 0; i < n; i++)
        targets[i] = (struct nat_target){specs[i].address, specs[i].ports, specs[i].n_ports};
    LOCKED(&network->filter_lock);
    r = network_ensure_ruleset(network, reterr);
    if (r >= 0)
        r = nat_replace(network->filter_fd, network->config.table, targets, n, reterr);
    return r;
}

/* Delete the veths in our bridge that have our prefix and belong to nobody alive. */
static int delete_stale_veths(struct network *network, const struct map *live, struct err *reterr)
{
    _cleanup_(strv_freep) char **names = NULL;
    char prefix[IFNAMSIZ];
    int r;

    endpoint_veth_name(network, "", prefix);
    LOCKED(&network->route_lock);
    r = rtnl_get_ports(network->route_fd, network->bridge_index, &names, reterr);
    for (size_t i = 0; r >= 0 && names && names[i]; i++) {
        if (strncmp(names[i], prefix, VETH_PREFIX_LEN) == 0 && !map_get(live, names[i]))
            r = endpoint_delete_veth(network, names[i], reterr);
    }
    return r;
}

int network_reconcile(struct network *network, const struct endpoint_spec *specs, size_t n,
                      struct err *reterr)
{
    _cleanup_(map_done) struct map live = {0};
    int r;

    for (size_t i = 0; i < n; i++)
        map_put(&live, specs[i].veth, network);
    r = replace_ports(network, specs, n, reterr);
    if (r >= 0)
        r = delete_stale_veths(network, &live, reterr);
    return r < 0 ? err_wrap(reterr, "reconcile network") : 0;
}
