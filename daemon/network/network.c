#include "network.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "rtnl.h"
#include "str.h"

static int check_config(const struct network_config *config, struct err *reterr)
{
    if (config->parent[0])
        return config->address.prefix
                   ? 0
                   : err_set(reterr, ERR_INVALID, EINVAL, "a macvlan network needs a subnet");
    if (str_empty(config->bridge) || !str_is_filename(config->bridge))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid bridge name: '%s'", config->bridge);
    return 0;
}

static int add_to_table(struct network *network, struct err *reterr)
{
    LOCKED(&network->fabric->filter_lock);
    return fabric_add(network->fabric, network, reterr);
}

int network_find_parent(const struct network *network, uint32_t *ret, struct err *reterr)
{
    const char *name = network->config.parent;
    struct rtnl_link link;
    int r = rtnl_get_link(network->fabric->route_fd, name, &link, reterr);
    if (r >= 0 && link.index == 0)
        return err_set(reterr, ERR_INVALID, ENODEV, "parent interface %s does not exist", name);
    *ret = link.index;
    return r;
}

static int check_parent(const struct network *network, struct err *reterr)
{
    uint32_t index;

    if (network->config.parent_may_be_gone)
        return 0;
    LOCKED(&network->fabric->route_lock);
    return network_find_parent(network, &index, reterr);
}

static int make(struct network *network, struct err *reterr)
{
    int r;

    if (network_is_macvlan(network))
        return check_parent(network, reterr);
    LOCKED(&network->fabric->open_lock);
    r = bridge_open(network, reterr);
    if (r >= 0)
        r = add_to_table(network, reterr);
    return r < 0 ? r : bridge_set_sysctls(network, reterr);
}

/* Of one that could not be made nothing stays: nobody would look for it again. */
static void unmake(struct network *network)
{
    struct fabric *fabric = network->fabric;

    {
        LOCKED(&fabric->filter_lock);
        fabric_remove(fabric, network, true, NULL);
    }
    if (network->bridge_is_new) {
        LOCKED(&fabric->route_lock);
        bridge_delete(network, NULL);
    }
}

int network_open(struct fabric *fabric, const struct network_config *config, struct network **ret,
                 struct err *reterr)
{
    _cleanup_(network_closep) struct network *network = NULL;
    int r = check_config(config, reterr);

    if (r < 0)
        return r;
    network = xcalloc(1, sizeof(*network));
    network->fabric = fabric;
    network->config = *config;
    if (network->config.mtu == 0)
        network->config.mtu = NETWORK_MTU_DEFAULT;
    r = make(network, reterr);
    network->config.reserved = NULL;
    network->config.n_reserved = 0;
    if (r < 0) {
        unmake(network);
        return err_wrap(reterr, "network");
    }
    *ret = TAKE_PTR(network);
    return 0;
}

void network_close(struct network *network)
{
    {
        LOCKED(&network->fabric->filter_lock);
        fabric_remove(network->fabric, network, false, NULL);
    }
    free(network);
}

int network_destroy(struct network *network, struct err *reterr)
{
    struct fabric *fabric = network->fabric;
    int r, q = 0;

    {
        LOCKED(&fabric->filter_lock);
        r = fabric_remove(fabric, network, true, reterr);
    }
    if (network->config.bridge_is_ours) {
        LOCKED(&fabric->route_lock);
        q = bridge_delete(network, r < 0 ? NULL : reterr);
    }
    return r < 0 ? r : q;
}

bool network_link_exists(const char *name)
{
    return if_nametoindex(name) != 0;
}

struct inet4 network_address(const struct network *network)
{
    return network->config.address;
}

struct inet6 network_address6(const struct network *network)
{
    return network->config.address6;
}

uint32_t network_mtu(const struct network *network)
{
    return network->config.mtu;
}

const char *network_bridge(const struct network *network)
{
    return network->config.bridge;
}
