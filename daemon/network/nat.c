#include "nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ruleset.h"

/* Elements in one request: at most 92 bytes each, with the rest within NL_REQUEST_MAX. */
#define ELEMENTS_MAX 40

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

/* Of single ports, and of ranges. */
static const char *const set_names[][2] = {
    [IN_ANY] = {MAP_ANY, MAP_ANY_RANGES},
    [IN_SPECIFIC] = {MAP_SPECIFIC, MAP_SPECIFIC_RANGES},
    [IN_RELAYED] = {SET_RELAYED, SET_RELAYED_RANGES},
    [IN_RELAYED_ON] = {SET_RELAYED_ON, SET_RELAYED_ON_RANGES}};

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

/* ---- ports in a row ---- */

/* Of one host address and protocol; from last on, the numbers follow each other. */
struct span {
    struct port_lease first;
    uint16_t last; /* host port */
};

static unsigned span_length(const struct span *span)
{
    return (unsigned)(span->last - span->first.host_port) + 1;
}

static bool is_range(const struct span *span)
{
    return span_length(span) >= NAT_RANGE_MIN;
}

/* The span of one of its ports. */
static struct span part_of(const struct span *span, unsigned i)
{
    struct span part = *span;

    part.first.host_port = part.last = (uint16_t)(span->first.host_port + i);
    part.first.container_port = (uint16_t)(span->first.container_port + i);
    return part;
}

/* May the port be in one element with those before it?  A map's range leads to one address and
 * leaves the port as it is; for the relay it does not matter what the port becomes. */
static bool continues(const struct span *span, const struct port_lease *next, enum place place)
{
    const struct port_lease *first = &span->first;
    bool keeps =
        first->host_port == first->container_port && next->host_port == next->container_port;

    return next->proto == first->proto && next->family == first->family &&
           next->host_ip == first->host_ip &&
           memcmp(next->host_ip6, first->host_ip6, INET6_LEN) == 0 &&
           next->host_port == span->last + 1 && (keeps || place >= IN_RELAYED);
}

/* The target's ports that belong in a set: at most so many spans as there are ports.  The ports are
 * in order, so that the same ports make the same spans whenever they are asked for. */
static size_t find_spans(const struct nat_target *target, bool six, enum place place,
                         struct span *ret)
{
    struct port_lease lease;
    size_t n = 0;

    for (size_t i = 0; i < target->n_ports; i++) {
        if (!key_lease(target, &target->ports[i], six, place, &lease))
            continue;
        if (n > 0 && continues(&ret[n - 1], &lease, place))
            ret[n - 1].last++;
        else
            ret[n++] = (struct span){lease, lease.host_port};
    }
    return n;
}

static int compare_ports(const void *a, const void *b)
{
    const struct port_lease *x = a, *y = b;
    int r = x->family != y->family     ? (x->family < y->family ? -1 : 1)
            : x->host_ip != y->host_ip ? (x->host_ip < y->host_ip ? -1 : 1)
                                       : memcmp(x->host_ip6, y->host_ip6, INET6_LEN);

    if (r == 0)
        r = x->proto != y->proto ? x->proto - y->proto : x->host_port - y->host_port;
    return r;
}

/* A copy whose ports are in order; caller frees *ret. */
static struct nat_target in_order(const struct nat_target *target, struct port_lease **ret)
{
    struct nat_target sorted = *target;

    *ret = xmalloc((target->n_ports + 1) * sizeof(**ret));
    if (target->n_ports > 0)
        memcpy(*ret, target->ports, target->n_ports * sizeof(**ret));
    qsort(*ret, target->n_ports, sizeof(**ret), compare_ports);
    sorted.ports = *ret;
    return sorted;
}

/* ---- requests ---- */

static void put_value(struct nlmsghdr *nlh, uint16_t type, const void *data, size_t len)
{
    struct nlattr *nest = mnl_attr_nest_start(nlh, type);

    mnl_attr_put(nlh, NFTA_DATA_VALUE, len, data);
    mnl_attr_nest_end(nlh, nest);
}

static void put_data(struct nlmsghdr *nlh, const struct span *span, const struct nat_target *target,
                     bool six)
{
    uint8_t data[NAT_DATA6_LEN];
    size_t address_len = six ? INET6_LEN : 4;

    if (six)
        data6(&span->first, &target->address6, data);
    else
        nat_data(&span->first, target->address, data);
    put_value(nlh, NFTA_SET_ELEM_DATA, data, is_range(span) ? address_len : address_len + 4);
}

/* with_data: what the key leads to as well; a deletion names the key only. */
static void put_element(struct nlmsghdr *nlh, const struct span *span,
                        const struct nat_target *target, bool six, bool with_data)
{
    struct nlattr *nest = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
    uint8_t key[NAT_KEY_MAX];
    size_t len = nat_key(&span->first, key);

    put_value(nlh, NFTA_SET_ELEM_KEY, key, len);
    if (is_range(span)) {
        struct port_lease last = span->first;

        last.host_port = span->last;
        nat_key(&last, key);
        put_value(nlh, NFTA_SET_ELEM_KEY_END, key, len);
    }
    if (with_data)
        put_data(nlh, span, target, six);
    mnl_attr_nest_end(nlh, nest);
}

/* Requests for spans of the targets' ports that belong in one of the sets. */
struct element_writer {
    struct nl_batch *batch;
    const char *table;
    enum place place;
    bool ranges, deletes;
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

static void writer_put(struct element_writer *w, const struct span *span,
                       const struct nat_target *target)
{
    if (w->n == ELEMENTS_MAX)
        writer_flush(w);
    if (!w->nlh) {
        w->nlh = w->deletes
                     ? nft_request(w->batch, "withdraw port", NFT_MSG_DELSETELEM, 0)
                     : nft_request(w->batch, "publish port", NFT_MSG_NEWSETELEM, NLM_F_CREATE);
        mnl_attr_put_strz(w->nlh, NFTA_SET_ELEM_LIST_TABLE, w->table);
        mnl_attr_put_strz(w->nlh, NFTA_SET_ELEM_LIST_SET, set_names[w->place][w->ranges]);
        w->list = mnl_attr_nest_start(w->nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
    }
    put_element(w->nlh, span, target, w->batch->family == NFPROTO_IPV6,
                !w->deletes && w->place <= IN_SPECIFIC);
    w->n++;
}

static void put_spans(struct element_writer *w, const struct nat_target *target,
                      const struct span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_range(&spans[i]) != w->ranges)
            continue;
        if (w->ranges)
            writer_put(w, &spans[i], target);
        for (unsigned k = 0; !w->ranges && k < span_length(&spans[i]); k++) {
            struct span one = part_of(&spans[i], k);

            writer_put(w, &one, target);
        }
    }
}

/* One target with its ports in order. */
static void put_target(struct nl_batch *batch, const char *table, bool deletes,
                       const struct nat_target *target)
{
    _cleanup_free_ struct span *spans = xmalloc((target->n_ports + 1) * sizeof(*spans));

    for (enum place place = 0; place < N_PLACES; place++) {
        size_t n = find_spans(target, batch->family == NFPROTO_IPV6, place, spans);

        for (int ranges = 0; ranges < 2; ranges++) {
            struct element_writer w = {.batch = batch,
                                       .table = table,
                                       .place = place,
                                       .ranges = ranges,
                                       .deletes = deletes};

            put_spans(&w, target, spans, n);
            writer_flush(&w);
        }
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
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ struct port_lease *ports = NULL;
        struct nat_target target = in_order(&targets[i], &ports);

        put_target(batch, table, false, &target);
    }
}

static void put_both(struct nl_batch *batch, const char *table, bool deletes,
                     const struct nat_target *target)
{
    put_target(batch, table, deletes, target);
    if (!nat_needs_ipv6(target))
        return;
    nft_family(batch, NFPROTO_IPV6);
    put_target(batch, table, deletes, target);
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
    _cleanup_free_ struct port_lease *ports = NULL;
    struct nat_target sorted = in_order(target, &ports);
    int r;

    if (target->n_ports == 0)
        return 0;
    nft_begin(&batch);
    put_both(&batch, table, false, &sorted);
    r = commit(fd, &batch, reterr);
    /* nf_tables: the key is there with other data, or in a range that is not this one */
    return r == -EBUSY || r == -ENOTEMPTY ? -EEXIST : r;
}

static int withdraw_one(int fd, uint8_t nfproto, const char *table, const struct nat_target *target,
                        enum place place, const struct span *span, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    struct element_writer w = {
        .batch = &batch, .table = table, .place = place, .ranges = is_range(span), .deletes = true};
    int r;

    nft_begin(&batch);
    nft_family(&batch, nfproto);
    writer_put(&w, span, target);
    writer_flush(&w);
    r = commit(fd, &batch, reterr);
    return r == -ENOENT ? 0 : r;
}

static int withdraw_span(int fd, uint8_t nfproto, const char *table,
                         const struct nat_target *target, enum place place, const struct span *span,
                         struct err *reterr)
{
    int r = 0;

    if (is_range(span))
        return withdraw_one(fd, nfproto, table, target, place, span, reterr);
    for (unsigned k = 0; r >= 0 && k < span_length(span); k++) {
        struct span one = part_of(span, k);

        r = withdraw_one(fd, nfproto, table, target, place, &one, reterr);
    }
    return r;
}

static int withdraw_each(int fd, uint8_t nfproto, const char *table,
                         const struct nat_target *target, struct err *reterr)
{
    _cleanup_free_ struct span *spans = xmalloc((target->n_ports + 1) * sizeof(*spans));
    int r = 0;

    for (enum place place = 0; r >= 0 && place < N_PLACES; place++) {
        size_t n = find_spans(target, nfproto == NFPROTO_IPV6, place, spans);

        for (size_t i = 0; r >= 0 && i < n; i++)
            r = withdraw_span(fd, nfproto, table, target, place, &spans[i], reterr);
    }
    return r;
}

int nat_withdraw(int fd, const char *table, const struct nat_target *target, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    _cleanup_free_ struct port_lease *ports = NULL;
    struct nat_target sorted = in_order(target, &ports);
    int r;

    if (target->n_ports == 0)
        return 0;
    nft_begin(&batch);
    put_both(&batch, table, true, &sorted);
    r = commit(fd, &batch, reterr);
    if (r != -ENOENT)
        return r;
    /* One that is missing fails the whole transaction: take them one by one. */
    r = withdraw_each(fd, NFPROTO_IPV4, table, &sorted, reterr);
    if (r >= 0 && nat_needs_ipv6(&sorted))
        r = withdraw_each(fd, NFPROTO_IPV6, table, &sorted, reterr);
    return r;
}
