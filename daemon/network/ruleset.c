#include "ruleset.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "forward.h"
#include "mem.h"
#include "str.h"

/* Raise when chains, rules or maps below change: tables of older versions are then replaced. */
#define RULESET_VERSION 5
#define COMMENT_MAX 96

/* What differs between the tables of the two families. */
struct family {
    uint8_t nfproto;
    uint8_t address_len, saddr_offset, daddr_offset;
    uint32_t address_type; /* nft(8)'s number */
    uint32_t after;        /* the register behind an address at NFT_REG_1 */
};

enum { TYPE_IPADDR = 7, TYPE_IP6ADDR = 8 };

static const struct family ipv4 = {NFPROTO_IPV4, 4, 12, 16, TYPE_IPADDR, NFT_REG32_01};
static const struct family ipv6 = {NFPROTO_IPV6, 16, 8, 24, TYPE_IP6ADDR, NFT_REG32_04};

static const struct family *family_of(uint8_t nfproto)
{
    return nfproto == NFPROTO_IPV6 ? &ipv6 : &ipv4;
}

#define TRANSPORT_DPORT_OFFSET 2

/* ---- requests ---- */

struct nlmsghdr *nft_request(struct nl_batch *batch, const char *what, uint16_t type,
                             uint16_t flags)
{
    struct nlmsghdr *nlh =
        nl_request(batch, what, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags);
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

    nfg->nfgen_family = family_of(batch->family)->nfproto;
    nfg->version = NFNETLINK_V0;
    return nlh;
}

void nft_family(struct nl_batch *batch, uint8_t nfproto)
{
    batch->family = nfproto;
}

static void put_batch_mark(struct nl_batch *batch, uint16_t type)
{
    struct nlmsghdr *nlh = nl_request(batch, "nftables transaction", type, 0);
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

    nfg->nfgen_family = AF_UNSPEC;
    nfg->version = NFNETLINK_V0;
    nfg->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

void nft_begin(struct nl_batch *batch)
{
    put_batch_mark(batch, NFNL_MSG_BATCH_BEGIN);
}

void nft_end(struct nl_batch *batch)
{
    put_batch_mark(batch, NFNL_MSG_BATCH_END);
}

/* ---- expressions: what rules are made of ---- */

static struct nftnl_expr *new_expr(const char *name)
{
    struct nftnl_expr *expr = nftnl_expr_alloc(name);

    if (!expr)
        abort(); /* out of memory, as the x-allocators do */
    return expr;
}

static void load_meta(struct nftnl_rule *rule, uint32_t key, uint32_t reg)
{
    struct nftnl_expr *expr = new_expr("meta");

    nftnl_expr_set_u32(expr, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_META_DREG, reg);
    nftnl_rule_add_expr(rule, expr);
}

static void load_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t len,
                         uint32_t reg)
{
    struct nftnl_expr *expr = new_expr("payload");

    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, len);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, reg);
    nftnl_rule_add_expr(rule, expr);
}

static void load_ct(struct nftnl_rule *rule, uint32_t key)
{
    struct nftnl_expr *expr = new_expr("ct");

    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, key);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_DREG, NFT_REG_1);
    nftnl_rule_add_expr(rule, expr);
}

static void mask(struct nftnl_rule *rule, uint32_t bits)
{
    static const uint32_t zero;
    struct nftnl_expr *expr = new_expr("bitwise");

    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_LEN, sizeof(bits));
    nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_MASK, &bits, sizeof(bits));
    nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_XOR, &zero, sizeof(zero));
    nftnl_rule_add_expr(rule, expr);
}

static void compare(struct nftnl_rule *rule, uint32_t op, const void *data, uint32_t len)
{
    struct nftnl_expr *expr = new_expr("cmp");

    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, op);
    nftnl_expr_set(expr, NFTNL_EXPR_CMP_DATA, data, len);
    nftnl_rule_add_expr(rule, expr);
}

/* Whether what is in the registers from NFT_REG_1 on is (not) in a set. */
static void match_set(struct nftnl_rule *rule, const char *set, bool inverted)
{
    struct nftnl_expr *lookup = new_expr("lookup");

    nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
    nftnl_expr_set_str(lookup, NFTNL_EXPR_LOOKUP_SET, set);
    if (inverted)
        nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    nftnl_rule_add_expr(rule, lookup);
}

static void load_address(struct nftnl_rule *rule, const struct family *f, bool source)
{
    load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, source ? f->saddr_offset : f->daddr_offset,
                 f->address_len, NFT_REG_1);
}

/* 127.0.0.0/8, ::1 */
static void match_loopback(struct nftnl_rule *rule, const struct family *f, bool source,
                           uint32_t op)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    uint32_t loopback4 = htonl(0x7f000000);

    load_address(rule, f, source);
    if (f == &ipv6) {
        compare(rule, op, loopback6, sizeof(loopback6));
        return;
    }
    mask(rule, htonl(0xff000000));
    compare(rule, op, &loopback4, sizeof(loopback4));
}

static void match_ct_bits(struct nftnl_rule *rule, uint32_t key, uint32_t bits)
{
    static const uint32_t zero;

    load_ct(rule, key);
    mask(rule, bits);
    compare(rule, NFT_CMP_NEQ, &zero, sizeof(zero));
}

static void verdict(struct nftnl_rule *rule, int code)
{
    struct nftnl_expr *expr = new_expr("immediate");

    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
    nftnl_rule_add_expr(rule, expr);
}

/* The key is in the registers from NFT_REG32_00 on; address and port of the map's answer replace
 * it.  No answer ends the rule. */
static void dnat_by(struct nftnl_rule *rule, const struct family *f, const char *map)
{
    struct nftnl_expr *lookup = new_expr("lookup");
    struct nftnl_expr *nat = new_expr("nat");

    nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_1);
    nftnl_expr_set_str(lookup, NFTNL_EXPR_LOOKUP_SET, map);
    nftnl_rule_add_expr(rule, lookup);
    nftnl_expr_set_u32(nat, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
    nftnl_expr_set_u32(nat, NFTNL_EXPR_NAT_FAMILY, f->nfproto);
    nftnl_expr_set_u32(nat, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1);
    nftnl_expr_set_u32(nat, NFTNL_EXPR_NAT_REG_PROTO_MIN, f->after);
    nftnl_rule_add_expr(rule, nat);
}

/* ---- steps: one phrase of a rule each ---- */

typedef void (*step_fn)(struct nftnl_rule *rule, const struct family *f);

static void from_bridge(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    load_meta(rule, NFT_META_IIFNAME, NFT_REG_1);
    match_set(rule, SET_BRIDGES, false);
}

static void to_bridge(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    load_meta(rule, NFT_META_OIFNAME, NFT_REG_1);
    match_set(rule, SET_BRIDGES, false);
}

static void not_to_bridge(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    load_meta(rule, NFT_META_OIFNAME, NFT_REG_1);
    match_set(rule, SET_BRIDGES, true);
}

static void from_internal(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    load_meta(rule, NFT_META_IIFNAME, NFT_REG_1);
    match_set(rule, SET_INTERNAL, false);
}

static void not_from_bridge(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    load_meta(rule, NFT_META_IIFNAME, NFT_REG_1);
    match_set(rule, SET_BRIDGES, true);
}

static void to_internal(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    load_meta(rule, NFT_META_OIFNAME, NFT_REG_1);
    match_set(rule, SET_INTERNAL, false);
}

/* Both ends on one network whose containers may talk to each other. */
static void within_network(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    load_meta(rule, NFT_META_IIFNAME, NFT_REG_1);
    load_meta(rule, NFT_META_OIFNAME, NFT_REG_2);
    match_set(rule, SET_SAME, false);
}

static void source_in_subnet(struct nftnl_rule *rule, const struct family *f)
{
    load_address(rule, f, true);
    match_set(rule, SET_SUBNETS, false);
}

static void source_masqueraded(struct nftnl_rule *rule, const struct family *f)
{
    load_address(rule, f, true);
    match_set(rule, SET_MASQUERADE, false);
}

static void source_loopback(struct nftnl_rule *rule, const struct family *f)
{
    match_loopback(rule, f, true, NFT_CMP_EQ);
}

static void target_loopback(struct nftnl_rule *rule, const struct family *f)
{
    match_loopback(rule, f, false, NFT_CMP_EQ);
}

static void target_not_loopback(struct nftnl_rule *rule, const struct family *f)
{
    match_loopback(rule, f, false, NFT_CMP_NEQ);
}

/* Answers to ::1 would come in by a bridge, and the kernel takes them from the loopback only: these
 * are relayed. */
static void target_not_loopback6(struct nftnl_rule *rule, const struct family *f)
{
    if (f == &ipv6)
        match_loopback(rule, f, false, NFT_CMP_NEQ);
}

static void target_not_loopback4(struct nftnl_rule *rule, const struct family *f)
{
    if (f == &ipv4)
        match_loopback(rule, f, false, NFT_CMP_NEQ);
}

static void target_is_host(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    struct nftnl_expr *expr = new_expr("fib");
    uint32_t local = RTN_LOCAL;

    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
    nftnl_rule_add_expr(rule, expr);
    compare(rule, NFT_CMP_EQ, &local, sizeof(local));
}

static void is_reply(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    match_ct_bits(rule, NFT_CT_STATE,
                  NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED));
}

static void was_dnatted(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    match_ct_bits(rule, NFT_CT_STATUS, IPS_DST_NAT);
}

/* Protocol . port that a packet goes to: the key of MAP_ANY and SET_RELAYED. */
static void load_port(struct nftnl_rule *rule)
{
    load_meta(rule, NFT_META_L4PROTO, NFT_REG_1);
    load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TRANSPORT_DPORT_OFFSET, 2, NFT_REG32_01);
}

/* Address . protocol . port: the key of MAP_SPECIFIC and SET_RELAYED_ON. */
static void load_address_and_port(struct nftnl_rule *rule, const struct family *f)
{
    load_address(rule, f, false);
    load_meta(rule, NFT_META_L4PROTO, f->after);
    load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TRANSPORT_DPORT_OFFSET, 2, f->after + 1);
}

static void dnat_specific(struct nftnl_rule *rule, const struct family *f)
{
    load_address_and_port(rule, f);
    dnat_by(rule, f, MAP_SPECIFIC);
}

static void dnat_any(struct nftnl_rule *rule, const struct family *f)
{
    load_port(rule);
    dnat_by(rule, f, MAP_ANY);
}

static void relayed(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    load_port(rule);
    match_set(rule, SET_RELAYED, false);
}

static void relayed_on(struct nftnl_rule *rule, const struct family *f)
{
    load_address_and_port(rule, f);
    match_set(rule, SET_RELAYED_ON, false);
}

/* To the relay's socket; without one the rule ends here. */
static void relay_it(struct nftnl_rule *rule, const struct family *f)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    uint32_t loopback4 = htonl(INADDR_LOOPBACK);
    struct nftnl_expr *lookup = new_expr("lookup"), *address = new_expr("immediate"),
                      *tproxy = new_expr("tproxy");

    load_meta(rule, NFT_META_L4PROTO, NFT_REG_1);
    nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_1);
    nftnl_expr_set_str(lookup, NFTNL_EXPR_LOOKUP_SET, MAP_RELAY);
    nftnl_rule_add_expr(rule, lookup);
    nftnl_expr_set_u32(address, NFTNL_EXPR_IMM_DREG, NFT_REG_2);
    if (f == &ipv6)
        nftnl_expr_set(address, NFTNL_EXPR_IMM_DATA, loopback6, sizeof(loopback6));
    else
        nftnl_expr_set(address, NFTNL_EXPR_IMM_DATA, &loopback4, sizeof(loopback4));
    nftnl_rule_add_expr(rule, address);
    nftnl_expr_set_u32(tproxy, NFTNL_EXPR_TPROXY_FAMILY, f->nfproto);
    nftnl_expr_set_u32(tproxy, NFTNL_EXPR_TPROXY_REG_ADDR, NFT_REG_2);
    nftnl_expr_set_u32(tproxy, NFTNL_EXPR_TPROXY_REG_PORT, NFT_REG_1);
    nftnl_rule_add_expr(rule, tproxy);
    verdict(rule, NF_ACCEPT);
}

static void masquerade(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    nftnl_rule_add_expr(rule, new_expr("masq"));
}

static void change_mark(struct nftnl_rule *rule, uint32_t keep, uint32_t add)
{
    struct nftnl_expr *expr = new_expr("bitwise"), *meta = new_expr("meta");

    load_meta(rule, NFT_META_MARK, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_LEN, sizeof(keep));
    nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_MASK, &keep, sizeof(keep));
    nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_XOR, &add, sizeof(add));
    nftnl_rule_add_expr(rule, expr);
    nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, NFT_META_MARK);
    nftnl_expr_set_u32(meta, NFTNL_EXPR_META_SREG, NFT_REG_1);
    nftnl_rule_add_expr(rule, meta);
}

/* Other chains of the hook may know what we have accepted: see forward.h. */
static void mark_it(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    change_mark(rule, ~FORWARD_MARK, FORWARD_MARK);
}

static void is_marked(struct nftnl_rule *rule, const struct family *f)
{
    static const uint32_t zero;

    (void)f;
    load_meta(rule, NFT_META_MARK, NFT_REG_1);
    mask(rule, FORWARD_MARK);
    compare(rule, NFT_CMP_NEQ, &zero, sizeof(zero));
}

static void unmark_it(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    change_mark(rule, ~FORWARD_MARK, 0);
}

static void accept_it(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    verdict(rule, NF_ACCEPT);
}

static void drop_it(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    verdict(rule, NF_DROP);
}

/* ---- the table ---- */

static const struct {
    const char *name;
    const char *type;
    uint32_t hook;
    int32_t priority; /* as NF_IP_PRI_* in linux/netfilter_ipv4.h */
} chains[] = {
    {"raw", "filter", NF_INET_PRE_ROUTING, -300},
    {"relay", "filter", NF_INET_PRE_ROUTING, -150},
    {"prerouting", "nat", NF_INET_PRE_ROUTING, -100},
    {"output", "nat", NF_INET_LOCAL_OUT, -100},
    {"postrouting", "nat", NF_INET_POST_ROUTING, 100},
    /* Before the chains of iptables, which are to see the mark. */
    {"forward", "filter", NF_INET_FORWARD, -5},
    {"unmark", "filter", NF_INET_POST_ROUTING, 200},
};

#define STEPS_MAX 5

static const struct {
    const char *chain;
    step_fn steps[STEPS_MAX];
} rules[] = {
    /* route_localnet on the bridge, which published ports on 127.0.0.1 need, must not let
     * containers reach what the host serves on its loopback (CVE-2020-8558). */
    {"raw", {from_bridge, target_loopback, drop_it}},
    {"raw", {from_bridge, source_loopback, drop_it}},

    /* Not from containers: where br_netfilter is loaded, their packets lose the socket again. */
    {"relay", {not_from_bridge, target_is_host, target_not_loopback4, relayed_on, relay_it}},
    {"relay", {not_from_bridge, target_is_host, target_not_loopback4, relayed, relay_it}},

    /* Nothing that comes over a wire may use a port published on 127.0.0.1, whatever
     * route_localnet says on other links; the host's own packets pass `output`. */
    {"prerouting", {target_is_host, target_not_loopback, dnat_specific}},
    {"prerouting", {target_is_host, target_not_loopback, dnat_any}},
    {"output", {target_not_loopback6, target_is_host, dnat_specific}},
    {"output", {target_not_loopback6, target_is_host, dnat_any}},

    {"postrouting", {source_masqueraded, not_to_bridge, masquerade}},
    /* A container that uses a published port: the answer has to come back through here. */
    {"postrouting", {source_in_subnet, to_bridge, was_dnatted, masquerade}},
    {"postrouting", {source_loopback, to_bridge, masquerade}},

    {"forward", {within_network, mark_it, accept_it}},
    {"forward", {from_internal, drop_it}},
    {"forward", {to_internal, drop_it}},
    /* Into containers only what they asked for and what is published: networks do not see each
     * other, and a neighbour that routes to a container's address directly gets nowhere. */
    {"forward", {from_bridge, not_to_bridge, mark_it, accept_it}},
    {"forward", {not_to_bridge, accept_it}},
    {"forward", {is_reply, mark_it, accept_it}},
    {"forward", {was_dnatted, mark_it, accept_it}},
    {"forward", {drop_it}},

    {"unmark", {is_marked, unmark_it}},
};

/* Numbers of nft(8)'s data types (enum datatypes), six bits each in a concatenation: they only
 * matter for `nft list`.  TYPE_ADDRESS stands for the family's. */
enum { TYPE_ADDRESS = 0, TYPE_INET_PROTOCOL = 12, TYPE_INET_SERVICE = 13, TYPE_IFNAME = 41 };

/* The maps are plain hash maps: no size, no intervals, so that a change costs the same however full
 * they are (interval sets are copied whole in each transaction; they change with networks only). */
#define KEY_PARTS_MAX 3
static const struct {
    const char *name;
    uint32_t flags;
    int n_key;
    uint8_t key[KEY_PARTS_MAX]; /* types; the data of a map is address . service */
} sets[] = {
    {MAP_ANY, NFT_SET_MAP, 2, {TYPE_INET_PROTOCOL, TYPE_INET_SERVICE}},
    {MAP_SPECIFIC, NFT_SET_MAP, 3, {TYPE_ADDRESS, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE}},
    {SET_RELAYED, 0, 2, {TYPE_INET_PROTOCOL, TYPE_INET_SERVICE}},
    {SET_RELAYED_ON, 0, 3, {TYPE_ADDRESS, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE}},
    {MAP_RELAY, NFT_SET_MAP, 1, {TYPE_INET_PROTOCOL}},
    {SET_BRIDGES, 0, 1, {TYPE_IFNAME}},
    {SET_INTERNAL, 0, 1, {TYPE_IFNAME}},
    {SET_SAME, 0, 2, {TYPE_IFNAME, TYPE_IFNAME}},
    {SET_SUBNETS, NFT_SET_INTERVAL, 1, {TYPE_ADDRESS}},
    {SET_MASQUERADE, NFT_SET_INTERVAL, 1, {TYPE_ADDRESS}},
};

static uint32_t type_of(const struct family *f, uint8_t part)
{
    return part == TYPE_ADDRESS ? f->address_type : part;
}

/* Each part of several is padded to four bytes. */
static uint32_t len_of(const struct family *f, uint8_t part)
{
    return part == TYPE_ADDRESS ? f->address_len : part == TYPE_IFNAME ? IFNAMSIZ : 4;
}

/* For nft(8), which reads these sets when somebody lists them: names are in the host's byte order.
 */
static void put_byte_order(struct nftnl_set *set)
{
    enum { BYTEORDER_HOST_ENDIAN = 1 }; /* nftables, include/datatype.h */
    struct nftnl_udata_buf *data = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

    if (!data)
        abort();
    nftnl_udata_put_u32(data, NFTNL_UDATA_SET_KEYBYTEORDER, BYTEORDER_HOST_ENDIAN);
    nftnl_set_set_data(set, NFTNL_SET_USERDATA, nftnl_udata_buf_data(data),
                       nftnl_udata_buf_len(data));
    nftnl_udata_buf_free(data);
}

/* What `nft list` shows as the table's comment, and what tells whether the table is current. */
static void format_comment(const struct ruleset *ruleset, char ret[COMMENT_MAX])
{
    snprintf(ret, COMMENT_MAX, "containerd-lite rules %d%s", RULESET_VERSION,
             ruleset->obeys_input ? ", ports obey input" : "");
}

static void put_table(struct nl_batch *batch, const char *what, uint16_t type, const char *table,
                      const struct ruleset *ruleset)
{
    struct nlmsghdr *nlh =
        nft_request(batch, what, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0);
    char comment[COMMENT_MAX];
    struct nftnl_udata_buf *udata;

    mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
    if (type != NFT_MSG_NEWTABLE)
        return;
    mnl_attr_put_u32(nlh, NFTA_TABLE_FLAGS, 0);
    format_comment(ruleset, comment);
    udata = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
    if (!udata)
        abort();
    nftnl_udata_put_strz(udata, NFTNL_UDATA_TABLE_COMMENT, comment);
    mnl_attr_put(nlh, NFTA_TABLE_USERDATA, nftnl_udata_buf_len(udata), nftnl_udata_buf_data(udata));
    nftnl_udata_buf_free(udata);
}

static void put_chains(struct nl_batch *batch, const char *table)
{
    for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
        struct nlmsghdr *nlh = nft_request(batch, "create chain", NFT_MSG_NEWCHAIN, NLM_F_CREATE);
        struct nlattr *hook;

        mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, table);
        mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, chains[i].name);
        hook = mnl_attr_nest_start(nlh, NFTA_CHAIN_HOOK);
        mnl_attr_put_u32(nlh, NFTA_HOOK_HOOKNUM, htonl(chains[i].hook));
        mnl_attr_put_u32(nlh, NFTA_HOOK_PRIORITY, htonl((uint32_t)chains[i].priority));
        mnl_attr_nest_end(nlh, hook);
        mnl_attr_put_u32(nlh, NFTA_CHAIN_POLICY, htonl(NF_ACCEPT));
        mnl_attr_put_strz(nlh, NFTA_CHAIN_TYPE, chains[i].type);
    }
}

static void put_sets(struct nl_batch *batch, const char *table)
{
    const struct family *f = family_of(batch->family);

    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        struct nlmsghdr *nlh = nft_request(batch, "create set", NFT_MSG_NEWSET, NLM_F_CREATE);
        struct nftnl_set *set = nftnl_set_alloc();
        uint32_t type = 0, len = 0;

        if (!set)
            abort();
        nftnl_set_set_str(set, NFTNL_SET_TABLE, table);
        nftnl_set_set_str(set, NFTNL_SET_NAME, sets[i].name);
        nftnl_set_set_u32(set, NFTNL_SET_ID, (uint32_t)i + 1);
        nftnl_set_set_u32(set, NFTNL_SET_FLAGS, sets[i].flags);
        for (int k = 0; k < sets[i].n_key; k++) {
            type = type << 6 | type_of(f, sets[i].key[k]);
            len += len_of(f, sets[i].key[k]);
        }
        if (type == TYPE_INET_PROTOCOL)
            len = 1; /* alone it is as long as it is, or nft(8) dies of it */
        if (type == TYPE_IFNAME)
            put_byte_order(set);
        nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, type);
        nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, len);
        if (sets[i].flags & NFT_SET_MAP) {
            bool port_only = streq(sets[i].name, MAP_RELAY);

            nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE,
                              (port_only ? 0 : f->address_type << 6) | TYPE_INET_SERVICE);
            nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, port_only ? 2 : f->address_len + 4);
        }
        nftnl_set_nlmsg_build_payload(nlh, set);
        nftnl_set_free(set);
    }
}

static void put_rules(struct nl_batch *batch, const char *table, const struct ruleset *ruleset)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        struct nftnl_rule *rule;
        struct nlmsghdr *nlh;

        nlh = nft_request(batch, "create rule", NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
        rule = nftnl_rule_alloc();
        if (!rule)
            abort();
        nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, table);
        nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, rules[i].chain);
        /* Where the INPUT chain of the host decides, nothing from outside is rewritten. */
        if (ruleset->obeys_input && streq(rules[i].chain, "prerouting"))
            from_bridge(rule, family_of(batch->family));
        for (size_t s = 0; s < STEPS_MAX && rules[i].steps[s]; s++)
            rules[i].steps[s](rule, family_of(batch->family));
        nftnl_rule_nlmsg_build_payload(nlh, rule);
        nftnl_rule_free(rule);
    }
}

static void put_value(struct nlmsghdr *nlh, uint16_t type, const void *data, size_t len)
{
    struct nlattr *nest = mnl_attr_nest_start(nlh, type);

    mnl_attr_put(nlh, NFTA_DATA_VALUE, len, data);
    mnl_attr_nest_end(nlh, nest);
}

static void put_relay_port(struct nl_batch *batch, const char *table, uint16_t port)
{
    uint8_t tcp = IPPROTO_TCP;
    uint16_t wire = htons(port);
    struct nlattr *list, *element;
    struct nlmsghdr *nlh;

    if (port == 0)
        return;
    nlh = nft_request(batch, "set relay port", NFT_MSG_NEWSETELEM, NLM_F_CREATE);
    mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table);
    mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, MAP_RELAY);
    list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
    element = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
    put_value(nlh, NFTA_SET_ELEM_KEY, &tcp, sizeof(tcp));
    put_value(nlh, NFTA_SET_ELEM_DATA, &wire, sizeof(wire));
    mnl_attr_nest_end(nlh, element);
    mnl_attr_nest_end(nlh, list);
}

void ruleset_put(struct nl_batch *batch, const char *table, const struct ruleset *ruleset)
{
    /* Made first, so that deleting it works in every case. */
    put_table(batch, "create table", NFT_MSG_NEWTABLE, table, ruleset);
    put_table(batch, "delete old table", NFT_MSG_DELTABLE, table, ruleset);
    put_table(batch, "create table", NFT_MSG_NEWTABLE, table, ruleset);
    put_chains(batch, table);
    put_sets(batch, table);
    put_rules(batch, table, ruleset);
    put_relay_port(batch, table,
                   batch->family == NFPROTO_IPV6 ? ruleset->relay_port6 : ruleset->relay_port);
}

struct comment_query {
    const char *wanted;
    bool matches;
};

static int on_table(const struct nlmsghdr *reply, void *userdata)
{
    struct comment_query *query = userdata;
    const struct nlattr *attr;

    mnl_attr_for_each(attr, reply, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attr) == NFTA_TABLE_USERDATA) {
            /* type, length, NUL-terminated text: see nftnl_udata_put_strz() */
            const uint8_t *data = mnl_attr_get_payload(attr);
            size_t len = mnl_attr_get_payload_len(attr);
            size_t want = strlen(query->wanted) + 1;

            query->matches = len >= 2 + want && data[0] == NFTNL_UDATA_TABLE_COMMENT &&
                             memcmp(data + 2, query->wanted, want) == 0;
        }
    }
    return 0;
}

int ruleset_ensure(int fd, uint8_t nfproto, const char *table, const struct ruleset *ruleset,
                   struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    char comment[COMMENT_MAX];
    struct comment_query query = {.wanted = comment};
    struct nlmsghdr *nlh;
    int r;

    format_comment(ruleset, comment);
    nft_family(&batch, nfproto);
    nlh = nft_request(&batch, "get nftables table", NFT_MSG_GETTABLE, NLM_F_ACK);
    mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
    r = nl_run(fd, &batch, on_table, &query, reterr);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r >= 0 && query.matches)
        return 0;
    nft_begin(&batch);
    ruleset_put(&batch, table, ruleset);
    /* The last one speaks for all: a transaction works as a whole or not at all. */
    nl_ask_ack(&batch);
    nft_end(&batch);
    r = nl_run(fd, &batch, NULL, NULL, reterr);
    return r < 0 ? r : 1;
}

int ruleset_delete(int fd, uint8_t nfproto, const char *table, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct nlmsghdr *nlh;
    int r;

    nft_family(&batch, nfproto);
    nft_begin(&batch);
    nlh = nft_request(&batch, "delete nftables table", NFT_MSG_DELTABLE, NLM_F_ACK);
    mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
    nft_end(&batch);
    r = nl_run(fd, &batch, NULL, NULL, reterr);
    return r == -ENOENT ? 0 : r;
}
