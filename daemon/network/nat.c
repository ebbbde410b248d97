#include "nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <string.h>

#include "ruleset.h"

/* Elements in one request: 44 bytes each, well within NL_REQUEST_MAX. */
#define ELEMENTS_MAX 64

static bool is_specific(const struct port_lease *lease)
{
    return lease->host_ip != INADDR_ANY;
}

size_t nat_key(const struct port_lease *lease, uint8_t ret[NAT_KEY_MAX])
{
    uint32_t address = htonl(lease->host_ip);
    uint16_t port = htons(lease->host_port);
    size_t len = 0;

    memset(ret, 0, NAT_KEY_MAX);
    if (is_specific(lease)) {
        memcpy(ret, &address, sizeof(address));
        len += 4;
    }
    ret[len] = lease->proto;
    len += 4;
    memcpy(ret + len, &port, sizeof(port));
    return len + 4;
}

void nat_data(const struct port_lease *lease, uint32_t address, uint8_t ret[NAT_DATA_LEN])
{
    uint32_t to = htonl(address);
    uint16_t port = htons(lease->container_port);

    memset(ret, 0, NAT_DATA_LEN);
    memcpy(ret, &to, sizeof(to));
    memcpy(ret + 4, &port, sizeof(port));
}

static void put_value(struct nlmsghdr *nlh, uint16_t type, const void *data, size_t len)
{
    struct nlattr *nest = mnl_attr_nest_start(nlh, type);

    mnl_attr_put(nlh, NFTA_DATA_VALUE, len, data);
    mnl_attr_nest_end(nlh, nest);
}

static void data6(const struct port_lease *lease, const struct inet6 *to,
                  uint8_t ret[NAT_DATA6_LEN])
{
    uint16_t port = htons(lease->container_port);

    memset(ret, 0, NAT_DATA6_LEN);
    memcpy(ret, to->address, INET6_LEN);
    memcpy(ret + INET6_LEN, &port, sizeof(port));
}

/* with_data: what the key leads to as well; a deletion names the key only. */
static void put_element(struct nlmsghdr *nlh, const struct port_lease *lease,
                        const struct nat_target *target, bool six, bool with_data)
{
    struct nlattr *nest = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
    uint8_t key[NAT_KEY_MAX], data[NAT_DATA6_LEN];
    size_t len = nat_key(lease, key);

    put_value(nlh, NFTA_SET_ELEM_KEY, key, len);
    if (with_data) {
        if (six)
            data6(lease, &target->address6, data);
        else
            nat_data(lease, target->address, data);
        put_value(nlh, NFTA_SET_ELEM_DATA, data, six ? NAT_DATA6_LEN : NAT_DATA_LEN);
    }
    mnl_attr_nest_end(nlh, nest);
}

/* Requests for those of the target's ports that belong in one of the two maps. */
struct element_writer {
    struct nl_batch *batch;
    const char *table;
    bool specific; /* which map */
    bool deletes;
    struct nlmsghdr *nlh; /* the request being filled; NULL: none */
    struct nlattr *list;
    size_t n; /* elements in it */
};

static void writer_flush(struct element_writer *w)
{
    if (w->nlh)
        mnl_attr_nest_end(w->nlh, w->list);
    w->nlh = NULL;
    w->n = 0;
}

static void writer_put(struct element_writer *w, const struct port_lease *lease,
                       const struct nat_target *target)
{
    if (w->n == ELEMENTS_MAX)
        writer_flush(w);
    if (!w->nlh) {
        w->nlh = w->deletes
                     ? nft_request(w->batch, "withdraw port", NFT_MSG_DELSETELEM, 0)
                     : nft_request(w->batch, "publish port", NFT_MSG_NEWSETELEM, NLM_F_CREATE);
        mnl_attr_put_strz(w->nlh, NFTA_SET_ELEM_LIST_TABLE, w->table);
        mnl_attr_put_strz(w->nlh, NFTA_SET_ELEM_LIST_SET, w->specific ? MAP_SPECIFIC : MAP_ANY);
        w->list = mnl_attr_nest_start(w->nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
    }
    put_element(w->nlh, lease, target, w->batch->family == NFPROTO_IPV6, !w->deletes);
    w->n++;
}

static void put_targets(struct nl_batch *batch, const char *table, bool deletes,
                        const struct nat_target *targets, size_t n)
{
    bool six = batch->family == NFPROTO_IPV6;

    /* Specific addresses are IPv4's. */
    for (int specific = 0; specific < (six ? 1 : 2); specific++) {
        struct element_writer w = {
            .batch = batch, .table = table, .specific = specific, .deletes = deletes};

        for (size_t t = 0; t < n; t++) {
            for (size_t p = 0; p < targets[t].n_ports; p++) {
                if (six && !targets[t].address6.prefix)
                    break;
                if (is_specific(&targets[t].ports[p]) == w.specific)
                    writer_put(&w, &targets[t].ports[p], &targets[t]);
            }
        }
        writer_flush(&w);
    }
}

void nat_put(struct nl_batch *batch, const char *table, const struct nat_target *targets, size_t n)
{
    put_targets(batch, table, false, targets, n);
}

static void put_targets6(struct nl_batch *batch, const char *table, bool deletes,
                         const struct nat_target *target)
{
    if (!target->address6.prefix)
        return;
    nft_family(batch, NFPROTO_IPV6);
    put_targets(batch, table, deletes, target, 1);
}

static int commit(int fd, struct nl_batch *batch, struct err *reterr)
{
    nl_ask_ack(batch);
    nft_end(batch);
    return nl_run(fd, batch, NULL, NULL, reterr);
}

int nat_publish(int fd, const char *table, const struct nat_target *target, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    int r;

    if (target->n_ports == 0)
        return 0;
    nft_begin(&batch);
    put_targets(&batch, table, false, target, 1);
    put_targets6(&batch, table, false, target);
    r = commit(fd, &batch, reterr);
    return r == -EBUSY ? -EEXIST : r; /* nf_tables: the key is there with other data */
}

static int withdraw_one(int fd, uint8_t nfproto, const char *table, const struct nat_target *target,
                        struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    int r;

    nft_begin(&batch);
    nft_family(&batch, nfproto);
    put_targets(&batch, table, true, target, 1);
    r = commit(fd, &batch, reterr);
    return r == -ENOENT ? 0 : r;
}

int nat_withdraw(int fd, const char *table, const struct nat_target *target, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    int r;

    if (target->n_ports == 0)
        return 0;
    nft_begin(&batch);
    put_targets(&batch, table, true, target, 1);
    put_targets6(&batch, table, true, target);
    r = commit(fd, &batch, reterr);
    if (r != -ENOENT)
        return r;
    /* One that is missing fails the whole transaction: take them one by one. */
    for (size_t i = 0; i < target->n_ports; i++) {
        struct nat_target one = {target->address, target->address6, &target->ports[i], 1};

        r = withdraw_one(fd, NFPROTO_IPV4, table, &one, reterr);
        if (r >= 0 && one.address6.prefix && !is_specific(one.ports))
            r = withdraw_one(fd, NFPROTO_IPV6, table, &one, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}
