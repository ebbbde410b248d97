#include "conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdbool.h>
#include <string.h>

#include "buf.h"
#include "netlink.h"

/* Bits of CTA_FILTER_*_FLAGS, as in the kernel's nf_conntrack_netlink.c (since Linux 5.8). */
enum { FILTER_IP_SRC = 1 << 0, FILTER_PROTO_NUM = 1 << 3, FILTER_PROTO_DST_PORT = 1 << 5 };

#define ADDRESS_MAX 16

struct flow_filter {
    bool by_reply; /* by the source of replies, else by the original direction's destination */
    uint8_t family;
    uint8_t address[ADDRESS_MAX]; /* all 0: any */
    uint16_t target_port;
    struct buf tuples; /* CTA_TUPLE_ORIG attributes of what matches, one after the other */
};

static size_t address_len(uint8_t family)
{
    return family == AF_INET6 ? 16 : 4;
}

static struct nlmsghdr *ct_request(struct nl_batch *batch, const char *what, uint8_t type,
                                   uint16_t flags, uint8_t family)
{
    struct nlmsghdr *nlh =
        nl_request(batch, what, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags);
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

    nfg->nfgen_family = family;
    nfg->version = NFNETLINK_V0;
    return nlh;
}

static const struct nlattr *find(const struct nlattr *nest, uint16_t type)
{
    const struct nlattr *attr;

    if (!nest)
        return NULL;
    mnl_attr_for_each_nested(attr, nest)
    {
        if (mnl_attr_get_type(attr) == type)
            return attr;
    }
    return NULL;
}

static bool is_address(const struct flow_filter *filter, const struct nlattr *tuple, uint16_t type4,
                       uint16_t type6)
{
    uint16_t type = filter->family == AF_INET6 ? type6 : type4;
    const struct nlattr *attr = find(find(tuple, CTA_TUPLE_IP), type);
    size_t len = address_len(filter->family);

    return attr && mnl_attr_get_payload_len(attr) == len &&
           memcmp(mnl_attr_get_payload(attr), filter->address, len) == 0;
}

static bool is_any(const struct flow_filter *filter)
{
    static const uint8_t any[ADDRESS_MAX];

    return memcmp(filter->address, any, sizeof(any)) == 0;
}

static uint16_t tuple_port(const struct nlattr *tuple, uint16_t type)
{
    const struct nlattr *attr = find(find(tuple, CTA_TUPLE_PROTO), type);

    return attr ? ntohs(mnl_attr_get_u16(attr)) : 0;
}

static bool is_udp(const struct nlattr *tuple)
{
    const struct nlattr *attr = find(find(tuple, CTA_TUPLE_PROTO), CTA_PROTO_NUM);

    return attr && mnl_attr_get_u8(attr) == IPPROTO_UDP;
}

/* The kernel filters too where it can; older ones send everything. */
static bool matches(const struct flow_filter *filter, const struct nlattr *orig,
                    const struct nlattr *reply)
{
    if (!is_udp(orig))
        return false;
    if (filter->by_reply)
        return is_address(filter, reply, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
    return tuple_port(orig, CTA_PROTO_DST_PORT) == filter->target_port &&
           (is_any(filter) || is_address(filter, orig, CTA_IP_V4_DST, CTA_IP_V6_DST));
}

static int on_flow(const struct nlmsghdr *message, void *userdata)
{
    struct flow_filter *filter = userdata;
    const struct nlattr *attr, *orig = NULL, *reply = NULL;

    mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attr) == CTA_TUPLE_ORIG)
            orig = attr;
        else if (mnl_attr_get_type(attr) == CTA_TUPLE_REPLY)
            reply = attr;
    }
    if (orig && reply && matches(filter, orig, reply))
        buf_append(&filter->tuples, orig, MNL_ALIGN(orig->nla_len));
    return 0;
}

static void put_filter(struct nlmsghdr *nlh, const struct flow_filter *filter)
{
    uint16_t tuple_type = filter->by_reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG;
    uint16_t flags_type = filter->by_reply ? CTA_FILTER_REPLY_FLAGS : CTA_FILTER_ORIG_FLAGS;
    struct nlattr *tuple = mnl_attr_nest_start(nlh, tuple_type), *nest;

    if (filter->by_reply) {
        nest = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
        mnl_attr_put(nlh, filter->family == AF_INET6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC,
                     address_len(filter->family), filter->address);
        mnl_attr_nest_end(nlh, nest);
    }
    nest = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(nlh, CTA_PROTO_NUM, IPPROTO_UDP);
    if (!filter->by_reply)
        mnl_attr_put_u16(nlh, CTA_PROTO_DST_PORT, htons(filter->target_port));
    mnl_attr_nest_end(nlh, nest);
    mnl_attr_nest_end(nlh, tuple);
    nest = mnl_attr_nest_start(nlh, CTA_FILTER);
    mnl_attr_put_u32(nlh, flags_type,
                     FILTER_PROTO_NUM | (filter->by_reply ? FILTER_IP_SRC : FILTER_PROTO_DST_PORT));
    mnl_attr_nest_end(nlh, nest);
}

static int delete_flow(int fd, uint8_t family, const struct nlattr *tuple, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct nlmsghdr *nlh =
        ct_request(&batch, "delete connection", IPCTNL_MSG_CT_DELETE, NLM_F_ACK, family);
    int r;

    mnl_attr_put(nlh, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(tuple),
                 mnl_attr_get_payload(tuple));
    r = nl_run(fd, &batch, NULL, NULL, reterr);
    return r == -ENOENT ? 0 : r; /* ended by itself */
}

static int forget(int fd, struct flow_filter *filter, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct nlmsghdr *nlh =
        ct_request(&batch, "list connections", IPCTNL_MSG_CT_GET, NLM_F_DUMP, filter->family);
    int r;

    put_filter(nlh, filter);
    r = nl_run(fd, &batch, on_flow, filter, reterr);
    while (r >= 0 && buf_size(&filter->tuples) > 0) {
        const struct nlattr *tuple = (const struct nlattr *)buf_head(&filter->tuples);

        r = delete_flow(fd, filter->family, tuple, reterr);
        buf_consume(&filter->tuples, MNL_ALIGN(tuple->nla_len));
    }
    buf_done(&filter->tuples);
    return r;
}

int conntrack_forget_container(int fd, uint32_t address, struct err *reterr)
{
    struct flow_filter filter = {.by_reply = true, .family = AF_INET};
    uint32_t wire = htonl(address);

    memcpy(filter.address, &wire, sizeof(wire));
    return forget(fd, &filter, reterr);
}

int conntrack_forget_container6(int fd, const uint8_t address[16], struct err *reterr)
{
    struct flow_filter filter = {.by_reply = true, .family = AF_INET6};

    memcpy(filter.address, address, sizeof(filter.address));
    return forget(fd, &filter, reterr);
}

int conntrack_forget_port(int fd, const struct port_lease *lease, struct err *reterr)
{
    struct flow_filter filter = {.family = AF_INET, .target_port = lease->host_port};
    uint32_t wire = htonl(lease->host_ip);
    int r = 0;

    memcpy(filter.address, &wire, sizeof(wire));
    if (lease_on_ipv4(lease))
        r = forget(fd, &filter, reterr);
    if (r < 0 || !lease_on_ipv6(lease))
        return r;
    filter.family = AF_INET6;
    memcpy(filter.address, lease->host_ip6, sizeof(filter.address));
    return forget(fd, &filter, reterr);
}
