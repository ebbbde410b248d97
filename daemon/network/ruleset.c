#include "ruleset.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "ruleset_impl.h"

/* Raise when chains, rules or maps change: tables of older versions are then replaced. */
#define RULESET_VERSION 6
#define COMMENT_MAX 96

enum { TYPE_IPADDR = 7, TYPE_IP6ADDR = 8 }; /* nft(8)'s numbers */

static const struct family ipv4 = {NFPROTO_IPV4, 4, 12, 16, TYPE_IPADDR, NFT_REG32_01};
static const struct family ipv6 = {NFPROTO_IPV6, 16, 8, 24, TYPE_IP6ADDR, NFT_REG32_04};

const struct family *family_of(uint8_t nfproto)
{
    return nfproto == NFPROTO_IPV6 ? &ipv6 : &ipv4;
}

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

/* ---- the table ---- */

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

void ruleset_put(struct nl_batch *batch, const char *table, const struct ruleset *ruleset)
{
    /* Made first, so that deleting it works in every case. */
    put_table(batch, "create table", NFT_MSG_NEWTABLE, table, ruleset);
    put_table(batch, "delete old table", NFT_MSG_DELTABLE, table, ruleset);
    put_table(batch, "create table", NFT_MSG_NEWTABLE, table, ruleset);
    sets_put(batch, table, ruleset);
    rules_put(batch, table, ruleset);
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
    nft_begin(&batch);
    if (r >= 0 && query.matches)
        sets_put_relay(&batch, table, ruleset);
    else
        ruleset_put(&batch, table, ruleset);
    /* The last one speaks for all: a transaction works as a whole or not at all. */
    nl_ask_ack(&batch);
    nft_end(&batch);
    r = nl_run(fd, &batch, NULL, NULL, reterr);
    return r < 0 ? r : !query.matches;
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
