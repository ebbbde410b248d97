#include "rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>

#include "str.h"

static struct ifinfomsg *put_link(struct nl_batch *batch, const char *what, uint16_t type,
                                  uint16_t flags, struct nlmsghdr **ret)
{
    struct nlmsghdr *nlh = nl_request(batch, what, type, flags);

    *ret = nlh;
    return mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
}

static void set_up(struct ifinfomsg *ifi)
{
    ifi->ifi_flags = IFF_UP;
    ifi->ifi_change = IFF_UP;
}

/* One queue: veth otherwise allocates one per possible CPU and uses one. */
static void put_queues(struct nlmsghdr *nlh)
{
    mnl_attr_put_u32(nlh, IFLA_NUM_TX_QUEUES, 1);
    mnl_attr_put_u32(nlh, IFLA_NUM_RX_QUEUES, 1);
}

static void put_peer(struct nlmsghdr *nlh, const struct rtnl_veth *veth)
{
    struct nlattr *peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);

    /* Not up yet: while it is made, the peer has no other end (-ENOTCONN). */
    mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(nlh, IFLA_IFNAME, veth->peer_name);
    mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)veth->peer_netns_fd);
    mnl_attr_put_u32(nlh, IFLA_MTU, veth->mtu);
    mnl_attr_put(nlh, IFLA_ADDRESS, MAC_LEN, veth->peer_mac);
    put_queues(nlh);
    mnl_attr_nest_end(nlh, peer);
}

void rtnl_put_veth(struct nl_batch *batch, const struct rtnl_veth *veth)
{
    struct nlattr *info, *data;
    struct nlmsghdr *nlh;

    put_link(batch, "create veth pair", RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &nlh);
    mnl_attr_put_strz(nlh, IFLA_IFNAME, veth->name);
    mnl_attr_put_u32(nlh, IFLA_MASTER, veth->master);
    mnl_attr_put_u32(nlh, IFLA_MTU, veth->mtu);
    put_queues(nlh);
    info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
    mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
    data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
    put_peer(nlh, veth);
    mnl_attr_nest_end(nlh, data);
    mnl_attr_nest_end(nlh, info);
}

static void set_index(struct nlmsghdr *nlh, uint32_t index)
{
    struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

    ifi->ifi_index = (int)index;
}

void rtnl_put_macvlan(struct nl_batch *batch, const struct rtnl_macvlan *macvlan)
{
    struct nlattr *info, *data;
    struct nlmsghdr *nlh;

    put_link(batch, "create macvlan link", RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
             &nlh);
    set_index(nlh, macvlan->index);
    mnl_attr_put_strz(nlh, IFLA_IFNAME, macvlan->name);
    mnl_attr_put_u32(nlh, IFLA_LINK, macvlan->parent);
    mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)macvlan->netns_fd);
    mnl_attr_put(nlh, IFLA_ADDRESS, MAC_LEN, macvlan->mac);
    info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
    mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "macvlan");
    data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
    mnl_attr_put_u32(nlh, IFLA_MACVLAN_MODE, macvlan->mode);
    mnl_attr_nest_end(nlh, data);
    mnl_attr_nest_end(nlh, info);
}

void rtnl_put_port_options(struct nl_batch *batch, const char *name, bool hairpin, bool isolated)
{
    struct nlattr *outer, *inner;
    struct nlmsghdr *nlh;

    put_link(batch, "set bridge port options", RTM_NEWLINK, NLM_F_ACK, &nlh);
    mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
    outer = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
    inner = mnl_attr_nest_start(nlh, AF_INET6);
    mnl_attr_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(nlh, inner);
    mnl_attr_nest_end(nlh, outer);
    if (!hairpin && !isolated)
        return;
    outer = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
    mnl_attr_put_strz(nlh, IFLA_INFO_SLAVE_KIND, "bridge");
    inner = mnl_attr_nest_start(nlh, IFLA_INFO_SLAVE_DATA);
    if (hairpin)
        mnl_attr_put_u8(nlh, IFLA_BRPORT_MODE, 1);
    if (isolated)
        mnl_attr_put_u8(nlh, IFLA_BRPORT_ISOLATED, 1);
    mnl_attr_nest_end(nlh, inner);
    mnl_attr_nest_end(nlh, outer);
}

void rtnl_put_link_up(struct nl_batch *batch, const char *name)
{
    struct nlmsghdr *nlh;

    set_up(put_link(batch, "set link up", RTM_NEWLINK, NLM_F_ACK, &nlh));
    mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
}

void rtnl_put_link_delete(struct nl_batch *batch, const char *name)
{
    struct nlmsghdr *nlh;

    put_link(batch, "delete link", RTM_DELLINK, NLM_F_ACK, &nlh);
    mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
}

void rtnl_put_link_delete_index(struct nl_batch *batch, uint32_t index)
{
    struct nlmsghdr *nlh;

    put_link(batch, "delete link", RTM_DELLINK, NLM_F_ACK, &nlh);
    set_index(nlh, index);
}

static void put_address(struct nl_batch *batch, const char *what, uint16_t type, uint16_t flags,
                        uint32_t index, const struct inet4 *address)
{
    struct nlmsghdr *nlh = nl_request(batch, what, type, NLM_F_ACK | flags);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));

    ifa->ifa_family = AF_INET;
    ifa->ifa_prefixlen = address->prefix;
    ifa->ifa_index = index;
    mnl_attr_put_u32(nlh, IFA_LOCAL, htonl(address->address));
    mnl_attr_put_u32(nlh, IFA_ADDRESS, htonl(address->address));
    if (type == RTM_NEWADDR)
        mnl_attr_put_u32(nlh, IFA_BROADCAST, htonl(inet4_last(address)));
}

void rtnl_put_address(struct nl_batch *batch, uint32_t index, const struct inet4 *address)
{
    put_address(batch, "add address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, address);
}

void rtnl_put_address_delete(struct nl_batch *batch, uint32_t index, const struct inet4 *address)
{
    put_address(batch, "delete address", RTM_DELADDR, 0, index, address);
}

void rtnl_put_address6(struct nl_batch *batch, uint32_t index, const struct inet6 *address)
{
    struct nlmsghdr *nlh = nl_request(batch, "add IPv6 address", RTM_NEWADDR,
                                      NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));

    ifa->ifa_family = AF_INET6;
    ifa->ifa_prefixlen = address->prefix;
    ifa->ifa_flags = IFA_F_NODAD;
    ifa->ifa_index = index;
    mnl_attr_put(nlh, IFA_LOCAL, INET6_LEN, address->address);
    mnl_attr_put(nlh, IFA_ADDRESS, INET6_LEN, address->address);
}

/* The attributes that tell where to and through whom are the caller's. */
static struct nlmsghdr *put_route(struct nl_batch *batch, const char *what, uint16_t flags,
                                  uint8_t family, uint8_t prefix, uint32_t index)
{
    struct nlmsghdr *nlh = nl_request(batch, what, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | flags);
    struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

    rtm->rtm_family = family;
    rtm->rtm_dst_len = prefix;
    rtm->rtm_table = RT_TABLE_MAIN;
    rtm->rtm_protocol = RTPROT_BOOT;
    rtm->rtm_scope = RT_SCOPE_UNIVERSE;
    rtm->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(nlh, RTA_OIF, index);
    return nlh;
}

void rtnl_put_default_route(struct nl_batch *batch, uint32_t index, uint32_t gateway)
{
    struct nlmsghdr *nlh = put_route(batch, "add default route", NLM_F_REPLACE, AF_INET, 0, index);

    mnl_attr_put_u32(nlh, RTA_GATEWAY, htonl(gateway));
}

void rtnl_put_default_route6(struct nl_batch *batch, uint32_t index,
                             const uint8_t gateway[INET6_LEN])
{
    struct nlmsghdr *nlh =
        put_route(batch, "add IPv6 default route", NLM_F_REPLACE, AF_INET6, 0, index);

    mnl_attr_put(nlh, RTA_GATEWAY, INET6_LEN, gateway);
}

void rtnl_put_route(struct nl_batch *batch, uint32_t index, const struct route *route,
                    uint32_t metric)
{
    bool six = route->to6.prefix;
    struct nlmsghdr *nlh = put_route(batch, "add route", NLM_F_EXCL, six ? AF_INET6 : AF_INET,
                                     six ? route->to6.prefix : route->to.prefix, index);

    if (six) {
        mnl_attr_put(nlh, RTA_DST, INET6_LEN, route->to6.address);
        mnl_attr_put(nlh, RTA_GATEWAY, INET6_LEN, route->via6);
    } else {
        mnl_attr_put_u32(nlh, RTA_DST, htonl(route->to.address));
        mnl_attr_put_u32(nlh, RTA_GATEWAY, htonl(route->via));
    }
    mnl_attr_put_u32(nlh, RTA_PRIORITY, metric);
}

void rtnl_put_default_route_delete(struct nl_batch *batch, uint32_t index, uint8_t family)
{
    struct nlmsghdr *nlh = nl_request(batch, "delete default route", RTM_DELROUTE, NLM_F_ACK);
    struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

    rtm->rtm_family = family;
    rtm->rtm_table = RT_TABLE_MAIN;
    rtm->rtm_scope = RT_SCOPE_NOWHERE;
    mnl_attr_put_u32(nlh, RTA_OIF, index);
}

void rtnl_put_link_get(struct nl_batch *batch, const char *name)
{
    struct nlmsghdr *nlh;

    put_link(batch, "get link", RTM_GETLINK, NLM_F_ACK, &nlh);
    mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
}

static bool kind_is(const struct nlattr *info, const char *kind)
{
    const struct nlattr *attr;

    mnl_attr_for_each_nested(attr, info)
    {
        if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
            return streq(mnl_attr_get_str(attr), kind);
    }
    return false;
}

int rtnl_on_link(const struct nlmsghdr *reply, void *userdata)
{
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(reply);
    struct rtnl_link *link = userdata;
    const struct nlattr *attr;

    if (reply->nlmsg_type != RTM_NEWLINK)
        return 0;
    link->index = (uint32_t)ifi->ifi_index;
    link->is_up = ifi->ifi_flags & IFF_UP;
    mnl_attr_for_each(attr, reply, sizeof(*ifi))
    {
        if (mnl_attr_get_type(attr) == IFLA_MTU)
            link->mtu = mnl_attr_get_u32(attr);
        else if (mnl_attr_get_type(attr) == IFLA_LINKINFO)
            link->is_bridge = kind_is(attr, "bridge");
    }
    return 0;
}

int rtnl_get_link(int fd, const char *name, struct rtnl_link *ret, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct rtnl_link link = {0};
    int r;

    rtnl_put_link_get(&batch, name);
    r = nl_run(fd, &batch, rtnl_on_link, &link, reterr);
    if (r < 0 && r != -ENODEV)
        return r;
    *ret = link;
    return 0;
}

void rtnl_addresses_done(struct rtnl_addresses *addresses)
{
    free(addresses->list);
}

static void append(struct rtnl_addresses *addresses, struct rtnl_address address)
{
    addresses->list = xrealloc(addresses->list, (addresses->n + 1) * sizeof(*addresses->list));
    addresses->list[addresses->n++] = address;
}

static int on_address(const struct nlmsghdr *reply, void *userdata)
{
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(reply);
    const struct nlattr *attr;

    if (reply->nlmsg_type != RTM_NEWADDR)
        return 0;
    mnl_attr_for_each(attr, reply, sizeof(*ifa))
    {
        if (mnl_attr_get_type(attr) == IFA_LOCAL)
            append(userdata,
                   (struct rtnl_address){ifa->ifa_index,
                                         {ntohl(mnl_attr_get_u32(attr)), ifa->ifa_prefixlen}});
    }
    return 0;
}

static int on_route(const struct nlmsghdr *reply, void *userdata)
{
    const struct rtmsg *rtm = mnl_nlmsg_get_payload(reply);
    const struct nlattr *attr;

    if (reply->nlmsg_type != RTM_NEWROUTE)
        return 0;
    mnl_attr_for_each(attr, reply, sizeof(*rtm))
    {
        if (mnl_attr_get_type(attr) == RTA_DST)
            append(userdata,
                   (struct rtnl_address){0, {ntohl(mnl_attr_get_u32(attr)), rtm->rtm_dst_len}});
    }
    return 0;
}

int rtnl_get_addresses(int fd, struct rtnl_addresses *addresses, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct nlmsghdr *nlh;
    struct ifaddrmsg *ifa;
    struct rtmsg *rtm;
    int r;

    nlh = nl_request(&batch, "list addresses", RTM_GETADDR, NLM_F_DUMP);
    ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
    ifa->ifa_family = AF_INET;
    r = nl_run(fd, &batch, on_address, addresses, reterr);
    if (r < 0)
        return r;
    nlh = nl_request(&batch, "list routes", RTM_GETROUTE, NLM_F_DUMP);
    rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
    rtm->rtm_family = AF_INET;
    return nl_run(fd, &batch, on_route, addresses, reterr);
}

struct ports_query {
    uint32_t master;
    char **names; /* owned */
};

static int on_port(const struct nlmsghdr *reply, void *userdata)
{
    struct ports_query *query = userdata;
    const char *name = NULL;
    const struct nlattr *attr;
    uint32_t master = 0;

    if (reply->nlmsg_type != RTM_NEWLINK)
        return 0;
    mnl_attr_for_each(attr, reply, sizeof(struct ifinfomsg))
    {
        if (mnl_attr_get_type(attr) == IFLA_IFNAME)
            name = mnl_attr_get_str(attr);
        else if (mnl_attr_get_type(attr) == IFLA_MASTER)
            master = mnl_attr_get_u32(attr);
    }
    if (name && master == query->master)
        query->names = strv_append(query->names, name);
    return 0;
}

int rtnl_get_ports(int fd, uint32_t master, char ***ret, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct ports_query query = {.master = master};
    struct nlmsghdr *nlh;
    int r;

    put_link(&batch, "list links", RTM_GETLINK, NLM_F_DUMP, &nlh);
    mnl_attr_put_u32(nlh, IFLA_MASTER, master); /* a hint: the kernel filters */
    r = nl_run(fd, &batch, on_port, &query, reterr);
    if (r < 0) {
        strv_free(query.names);
        return r;
    }
    *ret = query.names;
    return 0;
}
