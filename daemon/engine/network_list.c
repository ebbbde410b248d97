/* Shapes of networks: list, inspect. */
#include <errno.h>
#include <stdlib.h>

#include "private.h"

static json_t *member_json(const struct container *c, const struct endpoint *ep)
{
    char address[INET4_STR_MAX] = "", address6[INET6_STR_MAX] = "", mac[MAC_STR_MAX] = "";

    if (ep) {
        struct inet4 a = {ep->address, network_address(ep->net->network).prefix};

        inet4_format(&a, address);
        if (ep->address6.prefix)
            inet6_format(&ep->address6, address6);
        mac_format(ep->mac, mac);
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "Name", c->name, "EndpointID", ep ? ep->id : "",
                     "MacAddress", mac, "IPv4Address", address, "IPv6Address", address6);
}

static json_t *members_json(const struct net *net)
{
    static const enum net_mode modes[] = {[NET_KIND_HOST] = NET_HOST, [NET_KIND_NULL] = NET_NONE};
    json_t *out = json_object();
    struct map_entry *m;

    if (net->kind == NET_KIND_TEMPLATE)
        return out;
    for (size_t i = 0; (m = map_next(&net->engine->by_id, &i));) {
        const struct container *c = m->value;

        if (!container_is_up(c))
            continue;
        if (net->kind == NET_KIND_BRIDGE) {
            const struct endpoint *ep = container_endpoint(c, net);

            if (ep)
                json_object_set_new(out, c->id, member_json(c, ep));
        } else if (container_net_mode(c) == modes[net->kind]) {
            json_object_set_new(out, c->id, member_json(c, NULL));
        }
    }
    return out;
}

static json_t *net_json(const struct net *net, bool members)
{
    static const char *const as_stored[] = {"Driver",   "EnableIPv4", "EnableIPv6", "IPAM",
                                            "Internal", "Attachable", "Options",    "Labels"};
    json_t *o = json_object();
    char created[TIME_STR_MAX];

    time_format_nano(net->created_ns, created);
    json_object_set_new(o, "Name", json_string(net->name));
    json_object_set_new(o, "Id", json_string(net->id));
    json_object_set_new(o, "Created", json_string(created));
    json_object_set_new(o, "Scope", json_string("local"));
    for (size_t i = 0; i < ARRAY_SIZE(as_stored); i++)
        json_object_set(o, as_stored[i], json_object_get(net->config, as_stored[i]));
    json_object_set_new(o, "Ingress", json_false());
    json_object_set_new(o, "ConfigFrom",
                        json_pack("{s:s}", "Network", json_get_str(net->config, "ConfigFrom", "")));
    json_object_set_new(o, "ConfigOnly", json_boolean(net->kind == NET_KIND_TEMPLATE));
    json_object_set_new(o, "Containers", members ? members_json(net) : json_object());
    return o;
}

static bool has(const json_t *filters, const char *key)
{
    return json_array_size(json_object_get(filters, key)) > 0;
}

bool net_matches(const struct net *net, const json_t *f)
{
    const json_t *dangling = json_object_get(f, "dangling");
    const struct container *by;

    if (has(f, "dangling")) {
        bool wanted = match_any(dangling, "true") || match_any(dangling, "1");

        /* Predefined ones never are. */
        if ((!net->predefined && !net_in_use(net, &by)) != wanted)
            return false;
    }
    if (has(f, "type") &&
        !match_any(json_object_get(f, "type"), net->predefined ? "builtin" : "custom"))
        return false;
    return match_regex(json_object_get(f, "name"), net->name) &&
           match_regex(json_object_get(f, "id"), net->id) &&
           match_any(json_object_get(f, "driver"), json_get_str(net->config, "Driver", "")) &&
           match_any(json_object_get(f, "scope"), "local") &&
           match_labels(json_object_get(f, "label"), json_get(net->config, "Labels"));
}

static int by_age(const void *a, const void *b)
{
    const struct net *x = *(struct net *const *)a, *y = *(struct net *const *)b;

    if (x->predefined != y->predefined)
        return x->predefined ? -1 : 1;
    if (x->predefined)
        return strcmp(x->name, y->name);
    return x->created_ns < y->created_ns ? -1 : x->created_ns > y->created_ns;
}

int engine_network_list(struct engine *e, const json_t *filters, json_t **ret, struct err *reterr)
{
    static const char *const known[] = {"name", "id",    "driver",   "scope",
                                        "type", "label", "dangling", NULL};
    _cleanup_free_ struct net **all = xcalloc(e->nets.count + 1, sizeof(struct net *));
    struct map_entry *m;
    size_t n = 0;
    int r = match_check(filters, known, reterr);

    if (r < 0)
        return r;
    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        struct net *net = m->value;

        if (!net->busy && net_matches(net, filters))
            all[n++] = net;
    }
    qsort(all, n, sizeof(struct net *), by_age);
    *ret = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(*ret, net_json(all[i], false));
    return 0;
}

int engine_network_inspect(struct engine *e, const char *ref, json_t **ret, struct err *reterr)
{
    struct net *net;
    int r = net_find(e, ref, &net, reterr);

    if (r >= 0)
        *ret = net_json(net, true);
    return r;
}
