/* Rows of the table containers.  `config` holds what does not change while a container lives,
 * `state` the rest; both are JSON of our own. */
#include <errno.h>
#include <stdlib.h>

#include "log.h"
#include "private.h"

static json_t *ports_to_json(const struct container *c)
{
    json_t *out = json_array();

    for (size_t i = 0; i < c->n_ports; i++) {
        const struct port_lease *p = &c->ports[i];

        char ip[LEASE_IP_MAX];

        lease_format_ip(p, ip);
        json_array_append_new(out, json_pack("[i,I,i,i,i,s]", p->proto, (json_int_t)p->host_ip,
                                             p->host_port, p->container_port, p->family,
                                             p->family == AF_INET6 ? ip : ""));
    }
    return out;
}

static json_t *endpoints_to_json(const struct container *c)
{
    json_t *out = json_array();

    for (size_t i = 0; i < c->n_endpoints; i++) {
        const struct endpoint *ep = &c->endpoints[i];
        char mac[MAC_STR_MAX];

        mac_format(ep->mac, mac);
        json_array_append_new(out, json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:b}", "network",
                                             ep->net->id, "id", ep->id, "address",
                                             (json_int_t)ep->address, "mac", mac, "veth", ep->veth,
                                             "link", ep->ifname, "gateway", (int)ep->gateway));
        if (ep->address6.prefix) {
            char text[INET6_STR_MAX];

            inet6_format(&ep->address6, text);
            json_object_set_new(json_array_get(out, i), "address6", json_string(text));
        }
    }
    return out;
}

static char *state_to_text(const struct container *c)
{
    json_t *s = json_pack(
        "{s:i, s:i, s:i, s:b, s:I, s:I, s:i, s:b, s:o, s:o}", "status", (int)c->status, "pid",
        c->pid, "exit", c->exit_code, "oom", c->oom_killed, "started", (json_int_t)c->started_ns,
        "finished", (json_int_t)c->finished_ns, "restarts", c->restart_count, "user",
        c->stopped_by_user, "endpoints", endpoints_to_json(c), "ports", ports_to_json(c));
    char *text;

    if (c->error)
        json_object_set_new(s, "error", json_string(c->error));
    if (c->failing)
        json_object_set_new(s, "failing", json_true());
    if (c->frozen_for_us)
        json_object_set_new(s, "ours", json_true());
    if (c->health.checked)
        json_object_set_new(s, "health", health_to_json(c));
    text = json_to_str(s);
    json_decref(s);
    return text;
}

static char *config_to_text(const struct container *c)
{
    json_t *o = json_pack("{s:O, s:O, s:s}", "config", c->config, "host", c->host_config, "image",
                          c->image_ref);
    char *text;

    if (c->networking)
        json_object_set(o, "networking", c->networking);
    if (json_array_size(c->points) > 0)
        json_object_set(o, "points", c->points);
    if (c->building)
        json_object_set_new(o, "building", json_true());
    text = json_to_str(o);
    json_decref(o);
    return text;
}

int record_insert(struct container *c, const struct image *img, struct err *reterr)
{
    _cleanup_free_ char *config = config_to_text(c), *state = state_to_text(c);
    struct db *db = c->engine->db;
    int r;

    r = db_begin(db, reterr);
    if (r < 0)
        return r;
    r = db_run(db,
               db_query(db,
                        "INSERT INTO containers(id,name,created,image_id,config,state)"
                        " VALUES(?,?,?,?,?,?)",
                        "ssisss", c->id, c->name, c->created_ns, c->image_id, config, state),
               reterr);
    if (r >= 0)
        r = images_hold(c->engine->images, c->id, img, reterr);
    if (r >= 0)
        r = db_commit(db, reterr);
    if (r < 0)
        db_rollback(db);
    return r;
}

int record_save_state(struct container *c, struct err *reterr)
{
    _cleanup_free_ char *state = state_to_text(c);
    struct db *db = c->engine->db;
    int r = db_run(db, db_query(db, "UPDATE containers SET state=? WHERE id=?", "ss", state, c->id),
                   reterr);

    c->unsaved = r < 0;
    return r;
}

int record_save_config(struct container *c, struct err *reterr)
{
    _cleanup_free_ char *config = config_to_text(c);
    struct db *db = c->engine->db;

    return db_run(
        db, db_query(db, "UPDATE containers SET config=? WHERE id=?", "ss", config, c->id), reterr);
}

int record_rename(struct container *c, const char *name, struct err *reterr)
{
    struct db *db = c->engine->db;

    return db_run(db, db_query(db, "UPDATE containers SET name=? WHERE id=?", "ss", name, c->id),
                  reterr);
}

int record_delete(struct container *c, struct err *reterr)
{
    struct db *db = c->engine->db;

    return db_run(db, db_query(db, "DELETE FROM containers WHERE id=?", "s", c->id), reterr);
}

static void ports_from_json(struct container *c, const json_t *ports)
{
    const json_t *p;
    size_t i;

    c->n_ports = json_array_size(ports);
    c->ports = xcalloc(c->n_ports + 1, sizeof(*c->ports));
    json_array_foreach (ports, i, p) {
        c->ports[i].proto = (uint8_t)json_integer_value(json_array_get(p, 0));
        c->ports[i].host_ip = (uint32_t)json_integer_value(json_array_get(p, 1));
        c->ports[i].host_port = (uint16_t)json_integer_value(json_array_get(p, 2));
        c->ports[i].container_port = (uint16_t)json_integer_value(json_array_get(p, 3));
        c->ports[i].family = (uint8_t)json_integer_value(json_array_get(p, 4));
        if (c->ports[i].family == AF_INET6)
            inet6_parse_address(json_string_value(json_array_get(p, 5)), c->ports[i].host_ip6);
    }
}

static void endpoint_from_json(struct container *c, struct net *net, const json_t *o)
{
    struct endpoint ep = {.net = net};

    if (!net || !net->network)
        return;
    snprintf(ep.id, sizeof(ep.id), "%s", json_get_str(o, "id", ""));
    snprintf(ep.veth, sizeof(ep.veth), "%s", json_get_str(o, "veth", ""));
    snprintf(ep.ifname, sizeof(ep.ifname), "%s", json_get_str(o, "link", "eth0"));
    ep.address = (uint32_t)json_get_int(o, "address", 0);
    if (inet6_parse(json_get_str(o, "address6", ""), &ep.address6) < 0)
        ep.address6.prefix = 0;
    ep.gateway = json_get_bool(o, "gateway", true);
    if (mac_parse(json_get_str(o, "mac", ""), ep.mac) < 0)
        mac_from_address(ep.address, ep.mac);
    endpoint_append(c, &ep);
}

static void endpoints_from_json(struct container *c, const json_t *s)
{
    const json_t *old = json_get(s, "endpoint"), *o;
    size_t i;

    if (old) { /* before there were networks but the default one */
        endpoint_from_json(c, net_predefined(c->engine, NET_KIND_BRIDGE), old);
        ports_from_json(c, json_get(old, "ports"));
        return;
    }
    json_array_foreach (json_get(s, "endpoints"), i, o)
        endpoint_from_json(c, net_by_id(c->engine, json_get_str(o, "network", "")), o);
    ports_from_json(c, json_get(s, "ports"));
}

static void state_from_json(struct container *c, const json_t *s)
{
    c->status = (enum container_status)json_get_int(s, "status", STATUS_CREATED);
    c->pid = (int)json_get_int(s, "pid", 0);
    c->exit_code = (int)json_get_int(s, "exit", 0);
    c->oom_killed = json_get_bool(s, "oom", false);
    c->started_ns = json_get_int(s, "started", 0);
    c->finished_ns = json_get_int(s, "finished", 0);
    c->restart_count = (int)json_get_int(s, "restarts", 0);
    c->stopped_by_user = json_get_bool(s, "user", false);
    c->frozen_for_us = json_get_bool(s, "ours", false);
    c->failing = json_get_bool(s, "failing", false);
    c->error = xstrdup_null(json_get_str(s, "error", NULL));
    endpoints_from_json(c, s);
    health_from_json(c, json_get(s, "health"));
}

static int load_row(struct engine *e, sqlite3_stmt *st)
{
    _cleanup_json_ json_t *config = NULL, *state = NULL;
    struct container *c = container_new(e);

    snprintf(c->id, sizeof(c->id), "%s", (const char *)sqlite3_column_text(st, 0));
    c->name = db_column_dup(st, 1);
    c->created_ns = sqlite3_column_int64(st, 2);
    snprintf(c->image_id, sizeof(c->image_id), "%s", (const char *)sqlite3_column_text(st, 3));
    config = json_loads((const char *)sqlite3_column_text(st, 4), 0, NULL);
    state = json_loads((const char *)sqlite3_column_text(st, 5), 0, NULL);
    if (!config || !state) {
        log_error("container %s: its database record is damaged", c->id);
        container_unref(c);
        return -EINVAL;
    }
    c->config = json_incref(json_object_get(config, "config"));
    c->host_config = json_incref(json_object_get(config, "host"));
    c->networking = json_incref(json_object_get(config, "networking"));
    c->points = json_incref(json_object_get(config, "points"));
    c->image_ref = xstrdup(json_get_str(config, "image", ""));
    c->building = json_get_bool(config, "building", false);
    c->tty = json_get_bool(c->config, "Tty", false);
    c->auto_remove = json_get_bool(c->host_config, "AutoRemove", false);
    state_from_json(c, state);
    registry_add(e, c);
    return 0;
}

int records_load(struct engine *e, struct err *reterr)
{
    sqlite3_stmt *st =
        db_query(e->db, "SELECT id,name,created,image_id,config,state FROM containers", NULL);
    int r;

    while ((r = db_step(e->db, st, reterr)) > 0)
        load_row(e, st);
    return r;
}

int meta_get(struct db *db, const char *key, char **ret, struct err *reterr)
{
    sqlite3_stmt *st = db_query(db, "SELECT value FROM meta WHERE key=?", "s", key);
    int r = db_step(db, st, reterr);

    *ret = r > 0 ? db_column_dup(st, 0) : NULL;
    sqlite3_reset(st);
    return r < 0 ? r : 0;
}

int meta_put(struct db *db, const char *key, const char *value, struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO meta(key,value) VALUES(?,?)"
                           " ON CONFLICT(key) DO UPDATE SET value=excluded.value",
                           "ss", key, value),
                  reterr);
}
