/* GET /containers/json: filters and entries. */
#include <errno.h>
#include <stdlib.h>

#include "private.h"

/* ---- status texts ---- */

static void humanize(int64_t ns, char *out, size_t size)
{
    int64_t s = ns / 1000000000, m = s / 60, h = (s + 1800) / 3600;

    if (s < 1)
        snprintf(out, size, "Less than a second");
    else if (s == 1)
        snprintf(out, size, "1 second");
    else if (s < 60)
        snprintf(out, size, "%lld seconds", (long long)s);
    else if (m == 1)
        snprintf(out, size, "About a minute");
    else if (m < 60)
        snprintf(out, size, "%lld minutes", (long long)m);
    else if (h == 1)
        snprintf(out, size, "About an hour");
    else if (h < 48)
        snprintf(out, size, "%lld hours", (long long)h);
    else if (h < 24 * 7 * 2)
        snprintf(out, size, "%lld days", (long long)(h / 24));
    else if (h < 24 * 30 * 2)
        snprintf(out, size, "%lld weeks", (long long)(h / 24 / 7));
    else if (h < 24 * 365 * 2)
        snprintf(out, size, "%lld months", (long long)(h / 24 / 30));
    else
        snprintf(out, size, "%lld years", (long long)(h / 24 / 365));
}

static void status_text(const struct container *c, int64_t now, char *out, size_t size)
{
    char since[48], health[32] = "";

    if (c->removing) {
        snprintf(out, size, "Removal In Progress");
    } else if (container_is_up(c)) {
        humanize(now - c->started_ns, since, sizeof(since));
        if (c->status == STATUS_PAUSED)
            snprintf(health, sizeof(health), " (Paused)");
        else if (c->health.checked)
            snprintf(health, sizeof(health), " (%s%s)",
                     c->health.status == SHIM_HEALTH_STARTING ? "health: " : "", health_name(c));
        snprintf(out, size, "Up %s%s", since, health);
    } else if (c->status == STATUS_RESTARTING) {
        humanize(now - c->finished_ns, since, sizeof(since));
        snprintf(out, size, "Restarting (%d) %s ago", c->exit_code, since);
    } else if (c->status == STATUS_DEAD) {
        snprintf(out, size, "Dead");
    } else if (c->status == STATUS_CREATED) {
        snprintf(out, size, "Created");
    } else {
        humanize(now - c->finished_ns, since, sizeof(since));
        snprintf(out, size, "Exited (%d) %s ago", c->exit_code, since);
    }
}

/* ---- filters ---- */

struct query {
    struct engine *engine;
    const json_t *filters;
    const struct container *before, *since; /* borrowed, or NULL */
};

static bool match_one_status(const struct container *c, const char *value)
{
    return streq(status_name(c), value);
}

static bool match_one_id(const struct container *c, const char *value)
{
    return str_starts(c->id, value);
}

static bool match_one_exited(const struct container *c, const char *value)
{
    int64_t code;

    return c->status == STATUS_EXITED && str_parse_i64(value, 0, 255, &code) >= 0 &&
           code == c->exit_code;
}

static bool match_one_ancestor(const struct container *c, const char *value)
{
    struct image *img;
    bool same;

    if (images_lookup(c->engine->images, value, &img, NULL) < 0)
        return false;
    /* An image made from that one counts, too: all of its layers are below ours. */
    same = streq(img->id, c->image_id);
    if (!same) {
        _cleanup_(strv_freep) char **held = NULL;

        images_held(c->engine->images, c->id, &held, NULL);
        same = img->n_layers > 0 && strv_len(held) > img->n_layers &&
               streq(held[img->n_layers - 1], img->chain_ids[img->n_layers - 1]);
    }
    image_unref(img);
    return same;
}

static bool match_one_health(const struct container *c, const char *value)
{
    return streq(value, health_name(c));
}

static bool match_one_network(const struct container *c, const char *value)
{
    json_t *networks = inspect_networks(c, 145), *v;
    const char *name;
    bool found = false;

    json_object_foreach (networks, name, v)
        found = found || streq(name, value) ||
                (*value && str_starts(json_get_str(v, "NetworkID", ""), value));
    json_decref(networks);
    return found;
}

static bool match_port(const char *port, const char *value)
{
    return streq(port, value) ||
           (!strchr(value, '/') && str_starts(port, value) && streq(port + strlen(value), "/tcp"));
}

static bool match_one_expose(const struct container *c, const char *value)
{
    const json_t *exposed = json_get(c->config, "ExposedPorts");
    const char *port;
    json_t *v;

    json_object_foreach ((json_t *)exposed, port, v) {
        if (match_port(port, value))
            return true;
    }
    return false;
}

static bool match_one_publish(const struct container *c, const char *value)
{
    const json_t *bindings = json_get(c->host_config, "PortBindings");
    const char *port;
    json_t *v;

    json_object_foreach ((json_t *)bindings, port, v) {
        if (match_port(port, value))
            return true;
    }
    return false;
}

static bool match_one_volume(const struct container *c, const char *value)
{
    json_t *mounts = runtime_mounts_json(c->host_config, c->points), *m;
    bool found = false;
    size_t i;

    json_array_foreach (mounts, i, m)
        found = found || streq(json_get_str(m, "Name", ""), value) ||
                streq(json_get_str(m, "Source", ""), value) ||
                streq(json_get_str(m, "Destination", ""), value);
    json_decref(mounts);
    return found;
}

static bool match_one_is_task(const struct container *c, const char *value)
{
    (void)c;
    return streq(value, "false");
}

static bool match_one_isolation(const struct container *c, const char *value)
{
    (void)c;
    return streq(value, "default") || streq(value, "");
}

static const struct {
    const char *key;
    bool (*match)(const struct container *c, const char *value);
} list_filters[] = {
    {"status", match_one_status},       {"id", match_one_id},
    {"exited", match_one_exited},       {"ancestor", match_one_ancestor},
    {"health", match_one_health},       {"network", match_one_network},
    {"expose", match_one_expose},       {"publish", match_one_publish},
    {"volume", match_one_volume},       {"is-task", match_one_is_task},
    {"isolation", match_one_isolation},
};

static bool match_name(const struct container *c, const json_t *values)
{
    _cleanup_free_ char *slashed = xasprintf("/%s", c->name);

    return match_regex(values, c->name) || match_regex(values, slashed);
}

static bool matches(const struct query *q, const struct container *c)
{
    for (size_t i = 0; i < ARRAY_SIZE(list_filters); i++) {
        const json_t *values = json_object_get(q->filters, list_filters[i].key), *v;
        bool any = json_array_size(values) == 0;
        size_t k;

        json_array_foreach (values, k, v)
            any = any || list_filters[i].match(c, json_string_value(v));
        if (!any)
            return false;
    }
    if (q->before && c->created_ns >= q->before->created_ns)
        return false;
    if (q->since && c->created_ns <= q->since->created_ns)
        return false;
    return match_name(c, json_object_get(q->filters, "name")) &&
           match_labels(json_object_get(q->filters, "label"), json_get(c->config, "Labels"));
}

static int check_values(const json_t *filters, struct err *reterr)
{
    static const char *const states[] = {"created",  "running", "paused", "restarting",
                                         "removing", "exited",  "dead"};
    const json_t *v;
    size_t i;

    json_array_foreach (json_object_get(filters, "status"), i, v) {
        bool known = false;

        for (size_t k = 0; k < ARRAY_SIZE(states); k++)
            known = known || streq(states[k], json_string_value(v));
        if (!known)
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter 'status=%s'",
                           json_string_value(v));
    }
    json_array_foreach (json_object_get(filters, "exited"), i, v) {
        int64_t code;

        if (str_parse_i64(json_string_value(v), INT32_MIN, INT32_MAX, &code) < 0)
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter 'exited=%s'",
                           json_string_value(v));
    }
    return 0;
}

static int resolve_bound(struct engine *e, const json_t *filters, const char *key,
                         const struct container **ret, struct err *reterr)
{
    const json_t *values = json_object_get(filters, key);
    struct container *c;
    int r;

    if (json_array_size(values) == 0)
        return 0;
    r = registry_find(e, json_string_value(json_array_get(values, 0)), &c, reterr);
    if (r >= 0)
        *ret = c;
    return r;
}

static int parse_query(struct engine *e, const json_t *filters, struct query *ret,
                       struct err *reterr)
{
    static const char *const known[] = {
        "ancestor", "before", "exited",  "expose",  "health", "id",     "isolation", "is-task",
        "label",    "name",   "network", "publish", "since",  "status", "volume",    NULL};
    int r = match_check(filters, known, reterr);

    *ret = (struct query){.engine = e, .filters = filters};
    if (r >= 0)
        r = check_values(filters, reterr);
    if (r >= 0)
        r = resolve_bound(e, filters, "before", &ret->before, reterr);
    if (r >= 0)
        r = resolve_bound(e, filters, "since", &ret->since, reterr);
    return r;
}

/* ---- entries ---- */

static json_t *port_json(const struct port_lease *p, const char *ip)
{
    return json_pack("{s:s, s:i, s:i, s:s}", "IP", ip, "PrivatePort", p->container_port,
                     "PublicPort", p->host_port, "Type", proto_name(p->proto));
}

static json_t *ports_json(const struct container *c)
{
    const json_t *exposed = json_get(c->config, "ExposedPorts");
    json_t *out = json_array(), *v;
    const char *port;

    if (!container_is_up(c) || c->n_endpoints == 0)
        return out;
    for (size_t i = 0; i < c->n_ports; i++) {
        const struct port_lease *p = &c->ports[i];
        char ip[LEASE_IP_MAX];

        lease_format_ip(p, ip);
        json_array_append_new(out, port_json(p, ip));
        if (lease_on_ipv4(p) && container_port_on_ipv6(c, p))
            json_array_append_new(out, port_json(p, "::"));
    }
    json_object_foreach ((json_t *)exposed, port, v) {
        unsigned number = (unsigned)atoi(port);
        const char *slash = strchr(port, '/'), *type = slash ? slash + 1 : "tcp";
        bool published = false;

        for (size_t i = 0; i < c->n_ports; i++)
            published = published || (c->ports[i].container_port == number &&
                                      streq(proto_name(c->ports[i].proto), type));
        if (!published)
            json_array_append_new(
                out, json_pack("{s:i, s:s}", "PrivatePort", (int)number, "Type", type));
    }
    return out;
}

static char *command_text(const struct container *c)
{
    _cleanup_(strv_freep) char **argv = runtime_argv(c->config);
    struct buf out = {0};

    for (size_t i = 0; argv && argv[i]; i++) {
        const char *quote = i > 0 && strchr(argv[i], ' ') ? "'" : "";

        buf_printf(&out, "%s%s%s%s", i > 0 ? " " : "", quote, argv[i], quote);
    }
    return buf_take_str(&out);
}

/* The reference given at create, as long as it still means the same image. */
static json_t *image_text(const struct container *c)
{
    struct image *img;
    bool same = false;

    if (images_lookup(c->engine->images, c->image_ref, &img, NULL) >= 0) {
        same = streq(img->id, c->image_id);
        image_unref(img);
    }
    return same ? json_string(c->image_ref) : json_sprintf("sha256:%s", c->image_id);
}

static json_t *entry(const struct container *c, int64_t now)
{
    _cleanup_free_ char *command = command_text(c);
    const json_t *labels = json_get(c->config, "Labels");
    char status[96];

    status_text(c, now, status, sizeof(status));
    return json_pack(
        "{s:s, s:[s+], s:o, s:s+, s:s, s:I, s:o, s:o, s:s, s:s, s:{s:s}, s:{s:o}, s:o}", "Id",
        c->id, "Names", "/", c->name, "Image", image_text(c), "ImageID", "sha256:", c->image_id,
        "Command", command, "Created", (json_int_t)(c->created_ns / 1000000000), "Ports",
        ports_json(c), "Labels", labels ? json_incref((json_t *)labels) : json_object(), "State",
        status_name(c), "Status", status, "HostConfig", "NetworkMode",
        json_get_str(c->host_config, "NetworkMode", "bridge"), "NetworkSettings", "Networks",
        inspect_networks(c, 145), "Mounts", runtime_mounts_json(c->host_config, c->points));
}

int64_t container_image_size(const struct container *c)
{
    struct image *img;
    int64_t size = 0;

    if (images_lookup(c->engine->images, c->image_id, &img, NULL) >= 0) {
        size = img->size;
        image_unref(img);
    }
    return size;
}

/* ---- sizes, on the pool ---- */

struct sizes_job {
    struct storage *storage;
    json_t *result;
    engine_json_fn *done;
    void *arg;
};

static void sizes_run(void *arg)
{
    struct sizes_job *j = arg;
    json_t *o;
    size_t i;

    json_array_foreach (j->result, i, o) {
        int64_t rw = 0, base = json_get_int(o, "SizeRootFs", 0);

        storage_rootfs_usage(j->storage, json_get_str(o, "Id", ""), &rw, NULL);
        json_object_set_new(o, "SizeRw", json_integer(rw));
        json_object_set_new(o, "SizeRootFs", json_integer(base + rw));
    }
}

static void after_sizes(void *arg)
{
    struct sizes_job *j = arg;

    j->done(j->arg, j->result, NULL);
    free(j);
}

static json_t *select_entries(struct engine *e, const struct query *q, const struct list_options *o)
{
    _cleanup_free_ struct container **sorted = registry_sorted(e);
    bool all = o->all || o->limit > 0 || json_object_get(q->filters, "status") ||
               json_object_get(q->filters, "exited");
    int64_t now = time_now_ns();
    json_t *out = json_array();

    for (size_t i = 0; sorted[i]; i++) {
        struct container *c = sorted[i];
        json_t *item;

        if (o->limit > 0 && (int64_t)json_array_size(out) >= o->limit)
            break;
        if ((!all && !container_is_active(c)) || !matches(q, c))
            continue;
        item = entry(c, now);
        if (o->size)
            json_object_set_new(item, "SizeRootFs", json_integer(container_image_size(c)));
        json_array_append_new(out, item);
    }
    return out;
}

void engine_container_list(struct engine *e, const struct list_options *options,
                           engine_json_fn *done, void *arg)
{
    struct sizes_job *j;
    struct query q;
    struct err err;
    json_t *out;

    if (parse_query(e, options->filters, &q, &err) < 0) {
        done(arg, NULL, &err);
        return;
    }
    out = select_entries(e, &q, options);
    if (!options->size) {
        done(arg, out, NULL);
        return;
    }
    j = xcalloc(1, sizeof(*j));
    *j = (struct sizes_job){.storage = e->storage, .result = out, .done = done, .arg = arg};
    job_run(e, sizes_run, after_sizes, j);
}
