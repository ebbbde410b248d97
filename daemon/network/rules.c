/* Chains and rules: the same in both families, each rule a list of phrases. */
#include <arpa/inet.h>
#include <stdio.h> /* libnftnl forgets it */

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "forward.h"
#include "mem.h"
#include "ruleset_impl.h"
#include "str.h"

#define TRANSPORT_DPORT_OFFSET 2

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
    if (f->nfproto == NFPROTO_IPV6) {
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

/* The key is in the registers from NFT_REG32_00 on; address and, from a map of single ports, port
 * of the map's answer replace it.  No answer ends the rule.  Without a port the packet keeps its
 * own. */
static void dnat_by(struct nftnl_rule *rule, const struct family *f, const char *map, bool ranges)
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
    if (!ranges)
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
    if (f->nfproto == NFPROTO_IPV6)
        match_loopback(rule, f, false, NFT_CMP_NEQ);
}

static void target_not_loopback4(struct nftnl_rule *rule, const struct family *f)
{
    if (f->nfproto == NFPROTO_IPV4)
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
    dnat_by(rule, f, MAP_SPECIFIC, false);
}

static void dnat_specific_range(struct nftnl_rule *rule, const struct family *f)
{
    load_address_and_port(rule, f);
    dnat_by(rule, f, MAP_SPECIFIC_RANGES, true);
}

static void dnat_any(struct nftnl_rule *rule, const struct family *f)
{
    load_port(rule);
    dnat_by(rule, f, MAP_ANY, false);
}

static void dnat_any_range(struct nftnl_rule *rule, const struct family *f)
{
    load_port(rule);
    dnat_by(rule, f, MAP_ANY_RANGES, true);
}

static void relayed(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    load_port(rule);
    match_set(rule, SET_RELAYED, false);
}

static void relayed_range(struct nftnl_rule *rule, const struct family *f)
{
    (void)f;
    load_port(rule);
    match_set(rule, SET_RELAYED_RANGES, false);
}

static void relayed_on(struct nftnl_rule *rule, const struct family *f)
{
    load_address_and_port(rule, f);
    match_set(rule, SET_RELAYED_ON, false);
}

static void relayed_on_range(struct nftnl_rule *rule, const struct family *f)
{
    load_address_and_port(rule, f);
    match_set(rule, SET_RELAYED_ON_RANGES, false);
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
    if (f->nfproto == NFPROTO_IPV6)
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
    {"relay", {not_from_bridge, target_is_host, target_not_loopback4, relayed_on_range, relay_it}},
    {"relay", {not_from_bridge, target_is_host, target_not_loopback4, relayed, relay_it}},
    {"relay", {not_from_bridge, target_is_host, target_not_loopback4, relayed_range, relay_it}},

    /* Nothing that comes over a wire may use a port published on 127.0.0.1, whatever
     * route_localnet says on other links; the host's own packets pass `output`. */
    {"prerouting", {target_is_host, target_not_loopback, dnat_specific}},
    {"prerouting", {target_is_host, target_not_loopback, dnat_specific_range}},
    {"prerouting", {target_is_host, target_not_loopback, dnat_any}},
    {"prerouting", {target_is_host, target_not_loopback, dnat_any_range}},
    {"output", {target_not_loopback6, target_is_host, dnat_specific}},
    {"output", {target_not_loopback6, target_is_host, dnat_specific_range}},
    {"output", {target_not_loopback6, target_is_host, dnat_any}},
    {"output", {target_not_loopback6, target_is_host, dnat_any_range}},

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

void rules_put(struct nl_batch *batch, const char *table, const struct ruleset *ruleset)
{
    put_chains(batch, table);
    put_rules(batch, table, ruleset);
}
