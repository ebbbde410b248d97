#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>

#include <sys/socket.h>

#include "conntrack.h"
#include "fd.h"
#include "forward.h"
#include "internal.h"
#include "log.h"
#include "members.h"
#include "nat.h"
#include "rtnl.h"
#include "ruleset.h"
#include "str.h"

/* ---- where a relayed connection leads ---- */

static bool leads(const struct port_lease *lease, const struct sockaddr_storage *host)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)host;
    const struct sockaddr_in *four = (const struct sockaddr_in *)host;

    if (lease->proto != IPPROTO_TCP)
        return false;
    if (host->ss_family == AF_INET6)
        return lease_on_ipv6(lease) && lease->host_port == ntohs(six->sin6_port) &&
               (lease_on_any(lease) || memcmp(lease->host_ip6, &six->sin6_addr, INET6_LEN) == 0);
    return lease_on_ipv4(lease) && lease->host_port == ntohs(four->sin_port) &&
           (lease_on_any(lease) || lease->host_ip == ntohl(four->sin_addr.s_addr));
}

/* On the relay's thread.  Containers are reached by IPv4: each has that. */
static int relay_target(void *arg, const struct sockaddr_storage *host,
                        struct sockaddr_storage *ret)
{
    struct fabric *fabric = arg;
    struct map_entry *m;

    LOCKED(&fabric->filter_lock);
    for (size_t i = 0; (m = map_next(&fabric->published, &i));) {
        const struct published *p = m->value;

        for (size_t k = 0; k < p->n_ports; k++) {
            if (leads(&p->ports[k], host)) {
                *(struct sockaddr_in *)ret =
                    (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_port = htons(p->ports[k].container_port),
                                         .sin_addr.s_addr = htonl(p->address)};
                return 1;
            }
        }
    }
    return 0;
}

bool fabric_relays_ipv6(const struct fabric *fabric)
{
    return fabric && relay_port(fabric->relay, AF_INET6) != 0;
}

static struct ruleset ruleset_of(const struct fabric *fabric)
{
    return (struct ruleset){.obeys_input = fabric->obeys_input,
                            .relay_port = relay_port(fabric->relay, AF_INET),
                            .relay_port6 = relay_port(fabric->relay, AF_INET6)};
}

int fabric_open(const struct fabric_config *config, struct fabric **ret, struct err *reterr)
{
    _cleanup_(fabric_closep) struct fabric *fabric = NULL;
    int r;

    if (str_empty(config->table) || strlen(config->table) >= NETWORK_TABLE_MAX)
        return err_set(reterr, ERR_INVALID, EINVAL, "the nftables table needs a name");
    fabric = xcalloc(1, sizeof(*fabric));
    snprintf(fabric->table, sizeof(fabric->table), "%s", config->table);
    fabric->n_pools = config->n_pools;
    fabric->pools = xmalloc((config->n_pools + 1) * sizeof(*fabric->pools));
    if (config->n_pools > 0)
        memcpy(fabric->pools, config->pools, config->n_pools * sizeof(*fabric->pools));
    fabric->reaper = reaper_new();
    pthread_mutex_init(&fabric->open_lock, NULL);
    pthread_mutex_init(&fabric->route_lock, NULL);
    pthread_mutex_init(&fabric->filter_lock, NULL);
    fabric->filter_fd = -EBADF;
    fabric->route_fd = nl_open(NETLINK_ROUTE);
    if (fabric->route_fd < 0)
        return err_sys(reterr, -fabric->route_fd, "open rtnetlink socket");
    fabric->filter_fd = nl_open(NETLINK_NETFILTER);
    if (fabric->filter_fd < 0)
        return err_sys(reterr, -fabric->filter_fd, "open nftables socket");
    fabric->obeys_input = config->obeys_input;
    r = relay_open(config->obeys_input, &RELAY_LIMITS_DEFAULT, relay_target, fabric, &fabric->relay,
                   reterr);
    if (r < 0 && config->obeys_input)
        return r;
    *ret = TAKE_PTR(fabric);
    return 0;
}

static void forget_published(struct fabric *fabric)
{
    struct map_entry *m;

    for (size_t i = 0; (m = map_next(&fabric->published, &i));)
        free(m->value);
    map_done(&fabric->published);
    fabric->published = (struct map){0};
}

void fabric_close(struct fabric *fabric)
{
    if (fabric->relay)
        relay_close(fabric->relay);
    reaper_free(fabric->reaper);
    fd_close(fabric->route_fd);
    fd_close(fabric->filter_fd);
    pthread_mutex_destroy(&fabric->open_lock);
    pthread_mutex_destroy(&fabric->route_lock);
    pthread_mutex_destroy(&fabric->filter_lock);
    forget_published(fabric);
    free(fabric->networks);
    free(fabric->pools);
    free(fabric);
}

/* ---- the table's contents ---- */

static struct member member_of(const struct network *network)
{
    const struct network_config *c = &network->config;

    return (struct member){.bridge = c->bridge,
                           .subnet = c->address,
                           .subnet6 = c->address6,
                           .internal = c->internal,
                           .icc = !c->no_icc,
                           .masquerade = !c->no_masquerade && !c->internal};
}

static struct nat_target target_of(const struct fabric *fabric, const struct published *p)
{
    return (struct nat_target){.address = p->address,
                               .address6 = p->address6,
                               .obeys_input = fabric->obeys_input,
                               .ports = p->ports,
                               .n_ports = p->n_ports};
}

static struct nat_target target_of_spec(const struct fabric *fabric,
                                        const struct endpoint_spec *spec)
{
    return (struct nat_target){.address = spec->address,
                               .address6 = spec->address6,
                               .obeys_input = fabric->obeys_input,
                               .ports = spec->ports,
                               .n_ports = spec->n_ports};
}

static bool needs_ipv6(const struct fabric *fabric, const struct nat_target *targets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (nat_needs_ipv6(&targets[i]))
            return true;
    }
    for (size_t i = 0; i < fabric->n_networks; i++) {
        if (fabric->networks[i]->config.address6.prefix)
            return true;
    }
    return false;
}

static void put_family(struct nl_batch *batch, const struct fabric *fabric, uint8_t nfproto,
                       const struct nat_target *targets, size_t n)
{
    struct ruleset ruleset = ruleset_of(fabric);

    nft_family(batch, nfproto);
    ruleset_put(batch, fabric->table, &ruleset);
    for (size_t i = 0; i < fabric->n_networks; i++) {
        struct member member = member_of(fabric->networks[i]);

        if (nfproto == NFPROTO_IPV4 || member.subnet6.prefix)
            members_put(batch, fabric->table, &member, false);
    }
    nat_put(batch, fabric->table, targets, n);
}

static int rebuild(struct fabric *fabric, struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};
    _cleanup_free_ struct nat_target *targets =
        xcalloc(fabric->published.count + 1, sizeof(*targets));
    struct map_entry *m;
    size_t n = 0;

    for (size_t i = 0; (m = map_next(&fabric->published, &i));) {
        targets[n++] = target_of(fabric, m->value);
    }
    fabric->has_ipv6 = fabric->has_ipv6 || needs_ipv6(fabric, targets, n);
    nft_begin(&batch);
    put_family(&batch, fabric, NFPROTO_IPV4, targets, n);
    if (fabric->has_ipv6)
        put_family(&batch, fabric, NFPROTO_IPV6, targets, n);
    nl_ask_ack(&batch);
    nft_end(&batch);
    return nl_run(fabric->filter_fd, &batch, NULL, NULL, reterr);
}

/* Networks work without it where nothing drops. */
static void settle_forward(struct fabric *fabric)
{
    struct err err;
    int r = forward_settle(fabric->filter_fd, &err);

    if (r < 0)
        log_warn("iptables may drop what containers send: %s", err.message);
    else if (r > 0)
        log_info("appended a rule to the FORWARD chain of iptables, whose policy is to drop");
}

void fabric_settle_forward(struct fabric *fabric)
{
    LOCKED(&fabric->filter_lock);
    if (fabric->n_networks > 0)
        settle_forward(fabric);
}

int fabric_rebuild(struct fabric *fabric, struct err *reterr)
{
    LOCKED(&fabric->filter_lock);
    if (fabric->n_networks == 0)
        return 0;
    settle_forward(fabric);
    return rebuild(fabric, reterr);
}

static int ensure_ipv6(struct fabric *fabric, struct err *reterr)
{
    struct ruleset ruleset = ruleset_of(fabric);
    int r = ruleset_ensure(fabric->filter_fd, NFPROTO_IPV6, fabric->table, &ruleset, reterr);

    if (r >= 0)
        fabric->has_ipv6 = true;
    return r;
}

int fabric_add(struct fabric *fabric, struct network *network, struct err *reterr)
{
    struct member member = member_of(network);
    struct ruleset ruleset = ruleset_of(fabric);
    int r = ruleset_ensure(fabric->filter_fd, NFPROTO_IPV4, fabric->table, &ruleset, reterr),
        six = 0;

    if (r >= 0 && member.subnet6.prefix)
        six = ensure_ipv6(fabric, reterr);
    if (r < 0 || six < 0)
        return r < 0 ? r : six;
    fabric->networks =
        xrealloc(fabric->networks, (fabric->n_networks + 1) * sizeof(*fabric->networks));
    fabric->networks[fabric->n_networks++] = network;
    /* A new table, though there were networks: somebody has deleted theirs. */
    if (r == 1 && fabric->n_networks > 1)
        r = rebuild(fabric, reterr);
    else
        r = members_add(fabric->filter_fd, fabric->table, &member, reterr);
    if (r < 0)
        fabric->n_networks--;
    else
        settle_forward(fabric);
    return r;
}

int fabric_remove(struct fabric *fabric, struct network *network, bool table_too,
                  struct err *reterr)
{
    struct member member = member_of(network);

    for (size_t i = 0; i < fabric->n_networks; i++) {
        if (fabric->networks[i] == network) {
            fabric->networks[i] = fabric->networks[--fabric->n_networks];
            return table_too ? members_delete(fabric->filter_fd, fabric->table, &member, reterr)
                             : 0;
        }
    }
    return 0;
}

static struct published *published_of(const struct endpoint_spec *spec)
{
    struct published *p = xmalloc(sizeof(*p) + spec->n_ports * sizeof(p->ports[0]));

    p->address = spec->address;
    p->address6 = spec->address6;
    p->n_ports = spec->n_ports;
    if (spec->n_ports > 0)
        memcpy(p->ports, spec->ports, spec->n_ports * sizeof(p->ports[0]));
    return p;
}

static void remember(struct fabric *fabric, const struct endpoint_spec *spec)
{
    free(map_remove(&fabric->published, spec->veth));
    map_put(&fabric->published, spec->veth, published_of(spec));
}

/* Clients that kept sending while nothing was published must find the container now. */
static int forget_early_flows(struct fabric *fabric, const struct endpoint_spec *spec,
                              struct err *reterr)
{
    for (size_t i = 0; i < spec->n_ports; i++) {
        if (spec->ports[i].proto == IPPROTO_UDP) {
            int r = conntrack_forget_port(fabric->filter_fd, &spec->ports[i], reterr);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

int fabric_publish(struct fabric *fabric, const struct endpoint_spec *spec, struct err *reterr)
{
    struct nat_target target = target_of_spec(fabric, spec);
    int r = 0;

    if (spec->n_ports == 0 || network_is_macvlan(spec->network))
        return 0;
    if (!fabric->has_ipv6 && nat_needs_ipv6(&target))
        r = ensure_ipv6(fabric, reterr);
    if (r >= 0 && fabric->relay)
        r = relay_start(fabric->relay, reterr);
    if (r < 0)
        return r;
    r = nat_publish(fabric->filter_fd, fabric->table, &target, reterr);
    if (r == -ENOENT) { /* somebody ran `nft flush ruleset` */
        r = rebuild(fabric, reterr);
        if (r >= 0)
            r = nat_publish(fabric->filter_fd, fabric->table, &target, reterr);
    }
    if (r < 0)
        return r;
    remember(fabric, spec);
    r = forget_early_flows(fabric, spec, reterr);
    if (r < 0)
        fabric_withdraw(fabric, spec, NULL);
    return r;
}

int fabric_withdraw(struct fabric *fabric, const struct endpoint_spec *spec, struct err *reterr)
{
    struct nat_target target = target_of_spec(fabric, spec);
    bool has_udp = false;
    int r;

    if (spec->n_ports == 0 || network_is_macvlan(spec->network))
        return 0;
    for (size_t i = 0; i < spec->n_ports; i++)
        has_udp |= spec->ports[i].proto == IPPROTO_UDP;
    free(map_remove(&fabric->published, spec->veth));
    r = nat_withdraw(fabric->filter_fd, fabric->table, &target, reterr);
    if (r >= 0 && has_udp)
        r = conntrack_forget_container(fabric->filter_fd, spec->address, reterr);
    if (r >= 0 && has_udp && spec->address6.prefix)
        r = conntrack_forget_container6(fabric->filter_fd, spec->address6.address, reterr);
    return r;
}

/* ---- after a restart ---- */

/* Delete the veths in a bridge that have our prefix and belong to nobody alive. */
static int delete_stale_veths(struct fabric *fabric, uint32_t bridge, const struct map *live,
                              struct err *reterr)
{
    _cleanup_(strv_freep) char **names = NULL;
    char prefix[IFNAMSIZ];
    int r;

    endpoint_veth_name(fabric, "", prefix);
    LOCKED(&fabric->route_lock);
    r = rtnl_get_ports(fabric->route_fd, bridge, &names, reterr);
    for (size_t i = 0; r >= 0 && names && names[i]; i++) {
        if (str_starts(names[i], prefix) && !map_get(live, names[i]))
            r = endpoint_delete_veth(fabric, names[i], reterr);
    }
    return r;
}

int fabric_reconcile(struct fabric *fabric, const struct endpoint_spec *specs, size_t n,
                     struct err *reterr)
{
    _cleanup_(map_done) struct map live = {0};
    int r = 0;

    for (size_t i = 0; i < n; i++)
        map_put(&live, specs[i].veth, fabric);
    {
        LOCKED(&fabric->filter_lock);
        forget_published(fabric);
        for (size_t i = 0; i < n; i++) {
            if (specs[i].n_ports > 0 && !network_is_macvlan(specs[i].network))
                remember(fabric, &specs[i]);
        }
        if (fabric->n_networks > 0)
            r = rebuild(fabric, reterr);
        if (r >= 0 && fabric->relay && fabric->published.count > 0)
            r = relay_start(fabric->relay, reterr);
    }
    for (size_t i = 0; r >= 0 && i < fabric->n_networks; i++)
        r = delete_stale_veths(fabric, fabric->networks[i]->bridge_index, &live, reterr);
    return r < 0 ? err_wrap(reterr, "reconcile networks") : 0;
}
