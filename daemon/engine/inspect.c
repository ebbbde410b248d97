/* Shapes of one container: inspect and its parts. */
#include <errno.h>
#include <stdlib.h>

#include "private.h"

const char *status_name(const struct container *c)
{
    static const char *const names[] = {
        [STATUS_CREATED] = "created", [STATUS_RUNNING] = "running",
        [STATUS_PAUSED] = "paused",   [STATUS_EXITED] = "exited",
        [STATUS_DEAD] = "dead",       [STATUS_RESTARTING] = "restarting"};

    if (c->removing)
        return "removing";
    return names[c->status];
}

static void set_str(json_t *o, const char *key, const char *value)
{
    json_object_set_new(o, key, json_string(value ? value : ""));
}

static void set_time(json_t *o, const char *key, int64_t ns)
{
    char text[TIME_STR_MAX] = TIME_ZERO;

    if (ns > 0)
        time_format_nano(ns, text);
    set_str(o, key, text);
}

static json_t *port_map(const struct container *c)
{
    const json_t *exposed = json_get(c->config, "ExposedPorts");
    json_t *out = json_object(), *v;
    const char *port;

    if (c->n_endpoints == 0 || !container_is_up(c))
        return out;
    json_object_foreach ((json_t *)exposed, port, v)
        json_object_set_new(out, port, json_null());
    for (size_t i = 0; i < c->n_ports; i++) {
        const struct port_lease *p = &c->ports[i];
        char key[32], ip[LEASE_IP_MAX], host_port[8];
        json_t *list;

        snprintf(key, sizeof(key), "%u/%s", p->container_port, proto_name(p->proto));
        snprintf(host_port, sizeof(host_port), "%u", p->host_port);
        lease_format_ip(p, ip);
        list = json_object_get(out, key);
        if (!json_is_array(list)) {
            list = json_array();
            json_object_set_new(out, key, list);
        }
        json_array_append_new(list, json_pack("{s:s, s:s}", "HostIp", ip, "HostPort", host_port));
        if (lease_on_ipv4(p) && container_port_on_ipv6(c, p))
            json_array_append_new(list,
                                  json_pack("{s:s, s:s}", "HostIp", "::", "HostPort", host_port));
    }
    return out;
}

struct addresses {
    char address[INET4_STR_MAX], gateway[INET4_STR_MAX], mac[MAC_STR_MAX];
    char address6[INET6_STR_MAX], gateway6[INET6_STR_MAX];
    const char *endpoint;
    int prefix, prefix6;
};

/* ep may be NULL: all empty. */
static void addresses_of(const struct container *c, const struct endpoint *ep,
                         struct addresses *ret)
{
    struct inet4 bridge;

    *ret = (struct addresses){.endpoint = ""};
    if (!ep || !container_is_up(c))
        return;
    bridge = network_address(ep->net->network);
    inet4_format_address(ep->address, ret->address);
    if (!net_is_internal(ep->net))
        inet4_format_address(bridge.address, ret->gateway);
    if (ep->address6.prefix) {
        inet6_format_address(ep->address6.address, ret->address6);
        if (!net_is_internal(ep->net))
            inet6_format_address(network_address6(ep->net->network).address, ret->gateway6);
        ret->prefix6 = ep->address6.prefix;
    }
    mac_format(ep->mac, ret->mac);
    ret->endpoint = ep->id;
    ret->prefix = bridge.prefix;
}

static void append_once(json_t *list, const char *text)
{
    const json_t *v;
    size_t i;

    json_array_foreach (list, i, v) {
        if (streq(json_string_value(v), text))
            return;
    }
    if (*text)
        json_array_append_new(list, json_string(text));
}

/* What the container goes by on a user-defined network. */
static json_t *dns_names(const struct container *c, const json_t *aliases)
{
    json_t *out = json_array();
    const json_t *v;
    char id[13];
    size_t i;

    snprintf(id, sizeof(id), "%.12s", c->id);
    append_once(out, c->name);
    json_array_foreach (aliases, i, v)
        append_once(out, json_string_value(v));
    append_once(out, id);
    append_once(out, json_get_str(c->config, "Hostname", ""));
    return out;
}

/* Before API 1.45 the aliases told of id and hostname, too. */
static void set_aliases(json_t *out, const struct container *c, const json_t *wanted, bool names,
                        int api)
{
    json_t *aliases = json_get(wanted, "Aliases"), *list;
    char id[13];

    json_object_set_new(out, "DNSNames", names ? dns_names(c, aliases) : json_null());
    if (!names || api >= 145) {
        json_object_set(out, "Aliases", aliases ? aliases : json_null());
        return;
    }
    snprintf(id, sizeof(id), "%.12s", c->id);
    list = aliases ? json_copy(aliases) : json_array();
    append_once(list, id);
    append_once(list, json_get_str(c->config, "Hostname", ""));
    json_object_set_new(out, "Aliases", list);
}

static json_t *endpoint_settings(const struct container *c, const char *name, const struct net *net,
                                 int api)
{
    const json_t *wanted = container_endpoint_config(c, name);
    json_t *ipam = json_get(wanted, "IPAMConfig"), *links = json_get(wanted, "Links");
    json_t *options = json_get(wanted, "DriverOpts"), *out = json_object();
    struct addresses a;

    addresses_of(c, net ? container_endpoint(c, net) : NULL, &a);
    json_object_set(out, "IPAMConfig", ipam ? ipam : json_null());
    json_object_set(out, "Links", links ? links : json_null());
    set_aliases(out, c, wanted, net && net_has_names(net), api);
    set_str(out, "MacAddress", a.mac);
    json_object_set(out, "DriverOpts", options ? options : json_null());
    json_object_set_new(out, "GwPriority", json_integer(json_get_int(wanted, "GwPriority", 0)));
    /* It stays when the container has stopped; what it had there does not. */
    set_str(out, "NetworkID", (container_is_up(c) || c->started_ns > 0) && net ? net->id : "");
    set_str(out, "EndpointID", a.endpoint);
    set_str(out, "Gateway", a.gateway);
    set_str(out, "IPAddress", a.address);
    json_object_set_new(out, "IPPrefixLen", json_integer(a.prefix));
    set_str(out, "IPv6Gateway", a.gateway6);
    set_str(out, "GlobalIPv6Address", a.address6);
    json_object_set_new(out, "GlobalIPv6PrefixLen", json_integer(a.prefix6));
    return out;
}

static void add_network(json_t *out, const struct container *c, const char *name, int api)
{
    struct net *net = NULL;

    net_find(c->engine, name, &net, NULL);
    json_object_set_new(out, name, endpoint_settings(c, name, net, api));
}

json_t *inspect_networks(const struct container *c, int api)
{
    json_t *out = json_object(), *v;
    const char *name;

    if (container_net_mode(c) == NET_CONTAINER)
        return out;
    if (!c->networking || container_net_mode(c) != NET_BRIDGE) {
        add_network(out, c, json_get_str(c->host_config, "NetworkMode", "bridge"), api);
    } else {
        json_object_foreach (c->networking, name, v)
            add_network(out, c, name, api);
    }
    return out;
}

/* The old members beside Networks tell of the default bridge only. */
static const struct endpoint *default_endpoint(const struct container *c)
{
    const struct net *net = net_predefined(c->engine, NET_KIND_BRIDGE);

    return net ? container_endpoint(c, net) : NULL;
}

static json_t *network_settings(const struct container *c, int api)
{
    json_t *out = json_object();
    struct addresses a;

    addresses_of(c, default_endpoint(c), &a);
    set_str(out, "Bridge", "");
    set_str(out, "SandboxID", container_is_up(c) ? c->id : "");
    if (container_is_up(c))
        json_object_set_new(out, "SandboxKey", json_sprintf("/proc/%d/ns/net", c->pid));
    else
        set_str(out, "SandboxKey", "");
    json_object_set_new(out, "Ports", port_map(c));
    json_object_set_new(out, "HairpinMode", json_false());
    set_str(out, "LinkLocalIPv6Address", "");
    json_object_set_new(out, "LinkLocalIPv6PrefixLen", json_integer(0));
    json_object_set_new(out, "SecondaryIPAddresses", json_null());
    json_object_set_new(out, "SecondaryIPv6Addresses", json_null());
    set_str(out, "EndpointID", a.endpoint);
    set_str(out, "Gateway", a.gateway);
    set_str(out, "GlobalIPv6Address", "");
    json_object_set_new(out, "GlobalIPv6PrefixLen", json_integer(0));
    set_str(out, "IPAddress", a.address);
    json_object_set_new(out, "IPPrefixLen", json_integer(a.prefix));
    set_str(out, "IPv6Gateway", "");
    set_str(out, "MacAddress", a.mac);
    json_object_set_new(out, "Networks", inspect_networks(c, api));
    return out;
}

static json_t *state_json(const struct container *c)
{
    bool up = container_is_up(c);
    json_t *s = json_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:i, s:i, s:s}", "Status", status_name(c),
                          "Running", container_is_active(c), "Paused", c->status == STATUS_PAUSED,
                          "Restarting", c->status == STATUS_RESTARTING, "OOMKilled", c->oom_killed,
                          "Dead", c->status == STATUS_DEAD, "Pid", up ? c->pid : 0, "ExitCode",
                          c->exit_code, "Error", c->error ? c->error : "");

    set_time(s, "StartedAt", c->started_ns);
    set_time(s, "FinishedAt", c->finished_ns);
    if (c->health.checked)
        json_object_set_new(s, "Health", health_inspect(c));
    return s;
}

static void set_path_and_args(json_t *o, const struct container *c)
{
    _cleanup_(strv_freep) char **argv = runtime_argv(c->config);
    json_t *args = json_array();

    for (size_t i = 1; i < strv_len(argv); i++)
        json_array_append_new(args, json_string(argv[i]));
    set_str(o, "Path", argv ? argv[0] : "");
    json_object_set_new(o, "Args", args);
}

static void set_file(json_t *o, const char *key, const struct container *c, const char *leaf)
{
    _cleanup_free_ char *path = container_dir(c, leaf);

    set_str(o, key, path);
}

/* Of the run that goes on: members of our own, there only if something is missing in the log. */
static void set_dropped(json_t *o, const struct container *c)
{
    _cleanup_free_ char *run_dir = container_run_dir(c);
    int64_t lines, bytes;

    if (!container_is_up(c))
        return;
    log_dropped_read(run_dir, &lines, &bytes);
    if (lines > 0 || bytes > 0)
        json_object_set_new(
            o, "LogDropped",
            json_pack("{s:I, s:I}", "Lines", (json_int_t)lines, "Bytes", (json_int_t)bytes));
}

static void set_paths(json_t *o, const struct container *c)
{
    _cleanup_free_ char *log = container_log_shown(c);

    set_file(o, "ResolvConfPath", c, "resolv.conf");
    set_file(o, "HostnamePath", c, "hostname");
    set_file(o, "HostsPath", c, "hosts");
    set_str(o, "LogPath", log);
    set_dropped(o, c);
}

static json_t *inspect_json(const struct container *c, int api)
{
    _cleanup_(strv_freep) char **chain = NULL;
    json_t *o = json_object();

    set_str(o, "Id", c->id);
    set_time(o, "Created", c->created_ns);
    set_path_and_args(o, c);
    json_object_set_new(o, "State", state_json(c));
    json_object_set_new(o, "Image", json_sprintf("sha256:%s", c->image_id));
    set_paths(o, c);
    json_object_set_new(o, "Name", json_sprintf("/%s", c->name));
    json_object_set_new(o, "RestartCount", json_integer(c->restart_count));
    set_str(o, "Driver", storage_driver_name(c->engine->storage));
    set_str(o, "Platform", "linux");
    set_str(o, "MountLabel", "");
    set_str(o, "ProcessLabel", "");
    /* As dockerd: what it was started with. */
    set_str(o, "AppArmorProfile",
            c->started_ns ? runtime_apparmor(c->engine->runtime, c->host_config) : "");
    json_object_set_new(o, "ExecIDs", execs_ids(c));
    json_object_set(o, "HostConfig", c->host_config);
    if (images_held(c->engine->images, c->id, &chain, NULL) >= 0)
        json_object_set_new(o, "GraphDriver",
                            storage_graph_data(c->engine->storage, c->id,
                                               (const char *const *)chain, strv_len(chain)));
    json_object_set_new(o, "Mounts", runtime_mounts_json(c->host_config, c->points));
    json_object_set(o, "Config", c->config);
    json_object_set_new(o, "NetworkSettings", network_settings(c, api));
    return o;
}

/* ---- with sizes: the writable layer is walked on the pool ---- */

struct size_job {
    struct storage *storage;
    char id[ID_LEN + 1];
    int64_t image_size, rw;
    json_t *result;
    engine_json_fn *done;
    void *arg;
};

static void size_run(void *arg)
{
    struct size_job *j = arg;

    if (storage_rootfs_usage(j->storage, j->id, &j->rw, NULL) < 0)
        j->rw = 0;
}

static void after_size(void *arg)
{
    struct size_job *j = arg;

    json_object_set_new(j->result, "SizeRw", json_integer(j->rw));
    json_object_set_new(j->result, "SizeRootFs", json_integer(j->rw + j->image_size));
    j->done(j->arg, j->result, NULL);
    free(j);
}

void engine_container_inspect(struct engine *e, const char *ref, bool size, int api_version,
                              engine_json_fn *done, void *arg)
{
    struct container *c;
    struct size_job *j;
    struct err err;

    if (registry_find(e, ref, &c, &err) < 0) {
        done(arg, NULL, &err);
        return;
    }
    container_ref(c);
    shim_sync(c);
    if (!size) {
        done(arg, inspect_json(c, api_version), NULL);
        container_unref(c);
        return;
    }
    j = xcalloc(1, sizeof(*j));
    *j = (struct size_job){
        .storage = e->storage, .result = inspect_json(c, api_version), .done = done, .arg = arg};
    memcpy(j->id, c->id, sizeof(j->id));
    j->image_size = container_image_size(c);
    job_run(e, size_run, after_size, j);
    container_unref(c);
}
