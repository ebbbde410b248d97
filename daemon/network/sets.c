/* Sets and maps, and what their keys are made of. */
#include <arpa/inet.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "mem.h"
#include "ruleset_impl.h"
#include "str.h"

/* Numbers of nft(8)'s data types (enum datatypes), six bits each in a concatenation: they only
 * matter for `nft list`.  TYPE_ADDRESS stands for the family's. */
enum { TYPE_ADDRESS = 0, TYPE_INET_PROTOCOL = 12, TYPE_INET_SERVICE = 13, TYPE_IFNAME = 41 };

/* Single ports are in plain hash maps: no size, no intervals, so that a change costs the same
 * however full they are.  Sets with intervals are copied whole in each transaction that changes
 * them, thus the ranges of ports have sets of their own: a range that keeps its numbers is one
 * element there. */
#define RANGES (NFT_SET_INTERVAL | NFT_SET_CONCAT)
#define KEY_PARTS_MAX 3
static const struct {
    const char *name;
    uint32_t flags;
    int n_key;
    uint8_t
        key[KEY_PARTS_MAX]; /* types; the data of a map is address . service, of ranges address */
} sets[] = {
    {MAP_ANY, NFT_SET_MAP, 2, {TYPE_INET_PROTOCOL, TYPE_INET_SERVICE}},
    {MAP_SPECIFIC, NFT_SET_MAP, 3, {TYPE_ADDRESS, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE}},
    {MAP_ANY_RANGES, NFT_SET_MAP | RANGES, 2, {TYPE_INET_PROTOCOL, TYPE_INET_SERVICE}},
    {MAP_SPECIFIC_RANGES,
     NFT_SET_MAP | RANGES,
     3,
     {TYPE_ADDRESS, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE}},
    {SET_RELAYED_RANGES, RANGES, 2, {TYPE_INET_PROTOCOL, TYPE_INET_SERVICE}},
    {SET_RELAYED_ON_RANGES, RANGES, 3, {TYPE_ADDRESS, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE}},
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

/* Without the padding. */
static uint8_t bare_len_of(const struct family *f, uint8_t part)
{
    return part == TYPE_INET_PROTOCOL  ? 1
           : part == TYPE_INET_SERVICE ? 2
                                       : (uint8_t)len_of(f, part);
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

/* What a map leads to. */
static void put_data_type(struct nftnl_set *set, const struct family *f, const char *name,
                          uint32_t flags)
{
    uint32_t type = f->address_type << 6 | TYPE_INET_SERVICE, len = f->address_len + 4;

    if (flags & NFT_SET_CONCAT) {
        type = f->address_type;
        len = f->address_len;
    } else if (streq(name, MAP_RELAY)) {
        type = TYPE_INET_SERVICE;
        len = 2;
    }
    nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, type);
    nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, len);
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
        if (sets[i].flags & NFT_SET_CONCAT) {
            uint8_t parts[KEY_PARTS_MAX];

            for (int k = 0; k < sets[i].n_key; k++)
                parts[k] = bare_len_of(f, sets[i].key[k]);
            nftnl_set_set_data(set, NFTNL_SET_DESC_CONCAT, parts, (uint32_t)sets[i].n_key);
        }
        if (type == TYPE_INET_PROTOCOL)
            len = 1; /* alone it is as long as it is, or nft(8) dies of it */
        if (type == TYPE_IFNAME)
            put_byte_order(set);
        nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, type);
        nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, len);
        if (sets[i].flags & NFT_SET_MAP)
            put_data_type(set, f, sets[i].name, sets[i].flags);
        nftnl_set_nlmsg_build_payload(nlh, set);
        nftnl_set_free(set);
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

static uint16_t relay_port_of(const struct nl_batch *batch, const struct ruleset *ruleset)
{
    return batch->family == NFPROTO_IPV6 ? ruleset->relay_port6 : ruleset->relay_port;
}

void sets_put(struct nl_batch *batch, const char *table, const struct ruleset *ruleset)
{
    put_sets(batch, table);
    put_relay_port(batch, table, relay_port_of(batch, ruleset));
}

void sets_put_relay(struct nl_batch *batch, const char *table, const struct ruleset *ruleset)
{
    struct nlmsghdr *nlh = nft_request(batch, "forget old relay port", NFT_MSG_DELSETELEM, 0);

    /* Without elements: all of them. */
    mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table);
    mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, MAP_RELAY);
    put_relay_port(batch, table, relay_port_of(batch, ruleset));
}
