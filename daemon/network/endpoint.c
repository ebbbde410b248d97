#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conntrack.h"
#include "fd.h"
#include "internal.h"
#include "nat.h"
#include "rtnl.h"

#define VETH_ID_LEN 10

/* FNV-1a, folded: tells the networks of one host apart in the names of their links. */
static unsigned hash16(const char *s)
{
    uint32_t h = 2166136261u;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 16777619u;
    return (h >> 16 ^ h) & 0xffff;
}

void endpoint_veth_name(const struct network *network, const char *id, char ret[IFNAMSIZ])
{
    snprintf(ret, IFNAMSIZ, "v%04x%.*s", hash16(network->config.table), VETH_ID_LEN, id);
}

int endpoint_delete_veth(struct network *network, const char *name, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    int r;

    rtnl_put_link_delete(&batch, name);
    r = nl_run(network->route_fd, &batch, NULL, NULL, reterr);
    if (r == -ENODEV)
        return 0;
    return r < 0 ? r : 1;
}

static void put_endpoint(struct nl_batch *batch, const struct network *network,
                         const struct endpoint_spec *spec, int netns_fd)
{
    struct rtnl_veth veth = {.name = spec->veth,
                             .master = network->bridge_index,
                             .mtu = network->config.mtu,
                             .peer_mac = spec->mac,
                             .peer_netns_fd = netns_fd};

    rtnl_put_veth(batch, &veth);
    rtnl_put_port_options(batch, spec->veth, spec->n_ports > 0);
    rtnl_put_link_up(batch, spec->veth);
}

static int create_veth(struct network *network, const struct endpoint_spec *spec, int netns_fd,
                       struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    int r;

    LOCKED(&network->route_lock);
    put_endpoint(&batch, network, spec, netns_fd);
    r = nl_run(network->route_fd, &batch, NULL, NULL, reterr);
    /* The kernel takes a dead namespace apart in its own time; the container may be starting again
     * before the old pair is gone. */
    if (r == -EEXIST && endpoint_delete_veth(network, spec->veth, NULL) == 1) {
        put_endpoint(&batch, network, spec, netns_fd);
        r = nl_run(network->route_fd, &batch, NULL, NULL, reterr);
    }
    if (r < 0 && r != -EEXIST)
        endpoint_delete_veth(network, spec->veth, NULL);
    if (r == -EXFULL)
        return err_set(reterr, ERR_UNAVAILABLE, EXFULL,
                       "bridge %s is full: the kernel allows 1023 containers on one bridge",
                       network->config.bridge);
    return r;
}

/* A NETLINK_ROUTE socket of another network namespace. */
static int open_socket_in(int netns_fd)
{
    _cleanup_close_ int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int fd;

    if (here < 0)
        return -errno;
    if (setns(netns_fd, CLONE_NEWNET) < 0)
        return -errno;
    fd = nl_open(NETLINK_ROUTE);
    if (setns(here, CLONE_NEWNET) < 0)
        abort(); /* a pool thread astray in a container's namespace must not go on */
    return fd;
}

static int configure_inside(struct network *network, const struct endpoint_spec *spec, int fd,
                            struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct inet4 address = {spec->address, network->config.address.prefix};
    struct rtnl_link eth0 = {0};
    int r;

    rtnl_put_link_up(&batch, "lo");
    rtnl_put_link_up(&batch, "eth0");
    rtnl_put_link_get(&batch, "eth0");
    r = nl_run(fd, &batch, rtnl_on_link, &eth0, reterr);
    if (r < 0)
        return r;
    rtnl_put_address(&batch, eth0.index, &address);
    rtnl_put_default_route(&batch, eth0.index, network->config.address.address);
    return nl_run(fd, &batch, NULL, NULL, reterr);
}

/* Clients that kept sending while nothing was published must find the container now. */
static int forget_early_flows(struct network *network, const struct endpoint_spec *spec,
                              struct err *reterr)
{
    for (size_t i = 0; i < spec->n_ports; i++) {
        if (spec->ports[i].proto == IPPROTO_UDP) {
            int r = conntrack_forget_port(network->filter_fd, &spec->ports[i], reterr);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

static struct nat_target target_of(const struct endpoint_spec *spec)
{
    return (struct nat_target){spec->address, spec->ports, spec->n_ports};
}

static int publish(struct network *network, const struct endpoint_spec *spec, struct err *reterr)
{
    struct nat_target target = target_of(spec);
    int r;

    if (spec->n_ports == 0)
        return 0;
    LOCKED(&network->filter_lock);
    r = nat_publish(network->filter_fd, network->config.table, &target, reterr);
    if (r == -ENOENT) { /* somebody ran `nft flush ruleset` */
        r = network_ensure_ruleset(network, reterr);
        if (r >= 0)
            r = nat_publish(network->filter_fd, network->config.table, &target, reterr);
    }
    if (r >= 0)
        r = forget_early_flows(network, spec, reterr);
    return r;
}

static int withdraw(struct network *network, const struct endpoint_spec *spec, struct err *reterr)
{
    struct nat_target target = target_of(spec);
    bool has_udp = false;
    int r;

    for (size_t i = 0; i < spec->n_ports; i++)
        has_udp |= spec->ports[i].proto == IPPROTO_UDP;
    if (spec->n_ports == 0)
        return 0;
    LOCKED(&network->filter_lock);
    r = nat_withdraw(network->filter_fd, network->config.table, &target, reterr);
    if (r >= 0 && has_udp)
        r = conntrack_forget_container(network->filter_fd, spec->address, reterr);
    return r;
}

static int delete_veth_locked(struct network *network, const char *name, struct err *reterr)
{
    LOCKED(&network->route_lock);
    return endpoint_delete_veth(network, name, reterr);
}

int endpoint_up(struct network *network, const struct endpoint_spec *spec, int netns_fd,
                int rtnl_fd, struct err *reterr)
{
    _cleanup_close_ int own_fd = -EBADF;
    int r;

    if (rtnl_fd < 0) {
        rtnl_fd = own_fd = open_socket_in(netns_fd);
        if (own_fd < 0)
            return err_sys(reterr, -own_fd, "enter network namespace");
    }
    r = create_veth(network, spec, netns_fd, reterr);
    if (r < 0)
        return err_wrap(reterr, "endpoint %s", spec->veth);
    r = configure_inside(network, spec, rtnl_fd, reterr);
    if (r < 0)
        goto undo_veth;
    r = publish(network, spec, reterr);
    if (r < 0)
        goto undo_veth;
    return 0;

undo_veth:
    delete_veth_locked(network, spec->veth, NULL);
    return err_wrap(reterr, "endpoint %s", spec->veth);
}

int endpoint_loopback_up(int netns_fd, int rtnl_fd, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    _cleanup_close_ int own_fd = -EBADF;

    if (rtnl_fd < 0) {
        rtnl_fd = own_fd = open_socket_in(netns_fd);
        if (own_fd < 0)
            return err_sys(reterr, -own_fd, "enter network namespace");
    }
    rtnl_put_link_up(&batch, "lo");
    return nl_run(rtnl_fd, &batch, NULL, NULL, reterr);
}

int endpoint_down(struct network *network, const struct endpoint_spec *spec, unsigned flags,
                  struct err *reterr)
{
    int r = withdraw(network, spec, reterr);

    if (flags & ENDPOINT_DELETE_VETH) {
        int q = delete_veth_locked(network, spec->veth, r < 0 ? NULL : reterr);

        if (r >= 0 && q < 0)
            r = q;
    }
    return r < 0 ? err_wrap(reterr, "endpoint %s", spec->veth) : 0;
}
