#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "internal.h"
#include "netlinks.h"
#include "rtnl.h"

#define VETH_ID_LEN 10
/* Between two looks whether a link is gone; 10 s in all. */
#define DELETE_PAUSE_US 250
#define STATIC_METRIC 1024 /* more than the kernel's own for a link's subnet (IPv6: 256) */
#define DELETE_LOOKS 40000

/* FNV-1a */
static uint32_t hash32(const char *s)
{
    uint32_t h = 2166136261u;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

/* Tells the networks of one host apart in the names of their links. */
static unsigned hash16(const char *s)
{
    uint32_t h = hash32(s);

    return (h >> 16 ^ h) & 0xffff;
}

void endpoint_veth_name(const struct fabric *fabric, const char *id, char ret[IFNAMSIZ])
{
    snprintf(ret, IFNAMSIZ, "v%04x%.*s", hash16(fabric->table), VETH_ID_LEN, id);
}

int endpoint_delete_veth(struct fabric *fabric, const char *name, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    int r;

    rtnl_put_link_delete(&batch, name);
    r = nl_run(fabric->route_fd, &batch, NULL, NULL, reterr);
    if (r == -ENODEV)
        return 0;
    return r < 0 ? r : 1;
}

static void put_endpoint(struct nl_batch *batch, const struct endpoint_spec *spec, int netns_fd)
{
    const struct network *network = spec->network;
    struct rtnl_veth veth = {.name = spec->veth,
                             .peer_name = spec->ifname,
                             .master = network->bridge_index,
                             .mtu = network->config.mtu,
                             .peer_mac = spec->mac,
                             .peer_netns_fd = netns_fd};

    rtnl_put_veth(batch, &veth);
    /* Ports that are published by another of the container's networks may come to this one. */
    rtnl_put_port_options(batch, spec->veth, spec->n_ports > 0, network->config.no_icc);
    rtnl_put_link_up(batch, spec->veth);
}

static int create_veth(const struct endpoint_spec *spec, int netns_fd, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct fabric *fabric = spec->network->fabric;
    int r;

    LOCKED(&fabric->route_lock);
    put_endpoint(&batch, spec, netns_fd);
    r = nl_run(fabric->route_fd, &batch, NULL, NULL, reterr);
    /* The kernel takes a dead namespace apart in its own time; the container may be starting again
     * before the old pair is gone. */
    if (r == -EEXIST && endpoint_delete_veth(fabric, spec->veth, NULL) == 1) {
        put_endpoint(&batch, spec, netns_fd);
        r = nl_run(fabric->route_fd, &batch, NULL, NULL, reterr);
    }
    if (r < 0 && r != -EEXIST)
        endpoint_delete_veth(fabric, spec->veth, NULL);
    if (r == -EXFULL)
        return err_set(reterr, ERR_UNAVAILABLE, EXFULL,
                       "bridge %s is full: the kernel allows 1023 containers on one bridge",
                       spec->network->config.bridge);
    return r;
}

/* Run fn in another network namespace. */
static int visit(int netns_fd, int (*fn)(const void *arg), const void *arg)
{
    _cleanup_close_ int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int r;

    if (here < 0)
        return -errno;
    if (setns(netns_fd, CLONE_NEWNET) < 0)
        return -errno;
    r = fn(arg);
    if (setns(here, CLONE_NEWNET) < 0)
        abort(); /* a pool thread astray in a container's namespace must not go on */
    return r;
}

static int open_route_socket(const void *unused)
{
    (void)unused;
    return nl_open(NETLINK_ROUTE);
}

int endpoint_open_socket(int netns_fd)
{
    return visit(netns_fd, open_route_socket, NULL);
}

/* The namespace was made without; here, where it is wanted, still without what advertisements say,
 * and without the second in which duplicates of addresses are looked for that we have chosen. */
static int enable_ipv6(const void *ifname)
{
    _cleanup_free_ char *accept =
        xasprintf("/proc/sys/net/ipv6/conf/%s/accept_ra", (const char *)ifname);
    _cleanup_free_ char *disable =
        xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", (const char *)ifname);
    _cleanup_free_ char *dad =
        xasprintf("/proc/sys/net/ipv6/conf/%s/accept_dad", (const char *)ifname);
    int r = file_write(AT_FDCWD, accept, "0", 1);

    if (r >= 0)
        r = file_write(AT_FDCWD, dad, "0", 1);
    return r < 0 ? r : file_write(AT_FDCWD, disable, "0", 1);
}

/* Bring the link up and learn its index. */
static int link_inside(const struct endpoint_spec *spec, int fd, bool up, uint32_t *ret,
                       struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct rtnl_link link = {0};
    int r;

    if (up) {
        rtnl_put_link_up(&batch, "lo");
        rtnl_put_link_up(&batch, spec->ifname);
    }
    rtnl_put_link_get(&batch, spec->ifname);
    r = nl_run(fd, &batch, rtnl_on_link, &link, reterr);
    *ret = link.index;
    return r;
}

static void put_default_routes(struct nl_batch *batch, const struct endpoint_spec *spec,
                               uint32_t index)
{
    const struct network_config *c = &spec->network->config;

    rtnl_put_default_route(batch, index, c->address.address);
    if (spec->address6.prefix)
        rtnl_put_default_route6(batch, index, c->address6.address);
}

/* Whoever is the gateway needs no route to itself. */
static bool is_gateway_of(const struct endpoint_spec *spec, const struct route *route)
{
    return route->to6.prefix ? memcmp(route->via6, spec->address6.address, INET6_LEN) == 0
                             : route->via == spec->address;
}

/* Where two networks have a route to one destination, that of the link that is there longer counts,
 * and what is on a link itself before both. */
static void put_static_routes(struct nl_batch *batch, const struct endpoint_spec *spec,
                              uint32_t index)
{
    const struct routes *routes = &spec->network->config.routes;

    for (size_t i = 0; i < routes->n; i++) {
        const struct route *route = &routes->list[i];

        if ((!route->to6.prefix || spec->address6.prefix) && !is_gateway_of(spec, route))
            rtnl_put_route(batch, index, route, STATIC_METRIC + index);
    }
}

static int configure_inside(const struct endpoint_spec *spec, int fd, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    const struct inet4 *bridge = &spec->network->config.address;
    struct inet4 address = {spec->address, bridge->prefix};
    uint32_t index;
    int r = link_inside(spec, fd, true, &index, reterr);

    if (r < 0)
        return r;
    rtnl_put_address(&batch, index, &address);
    if (spec->address6.prefix)
        rtnl_put_address6(&batch, index, &spec->address6);
    for (size_t i = 0; i < LINK_LOCAL_MAX && spec->link_local[i].prefix; i++)
        rtnl_put_address(&batch, index, &spec->link_local[i]);
    if (spec->gateway)
        put_default_routes(&batch, spec, index);
    put_static_routes(&batch, spec, index);
    return nl_run(fd, &batch, NULL, NULL, reterr);
}

static int publish(const struct endpoint_spec *spec, struct err *reterr)
{
    LOCKED(&spec->network->fabric->filter_lock);
    return fabric_publish(spec->network->fabric, spec, reterr);
}

static int withdraw(const struct endpoint_spec *spec, struct err *reterr)
{
    LOCKED(&spec->network->fabric->filter_lock);
    return fabric_withdraw(spec->network->fabric, spec, reterr);
}

/* A link inside is found again by its index: its name and its address are the container's to
 * change.  It is chosen here, out of the endpoint's id, far above those that the kernel gives. */
static uint32_t macvlan_index(const struct endpoint_spec *spec)
{
    return NETLINKS_FIRST | (hash32(spec->veth) & (NETLINKS_FIRST - 1));
}

static int create_macvlan(const struct endpoint_spec *spec, int netns_fd, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    const struct network *network = spec->network;
    struct rtnl_macvlan macvlan = {
        .name = spec->ifname,
        .index = macvlan_index(spec),
        .mode = network->config.macvlan_mode ? network->config.macvlan_mode : MACVLAN_MODE_BRIDGE,
        .mac = spec->mac,
        .netns_fd = netns_fd};
    int r;

    LOCKED(&network->fabric->route_lock);
    r = network_find_parent(network, &macvlan.parent, reterr);
    if (r < 0)
        return r;
    rtnl_put_macvlan(&batch, &macvlan);
    return nl_run(network->fabric->route_fd, &batch, NULL, NULL, reterr);
}

static int delete_inside(const struct endpoint_spec *spec, int rtnl_fd, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    int r;

    rtnl_put_link_delete_index(&batch, macvlan_index(spec));
    r = nl_run(rtnl_fd, &batch, NULL, NULL, reterr);
    return r == -ENODEV ? 0 : r;
}

static int look(struct fabric *fabric, const char *name, struct rtnl_link *ret, struct err *reterr)
{
    LOCKED(&fabric->route_lock);
    return rtnl_get_link(fabric->route_fd, name, ret, reterr);
}

/* Gone when it is out of sight: what the kernel still has to do then is awaited by the reaper. */
static int delete_veth(const struct endpoint_spec *spec, struct err *reterr)
{
    struct fabric *fabric = spec->network->fabric;
    struct rtnl_link link = {0};
    int r = look(fabric, spec->veth, &link, reterr);

    if (r >= 0 && link.index != 0)
        r = reaper_delete(fabric->reaper, spec->veth, reterr);
    for (int i = 0; r >= 0 && link.index != 0; i++) {
        if (i == DELETE_LOOKS)
            return err_set(reterr, ERR_SYSTEM, ETIMEDOUT, "link %s does not go", spec->veth);
        usleep(DELETE_PAUSE_US);
        r = look(fabric, spec->veth, &link, reterr);
    }
    return r;
}

static int delete_link(const struct endpoint_spec *spec, int rtnl_fd, struct err *reterr)
{
    return network_is_macvlan(spec->network) ? delete_inside(spec, rtnl_fd, reterr)
                                             : delete_veth(spec, reterr);
}

static int set_hairpin(const struct endpoint_spec *spec, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};

    LOCKED(&spec->network->fabric->route_lock);
    rtnl_put_port_options(&batch, spec->veth, true, spec->network->config.no_icc);
    return nl_run(spec->network->fabric->route_fd, &batch, NULL, NULL, reterr);
}

static int delete_routes(const struct endpoint_spec *spec, int fd, uint32_t index,
                         struct err *reterr)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    int r = 0;

    for (size_t i = 0; r >= 0 && i < (spec->address6.prefix ? 2 : 1); i++) {
        _cleanup_nl_batch_ struct nl_batch batch = {0};

        rtnl_put_default_route_delete(&batch, index, families[i]);
        r = nl_run(fd, &batch, NULL, NULL, reterr);
        r = r == -ESRCH ? 0 : r;
    }
    return r;
}

int endpoint_set_gateway(const struct endpoint_spec *spec, int rtnl_fd, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    uint32_t index;
    int r = link_inside(spec, rtnl_fd, false, &index, reterr);

    if (r < 0)
        return r;
    if (spec->gateway) {
        put_default_routes(&batch, spec, index);
        r = nl_run(rtnl_fd, &batch, NULL, NULL, reterr);
    } else {
        r = delete_routes(spec, rtnl_fd, index, reterr);
    }
    if (r >= 0 && spec->gateway && spec->n_ports > 0 && !network_is_macvlan(spec->network))
        r = set_hairpin(spec, reterr);
    if (r < 0)
        return r;
    return spec->gateway ? publish(spec, reterr) : withdraw(spec, reterr);
}

int endpoint_up(const struct endpoint_spec *spec, int netns_fd, int rtnl_fd, struct err *reterr)
{
    _cleanup_close_ int own_fd = -EBADF;
    int r;

    if (rtnl_fd < 0) {
        rtnl_fd = own_fd = endpoint_open_socket(netns_fd);
        if (own_fd < 0)
            return err_sys(reterr, -own_fd, "enter network namespace");
    }
    r = network_is_macvlan(spec->network) ? create_macvlan(spec, netns_fd, reterr)
                                          : create_veth(spec, netns_fd, reterr);
    if (r < 0)
        return err_wrap(reterr, "endpoint %s", spec->veth);
    if (spec->address6.prefix) {
        r = visit(netns_fd, enable_ipv6, spec->ifname);
        if (r < 0)
            err_sys(reterr, -r, "enable IPv6");
    }
    if (r >= 0)
        r = configure_inside(spec, rtnl_fd, reterr);
    if (r >= 0)
        r = publish(spec, reterr);
    if (r < 0) {
        delete_link(spec, rtnl_fd, NULL);
        return err_wrap(reterr, "endpoint %s", spec->veth);
    }
    return 0;
}

int endpoint_loopback_up(int netns_fd, int rtnl_fd, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    _cleanup_close_ int own_fd = -EBADF;

    if (rtnl_fd < 0) {
        rtnl_fd = own_fd = endpoint_open_socket(netns_fd);
        if (own_fd < 0)
            return err_sys(reterr, -own_fd, "enter network namespace");
    }
    rtnl_put_link_up(&batch, "lo");
    return nl_run(rtnl_fd, &batch, NULL, NULL, reterr);
}

int endpoint_expect_end(struct fabric *fabric, const char *veth, struct err *reterr)
{
    struct rtnl_link link = {0};
    int r = look(fabric, veth, &link, reterr);

    return r < 0 || link.index == 0 ? r : reaper_expect(fabric->reaper, veth, link.index, reterr);
}

int endpoint_down(const struct endpoint_spec *spec, unsigned flags, int rtnl_fd, struct err *reterr)
{
    int r = withdraw(spec, reterr);

    if (flags & ENDPOINT_DELETE_LINK) {
        int q = delete_link(spec, rtnl_fd, r < 0 ? NULL : reterr);

        if (r >= 0 && q < 0)
            r = q;
    }
    return r < 0 ? err_wrap(reterr, "endpoint %s", spec->veth) : 0;
}
