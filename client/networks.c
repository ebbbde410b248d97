/* network create, connect, disconnect, rm. */
#include <stdio.h>
#include <string.h>

#include "batch.h"
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

static void put_nth(json_t *pool, const char *key, char *const *list, size_t n)
{
    if (n < strv_len(list))
        json_object_set_new(pool, key, json_string(list[n]));
}

/* Ranges and gateways go with the subnets in the order in which they are given. */
static int pools_of(const struct network_options *o, json_t **ret)
{
    size_t n = strv_len(o->subnets);

    if (strv_len(o->ranges) > n || strv_len(o->gateways) > n || (o->aux && n == 0)) {
        fprintf(stderr, "every ip-range or gateway must have a corresponding subnet\n");
        return 1;
    }
    *ret = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *pool = json_object();

        put_nth(pool, "Subnet", o->subnets, i);
        put_nth(pool, "IPRange", o->ranges, i);
        put_nth(pool, "Gateway", o->gateways, i);
        if (i == 0 && o->aux)
            json_object_set_new(pool, "AuxiliaryAddresses", map_of(o->aux));
        json_array_append_new(*ret, pool);
    }
    return 0;
}

int cmd_network_create(struct invocation *inv)
{
    const struct network_options *o = inv->options;
    _cleanup_json_ json_t *body = inv->body ? json_incref(inv->body) : json_object(), *reply = NULL;
    json_t *pools;
    struct err e = {0};

    if (pools_of(o, &pools) != 0)
        return 1;
    json_put_path(&body, "IPAM.Config", OPT_SET, pools);
    if (!json_get_str(json_get(body, "IPAM"), "Driver", NULL))
        json_put_path(&body, "IPAM.Driver", OPT_SET, json_string("default"));
    json_object_set_new(body, "Name", json_string(inv->args[0]));
    json_object_set_new(body, "CheckDuplicate", json_true());
    json_object_set_new(body, "Driver", json_string(o->driver ? o->driver : "bridge"));
    json_object_set_new(body, "Options", map_of(o->driver_opts));
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

    return batch_run(inv, "DELETE", rm_path, o->force);
}
