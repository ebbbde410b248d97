#include "forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "netlink.h"
#include "ruleset.h"
#include "str.h"

#define FOREIGN_TABLE "filter"
#define FOREIGN_CHAIN "FORWARD"
#define COMMENT "containerd-lite"

/* ---- what is there ---- */

static int on_chain(const struct nlmsghdr *reply, void *userdata)
{
    bool *drops = userdata;
    const struct nlattr *attr;

    mnl_attr_for_each(attr, reply, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attr) == NFTA_CHAIN_POLICY)
            *drops = ntohl(mnl_attr_get_u32(attr)) == NF_DROP;
    }
    return 0;
}

/* 0 also if there is no such chain. */
static int policy_drops(int fd, uint8_t nfproto, bool *ret, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct nlmsghdr *nlh;
    int r;

    *ret = false;
    nft_family(&batch, nfproto);
    nlh = nft_request(&batch, "get chain FORWARD", NFT_MSG_GETCHAIN, NLM_F_ACK);
    mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, FOREIGN_TABLE);
    mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, FOREIGN_CHAIN);
    r = nl_run(fd, &batch, on_chain, ret, reterr);
    return r == -ENOENT ? 0 : r;
}

static int on_rule(const struct nlmsghdr *reply, void *userdata)
{
    bool *found = userdata;
    const struct nlattr *attr;

    mnl_attr_for_each(attr, reply, sizeof(struct nfgenmsg))
    {
        /* type, length, NUL-terminated text: see nftnl_udata_put_strz() */
        const uint8_t *data = mnl_attr_get_payload(attr);
        size_t len = mnl_attr_get_payload_len(attr);

        if (mnl_attr_get_type(attr) == NFTA_RULE_USERDATA && len == 2 + sizeof(COMMENT) &&
            data[0] == NFTNL_UDATA_RULE_COMMENT && memcmp(data + 2, COMMENT, sizeof(COMMENT)) == 0)
            *found = true;
    }
    return 0;
}

static int has_rule(int fd, uint8_t nfproto, bool *ret, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct nlmsghdr *nlh;

    *ret = false;
    nft_family(&batch, nfproto);
    nlh = nft_request(&batch, "list chain FORWARD", NFT_MSG_GETRULE, NLM_F_DUMP);
    mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, FOREIGN_TABLE);
    mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, FOREIGN_CHAIN);
    return nl_run(fd, &batch, on_rule, ret, reterr);
}

/* ---- the rule ---- */

static struct nftnl_expr *append(struct nftnl_rule *rule, const char *name)
{
    struct nftnl_expr *expr = nftnl_expr_alloc(name);

    if (!expr)
        abort(); /* out of memory, as the x-allocators do */
    nftnl_rule_add_expr(rule, expr);
    return expr;
}

/* In the form that iptables writes itself, or it would not list the chain any more. */
static void put_expressions(struct nftnl_rule *rule)
{
    static const uint32_t bit = FORWARD_MARK, zero;
    struct nftnl_expr *meta = append(rule, "meta"), *mask = append(rule, "bitwise"),
                      *cmp = append(rule, "cmp"), *immediate;

    nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, NFT_META_MARK);
    nftnl_expr_set_u32(meta, NFTNL_EXPR_META_DREG, NFT_REG_1);
    nftnl_expr_set_u32(mask, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
    nftnl_expr_set_u32(mask, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
    nftnl_expr_set_u32(mask, NFTNL_EXPR_BITWISE_LEN, sizeof(bit));
    nftnl_expr_set(mask, NFTNL_EXPR_BITWISE_MASK, &bit, sizeof(bit));
    nftnl_expr_set(mask, NFTNL_EXPR_BITWISE_XOR, &zero, sizeof(zero));
    nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
    nftnl_expr_set(cmp, NFTNL_EXPR_CMP_DATA, &bit, sizeof(bit));
    append(rule, "counter");
    immediate = append(rule, "immediate");
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_VERDICT, NF_ACCEPT);
}

static void put_rule(struct nl_batch *batch)
{
    struct nlmsghdr *nlh =
        nft_request(batch, "append to FORWARD", NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    struct nftnl_rule *rule = nftnl_rule_alloc();
    struct nftnl_udata_buf *udata = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

    if (!rule || !udata)
        abort();
    nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, FOREIGN_TABLE);
    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, FOREIGN_CHAIN);
    nftnl_udata_put_strz(udata, NFTNL_UDATA_RULE_COMMENT, COMMENT);
    nftnl_rule_set_data(rule, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(udata),
                        nftnl_udata_buf_len(udata));
    put_expressions(rule);
    nftnl_rule_nlmsg_build_payload(nlh, rule);
    nftnl_udata_buf_free(udata);
    nftnl_rule_free(rule);
}

static int settle(int fd, uint8_t nfproto, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    bool drops = false, there = false;
    int r = policy_drops(fd, nfproto, &drops, reterr);

    if (r >= 0 && drops)
        r = has_rule(fd, nfproto, &there, reterr);
    if (r < 0 || !drops || there)
        return r;
    nft_family(&batch, nfproto);
    nft_begin(&batch);
    put_rule(&batch);
    nl_ask_ack(&batch);
    nft_end(&batch);
    r = nl_run(fd, &batch, NULL, NULL, reterr);
    return r < 0 ? r : 1;
}

int forward_settle(int fd, struct err *reterr)
{
    int results[] = {settle(fd, NFPROTO_IPV4, reterr), settle(fd, NFPROTO_IPV6, reterr),
                     xtables_settle(AF_INET, reterr), xtables_settle(AF_INET6, reterr)};
    int put = 0;

    for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
        if (results[i] < 0)
            return results[i];
        put |= results[i];
    }
    return put;
}
