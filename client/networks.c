/* network create, connect, disconnect, rm. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "buf.h"
#include "commands.h"
#include "json.h"
#include "str.h"
#include "url.h"

const struct opt network_create_opts[] = {
    OPT_JSON("attachable", 0, NULL, value_bool, "Attachable", "Enable manual container attachment"),
    OPT_LIST("aux-address", 0, "map", struct network_options, aux, value_string,
             "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
    OPT_JSON("config-from", 0, "string", value_string, "ConfigFrom.Network",
             "The network from which to copy the configuration"),
    OPT_JSON("config-only", 0, NULL, value_bool, "ConfigOnly",
             "Create a configuration only network"),
    OPT_STRING("driver", 'd', struct network_options, driver,
               "Driver to manage the Network (default \"bridge\")"),
    OPT_LIST("gateway", 0, "strings", struct network_options, gateways, value_string,
             "IPv4 or IPv6 Gateway for the master subnet"),
    OPT_JSON("ingress", 0, NULL, value_bool, "Ingress", "Create swarm routing-mesh network"),
    OPT_JSON("internal", 0, NULL, value_bool, "Internal",
             "Restrict external access to the network"),
    OPT_LIST("ip-range", 0, "strings", struct network_options, ranges, value_string,
             "Allocate container ip from a sub-range"),
    OPT_JSON("ipam-driver", 0, "string", value_string, "IPAM.Driver",
             "IP Address Management Driver"),
    OPT_JSON_MAP("ipam-opt", 0, "map", value_key_value, "IPAM.Options",
                 "Set IPAM driver specific options"),
    OPT_JSON("ipv4", 0, NULL, value_bool, "EnableIPv4",
             "Enable or disable IPv4 address assignment"),
    OPT_JSON("ipv6", 0, NULL, value_bool, "EnableIPv6", "Enable IPv6 address assignment"),
    OPT_LIST("label", 0, "list", struct network_options, labels, value_string,
             "Set metadata on a network"),
    OPT_LIST("opt", 'o', "map", struct network_options, driver_opts, value_string,
             "Set driver specific options"),
    OPT_LIST("route", 0, "list", struct network_options, routes, value_string,
             "Static route of the network's containers (e.g. 10.9.0.0/16=172.18.0.5)"),
    OPT_JSON("scope", 0, "string", value_string, "Scope", "Control the network's scope"),
    OPT_LIST("subnet", 0, "strings", struct network_options, subnets, value_string,
             "Subnet in CIDR format that represents a network segment"),
    OPT_END,
};

const struct opt network_connect_opts[] = {
    OPT_JSON_LIST("alias", 0, "strings", value_string, "EndpointConfig.Aliases",
                  "Add network-scoped alias for the container"),
    OPT_JSON_MAP("driver-opt", 0, "strings", value_key_value, "EndpointConfig.DriverOpts",
                 "driver options for the network"),
    OPT_JSON("gw-priority", 0, "int", value_int, "EndpointConfig.GwPriority",
             "Highest gw-priority provides the default gateway. Accepts positive and negative "
             "values."),
    OPT_JSON("ip", 0, "string", value_string, "EndpointConfig.IPAMConfig.IPv4Address",
             "IPv4 address (e.g., \"172.30.100.104\")"),
    OPT_JSON("ip6", 0, "string", value_string, "EndpointConfig.IPAMConfig.IPv6Address",
             "IPv6 address (e.g., \"2001:db8::33\")"),
    OPT_JSON_LIST("link", 0, "list", value_string, "EndpointConfig.Links",
                  "Add link to another container"),
    OPT_JSON_LIST("link-local-ip", 0, "strings", value_string,
                  "EndpointConfig.IPAMConfig.LinkLocalIPs",
                  "Add a link-local address for the container"),
    OPT_END,
};

const struct opt network_disconnect_opts[] = {
    OPT_JSON("force", 'f', NULL, value_bool, "Force",
             "Force the container to disconnect from a network"),
    OPT_END,
};

const struct opt network_rm_opts[] = {
    OPT_BOOL("force", 'f', struct network_options, force,
             "Do not error if the network does not exist"),
    OPT_END,
};

/* "key=value" words, or "key" alone, as an object. */
static json_t *map_of(char *const *words)
{
    json_t *out = json_object();

    for (size_t i = 0; words && words[i]; i++) {
        size_t n = strcspn(words[i], "=");
        _cleanup_free_ char *key = xstrndup(words[i], n);

        json_object_set_new(out, key, json_string(words[i][n] ? words[i] + n + 1 : ""));
    }
    return out;
}

/* All of them are one option of the network. */
static void add_routes(json_t *options, char *const *routes)
{
    static const char *const key = "containerd-lite.network.routes";
    _cleanup_buf_ struct buf text = {0};

    buf_append_str(&text, json_get_str(options, key, ""));
    for (size_t i = 0; routes && routes[i]; i++)
        buf_printf(&text, "%s%s", buf_size(&text) > 0 ? "," : "", routes[i]);
    if (routes)
        json_object_set_new(options, key, json_stringn(buf_head(&text), buf_size(&text)));
}

/* "ADDRESS/PREFIX" or an address alone (ret_bits -1): bytes of its family; 0 if it is neither. */
static int parse_net(const char *text, uint8_t ret[16], int *ret_bits)
{
    size_t n = strcspn(text, "/");
    _cleanup_free_ char *address = xstrndup(text, n);
    uint64_t bits = 0;
    int family = strchr(address, ':') ? AF_INET6 : AF_INET;

    if (inet_pton(family, address, ret) != 1 ||
        (text[n] && str_parse_u64(text + n + 1, family == AF_INET6 ? 128 : 32, &bits) < 0))
        return 0;
    *ret_bits = text[n] ? (int)bits : -1;
    return family;
}

static bool is_in(const char *text, const char *subnet)
{
    uint8_t a[16], b[16];
    int bits, ignored, family = parse_net(subnet, b, &bits);

    if (!family || bits < 0 || parse_net(text, a, &ignored) != family)
        return false;
    for (int i = 0; i < bits; i++) {
        if ((a[i / 8] ^ b[i / 8]) & 0x80 >> i % 8)
            return false;
    }
    return true;
}

static json_t *pool_with(json_t *pools, const char *address, const char *what)
{
    json_t *pool;
    size_t i;

    json_array_foreach (pools, i, pool) {
        if (is_in(address, json_get_str(pool, "Subnet", "")))
            return pool;
    }
    fprintf(stderr, "no matching subnet for %s %s\n", what, address);
    return NULL;
}

/* One at most for each subnet. */
static int put_each(json_t *pools, char *const *list, const char *key, const char *what)
{
    for (size_t i = 0; list && list[i]; i++) {
        json_t *pool = pool_with(pools, list[i], what);
        const char *had = json_get_str(pool, key, NULL);

        if (had)
            fprintf(stderr, "cannot configure multiple %ss (%s, %s) %s the same subnet (%s)\n",
                    what, list[i], had, streq(what, "range") ? "on" : "for",
                    json_get_str(pool, "Subnet", ""));
        if (!pool || had)
            return 1;
        json_object_set_new(pool, key, json_string(list[i]));
    }
    return 0;
}

static int put_aux(json_t *pools, const json_t *aux)
{
    const char *name;
    json_t *address, *pool;

    json_object_foreach ((json_t *)aux, name, address) {
        pool = pool_with(pools, json_string_value(address), "aux-address");
        if (!pool)
            return 1;
        json_put_path(&pool, "AuxiliaryAddresses", OPT_MERGE, json_pack("{s:O}", name, address));
    }
    return 0;
}

/* Ranges, gateways and addresses go with the subnets that they are in. */
static int pools_of(const struct network_options *o, json_t **ret)
{
    _cleanup_json_ json_t *pools = json_array(), *aux = map_of(o->aux);
    size_t n = strv_len(o->subnets);

    if (strv_len(o->ranges) > n || strv_len(o->gateways) > n || (o->aux && n == 0)) {
        fprintf(stderr, "every ip-range or gateway must have a corresponding subnet\n");
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        json_array_append_new(pools, json_pack("{s:s}", "Subnet", o->subnets[i]));
    if (put_each(pools, o->ranges, "IPRange", "range") != 0 ||
        put_each(pools, o->gateways, "Gateway", "gateway") != 0 || put_aux(pools, aux) != 0)
        return 1;
    *ret = json_incref(pools);
    return 0;
}

int cmd_network_create(struct invocation *inv)
{
    const struct network_options *o = inv->options;
    _cleanup_json_ json_t *body = inv->body ? json_incref(inv->body) : json_object(), *reply = NULL;
    json_t *pools, *options;
    struct err e = {0};

    if (pools_of(o, &pools) != 0)
        return 1;
    options = map_of(o->driver_opts);
    add_routes(options, o->routes);
    json_put_path(&body, "IPAM.Config", OPT_SET, pools);
    if (!json_get_str(json_get(body, "IPAM"), "Driver", NULL))
        json_put_path(&body, "IPAM.Driver", OPT_SET, json_string("default"));
    json_object_set_new(body, "Name", json_string(inv->args[0]));
    json_object_set_new(body, "CheckDuplicate", json_true());
    json_object_set_new(body, "Driver", json_string(o->driver ? o->driver : "bridge"));
    json_object_set_new(body, "Options", options);
    json_object_set_new(body, "Labels", map_of(o->labels));
    if (client_post(inv->client, "/networks/create", body, &reply, &e) < 0)
        return cli_fail(inv, &e);
    printf("%s\n", json_get_str(reply, "Id", ""));
    return 0;
}

static int change(struct invocation *inv, const char *format)
{
    _cleanup_json_ json_t *body = inv->body ? json_incref(inv->body) : json_object();
    _cleanup_free_ char *url = url_format(format, inv->args[0]);
    struct err e = {0};

    json_object_set_new(body, "Container", json_string(inv->args[1]));
    return client_post(inv->client, url, body, NULL, &e) < 0 ? cli_fail(inv, &e) : 0;
}

int cmd_network_connect(struct invocation *inv)
{
    return change(inv, "/networks/%s/connect");
}

int cmd_network_disconnect(struct invocation *inv)
{
    return change(inv, "/networks/%s/disconnect");
}

static char *rm_path(const struct invocation *inv, const char *name)
{
    (void)inv;
    return url_format("/networks/%s", name);
}

int cmd_network_rm(struct invocation *inv)
{
    const struct network_options *o = inv->options;

    return batch_run_in_order(inv, "DELETE", rm_path, o->force);
}
