/* Making and removing networks.  The row comes first, marked as unfinished: what a daemon leaves
 * that dies half way is found by it. */
#include <errno.h>
#include <stdlib.h>

#include "log.h"
#include "network_rows.h"
#include "private.h"

#define NETWORKS_MAX 4096
#define NAME_MAX_LEN 255
#define POOLS_MAX 16
#define AUX_MAX 1024

/* ---- what the request asks for ---- */

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

/* One IPAM configuration; what it leaves open is filled in.  An empty one is as good as none. */
static int settle_pool(json_t *pool, struct err *reterr)
{
    const char *text = json_get_str(pool, "Subnet", ""), *range = json_get_str(pool, "IPRange", ""),
               *gateway = json_get_str(pool, "Gateway", "");
    struct inet4 subnet, within = {0};
    char first[INET4_STR_MAX];
    uint32_t address;

    if (strchr(text, ':'))
        return err_set(reterr, ERR_NOT_IMPLEMENTED, ENOSYS, "IPv6 networks are not supported yet");
    if (inet4_parse(text, &subnet) < 0)
        return bad(reterr, "subnet", text);
    if (subnet.address != inet4_first(&subnet))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid network config:\ninvalid subnet %s: it should be %u.%u.%u.%u/%u",
                       text, inet4_first(&subnet) >> 24, inet4_first(&subnet) >> 16 & 255,
                       inet4_first(&subnet) >> 8 & 255, inet4_first(&subnet) & 255, subnet.prefix);
    if (subnet.prefix < 8 || subnet.prefix > 30)
        return bad(reterr, "subnet (prefix lengths are 8 to 30)", text);
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

static int settle_ipam(const json_t *ipam, json_t **ret, struct err *reterr)
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
    if (r >= 0 && json_array_size(out) > 1)
        r = err_set(reterr, ERR_FORBIDDEN, EINVAL,
                    "bridge driver doesn't support multiple subnets");
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
    if (streq(driver, "bridge"))
        return 0;
    if (streq(driver, "host") || streq(driver, "null"))
        return err_set(reterr, ERR_FORBIDDEN, EPERM,
                       "only one instance of \"%s\" network is allowed", driver);
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

static int check_name(struct engine *e, const char *name, struct err *reterr)
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
    if (*bridge && (strlen(bridge) >= IFNAMSIZ || !str_is_filename(bridge)))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid bridge name: %s", bridge);
    return check_booleans(options, reterr);
}

static json_t *object_of(const json_t *body, const char *key)
{
    json_t *v = json_get(body, key);

    return json_is_object(v) ? json_deep_copy(v) : json_object();
}

/* The subnet that a request names may be nobody else's; those that are made now have theirs later.
 */
static int check_overlap(struct engine *e, const struct net *net, struct err *reterr)
{
    struct inet4 wanted, other;
    struct map_entry *m;

    if (!net_subnet(net, &wanted))
        return 0;
    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        const struct net *n = m->value;

        if (n != net && net_subnet(n, &other) && inet4_overlap(&wanted, &other))
            return err_set(reterr, ERR_FORBIDDEN, EEXIST,
                           "invalid pool request: Pool overlaps with other one on this address "
                           "space");
    }
    return 0;
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

/* From the request to the configuration that is stored. */
static int settle_config(struct engine *e, const char *id, const json_t *body, json_t **ret,
                         struct err *reterr)
{
    _cleanup_json_ json_t *ipam = NULL, *options = object_of(body, "Options");
    const char *driver = json_get_str(body, "Driver", ""), *bridge;
    char own[IFNAMSIZ];
    int r = check_driver(*driver ? driver : "bridge", reterr);

    if (r >= 0 &&
        (json_get_bool(body, "ConfigOnly", false) || json_get_bool(body, "Ingress", false)))
        r = err_set(reterr, ERR_NOT_IMPLEMENTED, ENOSYS,
                    "config-only and ingress networks are not supported");
    if (r >= 0 && json_get_bool(body, "EnableIPv6", false))
        r = err_set(reterr, ERR_NOT_IMPLEMENTED, ENOSYS, "IPv6 networks are not supported yet");
    if (r >= 0)
        r = check_options(options, reterr);
    if (r >= 0)
        r = settle_ipam(json_get(body, "IPAM"), &ipam, reterr);
    if (r < 0)
        return r;
    snprintf(own, sizeof(own), "br-%.12s", id);
    bridge = json_get_str(options, "com.docker.network.bridge.name", own);
    r = check_bridge_name(e, bridge, reterr);
    if (r < 0)
        return r;
    *ret = json_pack("{s:s, s:b, s:b, s:O, s:b, s:b, s:O, s:o, s:s, s:b}", "Driver", "bridge",
                     "EnableIPv4", 1, "EnableIPv6", 0, "IPAM", ipam, "Internal",
                     (int)json_get_bool(body, "Internal", false), "Attachable",
                     (int)json_get_bool(body, "Attachable", false), "Options", options, "Labels",
                     object_of(body, "Labels"), "Bridge", bridge, "Unfinished", 1);
    return *ret ? 0 : err_set(reterr, ERR_INVALID, EINVAL, "invalid network config");
}

/* ---- creating: one at a time, so that each sees the subnets of those before ---- */

struct net_create {
    struct net_create *next;
    struct engine *engine;
    struct net *net;
    struct network_config config;
    struct inet4 *reserved; /* owned */
    struct network *network;
    bool undo; /* second visit of the pool: take back what was made */
    engine_json_fn *done;
    void *arg;
    struct err err;
    int r;
};

static void create_run(void *arg)
{
    struct net_create *j = arg;

    if (j->undo) {
        network_destroy(j->network, NULL);
        return;
    }
    j->r = network_open(j->engine->fabric, &j->config, &j->network, &j->err);
}

static void begin_next(struct engine *e);

static void create_end(struct net_create *j)
{
    struct engine *e = j->engine;
    struct net *net = j->net;
    json_t *reply = NULL;

    if (j->r < 0) {
        db_network_delete(e->db, net->id, NULL);
        if (j->network)
            network_close(j->network);
        net->network = NULL;
        net_drop(net);
    } else {
        net->busy = false;
        net_event(net, "create", NULL);
        reply = json_pack("{s:s, s:s}", "Id", net->id, "Warning", "");
    }
    e->net_creating = NULL;
    j->done(j->arg, reply, reply ? NULL : &j->err);
    free(j->reserved);
    free(j);
    begin_next(e);
}

static void set_subnet(struct net *net)
{
    struct inet4 own = network_address(net->network), subnet = {inet4_first(&own), own.prefix};
    json_t *pools = json_get(json_get(net->config, "IPAM"), "Config");
    char text[INET4_STR_MAX], gateway[INET4_STR_MAX];

    json_object_del(net->config, "Unfinished");
    if (json_array_size(pools) > 0)
        return;
    inet4_format(&subnet, text);
    inet4_format_address(own.address, gateway);
    json_array_append_new(pools, json_pack("{s:s, s:s}", "Subnet", text, "Gateway", gateway));
}

static void after_create(void *arg)
{
    struct net_create *j = arg;
    struct net *net = j->net;

    if (!j->undo && j->r >= 0) {
        _cleanup_free_ char *text = NULL;

        net->network = j->network;
        set_subnet(net);
        text = json_to_str(net->config);
        j->r = db_network_set_config(j->engine->db, net->id, text, &j->err);
        if (j->r >= 0)
            j->r = net_open_ipam(net, net->id, &j->err);
        if (j->r < 0) {
            j->undo = true;
            job_run(j->engine, create_run, after_create, j);
            return;
        }
    }
    create_end(j);
}

static int begin(struct net_create *j)
{
    struct engine *e = j->engine;
    struct net *net = j->net;
    _cleanup_free_ char *text = NULL;
    struct map_entry *m;
    int r = check_overlap(e, net, &j->err);

    if (r < 0)
        return r;
    /* One that is there already is somebody else's: it is used, and stays as it is. */
    json_object_set_new(
        net->config, "BridgeIsOurs",
        json_boolean(!network_link_exists(json_get_str(net->config, "Bridge", ""))));
    text = json_to_str(net->config);
    r = db_network_put(e->db,
                       &(struct network_row){.id = net->id,
                                             .name = net->name,
                                             .driver = (char *)"bridge",
                                             .config = text,
                                             .created = net->created_ns},
                       &j->err);
    if (r < 0)
        return r;
    net_kernel_config(net, &j->config);
    j->reserved = xcalloc(e->nets.count + 1, sizeof(*j->reserved));
    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        if (m->value != net && net_subnet(m->value, &j->reserved[j->config.n_reserved]))
            j->config.n_reserved++;
    }
    j->config.reserved = j->reserved;
    return 0;
}

static void begin_next(struct engine *e)
{
    struct net_create *j = e->net_queue;

    if (!j || e->net_creating)
        return;
    e->net_queue = j->next;
    e->net_creating = j;
    j->r = begin(j);
    if (j->r < 0)
        create_end(j);
    else
        job_run(e, create_run, after_create, j);
}

static int prepare(struct engine *e, const json_t *body, struct net **ret, struct err *reterr)
{
    const char *name = json_get_str(body, "Name", "");
    char id[ID_LEN + 1];
    json_t *config = NULL;
    int r = check_name(e, name, reterr);

    if (r < 0)
        return r;
    id_generate(id);
    r = settle_config(e, id, body, &config, reterr);
    if (r < 0)
        return r;
    r = networks_fabric(e, reterr);
    if (r < 0) {
        json_decref(config);
        return r;
    }
    *ret = net_new(e, id, name, NET_KIND_BRIDGE);
    (*ret)->config = config;
    (*ret)->created_ns = time_now_ns();
    (*ret)->busy = true;
    return 0;
}

void engine_network_create(struct engine *e, const json_t *body, engine_json_fn *done, void *arg)
{
    struct net_create *j, **end = &e->net_queue;
    struct net *net;
    struct err err;

    if (prepare(e, body, &net, &err) < 0) {
        done(arg, NULL, &err);
        return;
    }
    j = xcalloc(1, sizeof(*j));
    *j = (struct net_create){.engine = e, .net = net, .done = done, .arg = arg};
    while (*end)
        end = &(*end)->next;
    *end = j;
    begin_next(e);
}

/* ---- removing ---- */

struct net_remove {
    struct net *net;
    engine_done_fn *done;
    void *arg;
    struct err err;
    int r;
};

static void remove_run(void *arg)
{
    struct net_remove *j = arg;

    if (j->net->network)
        j->r = network_destroy(j->net->network, &j->err);
}

static void after_remove(void *arg)
{
    struct net_remove *j = arg;
    struct net *net = j->net;

    if (j->r >= 0)
        j->r = db_network_delete(net->engine->db, net->id, &j->err);
    net->busy = false;
    if (j->r >= 0) {
        net_event(net, "destroy", NULL);
        net_drop(net);
    }
    j->done(j->arg, j->r < 0 ? &j->err : NULL);
    free(j);
}

static int check_removable(const struct net *net, struct err *reterr)
{
    const struct container *by;

    if (net->predefined)
        return err_set(reterr, ERR_FORBIDDEN, EPERM,
                       "%s is a pre-defined network and cannot be removed", net->name);
    if (net_in_use(net, &by))
        return err_set(reterr, ERR_FORBIDDEN, EBUSY,
                       "error while removing network: network %s has active endpoints (name:\"%s\" "
                       "id:\"%.12s\")",
                       net->name, by->name, by->id);
    return 0;
}

static void remove_net(struct net *net, engine_done_fn *done, void *arg)
{
    struct net_remove *j = xcalloc(1, sizeof(*j));

    *j = (struct net_remove){.net = net, .done = done, .arg = arg};
    net->busy = true;
    job_run(net->engine, remove_run, after_remove, j);
}

void engine_network_remove(struct engine *e, const char *ref, engine_done_fn *done, void *arg)
{
    struct net *net;
    struct err err;

    if (net_find(e, ref, &net, &err) < 0 || check_removable(net, &err) < 0)
        done(arg, &err);
    else
        remove_net(net, done, arg);
}

/* ---- pruning ---- */

struct net_prune {
    json_t *deleted;
    char *name; /* the one that is being removed; owned */
    struct net **todo;
    size_t n;
    engine_json_fn *done;
    void *arg;
};

/* The next of them, or the end; ids, as one may be gone by the time it has its turn. */
static void prune_next(void *arg, const struct err *err)
{
    struct net_prune *j = arg;

    if (j->name && !err)
        json_array_append_new(j->deleted, json_string(j->name));
    free(TAKE_PTR(j->name));
    while (j->n > 0) {
        struct net *net = j->todo[--j->n];

        j->name = xstrdup(net->name);
        remove_net(net, prune_next, j);
        return;
    }
    j->done(j->arg,
            json_pack("{s:o}", "NetworksDeleted",
                      json_array_size(j->deleted) > 0 ? json_incref(j->deleted) : json_null()),
            NULL);
    json_decref(j->deleted);
    free(j->todo);
    free(j);
}

static bool is_prunable(const struct net *net, const json_t *filters, int64_t until)
{
    const json_t *unwanted = json_object_get(filters, "label!");
    const json_t *labels = json_get(net->config, "Labels");

    return !net->busy && check_removable(net, NULL) >= 0 &&
           (until == 0 || net->created_ns < until) &&
           match_labels(json_object_get(filters, "label"), labels) &&
           (json_array_size(unwanted) == 0 || !match_labels(unwanted, labels));
}

void engine_network_prune(struct engine *e, const json_t *filters, engine_json_fn *done, void *arg)
{
    static const char *const known[] = {"until", "label", "label!", NULL};
    struct net_prune *j;
    struct map_entry *m;
    int64_t until = 0;
    struct err err;

    if (match_check(filters, known, &err) < 0 || match_until(filters, &until, &err) < 0) {
        done(arg, NULL, &err);
        return;
    }
    j = xcalloc(1, sizeof(*j));
    *j = (struct net_prune){.deleted = json_array(),
                            .todo = xcalloc(e->nets.count + 1, sizeof(struct net *)),
                            .done = done,
                            .arg = arg};
    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        struct net *net = m->value;

        if (!is_prunable(net, filters, until))
            continue;
        net->busy = true; /* nobody may take it while others are removed */
        j->todo[j->n++] = net;
    }
    prune_next(j, NULL);
}
