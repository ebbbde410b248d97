/* What a start needs: ids, namespaces of others, addresses, and the plan that its shim gets. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"
#include "fd.h"
#include "procview.h"
#include "start_impl.h"

/* First host id handed out by --userns=auto; below are the host's own and its subordinate ids. */
#define IDMAP_FIRST 0x70000000U
#define IDMAP_SLOTS 8192

int container_idmap(struct container *c, uint32_t *ret_base, struct err *reterr)
{
    struct db *db = c->engine->db;
    sqlite3_stmt *st = db_query(db, "SELECT slot FROM id_ranges WHERE container_id=?", "s", c->id);
    int r = db_step(db, st, reterr);

    *ret_base = r > 0 ? IDMAP_FIRST + (uint32_t)sqlite3_column_int64(st, 0) * IDMAP_SIZE : 0;
    if (r > 0)
        sqlite3_reset(st);
    return r < 0 ? r : 0;
}

/* The slot survives restarts of the container: its files belong to these ids. */
static int take_idmap(struct container *c, uint32_t *ret_base, struct err *reterr)
{
    struct db *db = c->engine->db;
    int r;

    *ret_base = 0;
    if (!streq(json_get_str(c->host_config, "UsernsMode", ""), "auto"))
        return 0;
    r = db_run(db,
               db_query(db,
                        "INSERT INTO id_ranges(slot,container_id) SELECT"
                        " COALESCE((SELECT MIN(a.slot)+1 FROM (SELECT -1 AS slot UNION SELECT slot"
                        " FROM id_ranges) a WHERE NOT EXISTS (SELECT 1 FROM id_ranges b WHERE"
                        " b.slot=a.slot+1)),0),? WHERE NOT EXISTS (SELECT 1 FROM id_ranges WHERE"
                        " container_id=?)",
                        "ss", c->id, c->id),
               reterr);
    if (r < 0)
        return r;
    r = container_idmap(c, ret_base, reterr);
    if (r < 0)
        return r;
    if ((*ret_base - IDMAP_FIRST) / IDMAP_SIZE >= IDMAP_SLOTS)
        return err_set(reterr, ERR_UNAVAILABLE, ENOSPC, "all ranges of user ids are in use");
    return 0;
}

static const char *const ns_files[RUNTIME_NS_N] = {
    [RUNTIME_NS_PID] = "pid", [RUNTIME_NS_IPC] = "ipc",       [RUNTIME_NS_UTS] = "uts",
    [RUNTIME_NS_NET] = "net", [RUNTIME_NS_CGROUP] = "cgroup", [RUNTIME_NS_USER] = "user"};

struct joined {
    char *path[RUNTIME_NS_N]; /* owned */
    struct container *net;    /* whose network is joined; borrowed */
};

static void joined_done(struct joined *j)
{
    for (int i = 0; i < RUNTIME_NS_N; i++)
        free(j->path[i]);
}

/* What keeps a process's number from being taken for another's: see check_donors(). */
static int hold_donor(struct container *other, int *ret_pidfd, struct err *reterr)
{
    int fd = (int)syscall(SYS_pidfd_open, other->pid, 0), saved = errno, r = 0;

    if (fd < 0 && saved != ESRCH)
        return err_sys(reterr, saved, "pidfd_open");
    *ret_pidfd = fd;
    container_ref(other);
    shim_sync(other);
    if (fd < 0 || !container_is_up(other))
        r = container_not_running(other, reterr);
    container_unref(other);
    return r;
}

static int resolve_joins(struct container *c, struct joined *ret, int *donors, struct err *reterr)
{
    for (int i = 0; i < RUNTIME_NS_N; i++) {
        const char *target;
        struct container *other;
        int r;

        if (runtime_ns_mode(c->host_config, (enum runtime_ns)i, &target) != RUNTIME_NS_CONTAINER)
            continue;
        r = registry_find(c->engine, target, &other, reterr);
        if (r < 0)
            return r;
        if (other->status != STATUS_RUNNING)
            return err_set(reterr, ERR_CONFLICT, ESRCH,
                           "cannot join %s namespace of a non running container: container %s is "
                           "%s",
                           ns_files[i], other->id, status_name(other));
        if (i == RUNTIME_NS_IPC &&
            runtime_ns_mode(other->host_config, RUNTIME_NS_IPC, NULL) != RUNTIME_NS_SHAREABLE)
            return err_set(reterr, ERR_CONFLICT, EPERM,
                           "cannot join IPC of container %s: non-shareable IPC (hint: use "
                           "IpcMode:shareable for the donor container)",
                           other->id);
        r = hold_donor(other, &donors[i], reterr);
        if (r < 0)
            return r;
        ret->path[i] = xasprintf("/proc/%d/ns/%s", other->pid, ns_files[i]);
        if (i == RUNTIME_NS_NET)
            ret->net = other;
    }
    return 0;
}

static int build_plan(struct container *c, const struct joined *joined, uint32_t idmap,
                      struct start_job *j, struct err *reterr)
{
    struct container *files_of = joined->net ? joined->net : c;
    _cleanup_(rootfs_dirs_done) struct rootfs_dirs dirs = {0};
    _cleanup_free_ char *run_dir = container_run_dir(c), *hosts = container_dir(files_of, "hosts");
    _cleanup_free_ char *hostname = container_dir(files_of, "hostname"),
                        *resolv = container_dir(files_of, "resolv.conf"), *log = NULL;
    struct runtime_spec spec = {.id = c->id,
                                .name = c->name,
                                .config = c->config,
                                .host_config = c->host_config,
                                .run_dir = run_dir,
                                .hosts = hosts,
                                .hostname = hostname,
                                .resolv_conf = resolv,
                                .points = j->points,
                                .idmap_base = idmap,
                                .idmap_size = IDMAP_SIZE};
    enum net_mode mode = container_net_mode(c);
    struct rootfs_spec rootfs;
    int r = images_held(c->engine->images, c->id, &j->chain, reterr);

    if (r < 0)
        return r;
    mounts_find_donors(c, j->points);
    rootfs = rootfs_spec_of(c->id, j->chain, 0, 0);
    storage_rootfs_dirs(c->engine->storage, &rootfs, &dirs);
    log = container_log_path(c);
    spec.upper = dirs.upper;
    spec.work = dirs.work;
    spec.lowers = dirs.lowers;
    spec.log_path = log;
    spec.log_number = container_log_number(c);
    spec.proc_view = j->procview;
    spec.sandbox_fds = mode == NET_BRIDGE || mode == NET_NONE;
    for (int i = 0; i < RUNTIME_NS_N; i++)
        spec.ns_path[i] = joined->path[i];
    r = runtime_plan(c->engine->runtime, &spec, &j->plan, j->warnings, reterr);
    j->restores = checkpoint_plan(c, &j->plan);
    mounts_fills(c, &j->fills);
    if (j->fills)
        j->lowers = dirs.lowers ? TAKE_PTR(dirs.lowers) : strv_append(NULL, dirs.upper);
    return r;
}

int start_plan(struct container *c, struct start_job *j, struct err *reterr)
{
    _cleanup_(joined_done) struct joined joined = {0};
    uint32_t idmap = 0;
    int r;

    j->mode = container_net_mode(c);
    if (procview_wanted(c)) {
        j->procview = procview_dir(c->engine);
        procview_count(c->engine);
    }
    r = resolve_joins(c, &joined, j->donors, reterr);
    if (r >= 0)
        r = links_check(c, reterr);
    if (r >= 0)
        r = take_idmap(c, &idmap, reterr);
    if (r >= 0 && j->mode == NET_BRIDGE)
        r = endpoints_take(c, reterr);
    if (r >= 0)
        r = build_plan(c, &joined, idmap, j, reterr);
    if (r >= 0)
        r = health_plan(c, &j->health, j->warnings, reterr);
    if (r < 0)
        return r;
    j->root_uid = idmap;
    j->size = container_size_limit(c);
    j->used_volatile = c->auto_remove && c->started_ns > 0;
    container_files_plan(c, &j->files);
    j->run_dir = container_run_dir(c);
    j->apparmor = xstrdup(runtime_apparmor(c->engine->runtime, c->host_config));
    endpoint_specs_of(c, &j->specs);
    j->wants_names = resolver_wanted(c);
    return 0;
}
