#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "private.h"
#include "procview.h"

#define CHECKPOINT_INTERVAL_MS 30000

/* ---- opening, one part after the other ---- */

static int make_dir(const char *path, mode_t mode, struct err *reterr)
{
    int r = path_mkdir_p(path, 0755);

    if (r < 0)
        return err_sys(reterr, -r, "cannot make directory %s", path);
    if (chmod(path, mode) < 0)
        return err_sys(reterr, errno, "cannot set the mode of %s", path);
    return 0;
}

static int open_events(struct engine *e, struct err *reterr)
{
    _cleanup_free_ char *dir = path_join(e->config.data_root, "events");

    return events_open(e->events, dir, reterr);
}

static int open_files(struct engine *e, struct err *reterr)
{
    int r = make_dir(e->config.data_root, 0711, reterr);

    if (r >= 0)
        r = make_dir(e->config.exec_root, 0711, reterr);
    if (r < 0)
        return r;
    e->db_path = path_join(e->config.data_root, "db.sqlite");
    r = db_open(e->db_path, &e->db, reterr);
    if (r >= 0 && chmod(e->db_path, 0600) < 0)
        r = err_sys(reterr, errno, "cannot set the mode of %s", e->db_path);
    if (r >= 0)
        r = storage_open(e->config.data_root, e->config.storage_driver, &e->storage, reterr);
    if (r >= 0)
        r = shims_prepare(e, reterr);
    return r < 0 ? r : open_events(e, reterr);
}

/* The value of a key that is invented once. */
static int meta_once(struct engine *e, const char *key, const char *fresh, char **ret,
                     struct err *reterr)
{
    int r = meta_get(e->db, key, ret, reterr);

    if (r < 0 || *ret)
        return r;
    *ret = xstrdup(fresh);
    return meta_put(e->db, key, fresh, reterr);
}

static int open_identity(struct engine *e, struct err *reterr)
{
    static const char *const keys[] = {"network-bridge", "network-host", "network-none"};
    _cleanup_free_ char *created = NULL;
    char id[ID_LEN + 1], uuid[37], now[TIME_STR_MAX];
    int r;

    id_generate(id);
    snprintf(uuid, sizeof(uuid), "%.8s-%.4s-4%.3s-a%.3s-%.12s", id, id + 8, id + 12, id + 15,
             id + 18);
    time_format_nano(time_now_ns(), now);
    r = meta_once(e, "daemon-id", uuid, &e->daemon_id, reterr);
    if (r >= 0)
        r = meta_once(e, "networks-created", now, &created, reterr);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(keys); i++) {
        _cleanup_free_ char *network = NULL;

        id_generate(id);
        r = meta_once(e, keys[i], id, &network, reterr);
    }
    return r;
}

/* Daemons with other roots than the default live beside each other: what is global in the kernel
 * carries a mark that follows from the data root. */
static bool is_default_root(const struct engine *e)
{
    return streq(e->config.data_root, ENGINE_DATA_ROOT);
}

static uint32_t root_mark(const struct engine *e)
{
    uint32_t h = UINT32_C(2166136261);

    for (const char *s = e->config.data_root; *s; s++)
        h = (h ^ (unsigned char)*s) * UINT32_C(16777619);
    return h;
}

static int open_cgroup(struct engine *e, struct err *reterr)
{
    _cleanup_free_ char *own =
        is_default_root(e) ? xstrdup("/containerd-lite") : xasprintf("/ctl-%08x", root_mark(e));
    const char *parent = e->config.cgroup_parent;
    struct cgroup_layout layout = {0};
    int r = cgroup_detect("/proc/self/mountinfo", "/proc/cgroups", &layout, reterr);

    if (r >= 0)
        r = cgroup_open(&layout, str_empty(parent) || e->config.systemd_cgroup ? own : parent,
                        !e->config.systemd_cgroup ? NULL
                        : str_empty(parent)       ? "system.slice"
                                                  : parent,
                        &e->cgroup, reterr);
    if (r >= 0 && !e->config.keep_dynmods && !cgroup_is_unified(e->cgroup))
        (void)cgroup_favor_dynmods(e->cgroup); /* failure only costs speed */
    return r;
}

static int store_address(struct engine *e, struct err *reterr)
{
    struct inet4 own = network_address(e->network);
    char text[INET4_STR_MAX];

    inet4_format(&own, text);
    return meta_put(e->db, "bridge-address", text, reterr);
}

/* --bip, else what it was last time, else one is chosen. */
static int bridge_address(struct engine *e, struct inet4 *ret, struct err *reterr)
{
    _cleanup_free_ char *stored = NULL;
    int r;

    *ret = (struct inet4){0};
    if (!str_empty(e->config.bip))
        return inet4_parse_bip(e->config.bip, ret, reterr);
    r = meta_get(e->db, "bridge-address", &stored, reterr);
    if (r >= 0 && stored)
        inet4_parse(stored, ret);
    return r;
}

static int name_bridge(struct engine *e, char ret[IFNAMSIZ], struct err *reterr)
{
    const char *name = e->config.bridge;

    if (str_empty(name) && is_default_root(e))
        snprintf(ret, IFNAMSIZ, "ctl0");
    else if (str_empty(name))
        snprintf(ret, IFNAMSIZ, "ctl-%08x", root_mark(e));
    else if (strlen(name) >= IFNAMSIZ)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid bridge name: %s", name);
    else
        snprintf(ret, IFNAMSIZ, "%s", name);
    return 0;
}

static int open_bridge(struct engine *e, struct err *reterr)
{
    struct network_config nc = {.mtu = (uint32_t)e->config.mtu,
                                .ip_forward = true,
                                .bridge_is_ours = str_empty(e->config.bridge)};
    int r = name_bridge(e, nc.bridge, reterr);

    if (r >= 0)
        r = bridge_address(e, &nc.address, reterr);
    if (r >= 0)
        r = networks_fabric(e, reterr);
    if (r >= 0)
        r = network_open(e->fabric, &nc, &e->network, reterr);
    return r < 0 ? r : store_address(e, reterr);
}

static int open_network(struct engine *e, struct err *reterr)
{
    int r = 0;

    if (is_default_root(e))
        snprintf(e->table, sizeof(e->table), "containerd-lite");
    else
        snprintf(e->table, sizeof(e->table), "containerd-lite-%08x", root_mark(e));
    e->ports = ports_new(e->db);
    if (!is_default_root(e))
        ports_spread(e->ports, root_mark(e));
    if (!e->config.bridge || !streq(e->config.bridge, "none"))
        r = open_bridge(e, reterr);
    return r < 0 ? r : networks_open(e, reterr);
}

static void image_event(void *arg, const char *action, const char *image_id, const char *name,
                        const json_t *labels)
{
    struct engine *e = arg;
    _cleanup_free_ char *id = xasprintf("sha256:%s", image_id);
    json_t *attributes = json_is_object(labels) ? json_copy((json_t *)labels) : json_object();

    json_object_set_new(attributes, "name", json_string(name));
    events_emit(e->events, "image", action, id, NULL, attributes);
}

static void images_pruned(void *arg, const char *type, int64_t bytes)
{
    struct engine *e = arg;

    events_pruned(e->events, type, bytes);
}

static int containers_of_image(void *arg, const char *image_id, char ret[ID_LEN + 1],
                               bool *ret_running)
{
    struct engine *e = arg;
    struct map_entry *m;
    int n = 0;

    *ret_running = false;
    for (size_t i = 0; (m = map_next(&e->by_id, &i));) {
        const struct container *c = m->value;
        bool up = container_is_up(c) || c->starting;

        if (!streq(c->image_id, image_id))
            continue;
        if (n++ == 0 || (up && !*ret_running)) {
            memcpy(ret, c->id, ID_LEN + 1);
            *ret_running = up;
        }
    }
    return n;
}

static bool container_exists(void *arg, const char *id)
{
    struct engine *e = arg;

    return map_get(&e->by_id, id) != NULL;
}

static bool layer_in_use(void *arg, const char *chain_id)
{
    struct engine *e = arg;
    struct map_entry *m;

    for (size_t i = 0; (m = map_next(&e->by_id, &i));) {
        const struct container *c = m->value;
        _cleanup_(strv_freep) char **chain = NULL;

        if (!container_is_up(c) && !c->starting && !c->view_held)
            continue;
        if (images_held(e->images, c->id, &chain, NULL) < 0)
            return true;
        for (size_t k = 0; chain && chain[k]; k++) {
            if (streq(chain[k], chain_id))
                return true;
        }
    }
    return false;
}

static int open_images(struct engine *e, struct err *reterr)
{
    struct images_options o = {.db = e->db,
                               .storage = e->storage,
                               .loop = e->loop,
                               .worker_path = e->config.worker_path,
                               .hooks = {.arg = e,
                                         .event = image_event,
                                         .pruned = images_pruned,
                                         .containers = containers_of_image,
                                         .container_exists = container_exists,
                                         .building = builds_have_image,
                                         .layer_in_use = layer_in_use},
                               .registries = {.mirrors = e->config.registry_mirrors,
                                              .insecure = e->config.insecure_registries,
                                              .certs_dir = e->config.registry_certs}};

    return images_open(&o, &e->images, reterr);
}

/* ---- housekeeping ---- */

static void on_sigchld(uv_signal_t *s, int signo)
{
    (void)signo;
    shims_sigchld(s->data);
}

static void checkpoint_run(void *arg)
{
    db_checkpoint(((struct engine *)arg)->db_path);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void on_checkpoint(uv_timer_t *t)
{
    containers_save_again(t->data);
    job_run(t->data, checkpoint_run, nothing, t->data);
}

static void delete_stale_run(void *arg)
{
    struct engine *e = arg;

    storage_delete_stale(e->storage);
}

static void warm_run(void *arg)
{
    runtime_warm(((struct engine *)arg)->runtime, NULL);
}

static void start_handles(struct engine *e)
{
    uv_idle_init(e->loop, &e->deferred_idle);
    e->deferred_idle.data = e;
    uv_signal_init(e->loop, &e->sigchld);
    e->sigchld.data = e;
    uv_signal_start(&e->sigchld, on_sigchld, SIGCHLD);
    uv_timer_init(e->loop, &e->checkpoint_timer);
    e->checkpoint_timer.data = e;
    /* The first one at once: the last daemon may have left a long log. */
    uv_timer_start(&e->checkpoint_timer, on_checkpoint, 0, CHECKPOINT_INTERVAL_MS);
}

/* ---- the whole ---- */

int engine_open(const struct engine_config *config, uv_loop_t *loop, struct engine **ret,
                struct err *reterr)
{
    struct engine *e = xcalloc(1, sizeof(*e));
    int r;

    e->config = *config;
    e->loop = loop;
    e->shim_fd = -EBADF;
    shortage_open(e);
    e->events = events_new(e);
    start_handles(e);
    r = open_files(e, reterr);
    if (r >= 0)
        r = open_identity(e, reterr);
    if (r >= 0)
        r = open_cgroup(e, reterr);
    if (r >= 0)
        r = runtime_open(e->cgroup, &e->runtime, reterr);
    if (r >= 0)
        r = open_network(e, reterr);
    if (r >= 0)
        r = open_images(e, reterr);
    if (r >= 0)
        r = records_load(e, reterr);
    if (r >= 0)
        r = reconcile(e, reterr);
    if (r < 0) {
        engine_close(e);
        return r;
    }
    procview_ended(e); /* those that used it may have ended without us */
    job_run(e, warm_run, nothing, e);
    job_run(e, delete_stale_run, nothing, e);
    *ret = e;
    return 0;
}

int engine_embed_images(struct engine *e, void (*done)(void *arg), void *arg)
{
    return e->config.images_dir ? images_embed(e->images, e->config.images_dir, done, arg) : 0;
}

static void close_handles(struct engine *e)
{
    uv_close((uv_handle_t *)&e->deferred_idle, NULL);
    uv_close((uv_handle_t *)&e->checkpoint_timer, NULL);
    uv_close((uv_handle_t *)&e->sigchld, NULL);
}

static void drop_containers(struct engine *e)
{
    _cleanup_free_ struct container **all = registry_sorted(e);
    struct err err;

    err_set(&err, ERR_UNAVAILABLE, ESHUTDOWN, "the daemon is stopping");
    for (size_t i = 0; all[i]; i++) {
        struct container *c = all[i];

        /* Who waits for an end that we shall not see; what the wait keeps is let go, too. */
        pending_finish(&c->exit_pending, &err);
        pending_finish(&c->remove_pending, &err);
        while (c->followers)
            log_stream_close(c->followers);
        if (c->kill_timer) {
            uv_timer_stop(c->kill_timer);
            uv_close((uv_handle_t *)TAKE_PTR(c->kill_timer), (uv_close_cb)free);
        }
        restart_cancel(c);
        resolver_stop(c);
        shortage_unwatch(c);
        c->shim.pid = 0; /* it goes on without us */
        shim_drop(c);
        registry_remove(e, c);
    }
}

void engine_close(struct engine *e)
{
    e->closing = true;
    restart_close(e);
    /* The readers of streams that the server has cut take their leave while there is something to
     * take it from. */
    uv_run(e->loop, UV_RUN_NOWAIT);
    builds_cancel(e);
    contents_cancel(e);
    commits_cancel(e);
    if (e->storage)
        storage_stop_deleting(e->storage);
    /* A job that is half way has the kernel in hand: let it come to its end, and to what it has put
     * off. */
    while (e->jobs > 0 || e->deferred)
        uv_run(e->loop, UV_RUN_ONCE);
    metrics_close(e);
    drop_containers(e);
    networks_unwatch(e);
    resolver_close(e);
    if (e->images)
        images_close(e->images);
    close_handles(e);
    uv_run(e->loop, UV_RUN_DEFAULT); /* close callbacks */
    map_done(&e->by_id);
    map_done(&e->by_name);
    map_done(&e->execs);
    if (e->ports)
        ports_free(e->ports);
    networks_close(e);
    if (e->fabric)
        fabric_close(e->fabric);
    if (e->runtime)
        runtime_close(e->runtime);
    if (e->cgroup)
        cgroup_close(e->cgroup);
    if (e->storage)
        storage_close(e->storage);
    if (e->db) {
        db_checkpoint(e->db_path);
        db_close(e->db);
    }
    stats_hub_free(e->stats);
    events_free(e->events);
    fd_close(e->kmsg);
    fd_close(e->shim_fd);
    free(e->daemon_id);
    free(e->db_path);
    free(e->dying);
    free(e);
}

uv_loop_t *engine_loop(struct engine *e)
{
    return e->loop;
}

struct images *engine_images(struct engine *e)
{
    return e->images;
}

int engine_events_subscribe(struct engine *e, int64_t since_ns, int64_t until_ns, json_t *filters,
                            engine_event_fn *fn, void *arg, struct event_subscription **ret,
                            struct err *reterr)
{
    return events_subscribe(e->events, since_ns, until_ns, filters, fn, arg, ret, reterr);
}
