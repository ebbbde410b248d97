/* Creating a container: decide everything, store it; nothing is made in the kernel. */
#include <errno.h>
#include <stdlib.h>

#include "api.h"
#include "log.h"
#include "names.h"
#include "private.h"
#include "procview.h"

#define NAME_TRIES 8

static int conflict(const char *name, const struct container *other, struct err *reterr)
{
    return err_set(reterr, ERR_CONFLICT, EEXIST,
                   "Conflict. The container name \"/%s\" is already in use by container \"%s\". "
                   "You have to remove (or rename) that container to be able to reuse that name.",
                   name, other->id);
}

static int choose_name(struct engine *e, const char *wanted, char **ret, struct err *reterr)
{
    if (!str_empty(wanted)) {
        const char *name = *wanted == '/' ? wanted + 1 : wanted;
        const struct container *other = map_get(&e->by_name, name);

        if (!name_is_valid(name))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
                           "allowed",
                           wanted);
        if (other)
            return conflict(name, other, reterr);
        *ret = xstrdup(name);
        return 0;
    }
    for (unsigned i = 0; i < NAME_TRIES; i++) {
        char *name = name_invent(i);

        if (!map_get(&e->by_name, name)) {
            *ret = name;
            return 0;
        }
        free(name);
    }
    return err_set(reterr, ERR_SYSTEM, EEXIST, "no free container name found");
}

/* The request's Config: all members but the two that are apart. */
static json_t *config_of(const json_t *body)
{
    json_t *config = json_object(), *v;
    const char *key;

    json_object_foreach ((json_t *)body, key, v) {
        if (strcasecmp(key, "HostConfig") && strcasecmp(key, "NetworkingConfig"))
            json_object_set_new(config, key, json_deep_copy(v));
    }
    return config;
}

/* The name of the network that is meant; "default" is the clients' word for "bridge".  Whether it
 * exists is the start's question: clients take a 404 here for a missing image. */
static const char *network_name(struct engine *e, const char *ref)
{
    struct net *net;

    if (streq(ref, "") || streq(ref, "default"))
        return "bridge";
    return net_find(e, ref, &net, NULL) >= 0 ? net->name : ref;
}

/* By their names, and that of the network mode among them. */
static json_t *settle_endpoints(struct engine *e, const char *mode, const json_t *endpoints)
{
    json_t *out = json_object(), *v;
    const char *ref;

    json_object_foreach ((json_t *)endpoints, ref, v)
        json_object_set_new(out, network_name(e, ref),
                            json_is_object(v) ? json_deep_copy(v) : json_object());
    if (!json_object_get(out, mode))
        json_object_set_new(out, mode, json_object());
    return out;
}

/* Of networks that are there; the others are the start's question. */
static int check_endpoints(const struct container *c, struct err *reterr)
{
    const char *name;
    struct net *net;
    json_t *v;

    json_object_foreach (c->networking, name, v) {
        if (net_find(c->engine, name, &net, NULL) < 0 || net_check_usable(net, NULL) < 0)
            continue;
        if (endpoint_check(net, v, reterr) < 0)
            return err_wrap(reterr, "invalid config for network %s", name);
    }
    return 0;
}

static int settle_network(struct container *c, const json_t *endpoints, int api, struct err *reterr)
{
    const char *mode = json_get_str(c->host_config, "NetworkMode", "");

    if (!str_starts(mode, "container:"))
        json_object_set_new(c->host_config, "NetworkMode",
                            json_string(network_name(c->engine, mode)));
    if (container_net_mode(c) != NET_BRIDGE) {
        c->networking = json_is_object(endpoints) ? json_deep_copy(endpoints) : NULL;
        return 0;
    }
    if (json_object_size(endpoints) > ENDPOINTS_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG,
                       "a container can be connected to at most %d networks", ENDPOINTS_MAX);
    if (api < 44 && json_object_size(endpoints) > 1)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "Container cannot be created with multiple network endpoints");
    c->networking =
        settle_endpoints(c->engine, json_get_str(c->host_config, "NetworkMode", ""), endpoints);
    return check_endpoints(c, reterr);
}

/* "container:NAME" is stored by id, so that a rename does not break it; one that is not there (yet)
 * stays a name. */
static void settle_joins(struct engine *e, json_t *config, json_t *host_config)
{
    static const struct {
        enum runtime_ns ns;
        const char *key;
    } keys[] = {
        {RUNTIME_NS_NET, "NetworkMode"}, {RUNTIME_NS_PID, "PidMode"}, {RUNTIME_NS_IPC, "IpcMode"}};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *target;
        struct container *c;
        struct err ignored;

        if (runtime_ns_mode(host_config, keys[i].ns, &target) != RUNTIME_NS_CONTAINER ||
            registry_find(e, target, &c, &ignored) < 0)
            continue;
        json_object_set_new(host_config, keys[i].key, json_sprintf("container:%s", c->id));
        if (keys[i].ns == RUNTIME_NS_NET) /* one network, one name on it */
            json_object_set(config, "Hostname", json_get(c->config, "Hostname"));
    }
}

/* The daemon's logging for one that does not name its own. */
static void default_log(const struct engine_config *config, json_t *host_config)
{
    json_t *log = json_get(host_config, "LogConfig"), *options;

    if (*json_get_str(log, "Type", "") || json_object_size(json_get(log, "Config")) > 0 ||
        (!config->log_driver && !config->log_opts))
        return;
    options = json_object();
    for (const char *const *o = config->log_opts; o && *o; o++) {
        size_t n = strcspn(*o, "=");
        _cleanup_free_ char *key = xstrndup(*o, n);

        json_object_set_new(options, key, json_string(*o + n + 1));
    }
    json_object_set_new(host_config, "LogConfig",
                        json_pack("{s:s, s:o}", "Type",
                                  config->log_driver ? config->log_driver : "json-file", "Config",
                                  options));
}

/* Fill the container's configuration from request and image. */
static int configure(struct container *c, json_t *body, const struct image *img, int api,
                     json_t *warnings, struct err *reterr)
{
    const json_t *image_config = json_object_get(img->config, "config");
    const json_t *host = json_get(body, "HostConfig");
    const json_t *endpoints = json_get(json_get(body, "NetworkingConfig"), "EndpointsConfig");
    struct engine *e = c->engine;
    int64_t size; /* only whether it is one */
    int r;

    c->config = config_of(body);
    c->host_config = host ? json_deep_copy(host) : json_object();
    default_log(&e->config, c->host_config);
    /* Checked before the merge: what the image declares never fails a create. */
    r = validate_create(e->runtime, c->config, c->host_config, (unsigned)api, warnings, reterr);
    procview_settle(c->config, c->host_config);
    restart_settle_label(json_get(c->config, "Labels"), c->host_config);
    if (r >= 0)
        r = runtime_merge_image(c->config, image_config, reterr);
    if (r < 0)
        return r;
    runtime_host_config_defaults(e->runtime, c->host_config, (unsigned)api);
    if (e->config.default_init && !json_is_boolean(json_get(c->host_config, "Init")))
        json_object_set_new(c->host_config, "Init", json_true());
    if (e->config.default_proc_view && !json_is_boolean(json_get(c->host_config, "ProcView")))
        json_object_set_new(c->host_config, "ProcView", json_true());
    r = storage_size(e->storage, json_get(c->host_config, "StorageOpt"), &size, reterr);
    if (r >= 0)
        r = settle_network(c, endpoints, api, reterr);
    if (r < 0)
        return r;
    runtime_config_defaults(e->runtime, c->config, c->host_config, c->id);
    settle_joins(e, c->config, c->host_config);
    return 0;
}

/* One transaction: the container, the volumes it needs, and that it holds them. */
static int store(struct container *c, const struct image *img, struct err *reterr)
{
    _cleanup_(strv_freep) char **made = NULL;
    struct engine *e = c->engine;
    int r = db_begin(e->db, reterr);

    if (r < 0)
        return r;
    r = mounts_settle(c, &made, reterr);
    if (r >= 0)
        r = record_insert(c, img, reterr);
    if (r >= 0)
        r = mounts_hold(c, reterr);
    if (r >= 0)
        r = db_commit(e->db, reterr);
    if (r < 0) {
        db_rollback(e->db);
        volumes_undo(e, made);
        return r;
    }
    volumes_made(e, made);
    return 0;
}

int container_create_bare(struct engine *e, const char *image_id, struct container **ret,
                          struct err *reterr)
{
    _cleanup_(container_unrefp) struct container *c = NULL;
    _cleanup_(image_unrefp) struct image *img = NULL;
    int r = images_lookup(e->images, image_id, &img, reterr);

    if (r < 0)
        return r;
    c = container_new(e);
    r = choose_name(e, NULL, &c->name, reterr);
    if (r < 0)
        return r;
    id_generate(c->id);
    memcpy(c->image_id, img->id, sizeof(c->image_id));
    c->image_ref = xstrdup(image_id);
    c->bare = c->building = true;
    c->created_ns = time_now_ns();
    c->config = json_pack("{s:s,s:[s]}", "Image", image_id, "Cmd", "/");
    c->host_config = json_pack("{s:s}", "NetworkMode", "none");
    runtime_host_config_defaults(e->runtime, c->host_config, API_VERSION_MAX_NUM % 100);
    runtime_config_defaults(e->runtime, c->config, c->host_config, c->id);
    r = record_insert(c, img, reterr);
    if (r < 0)
        return r;
    registry_add(e, c);
    *ret = TAKE_PTR(c);
    return 0;
}

int engine_container_create(struct engine *e, const char *name, json_t *body, int api_version,
                            json_t **ret, struct err *reterr)
{
    _cleanup_(container_unrefp) struct container *c = NULL;
    _cleanup_(image_unrefp) struct image *img = NULL;
    _cleanup_json_ json_t *warnings = json_array();
    const char *image;
    int r = validate_create_types(body, reterr);

    if (r >= 0)
        r = create_body_age(body, api_version, reterr);
    if (r < 0)
        return r;
    image = json_get_str(body, "Image", "");
    if (str_empty(image))
        return err_set(reterr, ERR_INVALID, EINVAL, "no image specified");
    r = images_lookup(e->images, image, &img, reterr);
    if (r < 0)
        return r;
    c = container_new(e);
    r = choose_name(e, name, &c->name, reterr);
    if (r < 0)
        return r;
    id_generate(c->id);
    memcpy(c->image_id, img->id, sizeof(c->image_id));
    c->image_ref = xstrdup(image);
    c->created_ns = time_now_ns();
    r = configure(c, body, img, api_version % 100, warnings, reterr);
    if (r < 0)
        return r;
    c->tty = json_get_bool(c->config, "Tty", false);
    c->auto_remove = json_get_bool(c->host_config, "AutoRemove", false);
    /* A limit that the kernel cannot keep is told now, not at start. */
    r = cgroup_check(e->cgroup, c->host_config, warnings, reterr);
    if (r < 0)
        return r;
    r = store(c, img, reterr);
    if (r < 0)
        return r;
    registry_add(e, c);
    container_event(c, "create", NULL);
    *ret = json_pack("{s:s, s:O}", "Id", c->id, "Warnings", warnings);
    TAKE_PTR(c); /* the registry's now */
    return 0;
}
