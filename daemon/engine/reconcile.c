/* At start: what the database says, what shims and their exit files say, and what the kernel still
 * has are brought together.  Nothing here assumes that the last daemon ended in an orderly way. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "private.h"

#define HELLO_TIMEOUT_MS 5000
#define REVIVE_TIMEOUT_MS 1000
#define EXIT_FILE_MAX 256
#define LOST_EXIT_CODE                                                                             \
    255 /* it ended and nobody saw how: the host went down, or the shim was killed */

/* ---- one container ---- */

/* 1: it is there; 0: it is, but says nothing for so long; -errno. */
static int hello(const char *run_dir, int timeout_ms, int *ret_fd, struct shim_msg *ret)
{
    _cleanup_free_ char *path = path_join(run_dir, SHIM_SOCKET);
    _cleanup_close_ int fd = unix_connect(path, SOCK_SEQPACKET);
    int fds[FD_PASS_MAX];
    struct pollfd p;
    size_t n;
    ssize_t r;

    if (fd < 0)
        return fd;
    p = (struct pollfd){.fd = fd, .events = POLLIN};
    do
        r = poll(&p, 1, timeout_ms);
    while (r < 0 && errno == EINTR);
    memset(ret, 0, sizeof(*ret));
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    if (r != 1)
        return r < 0 ? -errno : 0;
    r = fd_recv(fd, ret, sizeof(*ret), fds, &n);
    while (n > 0)
        fd_close(fds[--n]);
    if (r <= 0 || ret->type != SHIM_HELLO)
        return -EPROTO;
    *ret_fd = TAKE_FD(fd);
    return 1;
}

static int read_exit_file(const char *run_dir, struct shim_state *ret)
{
    _cleanup_free_ char *path = path_join(run_dir, SHIM_EXIT_FILE), *text = NULL;
    long long finished, started;
    ssize_t n = file_read(AT_FDCWD, path, EXIT_FILE_MAX, &text);

    if (n < 0)
        return (int)n;
    *ret = (struct shim_state){.phase = SHIM_PHASE_EXITED};
    if (sscanf(text, "%d %d %lld %lld", &ret->code, &ret->oom, &finished, &started) != 4)
        return -EINVAL;
    ret->finished_ns = finished;
    ret->started_ns = started;
    return 0;
}

static void exited_unseen(struct container *c, const char *run_dir)
{
    const char *parent = json_get_str(c->host_config, "CgroupParent", "");
    struct shim_state state;

    if (read_exit_file(run_dir, &state) < 0) {
        state = (struct shim_state){.phase = SHIM_PHASE_EXITED,
                                    .code = LOST_EXIT_CODE,
                                    .started_ns = c->started_ns,
                                    .finished_ns = time_now_ns()};
        cgroup_kill(c->engine->cgroup, parent, c->id);
    }
    c->lost = true;
    if (state.started_ns > 0)
        c->started_ns = state.started_ns;
    container_exited(c, &state);
}

void container_said_hello(struct container *c, const struct shim_state *state)
{
    c->pid = state->pid;
    if (state->phase == SHIM_PHASE_EXITED)
        container_exited(c, state);
}

static void thawed(void *arg, const struct err *err)
{
    struct container *c = arg;

    if (err)
        log_error("container %s: %s", c->id, err->message);
    container_unref(c);
}

/* The daemon may have died between the freezer and the record: the kernel is right.  What a commit
 * froze is not to stay so. */
static void settle_pause(struct container *c)
{
    int frozen = cgroup_is_frozen(c->engine->cgroup,
                                  json_get_str(c->host_config, "CgroupParent", ""), c->id);

    if (!container_is_up(c))
        return;
    if (frozen >= 0)
        c->status = frozen ? STATUS_PAUSED : STATUS_RUNNING;
    health_hold(c, frozen > 0);
    if (frozen > 0 && c->frozen_for_us)
        engine_container_unpause(c->engine, c->id, thawed, container_ref(c));
    c->frozen_for_us = false;
}

/* The database says it is up. */
static void revive(struct container *c)
{
    _cleanup_free_ char *run_dir = container_run_dir(c);
    struct shim_msg m;
    int fd, r = hello(run_dir, REVIVE_TIMEOUT_MS, &fd, &m);

    if (r < 0) {
        exited_unseen(c, run_dir);
        return;
    }
    shim_adopt(c, fd, 0);
    /* It waits for a slow disk, or is stopped: no reason to end what it watches over. */
    if (r == 0)
        log_warn("container %s: its shim does not answer yet", c->id);
    else
        container_said_hello(c, &m.state);
    if (!container_is_up(c))
        return;
    shim_sync(c);
    settle_pause(c);
    shortage_watch(c);
    logs_settle(c);
}

/* The database says it is down, but a shim runs: the daemon died between the start and its record.
 * The process is there, its client may be attached: the record follows. */
static void found_running(struct container *c, int fd, const struct shim_state *state)
{
    shim_adopt(c, fd, 0);
    if (state->phase == SHIM_PHASE_RUNNING) {
        container_started(c, state);
        shim_sync(c);
    } else if (state->phase == SHIM_PHASE_EXITED) {
        c->status = STATUS_RUNNING;
        container_exited(c, state);
    }
}

static void settle(struct container *c)
{
    _cleanup_free_ char *run_dir = container_run_dir(c);
    struct shim_msg m;
    int fd, r;

    if (container_is_up(c)) {
        revive(c);
        return;
    }
    if (access(run_dir, F_OK) < 0)
        return;
    r = hello(run_dir, HELLO_TIMEOUT_MS, &fd, &m);
    if (r >= 0) {
        if (r > 0 && m.state.phase != SHIM_PHASE_CREATED) {
            found_running(c, fd, &m.state);
            return;
        }
        fd_close(fd); /* it was never told to go and undoes itself */
    }
    path_rm_rf(AT_FDCWD, run_dir);
}

/* ---- what belongs to no container ---- */

static void end_stray_shim(const char *run_dir)
{
    struct shim_msg m, kill = {.type = SHIM_SIGNAL, .signal = 9};
    int fd;

    if (hello(run_dir, HELLO_TIMEOUT_MS, &fd, &m) < 0)
        return;
    shim_send(fd, &kill, NULL, 0);
    fd_close(fd);
}

static void sweep_run_dirs(struct engine *e)
{
    DIR *d = opendir(e->config.exec_root);
    struct dirent *entry;

    while (d && (entry = readdir(d))) {
        _cleanup_free_ char *path = NULL;

        if (strlen(entry->d_name) != ID_LEN || !str_is_hex(entry->d_name, ID_LEN) ||
            map_get(&e->by_id, entry->d_name))
            continue;
        path = path_join(e->config.exec_root, entry->d_name);
        log_warn("removing what is left of container %s", entry->d_name);
        end_stray_shim(path);
        path_rm_rf(AT_FDCWD, path);
    }
    if (d)
        closedir(d);
}

static void sweep_container_dirs(struct engine *e)
{
    _cleanup_free_ char *root = path_join(e->config.data_root, "containers");
    DIR *d = opendir(root);
    struct dirent *entry;

    while (d && (entry = readdir(d))) {
        if (strlen(entry->d_name) != ID_LEN || !str_is_hex(entry->d_name, ID_LEN) ||
            map_get(&e->by_id, entry->d_name))
            continue;
        storage_container_remove(e->storage, entry->d_name, NULL, NULL);
    }
    if (d)
        closedir(d);
}

static void sweep_cgroups(struct engine *e)
{
    _cleanup_(strv_freep) char **ids = NULL;

    if (cgroup_list(e->cgroup, &ids) < 0)
        return;
    for (size_t i = 0; ids && ids[i]; i++) {
        const struct container *c = map_get(&e->by_id, ids[i]);

        if (strlen(ids[i]) != ID_LEN || (c && container_is_up(c)))
            continue;
        cgroup_kill(e->cgroup, "", ids[i]);
        cgroup_remove(e->cgroup, "", ids[i]);
    }
}

static int settle_network(struct engine *e, struct container **all, struct err *reterr)
{
    _cleanup_free_ struct endpoint_spec *specs = NULL;
    size_t n = 0;

    if (!e->fabric)
        return 0;
    for (size_t i = 0; all[i]; i++) {
        struct container *c = all[i];

        if (!container_is_up(c) && !c->exiting)
            endpoints_release(c);
        if (!container_is_up(c))
            continue;
        specs = xrealloc(specs, (n + c->n_endpoints + 1) * sizeof(*specs));
        for (size_t k = 0; k < c->n_endpoints; k++)
            endpoint_spec_of(c, &c->endpoints[k], &specs[n++]);
    }
    return fabric_reconcile(e->fabric, specs, n, reterr);
}

static bool holds_address(const struct engine *e, const struct lease_holder *holder)
{
    const struct container *c = map_get(&e->by_id, holder->container_id);

    if (!c || !(container_is_up(c) || c->exiting))
        return false;
    for (size_t i = 0; i < c->n_endpoints; i++) {
        const struct net *net = c->endpoints[i].net;

        if (streq(holder->network, net->predefined ? "bridge" : net->id))
            return true;
    }
    return false;
}

static int drop_stale_addresses(struct engine *e, struct err *reterr)
{
    struct lease_holder *holders = NULL;
    size_t n = 0;
    int r = leases_address_holders(e->db, &holders, &n, reterr);

    for (size_t i = 0; i < n; i++) {
        if (r >= 0 && !holds_address(e, &holders[i]))
            r = leases_address_drop(e->db, holders[i].network, holders[i].container_id, reterr);
        free(holders[i].network);
    }
    free(holders);
    return r;
}

/* A lease whose start or connect never came to its record. */
static int drop_stale_leases(struct engine *e, struct container **all, struct err *reterr)
{
    int r = db_begin(e->db, reterr);

    if (r >= 0)
        r = drop_stale_addresses(e, reterr);
    for (size_t i = 0; r >= 0 && all[i]; i++) {
        if (!container_is_up(all[i]) && !all[i]->exiting)
            r = ports_release(e->ports, all[i]->id, reterr);
    }
    if (r >= 0)
        r = db_commit(e->db, reterr);
    if (r < 0)
        db_rollback(e->db);
    return r;
}

static void build_gone(void *arg, const struct err *err)
{
    (void)arg;
    if (err)
        log_warn("a container of a build that is over: %s", err->message);
}

/* The daemon died, and with it the builds it was at. */
static void drop_builds(struct engine *e, struct container **all)
{
    for (size_t i = 0; all[i]; i++) {
        if (all[i]->building)
            engine_container_remove(e, all[i]->id, true, true, build_gone, NULL);
    }
}

int reconcile(struct engine *e, struct err *reterr)
{
    _cleanup_free_ struct container **all = NULL;
    int r;

    sweep_run_dirs(e);
    all = registry_sorted(e);
    for (size_t i = 0; all[i]; i++)
        settle(all[i]);
    r = drop_stale_leases(e, all, reterr);
    if (r >= 0)
        r = settle_network(e, all, reterr);
    if (r < 0)
        return r;
    sweep_container_dirs(e);
    sweep_cgroups(e);
    volumes_reconcile(e);
    for (size_t i = 0; all[i]; i++)
        restart_resume(all[i]);
    drop_builds(e, all);
    return 0;
}
