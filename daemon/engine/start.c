/* Starting: leases and plan on the loop, everything that touches the kernel in one job on the pool,
 * the result on the loop again. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "checkpoint.h"
#include "fd.h"
#include "log.h"
#include "private.h"
#include "procview.h"

/* A shim that says nothing for so long is given up; a healthy one needs milliseconds. */
#define START_TIMEOUT_S 60
/* The same for one that reads back a memory that may be large. */
#define RESTORE_TIMEOUT_S 900
#define UNDO_TIMEOUT_MS 5000
/* First host id handed out by --userns=auto; below are the host's own and its subordinate ids. */
#define IDMAP_FIRST 0x70000000U
#define IDMAP_SLOTS 8192

/* What the pool job works on: values and things that no other thread changes. */
struct start_job {
    struct container *container; /* a reference; for the loop only */
    struct storage *storage;
    const struct cgroup *cgroup;
    char *cgroup_parent; /* owned */
    struct cgroup_scope scope;
    int shim_exe;
    char id[ID_LEN + 1];
    struct plan plan;
    struct health_check health;
    struct container_files files;
    char *run_dir;
    char *procview; /* owned; where lxcfs is to serve, or NULL */
    pid_t procview_pid;
    bool restores; /* from a checkpoint */
    const struct runtime *runtime;
    char *apparmor; /* owned; its profile, "": none */
    uid_t root_uid;
    int64_t size; /* limit of the root file system's size */
    char **chain; /* owned: of the image's layers, bottom first */
    enum net_mode mode;
    struct endpoint_specs specs;
    struct attach_request *attaches;

    json_t *points;     /* owned; the container's, as they are to be mounted */
    json_t *fills;      /* volumes that may want their first content, or NULL */
    char **lowers;      /* owned; with fills */
    const char *worker; /* borrowed from the engine's configuration */
    bool used_volatile; /* a --rm container that has run before */
    size_t n_up;        /* of specs */
    bool wants_names;   /* a name server */
    struct dns_sockets dns;
    int control;
    pid_t shim_pid;
    struct shim_state state;
    int exit_code; /* of a start that failed: 126, 127, 128 */
    json_t *warnings;
    struct err err;
    int r;
};

static void start_job_free(struct start_job *j)
{
    plan_done(&j->plan);
    plan_done(&j->health.plan);
    container_files_done(&j->files);
    attach_requests_free(j->attaches);
    json_decref(j->warnings);
    json_decref(j->points);
    json_decref(j->fills);
    strv_free(j->lowers);
    strv_free(j->chain);
    free(j->run_dir);
    free(j->procview);
    free(j->apparmor);
    free(j->cgroup_parent);
    endpoint_specs_done(&j->specs);
    dns_sockets_close(&j->dns);
    fd_close(j->control);
    free(j);
}

/* ---- on the pool ---- */

/* Next packet of a wanted kind; failure reports end the start. */
static int receive(struct start_job *j, uint32_t wanted, struct shim_msg *m, int *fds,
                   size_t *n_fds)
{
    for (;;) {
        ssize_t r;

        memset(m, 0, sizeof(*m));
        r = fd_recv(j->control, m, sizeof(*m), fds, n_fds);
        if (r == -ECONNRESET)
            continue; /* it closed with packets of ours unread: its own are still there */
        if (r == -EAGAIN)
            return err_set(&j->err, ERR_SYSTEM, ETIMEDOUT, "the shim does not answer");
        if (r <= 0)
            return err_set(&j->err, ERR_SYSTEM, EPIPE, "the shim died while starting");
        if (m->type == wanted)
            return 0;
        while (*n_fds > 0)
            fd_close(fds[--*n_fds]);
        m->fail.message[ERR_MESSAGE_MAX - 1] = '\0';
        if (m->type == SHIM_FAILED) {
            j->exit_code = m->fail.code;
            return err_set(&j->err, m->fail.code == 128 ? ERR_SYSTEM : ERR_INVALID, m->fail.errnum,
                           "failed to create task for container: failed to create shim task: OCI "
                           "runtime create failed: runc create failed: unable to start container "
                           "process: error during container init: %s: unknown",
                           m->fail.message);
        }
        if (m->type == SHIM_WARNING && json_array_size(j->warnings) < 64)
            json_array_append_new(j->warnings, json_string(m->fail.message));
    }
}

static int fill_volumes(struct start_job *j)
{
    const json_t *p;
    size_t i;

    json_array_foreach (j->fills, i, p) {
        int r = storage_volume_fill(j->storage, json_get_str(p, "Name", ""), j->worker, j->lowers,
                                    json_get_str(p, "Destination", ""), &j->err);

        if (r < 0)
            return r;
    }
    return 0;
}

static int prepare_files(struct start_job *j)
{
    struct rootfs_spec spec = rootfs_spec_of(j->id, j->chain, j->root_uid, j->size);
    int r;

    /* The mark of an earlier unsynced mount would refuse the next one. */
    if (j->used_volatile) {
        _cleanup_free_ char *work = storage_container_path(j->storage, j->id, "work");

        path_rm_rf(AT_FDCWD, work);
    }
    r = storage_rootfs_prepare(j->storage, &spec, &j->err);
    if (r < 0)
        return r;
    if (mkdir(j->run_dir, 0700) < 0 && errno != EEXIST)
        return err_sys(&j->err, errno, "cannot make %s", j->run_dir);
    r = fill_volumes(j);
    return r < 0 ? r : container_files_write(&j->files, &j->err);
}

static int spawn(struct start_job *j)
{
    struct timeval limit = {.tv_sec = j->restores ? RESTORE_TIMEOUT_S : START_TIMEOUT_S};
    _cleanup_close_ int plan = plan_memfd(&j->plan);
    int r;

    if (plan < 0)
        return err_sys(&j->err, -plan, "cannot store the plan");
    r = shim_spawn(j->shim_exe, plan, j->id, &j->control, &j->shim_pid, &j->err);
    if (r >= 0 && setsockopt(j->control, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
        r = err_sys(&j->err, errno, "setsockopt");
    return r;
}

static int connect_network(struct start_job *j, const int *fds, size_t n)
{
    if (j->mode != NET_BRIDGE && j->mode != NET_NONE)
        return 0;
    if (n < 2)
        return err_set(&j->err, ERR_SYSTEM, EPROTO, "the shim sent no network namespace");
    if (j->specs.n == 0)
        return endpoint_loopback_up(fds[0], fds[1], &j->err);
    for (; j->n_up < j->specs.n; j->n_up++) {
        int r = endpoint_up(&j->specs.list[j->n_up], fds[0], fds[1], &j->err);

        if (r < 0)
            return r;
    }
    if (j->wants_names)
        return resolver_open_sockets(fds[0], j->control, &j->dns, &j->err);
    return 0;
}

/* A shim that has hung up has told why: that is read next. */
static bool is_hangup(int r)
{
    return r == -EPIPE || r == -ECONNRESET;
}

static int hand_over_attaches(struct start_job *j)
{
    for (struct attach_request *a = j->attaches; a; a = a->next) {
        struct shim_msg m = {.type = SHIM_ATTACH, .attach = a->attach};
        int r = shim_send(j->control, &m, &a->fd, 1);

        if (r < 0 && !is_hangup(r))
            return err_sys(&j->err, -r, "cannot hand over a client");
    }
    return 0;
}

static int run_start(struct start_job *j)
{
    int fds[FD_PASS_MAX];
    struct shim_msg m;
    size_t n = 0;
    int r = j->procview ? procview_ensure(j->procview, &j->procview_pid, &j->err) : 0;

    if (r >= 0)
        r = prepare_files(j);

    if (r >= 0)
        r = runtime_prepare_apparmor(j->runtime, j->apparmor, &j->err);
    if (r >= 0)
        r = cgroup_scope_open(j->cgroup, j->cgroup_parent, j->id, j->shim_exe, &j->scope, &j->err);
    if (r >= 0)
        r = spawn(j);
    if (r >= 0)
        r = receive(j, SHIM_CREATED, &m, fds, &n);
    if (r >= 0)
        r = cgroup_scope_hand_over(&j->scope, j->shim_pid, &j->err);
    cgroup_scope_release(&j->scope);
    if (r >= 0) {
        r = connect_network(j, fds, n);
        while (n > 0)
            fd_close(fds[--n]);
    }
    if (r >= 0)
        r = hand_over_attaches(j);
    if (r >= 0)
        r = health_send(&j->health, j->control, &j->err);
    if (r >= 0) {
        m = (struct shim_msg){.type = SHIM_GO};
        r = shim_send(j->control, &m, NULL, 0);
        r = is_hangup(r) ? 0 : r;
        if (r < 0)
            err_sys(&j->err, -r, "cannot reach the shim");
    }
    if (r >= 0)
        r = receive(j, SHIM_STARTED, &m, fds, &n);
    if (r >= 0)
        j->state = m.state;
    return r;
}

/* A shim that was killed has undone nothing. */
static void end_cgroups(const struct start_job *j)
{
    _cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, j->shim_pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (fd >= 0)
        poll(&p, 1, UNDO_TIMEOUT_MS);
    cgroup_end(j->cgroup, j->cgroup_parent, j->id);
}

static void start_job_run(void *arg)
{
    struct start_job *j = arg;

    j->r = run_start(j);
    if (j->r >= 0)
        return;
    /* Hanging up before SHIM_GO makes the shim undo its part. */
    j->control = fd_close(j->control);
    if (j->shim_pid > 0)
        end_cgroups(j);
    while (j->n_up > 0)
        endpoint_down(&j->specs.list[--j->n_up], 0, -EBADF, NULL);
    if (j->restores)
        checkpoint_explain(j->run_dir, &j->err);
    path_rm_rf(AT_FDCWD, j->run_dir);
}

/* ---- on the loop ---- */

/* Returns whether its restart policy tries again. */
static bool fail_start(struct container *c, const struct err *err, int exit_code)
{
    struct err ignored;
    bool again;

    endpoints_release(c);
    if (c->started_ns > 0)
        c->status = STATUS_EXITED;
    c->exit_code = exit_code;
    free(c->error);
    c->error = xstrdup(err->message);
    again = restart_try_again(c, err);
    c->started_by_policy = false;
    if (record_save_state(c, &ignored) < 0)
        log_error("container %s: %s", c->id, ignored.message);
    return again;
}

static void log_warnings(const struct container *c, const json_t *warnings)
{
    const json_t *w;
    size_t i;

    json_array_foreach (warnings, i, w)
        log_warn("container %s: %s", c->id, json_string_value(w));
}

static void start_succeeded(struct start_job *j)
{
    struct container *c = j->container;
    struct attach_request *late = TAKE_PTR(c->attaches);

    health_started(c, &j->health);
    shim_adopt(c, TAKE_FD(j->control), j->shim_pid);
    container_started(c, &j->state);
    links_follow(c);
    resolver_serve(c, &j->dns);
    network_event(c, "connect");
    mounts_event(c, "mount");
    container_event(c, "start", NULL);
    for (struct attach_request *a = late; a; a = a->next) {
        struct shim_msg m = {.type = SHIM_ATTACH, .attach = a->attach};

        shim_send(c->shim.fd, &m, &a->fd, 1);
    }
    attach_requests_free(late);
}

struct keep_job {
    const struct cgroup *cgroup;
    pid_t pid;
};

static void keep_job_run(void *arg)
{
    const struct keep_job *k = arg;

    cgroup_take_shim(k->cgroup, k->pid);
}

/* Nobody waits for it: the container runs already. */
static void keep_shim(struct engine *e, pid_t pid)
{
    struct keep_job *k;

    if (!cgroup_keeps_shims(e->cgroup))
        return;
    k = xmalloc(sizeof(*k));
    *k = (struct keep_job){e->cgroup, pid};
    job_run(e, keep_job_run, free, k);
}

static void after_start(void *arg)
{
    struct start_job *j = arg;
    struct container *c = j->container;

    c->starting = false;
    checkpoint_forget(c);
    log_warnings(c, j->warnings);
    if (j->procview_pid > 0) {
        shim_reap(c->engine, j->procview_pid);
        keep_shim(c->engine, j->procview_pid);
    }
    if (j->r >= 0) {
        start_succeeded(j);
        c->started_by_policy = false;
        pending_finish(&c->start_pending, NULL);
        keep_shim(c->engine, j->shim_pid);
        shim_sync(c); /* a short-lived program may have ended already */
    } else {
        bool again;

        shim_reap(c->engine, j->shim_pid);
        if (j->procview)
            procview_ended(c->engine);
        again = fail_start(c, &j->err, j->exit_code);
        attach_requests_free(TAKE_PTR(c->attaches));
        attach_requests_free(TAKE_PTR(j->attaches));
        if (c->auto_remove || c->remove_after_exit) {
            c->exiting = false;
            waits_fire(c, WAIT_EXIT, &j->err);
            container_remove_finish(c);
        } else if (!again) {
            waits_fire(c, WAIT_START_FAILED, &j->err);
        }
        logs_container_exited(c);
        pending_finish(&c->start_pending, &j->err);
    }
    container_views_retry(c);
    start_job_free(j);
    container_unref(c);
}

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

static int resolve_joins(struct container *c, struct joined *ret, struct err *reterr)
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

static int begin_start(struct container *c, struct start_job *j, struct err *reterr)
{
    _cleanup_(joined_done) struct joined joined = {0};
    uint32_t idmap = 0;
    int r;

    j->mode = container_net_mode(c);
    if (procview_wanted(c)) {
        j->procview = procview_dir(c->engine);
        procview_count(c->engine);
    }
    r = resolve_joins(c, &joined, reterr);
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

static int check_startable(const struct container *c, struct err *reterr)
{
    if (c->removing || c->remove_after_exit)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "container is marked for removal and cannot be started");
    if (c->status == STATUS_PAUSED)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "cannot start a paused container, try unpause instead");
    if (c->status == STATUS_RUNNING)
        return err_set(reterr, ERR_NOT_MODIFIED, EALREADY, "container already started");
    return 0;
}

/* What the last run had is given back.  The container may be gone now: those who asked for the
 * start must be told. */
static void start_after_clean(void *arg, const struct err *unused)
{
    struct container *c = arg;
    struct err err;

    (void)unused;
    c->starting = false;
    if (check_startable(c, &err) < 0) {
        checkpoint_forget(c);
        pending_finish(&c->start_pending, &err);
        container_views_retry(c);
    } else {
        container_start(c, NULL, NULL);
    }
    container_unref(c);
}

static void start_with_servers(void *arg, const struct err *err)
{
    struct start_job *j = arg;
    struct container *c = j->container;

    if (err) {
        j->err = *err;
        j->r = -EIO;
    } else {
        j->r = begin_start(c, j, &j->err);
    }
    if (j->r < 0) {
        after_start(j);
        return;
    }
    j->attaches = TAKE_PTR(c->attaches);
    job_run(c->engine, start_job_run, after_start, j);
}

void container_start(struct container *c, engine_done_fn *done, void *arg)
{
    struct start_job *j;
    struct err err;
    int r = check_startable(c, &err);

    if (r < 0) {
        if (done)
            done(arg, &err);
        return;
    }
    if (done)
        pending_add(&c->start_pending, done, arg);
    restart_cancel(c);
    if (c->starting)
        return; /* one start serves all who ask for it */
    c->starting = true;
    if (c->exiting || c->cleaning || c->view_held) {
        pending_add(&c->clean_pending, start_after_clean, container_ref(c));
        return;
    }
    j = xcalloc(1, sizeof(*j));
    *j = (struct start_job){.container = container_ref(c),
                            .storage = c->engine->storage,
                            .cgroup = c->engine->cgroup,
                            .cgroup_parent =
                                xstrdup(json_get_str(c->host_config, "CgroupParent", "")),
                            .scope = CGROUP_SCOPE_NONE,
                            .shim_exe = c->engine->shim_fd,
                            .runtime = c->engine->runtime,
                            .worker = c->engine->config.worker_path,
                            .control = -EBADF,
                            .dns = DNS_SOCKETS_NONE,
                            .exit_code = 128,
                            .warnings = json_array()};
    memcpy(j->id, c->id, sizeof(j->id));
    j->points = json_deep_copy(c->points);
    servers_look_up(c->engine, j->points, start_with_servers, j);
}

void engine_container_start(struct engine *e, const char *ref, engine_done_fn *done, void *arg)
{
    struct container *c;
    struct err err;

    if (registry_find(e, ref, &c, &err) < 0) {
        done(arg, &err);
        return;
    }
    restart_by_user(c);
    container_start(c, done, arg);
}
