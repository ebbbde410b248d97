/* What a container has on its networks: which it wants, leases at start, given back after exit. */
#include <errno.h>
#include <stdlib.h>

#include "log.h"
#include "private.h"

struct endpoint *container_endpoint(const struct container *c, const struct net *net)
{
    for (size_t i = 0; i < c->n_endpoints; i++) {
        if (c->endpoints[i].net == net)
            return &c->endpoints[i];
    }
    return NULL;
}

struct endpoint *container_gateway(const struct container *c)
{
    for (size_t i = 0; i < c->n_endpoints; i++) {
        if (c->endpoints[i].gateway)
            return &c->endpoints[i];
    }
    return NULL;
}

bool container_port_on_ipv6(const struct container *c, const struct port_lease *port)
{
    const struct endpoint *gateway = container_gateway(c);

    return gateway && lease_on_ipv6(port) &&
           (gateway->address6.prefix ||
            (port->proto == IPPROTO_TCP && fabric_relays_ipv6(c->engine->fabric)));
}

/* json_get() would not mind the case. */
json_t *container_endpoint_config(const struct container *c, const char *network)
{
    return json_object_get(c->networking, network);
}

/* ---- specs: values for the pool ---- */

/* The addresses are not the network's: no lease is needed, nobody else is told. */
static int link_local_of(const json_t *config, struct inet4 ret[LINK_LOCAL_MAX], struct err *reterr)
{
    static const struct inet4 all = {169U << 24 | 254U << 16, 16};
    json_t *list = json_get(json_get(config, "IPAMConfig"), "LinkLocalIPs"), *v;
    size_t i;

    json_array_foreach (list, i, v) {
        const char *text = json_is_string(v) ? json_string_value(v) : "";

        if (i == LINK_LOCAL_MAX)
            return err_set(reterr, ERR_INVALID, E2BIG,
                           "an endpoint can have at most %d link-local "
                           "addresses",
                           LINK_LOCAL_MAX);
        if (inet4_parse_address(text, &ret[i].address) < 0 || !inet4_contains(&all, ret[i].address))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "invalid endpoint settings:\ninvalid link-local IP address: %s (one of "
                           "169.254.0.0/16 is wanted)",
                           text);
        ret[i].prefix = all.prefix;
    }
    return 0;
}

void endpoint_spec_of(const struct container *c, const struct endpoint *ep,
                      struct endpoint_spec *ret)
{
    *ret = (struct endpoint_spec){.network = ep->net->network,
                                  .address = ep->address,
                                  .address6 = ep->address6,
                                  .gateway = ep->gateway,
                                  .ports = ep->gateway ? c->ports : NULL,
                                  .n_ports = ep->gateway ? c->n_ports : 0};
    memcpy(ret->veth, ep->veth, sizeof(ret->veth));
    memcpy(ret->ifname, ep->ifname, sizeof(ret->ifname));
    memcpy(ret->mac, ep->mac, sizeof(ret->mac));
    link_local_of(container_endpoint_config(c, ep->net->name), ret->link_local, NULL);
}

void endpoint_specs_of(const struct container *c, struct endpoint_specs *ret)
{
    *ret = (struct endpoint_specs){.list = xcalloc(c->n_endpoints + 1, sizeof(*ret->list)),
                                   .ports = xmalloc((c->n_ports + 1) * sizeof(*ret->ports)),
                                   .n = c->n_endpoints};
    if (c->n_ports > 0)
        memcpy(ret->ports, c->ports, c->n_ports * sizeof(*ret->ports));
    for (size_t i = 0; i < c->n_endpoints; i++) {
        endpoint_spec_of(c, &c->endpoints[i], &ret->list[i]);
        if (ret->list[i].ports)
            ret->list[i].ports = ret->ports;
    }
}

void endpoint_specs_done(struct endpoint_specs *specs)
{
    free(specs->list);
    free(specs->ports);
    *specs = (struct endpoint_specs){0};
}

/* ---- which networks it wants ---- */

struct wanted {
    struct net *nets[ENDPOINTS_MAX];
    size_t n;
};

static int want(struct engine *e, struct wanted *w, const char *name, struct err *reterr)
{
    struct net *net;
    int r = net_find(e, name, &net, reterr);

    if (r >= 0)
        r = net_check_usable(net, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < w->n; i++) {
        if (w->nets[i] == net)
            return 0;
    }
    if (w->n == ENDPOINTS_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG,
                       "a container can be connected to at most %d networks", ENDPOINTS_MAX);
    w->nets[w->n++] = net;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct net *const *)a)->name, (*(struct net *const *)b)->name);
}

/* The one of the network mode first, it becomes eth0; the others by name. */
static int wanted_networks(const struct container *c, struct wanted *ret, struct err *reterr)
{
    const char *mode = json_get_str(c->host_config, "NetworkMode", "bridge"), *name;
    size_t first;
    json_t *v;
    int r = 0;

    if (!c->networking || json_object_get(c->networking, mode))
        r = want(c->engine, ret, mode, reterr);
    first = ret->n;
    json_object_foreach (c->networking, name, v) {
        if (r >= 0)
            r = want(c->engine, ret, name, reterr);
    }
    qsort(ret->nets + first, ret->n - first, sizeof(ret->nets[0]), by_name);
    return r;
}

/* ---- one endpoint ---- */

static int64_t priority(const struct container *c, const struct net *net)
{
    return json_get_int(container_endpoint_config(c, net->name), "GwPriority", 0);
}

/* Highest priority, then first by name; internal networks lead nowhere.  NULL: none. */
struct endpoint *endpoint_choose_gateway(const struct container *c)
{
    struct endpoint *best = NULL;

    for (size_t i = 0; i < c->n_endpoints; i++) {
        struct endpoint *ep = &c->endpoints[i];
        int64_t p = priority(c, ep->net);

        if (net_is_internal(ep->net))
            continue;
        if (!best || p > priority(c, best->net) ||
            (p == priority(c, best->net) && strcmp(ep->net->name, best->net->name) < 0))
            best = ep;
    }
    return best;
}

bool endpoint_takes_gateway(const struct container *c, const struct net *net)
{
    const struct endpoint *now = container_gateway(c);

    return !net_is_internal(net) && (!now || priority(c, net) > priority(c, now->net));
}

static uint32_t wanted_address(const json_t *config)
{
    const char *text = json_get_str(json_get(config, "IPAMConfig"), "IPv4Address", "");
    uint32_t address = 0;

    return *text && inet4_parse_address(text, &address) >= 0 ? address : 0;
}

static bool has_address6(const struct endpoint *ep, const struct net *net,
                         const uint8_t address[INET6_LEN])
{
    return ep && ep->net == net && memcmp(ep->address6.address, address, INET6_LEN) == 0;
}

static bool address6_is_taken(const struct net *net, const uint8_t address[INET6_LEN])
{
    json_t *aux = json_get(net_pool_of(net, true), "AuxiliaryAddresses"), *v;
    struct inet6 gateway = network_address6(net->network);
    uint8_t reserved[INET6_LEN];
    struct map_entry *m;
    const char *name;

    json_object_foreach (aux, name, v) {
        if (inet6_parse_address(json_string_value(v), reserved) >= 0 &&
            memcmp(reserved, address, INET6_LEN) == 0)
            return true;
    }

    for (size_t i = 0; (m = map_next(&net->engine->by_id, &i));) {
        const struct container *c = m->value;

        if (has_address6(container_endpoint(c, net), net, address) ||
            has_address6(c->coming, net, address))
            return true;
    }
    return memcmp(gateway.address, address, INET6_LEN) == 0;
}

/* Where addresses that nobody asked for are taken from. */
static struct inet6 range6(const struct net *net)
{
    struct inet6 subnet = network_address6(net->network), range;
    const char *text = json_get_str(net_pool_of(net, true), "IPRange", "");

    return inet6_parse(text, &range) >= 0 && range.prefix <= 96 ? range : subnet;
}

/* The IPv4 address, which is unique, in the IPv6 subnet or its range.  Where it is somebody's own
 * wish or reserved, another first byte: no IPv4 address of the network's has that, so nobody else's
 * first choice is taken. */
static int choose_address6(const struct endpoint *ep, uint8_t ret[INET6_LEN], struct err *reterr)
{
    struct inet6 range = range6(ep->net);

    for (uint32_t first = 0; first <= UINT8_MAX; first++) {
        inet6_with4(&range, ep->address ^ first << 24, ret);
        if (!address6_is_taken(ep->net, ret))
            return 0;
    }
    return err_set(reterr, ERR_UNAVAILABLE, EADDRNOTAVAIL,
                   "no available IPv6 addresses on this network's address pools: %s",
                   ep->net->name);
}

/* Of a checked configuration. */
static int settle_address6(const json_t *config, struct endpoint *ep, struct err *reterr)
{
    const char *text = json_get_str(json_get(config, "IPAMConfig"), "IPv6Address", "");
    struct inet6 net = network_address6(ep->net->network);

    if (!net.prefix)
        return 0;
    ep->address6.prefix = net.prefix;
    if (!*text)
        return choose_address6(ep, ep->address6.address, reterr);
    inet6_parse_address(text, ep->address6.address);
    if (address6_is_taken(ep->net, ep->address6.address))
        return err_set(reterr, ERR_FORBIDDEN, EADDRINUSE, "Address already in use");
    return 0;
}

/* Neither of a group nor of nobody (is_valid_ether_addr()): the kernel gives a link no other. */
static int parse_mac(const char *text, uint8_t ret[MAC_LEN], struct err *reterr)
{
    static const uint8_t none[MAC_LEN];

    if (mac_parse(text, ret) < 0 || (ret[0] & 1) || memcmp(ret, none, MAC_LEN) == 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid MAC address: %s", text);
    return 0;
}

static int no_subnet(const char *address, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "invalid endpoint settings:\nno configured subnet contains IP address %s",
                   address);
}

int endpoint_check(const struct net *net, const json_t *config, struct err *reterr)
{
    const json_t *ipam = json_get(config, "IPAMConfig");
    const char *four = json_get_str(ipam, "IPv4Address", ""),
               *six = json_get_str(ipam, "IPv6Address", ""),
               *mac = json_get_str(config, "MacAddress", "");
    struct inet4 own = network_address(net->network), link_local[LINK_LOCAL_MAX];
    struct inet6 own6 = network_address6(net->network);
    uint8_t address6[INET6_LEN], bytes[MAC_LEN];
    uint32_t address;

    if (*four && (inet4_parse_address(four, &address) < 0 || !inet4_contains(&own, address)))
        return no_subnet(four, reterr);
    if (*six && (!own6.prefix || inet6_parse_address(six, address6) < 0 ||
                 !inet6_contains(&own6, address6)))
        return no_subnet(six, reterr);
    if (*mac && parse_mac(mac, bytes, reterr) < 0)
        return -EINVAL;
    return link_local_of(config, link_local, reterr);
}

static int settle_mac(const struct container *c, const json_t *config, struct endpoint *ep,
                      struct err *reterr)
{
    const char *mac = json_get_str(config, "MacAddress", "");

    if (!*mac && streq(json_get_str(c->host_config, "NetworkMode", ""), ep->net->name))
        mac = json_get_str(c->config, "MacAddress", ""); /* where clients before API 1.44 put it */
    mac_from_address(ep->address, ep->mac);
    return *mac ? parse_mac(mac, ep->mac, reterr) : 0;
}

/* The lowest number that no other has. */
static void name_link(const struct container *c, char ret[IFNAMSIZ])
{
    for (unsigned n = 0;; n++) {
        bool taken = false;

        snprintf(ret, IFNAMSIZ, "eth%u", n);
        for (size_t i = 0; i < c->n_endpoints; i++)
            taken = taken || streq(c->endpoints[i].ifname, ret);
        if (!taken)
            return;
    }
}

int endpoint_take(struct container *c, struct net *net, struct endpoint *ret, struct err *reterr)
{
    const json_t *config = container_endpoint_config(c, net->name);
    int r = endpoint_check(net, config, reterr);

    if (r < 0)
        return r;
    *ret = (struct endpoint){.net = net};
    id_generate(ret->id);
    r = ipam_take(net->ipam, c->id, wanted_address(config), &ret->address, reterr);
    if (r >= 0)
        r = settle_address6(config, ret, reterr);
    if (r >= 0)
        r = settle_mac(c, config, ret, reterr);
    if (r < 0)
        return r;
    name_link(c, ret->ifname);
    endpoint_veth_name(c->engine->fabric, ret->id, ret->veth);
    return 0;
}

struct endpoint *endpoint_append(struct container *c, const struct endpoint *ep)
{
    c->endpoints = xrealloc(c->endpoints, (c->n_endpoints + 1) * sizeof(*c->endpoints));
    c->endpoints[c->n_endpoints] = *ep;
    names_changed(c->engine);
    return &c->endpoints[c->n_endpoints++];
}

void endpoint_remove(struct container *c, struct endpoint *ep)
{
    size_t i = (size_t)(ep - c->endpoints);

    c->n_endpoints--;
    names_changed(c->engine);
    memmove(ep, ep + 1, (c->n_endpoints - i) * sizeof(*ep));
}

/* ---- ports ---- */

/* "8080", "8000-8010" or "" */
static int parse_host_port(const char *text, struct port_request *req, struct err *reterr)
{
    _cleanup_free_ char *first = xstrdup(text ? text : "");
    char *dash = strchr(first, '-');
    uint64_t a = 0, b;

    if (dash)
        *dash++ = '\0';
    if (*first && str_parse_u64(first, 65535, &a) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid port specification: \"%s\"", text);
    b = a;
    if (dash && (str_parse_u64(dash, 65535, &b) < 0 || b < a))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid port specification: \"%s\"", text);
    req->host_port_first = (uint16_t)a;
    req->host_port_last = (uint16_t)b;
    return 0;
}

/* An address, with or without brackets where it is IPv6; "": the network's default. */
static int parse_host_ip(const struct container *c, const char *text, struct port_request *req,
                         struct err *reterr)
{
    size_t len = strlen(text);
    _cleanup_free_ char *bare =
        text[0] == '[' && text[len - 1] == ']' ? xstrndup(text + 1, len - 2) : xstrdup(text);

    req->family = 0;
    req->host_ip = net_host_binding(container_gateway(c)->net);
    memset(req->host_ip6, 0, sizeof(req->host_ip6));
    if (!len)
        return 0;
    req->host_ip = INADDR_ANY;
    req->family = strchr(bare, ':') ? AF_INET6 : AF_INET;
    if ((req->family == AF_INET6 ? inet6_parse_address(bare, req->host_ip6)
                                 : inet4_parse_address(bare, &req->host_ip)) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid IP address: %s", text);
    return 0;
}

static int take_port(struct container *c, const struct port_request *req, struct err *reterr)
{
    c->ports = xrealloc(c->ports, (c->n_ports + 1) * sizeof(*c->ports));
    if (ports_take(c->engine->ports, c->id, req, &c->ports[c->n_ports], reterr) < 0)
        return err_wrap(reterr,
                        "failed to set up container networking: driver failed programming external "
                        "connectivity on endpoint %s (%s)",
                        c->name, container_gateway(c)->id);
    c->n_ports++;
    return 0;
}

/* "80/tcp" */
static int parse_container_port(const char *text, struct port_request *req, struct err *reterr)
{
    const char *slash = strchr(text, '/');
    _cleanup_free_ char *number = xstrndup(text, slash ? (size_t)(slash - text) : strlen(text));
    uint64_t port;

    if (str_parse_u64(number, 65535, &port) < 0 || port == 0 ||
        proto_parse(slash ? slash + 1 : "tcp", &req->proto) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid port specification: \"%s\"", text);
    req->container_port = (uint16_t)port;
    return 0;
}

static int take_bindings(struct container *c, const char *port, const json_t *bindings,
                         struct err *reterr)
{
    struct port_request req = {0};
    const json_t *b;
    size_t i;
    int r = parse_container_port(port, &req, reterr);

    if (r < 0)
        return r;
    json_array_foreach (bindings, i, b) {
        r = parse_host_ip(c, json_get_str(b, "HostIp", ""), &req, reterr);
        if (r >= 0)
            r = parse_host_port(json_get_str(b, "HostPort", ""), &req, reterr);
        if (r >= 0)
            r = take_port(c, &req, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int endpoints_take_ports(struct container *c, struct err *reterr)
{
    const json_t *bindings = json_get(c->host_config, "PortBindings");
    const json_t *exposed = json_get(c->config, "ExposedPorts");
    bool all = json_get_bool(c->host_config, "PublishAllPorts", false);
    const char *port;
    json_t *v;
    int r = 0;

    if (!net_publishes(container_gateway(c)->net))
        return 0;
    json_object_foreach ((json_t *)bindings, port, v) {
        _cleanup_json_ json_t *any = NULL;

        if (json_array_size(v) == 0)
            v = any = json_pack("[{}]");
        r = take_bindings(c, port, v, reterr);
        if (r < 0)
            return r;
    }
    json_object_foreach ((json_t *)exposed, port, v) {
        _cleanup_json_ json_t *any = json_pack("[{}]");

        if (!all || json_array_size(json_object_get(bindings, port)) > 0)
            continue;
        r = take_bindings(c, port, any, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- all of a container's ---- */

static int take_all(struct container *c, const struct wanted *w, struct err *reterr)
{
    struct endpoint *gateway;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < w->n; i++) {
        struct endpoint ep;

        r = endpoint_take(c, w->nets[i], &ep, reterr);
        if (r >= 0)
            endpoint_append(c, &ep);
    }
    if (r < 0)
        return r;
    gateway = endpoint_choose_gateway(c);
    if (!gateway)
        return 0;
    gateway->gateway = true;
    return endpoints_take_ports(c, reterr);
}

static void forget(struct container *c)
{
    free(TAKE_PTR(c->endpoints));
    free(TAKE_PTR(c->ports));
    c->n_endpoints = c->n_ports = 0;
    names_changed(c->engine);
}

int endpoints_take(struct container *c, struct err *reterr)
{
    struct wanted w = {.n = 0};
    struct db *db = c->engine->db;
    int r = wanted_networks(c, &w, reterr);

    if (r < 0 || w.n == 0)
        return r;
    r = db_begin(db, reterr);
    if (r < 0)
        return r;
    r = take_all(c, &w, reterr);
    if (r >= 0)
        r = db_commit(db, reterr);
    if (r < 0) {
        db_rollback(db);
        forget(c);
    }
    return r;
}

void endpoints_release(struct container *c)
{
    struct engine *e = c->engine;

    if (c->n_endpoints > 0)
        leases_address_drop_all(e->db, c->id, NULL);
    if (c->n_ports > 0)
        ports_release(e->ports, c->id, NULL);
    forget(c);
}
