#include "members.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <string.h>

#include "ruleset.h"

struct element {
    const void *key;
    size_t len;
    bool is_end; /* of an interval: the first address behind it */
};

static void put_element(struct nlmsghdr *nlh, const struct element *e)
{
    struct nlattr *elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM), *key;

    if (e->is_end)
        mnl_attr_put_u32(nlh, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
    key = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_KEY);
    mnl_attr_put(nlh, NFTA_DATA_VALUE, e->len, e->key);
    mnl_attr_nest_end(nlh, key);
    mnl_attr_nest_end(nlh, elem);
}

static void put_elements(struct nl_batch *batch, const char *table, const char *set, bool deletes,
                         const struct element *elements, size_t n)
{
    struct nlmsghdr *nlh =
        deletes ? nft_request(batch, "remove network", NFT_MSG_DELSETELEM, 0)
                : nft_request(batch, "add network", NFT_MSG_NEWSETELEM, NLM_F_CREATE);
    struct nlattr *list;

    mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table);
    mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set);
    list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
    for (size_t i = 0; i < n; i++)
        put_element(nlh, &elements[i]);
    mnl_attr_nest_end(nlh, list);
}

static void put_subnet(struct nl_batch *batch, const char *table, const char *set, bool deletes,
                       const struct inet4 *net)
{
    uint32_t first = htonl(inet4_first(net)), behind = htonl(inet4_last(net) + 1);
    struct element ends[2] = {{&first, sizeof(first), false}, {&behind, sizeof(behind), true}};

    /* The last address of all has none behind it. */
    put_elements(batch, table, set, deletes, ends, behind ? 2 : 1);
}

static void put_subnet6(struct nl_batch *batch, const char *table, const char *set, bool deletes,
                        const struct inet6 *net)
{
    static const uint8_t none[INET6_LEN];
    uint8_t behind[INET6_LEN];
    struct inet6 first;
    struct element ends[2] = {{first.address, INET6_LEN, false}, {behind, INET6_LEN, true}};

    inet6_first(net, &first);
    inet6_behind(net, behind);
    put_elements(batch, table, set, deletes, ends, memcmp(behind, none, INET6_LEN) ? 2 : 1);
}

static void put_range(struct nl_batch *batch, const char *table, const char *set, bool deletes,
                      const struct member *m)
{
    if (batch->family == NFPROTO_IPV6)
        put_subnet6(batch, table, set, deletes, &m->subnet6);
    else
        put_subnet(batch, table, set, deletes, &m->subnet);
}

void members_put(struct nl_batch *batch, const char *table, const struct member *m, bool deletes)
{
    char names[2 * IFNAMSIZ] = {0};
    struct element name = {names, IFNAMSIZ, false}, pair = {names, sizeof(names), false};

    strncpy(names, m->bridge, IFNAMSIZ - 1);
    strncpy(names + IFNAMSIZ, m->bridge, IFNAMSIZ - 1);
    put_elements(batch, table, SET_BRIDGES, deletes, &name, 1);
    if (m->internal)
        put_elements(batch, table, SET_INTERNAL, deletes, &name, 1);
    if (m->icc)
        put_elements(batch, table, SET_SAME, deletes, &pair, 1);
    put_range(batch, table, SET_SUBNETS, deletes, m);
    if (m->masquerade)
        put_range(batch, table, SET_MASQUERADE, deletes, m);
}

static int change(int fd, const char *table, const struct member *member, bool deletes,
                  struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};

    nft_begin(&batch);
    members_put(&batch, table, member, deletes);
    if (member->subnet6.prefix) {
        nft_family(&batch, NFPROTO_IPV6);
        members_put(&batch, table, member, deletes);
    }
    nl_ask_ack(&batch);
    nft_end(&batch);
    return nl_run(fd, &batch, NULL, NULL, reterr);
}

int members_add(int fd, const char *table, const struct member *member, struct err *reterr)
{
    return change(fd, table, member, false, reterr);
}

int members_delete(int fd, const char *table, const struct member *member, struct err *reterr)
{
    int r = change(fd, table, member, true, reterr);

    return r == -ENOENT ? 0 : r;
}
