/* The networks there are, in memory and at start; made and removed in network_life.c, shown in
 * network_list.c. */
#include "networks.h"

#include <errno.h>
#include <linux/if_link.h>
#include <stdlib.h>

#include "log.h"
#include "network_rows.h"
#include "private.h"

/* ---- lookups ---- */

struct net *net_by_id(struct engine *e, const char *id)
{
    return map_get(&e->nets, id);
}

int net_find(struct engine *e, const char *ref, struct net **ret, struct err *reterr)
{
    struct net *found = NULL;
    struct map_entry *m;
    size_t n = 0;

    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        struct net *net = m->value;

        if (net->busy)
            continue;
        if (streq(net->name, ref)) {
            *ret = net;
            return 0;
        }
        if (*ref && str_starts(net->id, ref)) {
            found = net;
            n++;
        }
    }
    if (n > 1)
        return err_set(reterr, ERR_INVALID, EINVAL, "network %s is ambiguous (%zu matches found)",
                       ref, n);
    if (!found)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "network %s not found", ref);
    *ret = found;
    return 0;
}

struct net *net_predefined(struct engine *e, enum net_kind kind)
{
    struct map_entry *m;

    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        struct net *net = m->value;

        if (net->predefined && net->kind == kind)
            return net;
    }
    return NULL;
}

int net_check_usable(const struct net *net, struct err *reterr)
{
    if (net->kind == NET_KIND_TEMPLATE)
        return err_set(reterr, ERR_FORBIDDEN, EPERM,
                       "cannot create endpoint on configuration-only network");
    if (!net->network)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "network %s not found", net->name);
    return 0;
}

bool net_has_names(const struct net *net)
{
    return !net->predefined;
}

bool net_is_internal(const struct net *net)
{
    return json_get_bool(net->config, "Internal", false);
}

bool net_publishes(const struct net *net)
{
    return !streq(json_get_str(net->config, "Driver", ""), "macvlan");
}

uint32_t net_host_binding(const struct net *net)
{
    const char *text = json_get_str(json_get(net->config, "Options"),
                                    "com.docker.network.bridge.host_binding_ipv4", "");
    uint32_t address = INADDR_ANY;

    if (!*text && net->engine->config.default_ip)
        text = net->engine->config.default_ip;
    return *text && inet4_parse_address(text, &address) >= 0 ? address : INADDR_ANY;
}

bool net_in_use(const struct net *net, const struct container **ret_by)
{
    struct map_entry *m;

    for (size_t i = 0; (m = map_next(&net->engine->by_id, &i));) {
        const struct container *c = m->value;

        *ret_by = c;
        if (container_endpoint(c, net) || (c->connecting && net->users > 0))
            return true;
    }
    return false;
}

void net_event(struct net *net, const char *action, const char *container_id)
{
    json_t *attributes =
        json_pack("{s:s, s:s}", "name", net->name, "type", json_get_str(net->config, "Driver", ""));

    if (container_id)
        json_object_set_new(attributes, "container", json_string(container_id));
    events_emit(net->engine->events, "network", action, net->id, NULL, attributes);
}

/* ---- objects ---- */

struct net *net_new(struct engine *e, const char *id, const char *name, enum net_kind kind)
{
    struct net *net = xcalloc(1, sizeof(*net));

    net->engine = e;
    snprintf(net->id, sizeof(net->id), "%s", id);
    net->name = xstrdup(name);
    net->kind = kind;
    map_put(&e->nets, net->id, net);
    return net;
}

static void net_free(struct net *net)
{
    if (net->ipam)
        ipam_free(net->ipam);
    if (net->network)
        network_close(net->network);
    name_index_free(net->names);
    json_decref(net->config);
    free(net->name);
    free(net);
}

void net_drop(struct net *net)
{
    map_remove(&net->engine->nets, net->id);
    net_free(net);
}

void networks_close(struct engine *e)
{
    struct map_entry *m;

    if (e->network && !net_predefined(e, NET_KIND_BRIDGE)) /* the start failed in between */
        network_close(e->network);
    for (size_t i = 0; (m = map_next(&e->nets, &i));)
        net_free(m->value);
    map_done(&e->nets);
}

/* ---- from a stored configuration to a bridge ---- */

const json_t *net_pool_of(const struct net *net, bool six)
{
    const json_t *pools = json_get(json_get(net->config, "IPAM"), "Config"), *p;
    size_t i;

    json_array_foreach (pools, i, p) {
        if ((strchr(json_get_str(p, "Subnet", ""), ':') != NULL) == six)
            return p;
    }
    return NULL;
}

const json_t *net_pool(const struct net *net)
{
    return net_pool_of(net, false);
}

bool net_subnet6(const struct net *net, struct inet6 *ret)
{
    return inet6_parse(json_get_str(net_pool_of(net, true), "Subnet", ""), ret) >= 0;
}

bool net_subnet(const struct net *net, struct inet4 *ret)
{
    return inet4_parse(json_get_str(net_pool(net), "Subnet", ""), ret) >= 0;
}

static bool option_is(const struct net *net, const char *key, const char *value)
{
    return streq(json_get_str(json_get(net->config, "Options"), key, ""), value);
}

int net_macvlan_mode(const json_t *options)
{
    static const struct {
        const char *name;
        int mode;
    } modes[] = {{"", 0},
                 {"bridge", MACVLAN_MODE_BRIDGE},
                 {"private", MACVLAN_MODE_PRIVATE},
                 {"vepa", MACVLAN_MODE_VEPA},
                 {"passthru", MACVLAN_MODE_PASSTHRU}};
    const char *name = json_get_str(options, "macvlan_mode", "");

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (streq(modes[i].name, name))
            return modes[i].mode;
    }
    return -EINVAL;
}

void net_kernel_config(const struct net *net, struct network_config *ret)
{
    const json_t *pool = net_pool(net), *options = json_get(net->config, "Options");
    const char *mtu = json_get_str(options, "com.docker.network.driver.mtu", "");
    struct inet4 subnet = {0};
    uint64_t n = 0;

    *ret = (struct network_config){
        .mtu = (uint32_t)net->engine->config.mtu,
        .ip_forward = !net_is_internal(net),
        .bridge_is_ours = json_get_bool(net->config, "BridgeIsOurs", true),
        .internal = net_is_internal(net),
        .no_icc = option_is(net, "com.docker.network.bridge.enable_icc", "false"),
        .no_masquerade = option_is(net, "com.docker.network.bridge.enable_ip_masquerade", "false")};
    snprintf(ret->bridge, sizeof(ret->bridge), "%s", json_get_str(net->config, "Bridge", ""));
    if (streq(json_get_str(net->config, "Driver", ""), "macvlan")) {
        snprintf(ret->parent, sizeof(ret->parent), "%s", json_get_str(options, "parent", ""));
        ret->macvlan_mode = (uint32_t)net_macvlan_mode(options);
        ret->ip_forward = ret->bridge_is_ours = false;
    }
    if (str_parse_u64(mtu, UINT16_MAX, &n) >= 0 && n > 0)
        ret->mtu = (uint32_t)n;
    if (routes_parse(json_get_str(options, NET_OPTION_ROUTES, ""), &ret->routes, NULL) < 0)
        ret->routes.n = 0; /* never: it was checked before it was stored */
    if (net_subnet(net, &subnet) &&
        inet4_parse_address(json_get_str(pool, "Gateway", ""), &ret->address.address) >= 0)
        ret->address.prefix = subnet.prefix;
    else
        ret->address = (struct inet4){0};
    if (!json_get_bool(net->config, "EnableIPv6", false) || !net_subnet6(net, &ret->address6) ||
        inet6_parse_address(json_get_str(net_pool_of(net, true), "Gateway", ""),
                            ret->address6.address) < 0)
        ret->address6.prefix = 0;
}

int net_open_ipam(struct net *net, const char *key, struct err *reterr)
{
    const json_t *pool = net_pool(net);
    json_t *aux = json_get(pool, "AuxiliaryAddresses"), *v;
    _cleanup_free_ uint32_t *reserved = xcalloc(json_object_size(aux) + 1, sizeof(*reserved));
    struct inet4 gateway = network_address(net->network), range = {0};
    const char *name;
    size_t n = 0;
    int r = ipam_new(net->engine->db, key, &gateway, &net->ipam, reterr);

    if (r < 0)
        return r;
    json_object_foreach (aux, name, v) {
        if (inet4_parse_address(json_string_value(v), &reserved[n]) >= 0)
            n++;
    }
    inet4_parse(json_get_str(pool, "IPRange", ""), &range);
    ipam_restrict(net->ipam, &range, reserved, n);
    return 0;
}

/* ---- at start ---- */

static json_t *predefined_config(const char *driver, json_t *pools, json_t *options)
{
    return json_pack("{s:s, s:b, s:b, s:{s:s, s:n, s:o}, s:b, s:b, s:o, s:{}}", "Driver", driver,
                     "EnableIPv4", 1, "EnableIPv6", 0, "IPAM", "Driver", "default", "Options",
                     "Config", pools, "Internal", 0, "Attachable", 0, "Options", options, "Labels");
}

static json_t *bridge_pool(const struct network *network)
{
    struct inet4 own = network_address(network), subnet = {inet4_first(&own), own.prefix};
    char net[INET4_STR_MAX], gateway[INET4_STR_MAX];

    inet4_format(&subnet, net);
    inet4_format_address(own.address, gateway);
    return json_pack("[{s:s, s:s}]", "Subnet", net, "Gateway", gateway);
}

static json_t *bridge_options(const struct engine *e, const struct network *network)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "com.docker.network.bridge.default_bridge",
                          "true", "com.docker.network.bridge.enable_icc", "true",
                          "com.docker.network.bridge.enable_ip_masquerade", "true",
                          "com.docker.network.bridge.host_binding_ipv4",
                          e->config.default_ip ? e->config.default_ip : "0.0.0.0",
                          "com.docker.network.bridge.name", network_bridge(network));

    json_object_set_new(o, "com.docker.network.driver.mtu",
                        json_sprintf("%u", network_mtu(network)));
    return o;
}

static int open_predefined(struct engine *e, struct err *reterr)
{
    static const struct {
        const char *name, *driver, *key;
        enum net_kind kind;
    } table[] = {{"bridge", "bridge", "network-bridge", NET_KIND_BRIDGE},
                 {"host", "host", "network-host", NET_KIND_HOST},
                 {"none", "null", "network-none", NET_KIND_NULL}};
    _cleanup_free_ char *created = NULL;
    int r = meta_get(e->db, "networks-created", &created, reterr);

    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(table); i++) {
        _cleanup_free_ char *id = NULL;
        bool bridge = table[i].kind == NET_KIND_BRIDGE;
        struct net *net;

        r = meta_get(e->db, table[i].key, &id, reterr);
        if (r < 0 || !id || (bridge && !e->network))
            continue;
        net = net_new(e, id, table[i].name, table[i].kind);
        net->predefined = true;
        if (created)
            time_parse(created, &net->created_ns);
        net->config =
            predefined_config(table[i].driver, bridge ? bridge_pool(e->network) : json_array(),
                              bridge ? bridge_options(e, e->network) : json_object());
        if (bridge) {
            net->network = e->network;
            r = net_open_ipam(net, "bridge", reterr);
        }
    }
    return r;
}

int networks_fabric(struct engine *e, struct err *reterr)
{
    const char *const *texts = e->config.address_pools;
    struct inet4_pool pools[INET4_POOLS_MAX];
    struct fabric_config config = {
        .table = e->table, .obeys_input = e->config.publish_obeys_input, .pools = pools};
    int r;

    if (e->fabric)
        return 0;
    for (; texts && texts[config.n_pools]; config.n_pools++) {
        if (config.n_pools == ARRAY_SIZE(pools) ||
            inet4_pool_parse(texts[config.n_pools], &pools[config.n_pools]) < 0)
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid default address pool: %s",
                           texts[config.n_pools]);
    }
    r = fabric_open(&config, &e->fabric, reterr);
    return r < 0 ? r : networks_watch(e, reterr);
}

/* The daemon died while it was made: nobody was told of it. */
static void undo_half_made(struct net *net)
{
    struct network_config config;
    struct err err;

    net_kernel_config(net, &config);
    log_warn("network %s: removing what is left of its creation", net->name);
    if (config.bridge_is_ours && network_link_exists(config.bridge) &&
        (network_open(net->engine->fabric, &config, &net->network, &err) < 0 ||
         network_destroy(net->network, &err) < 0))
        log_error("network %s: %s", net->name, err.message);
    if (db_network_delete(net->engine->db, net->id, &err) < 0)
        log_error("network %s: %s", net->name, err.message);
    net_drop(net);
}

/* A network that cannot be opened stays known: it can be removed, and containers fail at start with
 * its name in the error. */
static void open_one(struct engine *e, const struct network_row *row)
{
    json_t *config = json_loads(row->config, 0, NULL);
    struct network_config kernel;
    struct inet4 subnet;
    struct net *net;
    struct err err;
    int r;

    if (!config) {
        log_error("network %s: its database record is damaged", row->name);
        return;
    }
    net = net_new(e, row->id, row->name, NET_KIND_BRIDGE);
    net->config = config;
    net->created_ns = row->created;
    if (json_get_bool(config, "ConfigOnly", false)) {
        net->kind = NET_KIND_TEMPLATE;
        return;
    }
    if (!net_subnet(net, &subnet) || json_get_bool(config, "Unfinished", false)) {
        undo_half_made(net);
        return;
    }
    net_kernel_config(net, &kernel);
    kernel.parent_may_be_gone = true;
    r = network_open(e->fabric, &kernel, &net->network, &err);
    if (r >= 0)
        r = net_open_ipam(net, net->id, &err);
    if (r < 0)
        log_error("network %s: %s", net->name, err.message);
}

int networks_open(struct engine *e, struct err *reterr)
{
    struct network_row *rows = NULL;
    size_t n = 0;
    int r = open_predefined(e, reterr);

    if (r >= 0)
        r = db_network_list(e->db, &rows, &n, reterr);
    if (r >= 0 && n > 0)
        r = networks_fabric(e, reterr);
    for (size_t i = 0; i < n; i++) {
        if (r >= 0)
            open_one(e, &rows[i]);
        network_row_done(&rows[i]);
    }
    free(rows);
    return r;
}
