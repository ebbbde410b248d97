/* Making and removing networks.  The row comes first, marked as unfinished: what a daemon leaves
 * that dies half way is found by it. */
#include <errno.h>
#include <stdlib.h>

#include "log.h"
#include "network_rows.h"
#include "private.h"
#include "validate.h"

/* ---- creating: one at a time, so that each sees the subnets of those before ---- */

/* The subnet that a request names may be nobody else's; those that are made now have theirs later.
 */
static int check_overlap(struct engine *e, const struct net *net, struct err *reterr)
{
    struct inet4 wanted, other;
    struct inet6 wanted6, other6;
    bool has4 = net_subnet(net, &wanted), has6 = net_subnet6(net, &wanted6);
    struct map_entry *m;

    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        const struct net *n = m->value;

        if (n == net || n->kind == NET_KIND_TEMPLATE)
            continue;
        if ((has4 && net_subnet(n, &other) && inet4_overlap(&wanted, &other)) ||
            (has6 && net_subnet6(n, &other6) && inet6_overlap(&wanted6, &other6)))
            return err_set(reterr, ERR_FORBIDDEN, EEXIST,
                           "invalid pool request: Pool overlaps with other one on this address "
                           "space");
    }
    return 0;
}

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
    if (net_pool(net))
        return;
    inet4_format(&subnet, text);
    inet4_format_address(own.address, gateway);
    json_array_insert_new(pools, 0, json_pack("{s:s, s:s}", "Subnet", text, "Gateway", gateway));
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

static int put_row(const struct net *net, struct err *reterr)
{
    _cleanup_free_ char *text = json_to_str(net->config);
    struct network_row row = {.id = (char *)net->id,
                              .name = net->name,
                              .driver = (char *)json_get_str(net->config, "Driver", ""),
                              .config = text,
                              .created = net->created_ns};

    return db_network_put(net->engine->db, &row, reterr);
}

static int begin(struct net_create *j)
{
    struct engine *e = j->engine;
    struct net *net = j->net;
    struct map_entry *m;
    int r = check_overlap(e, net, &j->err);

    if (r < 0)
        return r;
    /* One that is there already is somebody else's: it is used, and stays as it is. */
    json_object_set_new(
        net->config, "BridgeIsOurs",
        json_boolean(!network_link_exists(json_get_str(net->config, "Bridge", ""))));
    r = put_row(net, &j->err);
    if (r < 0)
        return r;
    net_kernel_config(net, &j->config);
    j->reserved = xcalloc(e->nets.count + 1, sizeof(*j->reserved));
    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        const struct net *n = m->value;

        if (n != net && n->kind != NET_KIND_TEMPLATE &&
            net_subnet(n, &j->reserved[j->config.n_reserved]))
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

static int settle(struct engine *e, const char *id, const json_t *body, json_t **ret,
                  struct err *reterr)
{
    _cleanup_json_ json_t *whole = NULL;
    int r = net_apply_template(e, body, &whole, reterr);

    if (r >= 0)
        r = net_settle_config(e, id, whole, ret, reterr);
    if (r < 0)
        return r;
    r = networks_fabric(e, reterr);
    if (r < 0)
        json_decref(TAKE_PTR(*ret));
    return r;
}

static int prepare(struct engine *e, const json_t *body, struct net **ret, struct err *reterr)
{
    const char *name = json_get_str(body, "Name", "");
    bool template = json_get_bool(body, "ConfigOnly", false);
    char id[ID_LEN + 1];
    json_t *config = NULL;
    /* Who is told of one with wrong types cannot read the list of all. */
    int r = validate_network_types(body, reterr);

    if (r >= 0)
        r = net_check_name(e, name, reterr);
    if (r >= 0)
        r = net_check_template_use(body, reterr);
    if (r < 0)
        return r;
    id_generate(id);
    r = template ? net_settle_template(body, &config, reterr)
                 : settle(e, id, body, &config, reterr);
    if (r < 0)
        return r;
    *ret = net_new(e, id, name, template ? NET_KIND_TEMPLATE : NET_KIND_BRIDGE);
    (*ret)->config = config;
    (*ret)->created_ns = time_now_ns();
    return 0;
}

/* Nothing is to be made of it but its row. */
static void create_template(struct net *net, engine_json_fn *done, void *arg)
{
    struct err err;

    if (put_row(net, &err) < 0) {
        net_drop(net);
        done(arg, NULL, &err);
        return;
    }
    net_event(net, "create", NULL);
    done(arg, json_pack("{s:s, s:s}", "Id", net->id, "Warning", ""), NULL);
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
    if (net->kind == NET_KIND_TEMPLATE) {
        create_template(net, done, arg);
        return;
    }
    net->busy = true;
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
    if (net->kind == NET_KIND_TEMPLATE)
        return !net_template_in_use(net)
                   ? 0
                   : err_set(reterr, ERR_FORBIDDEN, EBUSY,
                             "error while removing network: configuration network \"%s\" is in use",
                             net->name);
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
    struct engine *engine;
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
    events_pruned(j->engine->events, "network", 0);
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

    return !net->busy && net->kind == NET_KIND_BRIDGE && check_removable(net, NULL) >= 0 &&
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
    *j = (struct net_prune){.engine = e,
                            .deleted = json_array(),
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
