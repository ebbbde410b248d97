/* From the request for a network to the configuration that is stored. */
#include <errno.h>
#include <stdlib.h>

#include "private.h"

#define NETWORKS_MAX 4096
#define NAME_MAX_LEN 255
#define POOLS_MAX 16
#define AUX_MAX 1024
#define IPV6_MTU_MIN 1280

static int bad(struct err *reterr, const char *what, const char *value)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid network config:\ninvalid %s %s", what,
                   value);
}

static int check_aux(const json_t *pool, const struct inet4 *subnet, struct err *reterr)
{
    json_t *aux = json_get(pool, "AuxiliaryAddresses"), *v;
    const char *name;
    uint32_t address;

    if (json_object_size(aux) > AUX_MAX)
        return bad(reterr, "auxiliary addresses:", "too many");
    json_object_foreach (aux, name, v) {
        const char *text = json_is_string(v) ? json_string_value(v) : "";

        if (inet4_parse_address(text, &address) < 0 || !inet4_contains(subnet, address))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "invalid network config:\ninvalid auxiliary address %s: parent subnet "
                           "is %s",
                           text, json_get_str(pool, "Subnet", ""));
    }
    return 0;
}

/* "This network", loopback, multicast and what is reserved: no packet of a container's leaves
 * there, and the host's own loopback would be behind the bridge. */
static bool is_special(const struct inet4 *subnet)
{
    uint32_t first = subnet->address >> 24;

    return first == 0 || first == 127 || first >= 224;
}

static bool is_special6(const struct inet6 *subnet)
{
    return subnet->address[0] == 0 || subnet->address[0] == 0xff;
}

static int check_aux6(const json_t *pool, const struct inet6 *subnet, struct err *reterr)
{
    json_t *aux = json_get(pool, "AuxiliaryAddresses"), *v;
    uint8_t address[INET6_LEN];
    const char *name;

    if (json_object_size(aux) > AUX_MAX)
        return bad(reterr, "auxiliary addresses:", "too many");
    json_object_foreach (aux, name, v) {
        const char *text = json_is_string(v) ? json_string_value(v) : "";

        if (inet6_parse_address(text, address) < 0 || !inet6_contains(subnet, address))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "invalid network config:\ninvalid auxiliary address %s: parent subnet "
                           "is %s",
                           text, json_get_str(pool, "Subnet", ""));
    }
    return 0;
}

/* An address has its last four bytes of the IPv4 one: a range must leave them open. */
static int check_range6(const char *text, const struct inet6 *subnet, struct err *reterr)
{
    struct inet6 range;

    if (!*text)
        return 0;
    if (inet6_parse(text, &range) < 0 || range.prefix < subnet->prefix ||
        !inet6_contains(subnet, range.address))
        return bad(reterr, "ip-range (not in the subnet)", text);
    return range.prefix > 96 ? bad(reterr, "ip-range (prefix lengths of IPv6 are at most 96)", text)
                             : 0;
}

static int settle_pool6(json_t *pool, struct err *reterr)
{
    const char *text = json_get_str(pool, "Subnet", ""),
               *gateway = json_get_str(pool, "Gateway", "");
    uint8_t address[INET6_LEN];
    struct inet6 subnet, first;
    char format[INET6_STR_MAX];

    if (inet6_parse(text, &subnet) < 0)
        return bad(reterr, "subnet", text);
    inet6_first(&subnet, &first);
    if (memcmp(first.address, subnet.address, INET6_LEN) != 0) {
        inet6_format(&first, format);
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid network config:\ninvalid subnet %s: it should be %s", text, format);
    }
    if (subnet.prefix < 8 || subnet.prefix > 96)
        return bad(reterr, "subnet (prefix lengths of IPv6 are 8 to 96)", text);
    if (is_special6(&subnet))
        return bad(reterr, "subnet (not for hosts)", text);
    if (check_range6(json_get_str(pool, "IPRange", ""), &subnet, reterr) < 0)
        return -EINVAL;
    if (*gateway &&
        (inet6_parse_address(gateway, address) < 0 || !inet6_contains(&subnet, address)))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid network config:\ninvalid gateway %s: parent subnet is %s", gateway,
                       text);
    if (!*gateway) {
        first.address[INET6_LEN - 1] |= 1;
        inet6_format_address(first.address, format);
        json_object_set_new(pool, "Gateway", json_string(format));
    }
    return check_aux6(pool, &subnet, reterr);
}

/* One IPAM configuration; what it leaves open is filled in.  An empty one is as good as none. */
static int settle_pool(json_t *pool, struct err *reterr)
{
    const char *text = json_get_str(pool, "Subnet", ""), *range = json_get_str(pool, "IPRange", ""),
               *gateway = json_get_str(pool, "Gateway", "");
    struct inet4 subnet, within = {0};
    char first[INET4_STR_MAX];
    uint32_t address;

    if (strchr(text, ':'))
        return settle_pool6(pool, reterr);
    if (inet4_parse(text, &subnet) < 0)
        return bad(reterr, "subnet", text);
    if (subnet.address != inet4_first(&subnet))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid network config:\ninvalid subnet %s: it should be %u.%u.%u.%u/%u",
                       text, inet4_first(&subnet) >> 24, inet4_first(&subnet) >> 16 & 255,
                       inet4_first(&subnet) >> 8 & 255, inet4_first(&subnet) & 255, subnet.prefix);
    if (subnet.prefix < 8 || subnet.prefix > 30)
        return bad(reterr, "subnet (prefix lengths are 8 to 30)", text);
    if (is_special(&subnet))
        return bad(reterr, "subnet (not for hosts)", text);
    if (*range && (inet4_parse(range, &within) < 0 || within.prefix < subnet.prefix ||
                   !inet4_contains(&subnet, within.address)))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid network config:\ninvalid ip-range %s: parent subnet is %s", range,
                       text);
    if (*gateway &&
        (inet4_parse_address(gateway, &address) < 0 || !inet4_contains(&subnet, address) ||
         address == inet4_first(&subnet) || address == inet4_last(&subnet)))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid network config:\ninvalid gateway %s: parent subnet is %s", gateway,
                       text);
    if (!*gateway) { /* the first of the range, or of the subnet */
        address = *range ? inet4_first(&within) : inet4_first(&subnet);
        inet4_format_address(address == inet4_first(&subnet) ? address + 1 : address, first);
        json_object_set_new(pool, "Gateway", json_string(first));
    }
    return check_aux(pool, &subnet, reterr);
}

/* Where none is asked for: a unique local one. */
static int add_ula(json_t *pools, struct err *reterr)
{
    json_t *pool = json_object();
    char text[INET6_STR_MAX];
    struct inet6 subnet;
    int r = inet6_random_ula(&subnet);

    if (r < 0) {
        json_decref(pool);
        return err_sys(reterr, -r, "getrandom");
    }
    inet6_format(&subnet, text);
    json_object_set_new(pool, "Subnet", json_string(text));
    json_array_append_new(pools, pool);
    return settle_pool6(pool, reterr);
}

/* The members as inspect shows them, in the clients' spelling. */
static json_t *copy_pool(const json_t *pool)
{
    static const char *const keys[] = {"Subnet", "IPRange", "Gateway"};
    json_t *out = json_object(), *aux = json_get(pool, "AuxiliaryAddresses");

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *text = json_get_str(pool, keys[i], "");

        if (*text)
            json_object_set_new(out, keys[i], json_string(text));
    }
    if (json_object_size(aux) > 0)
        json_object_set_new(out, "AuxiliaryAddresses", json_deep_copy(aux));
    return out;
}

/* One of each family at most. */
static int check_pools(json_t *pools, bool ipv6, struct err *reterr)
{
    size_t i, n[2] = {0};
    const json_t *p;

    json_array_foreach (pools, i, p)
        n[strchr(json_get_str(p, "Subnet", ""), ':') != NULL]++;
    if (n[0] > 1 || n[1] > 1)
        return err_set(reterr, ERR_FORBIDDEN, EINVAL,
                       "bridge driver doesn't support multiple subnets");
    return ipv6 && n[1] == 0 ? add_ula(pools, reterr) : 0;
}

static int settle_ipam(const json_t *ipam, bool ipv6, json_t **ret, struct err *reterr)
{
    const char *driver = json_get_str(ipam, "Driver", "");
    const json_t *pools = json_get(ipam, "Config"), *p;
    json_t *options = json_get(ipam, "Options"), *out = json_array();
    size_t i;
    int r = 0;

    if (*driver && !streq(driver, "default") && !streq(driver, "null")) {
        json_decref(out);
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "invalid IPAM driver: %s: not found", driver);
    }
    json_array_foreach (pools, i, p) {
        json_t *pool = copy_pool(p);

        if (json_object_size(pool) > 0) {
            r = i < POOLS_MAX ? settle_pool(pool, reterr) : bad(reterr, "IPAM:", "too many pools");
            json_array_append(out, pool);
        }
        json_decref(pool);
        if (r < 0)
            break;
    }
    if (r >= 0)
        r = check_pools(out, ipv6, reterr);
    if (r < 0) {
        json_decref(out);
        return r;
    }
    *ret = json_pack("{s:s, s:O, s:o}", "Driver", "default", "Options",
                     json_is_object(options) ? options : json_null(), "Config", out);
    return 0;
}

static int check_driver(const char *driver, struct err *reterr)
{
    if (streq(driver, "bridge") || streq(driver, "macvlan"))
        return 0;
    if (streq(driver, "host") || streq(driver, "null"))
        return err_set(reterr, ERR_FORBIDDEN, EPERM,
                       "only one instance of \"%s\" network is allowed", driver);
    if (streq(driver, "overlay"))
        return err_set(reterr, ERR_UNAVAILABLE, ENOTSUP,
                       "This node is not a swarm manager. Use \"docker swarm init\" or \"docker "
                       "swarm join\" to connect this node to swarm and try again.");
    return err_set(reterr, ERR_NOT_FOUND, ENOENT,
                   "could not find plugin %s in v1 plugin registry: plugin \"%s\" not found",
                   driver, driver);
}

static bool name_is_good(const char *name)
{
    static const char *const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789_.-";
    size_t n = strlen(name);

    return n > 0 && n <= NAME_MAX_LEN && strspn(name, allowed) == n && !strchr("_.-", name[0]);
}

int net_check_name(struct engine *e, const char *name, struct err *reterr)
{
    struct map_entry *m;

    if (!*name)
        return err_set(reterr, ERR_INVALID, EINVAL, "network name is required");
    if (!name_is_good(name))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid network name: %s: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                       name);
    if (streq(name, "bridge") || streq(name, "host") || streq(name, "none") ||
        streq(name, "default") || streq(name, "container"))
        return err_set(reterr, ERR_FORBIDDEN, EPERM,
                       "operation is not permitted on predefined %s network", name);
    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        if (streq(((struct net *)m->value)->name, name))
            return err_set(reterr, ERR_CONFLICT, EEXIST, "network with name %s already exists",
                           name);
    }
    if (e->nets.count >= NETWORKS_MAX)
        return err_set(reterr, ERR_UNAVAILABLE, ENOSPC, "there are %d networks already",
                       NETWORKS_MAX);
    return 0;
}

static int check_booleans(const json_t *options, struct err *reterr)
{
    static const char *const keys[] = {"com.docker.network.bridge.enable_icc",
                                       "com.docker.network.bridge.enable_ip_masquerade"};
    static const char *const words[] = {"1", "t", "T", "true",  "TRUE",  "True",
                                        "0", "f", "F", "false", "FALSE", "False"};
    bool known = true;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        json_t *v = json_get(options, keys[i]);

        if (!v)
            continue;
        known = false;
        for (size_t k = 0; k < ARRAY_SIZE(words); k++) {
            if (json_is_string(v) && streq(json_string_value(v), words[k])) {
                known = true;
                /* One spelling for those who ask. */
                if (k != 3 && k != 9)
                    json_object_set_new((json_t *)options, keys[i],
                                        json_string(words[k < 6 ? 3 : 9]));
                break;
            }
        }
        if (!known)
            return err_set(reterr, ERR_INVALID, EINVAL, "failed to parse %s value: %s", keys[i],
                           json_is_string(v) ? json_string_value(v) : "not a string");
    }
    return 0;
}

/* What the kernel calls a name (dev_valid_name()) and has no other use for: it replaces "%d", and
 * has directories of these names beside those of links. */
static bool is_link_name(const char *name)
{
    return *name && strlen(name) < IFNAMSIZ && str_is_filename(name) &&
           !strpbrk(name, "%: \t\n\v\f\r") && !streq(name, "all") && !streq(name, "default");
}

static int check_options(const json_t *options, struct err *reterr)
{
    const char *ip = json_get_str(options, "com.docker.network.bridge.host_binding_ipv4", ""),
               *mtu = json_get_str(options, "com.docker.network.driver.mtu", ""),
               *bridge = json_get_str(options, "com.docker.network.bridge.name", "");
    uint32_t address;
    uint64_t n;

    if (*ip && inet4_parse_address(ip, &address) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid default binding address: %s", ip);
    if (*mtu && (str_parse_u64(mtu, 65535, &n) < 0 || n < 68))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid mtu: %s", mtu);
    if (*bridge && !is_link_name(bridge))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid bridge name: %s", bridge);
    return check_booleans(options, reterr);
}

/* Of a link with a smaller MTU the kernel takes IPv6 away. */
static int check_mtu6(struct engine *e, const json_t *options, struct err *reterr)
{
    const char *text = json_get_str(options, "com.docker.network.driver.mtu", "");
    uint64_t mtu = (uint64_t)e->config.mtu;

    if (*text)
        str_parse_u64(text, UINT16_MAX, &mtu);
    return mtu == 0 || mtu >= IPV6_MTU_MIN
               ? 0
               : err_set(reterr, ERR_INVALID, EINVAL, "invalid mtu: %u: IPv6 needs %d at least",
                         (unsigned)mtu, IPV6_MTU_MIN);
}

static const char *subnet_of(const json_t *ipam, bool six)
{
    json_t *pools = json_get(ipam, "Config"), *p;
    size_t i;

    json_array_foreach (pools, i, p) {
        const char *text = json_get_str(p, "Subnet", "");

        if ((strchr(text, ':') != NULL) == six)
            return text;
    }
    return "";
}

/* Gateways are checked against the subnets that the request names: nobody can know others. */
static int check_routes(const json_t *options, const json_t *ipam, bool ipv6, struct err *reterr)
{
    const json_t *text = json_get(options, NET_OPTION_ROUTES);
    struct inet4 subnet = {0};
    struct inet6 subnet6 = {0};
    struct routes routes;
    int r;

    if (!text)
        return 0;
    if (!json_is_string(text))
        return bad(reterr, "option", NET_OPTION_ROUTES);
    r = routes_parse(json_string_value(text), &routes, reterr);
    if (r < 0)
        return r;
    inet4_parse(subnet_of(ipam, false), &subnet);
    if (ipv6)
        inet6_parse(subnet_of(ipam, true), &subnet6);
    return routes_check(&routes, &subnet, &subnet6, reterr);
}

static int check_macvlan(const json_t *options, const json_t *ipam, struct err *reterr)
{
    const char *parent = json_get_str(options, "parent", "");

    if (!is_link_name(parent))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "a macvlan network needs the option parent, the name of a link: '%s'",
                       parent);
    if (net_macvlan_mode(options) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "unknown macvlan mode: %s",
                       json_get_str(options, "macvlan_mode", ""));
    if (!*subnet_of(ipam, false))
        return err_set(reterr, ERR_INVALID, EINVAL, "a macvlan network needs an IPv4 subnet");
    return 0;
}

static json_t *object_of(const json_t *body, const char *key)
{
    json_t *v = json_get(body, key);

    return json_is_object(v) ? json_deep_copy(v) : json_object();
}

static int check_bridge_name(struct engine *e, const char *bridge, struct err *reterr)
{
    struct map_entry *m;

    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        const struct net *n = m->value;

        if (streq(json_get_str(n->config, "Bridge", ""), bridge) ||
            (n->network && streq(network_bridge(n->network), bridge)))
            return err_set(reterr, ERR_FORBIDDEN, EEXIST,
                           "cannot create network: bridge %s is used by network %s", bridge,
                           n->name);
    }
    return 0;
}

/* All networks are of this host. */
static int check_scope(const char *scope, struct err *reterr)
{
    if (streq(scope, "swarm"))
        return err_set(reterr, ERR_FORBIDDEN, EPERM,
                       "cannot create a swarm scoped network when swarm is not active");
    if (*scope && !streq(scope, "local"))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid network scope \"%.64s\"", scope);
    return 0;
}

static int check_ipv4(const json_t *body, struct err *reterr)
{
    return json_get_bool(body, "EnableIPv4", true)
               ? 0
               : err_set(reterr, ERR_NOT_IMPLEMENTED, ENOSYS,
                         "networks without IPv4 are not supported");
}

int net_settle_config(struct engine *e, const char *id, const json_t *body, json_t **ret,
                      struct err *reterr)
{
    _cleanup_json_ json_t *ipam = NULL, *options = object_of(body, "Options");
    const char *driver = json_get_str(body, "Driver", ""), *bridge;
    bool ipv6 = json_get_bool(body, "EnableIPv6", false);
    char own[IFNAMSIZ];
    int r;

    driver = *driver ? driver : "bridge";
    r = check_driver(driver, reterr);
    if (r >= 0)
        r = check_scope(json_get_str(body, "Scope", ""), reterr);
    if (r >= 0 && json_get_bool(body, "Ingress", false))
        r = err_set(reterr, ERR_NOT_IMPLEMENTED, ENOSYS, "ingress networks are not supported");
    if (r >= 0)
        r = check_ipv4(body, reterr);
    if (r >= 0)
        r = check_options(options, reterr);
    if (r >= 0)
        r = settle_ipam(json_get(body, "IPAM"), ipv6, &ipam, reterr);
    if (r >= 0)
        r = check_routes(options, ipam, ipv6, reterr);
    if (r < 0)
        return r;
    snprintf(own, sizeof(own), "br-%.12s", id);
    bridge = json_get_str(options, "com.docker.network.bridge.name", "");
    bridge = *bridge ? bridge : own;
    if (streq(driver, "macvlan")) {
        bridge = "";
        r = check_macvlan(options, ipam, reterr);
    } else {
        r = check_bridge_name(e, bridge, reterr);
        if (r >= 0 && ipv6)
            r = check_mtu6(e, options, reterr);
    }
    if (r < 0)
        return r;
    *ret = json_pack("{s:s, s:b, s:b, s:O, s:b, s:b, s:O, s:o, s:s, s:s, s:b}", "Driver", driver,
                     "EnableIPv4", 1, "EnableIPv6", (int)ipv6, "IPAM", ipam, "Internal",
                     (int)json_get_bool(body, "Internal", false), "Attachable",
                     (int)json_get_bool(body, "Attachable", false), "Options", options, "Labels",
                     object_of(body, "Labels"), "ConfigFrom",
                     json_get_str(json_get(body, "ConfigFrom"), "Network", ""), "Bridge", bridge,
                     "Unfinished", 1);
    return *ret ? 0 : err_set(reterr, ERR_INVALID, EINVAL, "invalid network config");
}

/* Without what is filled in: each network that is made from it has its own. */
static json_t *plain_ipam(const json_t *ipam)
{
    const json_t *pools = json_get(ipam, "Config"), *p;
    json_t *options = json_get(ipam, "Options"), *out = json_array();
    size_t i;

    json_array_foreach (pools, i, p)
        json_array_append_new(out, copy_pool(p));
    return json_pack("{s:s, s:O, s:o}", "Driver", "default", "Options",
                     json_is_object(options) ? options : json_null(), "Config", out);
}

int net_settle_template(const json_t *body, json_t **ret, struct err *reterr)
{
    _cleanup_json_ json_t *ipam = NULL, *options = object_of(body, "Options");
    bool ipv6 = json_get_bool(body, "EnableIPv6", false);
    int r = check_ipv4(body, reterr);

    if (r >= 0)
        r = check_options(options, reterr);
    if (r >= 0)
        r = settle_ipam(json_get(body, "IPAM"), false, &ipam, reterr);
    if (r >= 0)
        r = check_routes(options, ipam, ipv6, reterr);
    if (r < 0)
        return r;
    *ret = json_pack("{s:s, s:b, s:b, s:o, s:b, s:b, s:O, s:o, s:s, s:b}", "Driver", "null",
                     "EnableIPv4", 1, "EnableIPv6", (int)ipv6, "IPAM",
                     plain_ipam(json_get(body, "IPAM")), "Internal", 0, "Attachable", 0, "Options",
                     options, "Labels", object_of(body, "Labels"), "Bridge", "", "ConfigOnly", 1);
    return *ret ? 0 : err_set(reterr, ERR_INVALID, EINVAL, "invalid network config");
}
