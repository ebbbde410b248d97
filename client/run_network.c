#include "run_network.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "csv.h"
#include "json.h"
#include "str.h"

static bool is_user_defined(const char *name)
{
    static const char *const own[] = {"default", "bridge", "host", "none"};

    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        if (streq(own[i], name))
            return false;
    }
    return !str_starts(name, "container:");
}

static int is_mac(const char *s)
{
    unsigned b[6];
    int n = 0;

    return sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &n) ==
               6 &&
           !s[n];
}

/* "name=foo,alias=bar,ip=..." of the long form. */
static int long_field(json_t **endpoint, char **name, const char *field, struct err *reterr)
{
    static const struct {
        const char *key, *path;
        enum opt_mode mode;
        value_parser parse;
    } keys[] = {
        {"alias", "Aliases", OPT_APPEND, value_string},
        {"ip", "IPAMConfig.IPv4Address", OPT_SET, value_string},
        {"ip6", "IPAMConfig.IPv6Address", OPT_SET, value_string},
        {"link-local-ip", "IPAMConfig.LinkLocalIPs", OPT_APPEND, value_string},
        {"mac-address", "MacAddress", OPT_SET, value_string},
        {"driver-opt", "DriverOpts", OPT_MERGE, value_key_value},
        {"gw-priority", "GwPriority", OPT_SET, value_int},
    };
    const char *eq = strchr(field, '=');
    json_t *value = NULL;

    if (!eq)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid field %s", field);
    if (str_starts(field, "name=")) {
        free(*name);
        *name = xstrdup(eq + 1);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (strlen(keys[i].key) != (size_t)(eq - field) ||
            strncmp(keys[i].key, field, (size_t)(eq - field)) != 0)
            continue;
        if (keys[i].parse(eq + 1, &value, reterr) < 0)
            return -EINVAL;
        json_put_path(endpoint, keys[i].path, keys[i].mode, value);
        return 0;
    }
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid field key %.*s", (int)(eq - field), field);
}

static int parse_network(const char *spec, char **ret_name, json_t **ret_endpoint,
                         struct err *reterr)
{
    char **fields;
    int r = 0;

    *ret_endpoint = json_object();
    if (!strchr(spec, '=')) {
        *ret_name = xstrdup(spec);
    } else {
        fields = csv_split(spec);
        for (size_t i = 0; fields && fields[i] && r == 0; i++)
            r = long_field(ret_endpoint, ret_name, fields[i], reterr);
        strv_free(fields);
    }
    if (r == 0 && str_empty(*ret_name))
        r = err_set(reterr, ERR_INVALID, EINVAL, "no name set for network");
    return r;
}

static void append_all(json_t **endpoint, const char *path, char *const *list)
{
    for (size_t i = 0; list && list[i]; i++)
        json_put_path(endpoint, path, OPT_APPEND, json_string(list[i]));
}

/* What the options beside --network say of the first network. */
static int first_endpoint(json_t **endpoint, const struct run_options *o, const char *name,
                          struct err *reterr)
{
    if (o->aliases && json_object_get(*endpoint, "Aliases"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "conflicting options: cannot specify both --network-alias and per-network "
                       "alias");
    if (o->aliases && !is_user_defined(name))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "network-scoped aliases are only supported for user-defined networks");
    if (o->ip && json_at(*endpoint, "IPAMConfig.IPv4Address"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "conflicting options: cannot specify both --ip and per-network IPv4 "
                       "address");
    append_all(endpoint, "Aliases", o->aliases);
    if (is_user_defined(name))
        append_all(endpoint, "Links", o->links);
    append_all(endpoint, "IPAMConfig.LinkLocalIPs", o->link_local);
    if (o->ip)
        json_put_path(endpoint, "IPAMConfig.IPv4Address", OPT_SET, json_string(o->ip));
    if (o->ip6)
        json_put_path(endpoint, "IPAMConfig.IPv6Address", OPT_SET, json_string(o->ip6));
    if (o->mac_address)
        json_put_path(endpoint, "MacAddress", OPT_SET, json_string(o->mac_address));
    return 0;
}

static int add_network(json_t *endpoints, const struct run_options *o, const char *spec, bool first,
                       char **ret_name, struct err *reterr)
{
    json_t *endpoint = NULL;
    int r = parse_network(spec, ret_name, &endpoint, reterr);

    if (r == 0 && first)
        r = first_endpoint(&endpoint, o, *ret_name, reterr);
    if (r == 0 && json_object_get(endpoints, *ret_name))
        r = err_set(reterr, ERR_INVALID, EINVAL, "network \"%s\" is specified multiple times",
                    *ret_name);
    if (r == 0)
        json_object_set(endpoints, *ret_name, endpoint);
    json_decref(endpoint);
    return r;
}

int run_network_add(json_t **body, const struct run_options *o, struct err *reterr)
{
    static char *const none_given[] = {(char *)"default", NULL};
    char *const *specs = o->networks ? o->networks : none_given;
    _cleanup_json_ json_t *endpoints = json_object();
    int r = 0;

    if (o->mac_address && !is_mac(o->mac_address))
        return err_set(reterr, ERR_INVALID, EINVAL, "%s is not a valid mac address",
                       o->mac_address);
    for (size_t i = 0; specs[i] && r == 0; i++) {
        _cleanup_free_ char *name = NULL;

        r = add_network(endpoints, o, specs[i], i == 0, &name, reterr);
        if (r == 0 && specs[1] && !is_user_defined(name))
            r = err_set(reterr, ERR_INVALID, EINVAL,
                        "conflicting options: cannot attach both user-defined and "
                        "non-user-defined network-modes");
        if (r == 0 && i == 0)
            json_put_path(body, "HostConfig.NetworkMode", OPT_SET, json_string(name));
        /* An entry that says nothing beyond the mode is noise for the networks of the host. */
        if (r == 0 && !is_user_defined(name) &&
            json_object_size(json_object_get(endpoints, name)) == 0)
            json_object_del(endpoints, name);
    }
    if (r < 0)
        return r;
    append_all(body, "HostConfig.Links", o->links);
    if (o->mac_address)
        json_put_path(body, "MacAddress", OPT_SET, json_string(o->mac_address));
    if (json_object_size(endpoints))
        json_put_path(body, "NetworkingConfig.EndpointsConfig", OPT_SET, json_incref(endpoints));
    return 0;
}
