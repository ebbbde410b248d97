#include "nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "ruleset.h"

/* Elements in one request: at most 64 bytes each, well within NL_REQUEST_MAX. */
#define ELEMENTS_MAX 48

size_t nat_key(const struct port_lease *lease, uint8_t ret[NAT_KEY_MAX])
{
    uint32_t address = htonl(lease->host_ip);
    uint16_t port = htons(lease->host_port);
    size_t len = 0;

    memset(ret, 0, NAT_KEY_MAX);
    if (!lease_on_any(lease) && lease->family == AF_INET6) {
        memcpy(ret, lease->host_ip6, INET6_LEN);
        len += INET6_LEN;
    } else if (!lease_on_any(lease)) {
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

static void data6(const struct port_lease *lease, const struct inet6 *to,
                  uint8_t ret[NAT_DATA6_LEN])
{
    uint16_t port = htons(lease->container_port);

    memset(ret, 0, NAT_DATA6_LEN);
    memcpy(ret, to->address, INET6_LEN);
    memcpy(ret + INET6_LEN, &port, sizeof(port));
}

/* ---- which port belongs into which set ---- */

enum place { IN_ANY, IN_SPECIFIC, IN_RELAYED, IN_RELAYED_ON, N_PLACES };

static const char *const set_names[] = {[IN_ANY] = MAP_ANY,
                                        [IN_SPECIFIC] = MAP_SPECIFIC,
                                        [IN_RELAYED] = SET_RELAYED,
                                        [IN_RELAYED_ON] = SET_RELAYED_ON};

static const uint8_t loopback6[INET6_LEN] = {[INET6_LEN - 1] = 1};

static bool is_loopback6(const struct port_lease *lease)
{
    return lease->family == AF_INET6 && memcmp(lease->host_ip6, loopback6, INET6_LEN) == 0;
}

/* Is it rewritten in this family, or only relayed? */
static bool is_rewritten(const struct port_lease *lease, const struct nat_target *target, bool six)
{
    return !six || (target->address6.prefix && !is_loopback6(lease));
}

/* What the set's key is made of, or false if the port does not belong there. */
static bool key_lease(const struct nat_target *target, const struct port_lease *lease, bool six,
                      enum place place, struct port_lease *ret)
{
    bool any = lease_on_any(lease), rewritten = is_rewritten(lease, target, six);
    bool relayed = lease->proto == IPPROTO_TCP && (target->obeys_input || !rewritten);

    *ret = *lease;
    if (six ? !lease_on_ipv6(lease) : !lease_on_ipv4(lease))
        return false;
    switch (place) {
    case IN_ANY:
        return any && rewritten;
    case IN_SPECIFIC:
        return !any && rewritten;
    case IN_RELAYED:
        return any && relayed;
    default:
        if (!any)
            return relayed;
        /* Of those that are rewritten only what comes to ::1. */
        ret->family = AF_INET6;
        memcpy(ret->host_ip6, loopback6, INET6_LEN);
        return six && lease->proto == IPPROTO_TCP && !relayed;
    }
}

static void put_value(struct nlmsghdr *nlh, uint16_t type, const void *data, size_t len)
{
    struct nlattr *nest = mnl_attr_nest_start(nlh, type);

    mnl_attr_put(nlh, NFTA_DATA_VALUE, len, data);
    mnl_attr_nest_end(nlh, nest);
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

/* Requests for those of the targets' ports that belong in one of the sets. */
struct element_writer {
    struct nl_batch *batch;
    const char *table;
    enum place place;
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
        mnl_attr_put_strz(w->nlh, NFTA_SET_ELEM_LIST_SET, set_names[w->place]);
        w->list = mnl_attr_nest_start(w->nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
    }
    put_element(w->nlh, lease, target, w->batch->family == NFPROTO_IPV6,
                !w->deletes && w->place <= IN_SPECIFIC);
    w->n++;
}

static void put_targets(struct nl_batch *batch, const char *table, bool deletes,
                        const struct nat_target *targets, size_t n)
{
    bool six = batch->family == NFPROTO_IPV6;

    for (enum place place = 0; place < N_PLACES; place++) {
        struct element_writer w = {
            .batch = batch, .table = table, .place = place, .deletes = deletes};
        struct port_lease lease;

        for (size_t t = 0; t < n; t++) {
            for (size_t p = 0; p < targets[t].n_ports; p++) {
                if (key_lease(&targets[t], &targets[t].ports[p], six, place, &lease))
                    writer_put(&w, &lease, &targets[t]);
            }
        }
        writer_flush(&w);
    }
}

bool nat_needs_ipv6(const struct nat_target *target)
{
    for (size_t i = 0; i < target->n_ports; i++) {
        const struct port_lease *p = &target->ports[i];

        if (lease_on_ipv6(p) && (target->address6.prefix || p->proto == IPPROTO_TCP))
            return true;
    }
    return false;
}

void nat_put(struct nl_batch *batch, const char *table, const struct nat_target *targets, size_t n)
{
    put_targets(batch, table, false, targets, n);
}

static void put_targets6(struct nl_batch *batch, const char *table, bool deletes,
                         const struct nat_target *target)
{
    if (!nat_needs_ipv6(target))
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
        struct nat_target one = *target;

        one.ports = &target->ports[i];
        one.n_ports = 1;
        r = withdraw_one(fd, NFPROTO_IPV4, table, &one, reterr);
        if (r >= 0 && nat_needs_ipv6(&one))
            r = withdraw_one(fd, NFPROTO_IPV6, table, &one, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}
