/* What a start does to the kernel, from the files to the running process: one job on the pool. */
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
#include "procview.h"
#include "start_impl.h"

/* A shim that says nothing for so long is given up; a healthy one needs milliseconds. */
#define START_TIMEOUT_S 60
/* The same for one that reads back a memory that may be large. */
#define RESTORE_TIMEOUT_S 900
#define UNDO_TIMEOUT_MS 5000

void start_job_free(struct start_job *j)
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
    for (size_t i = 0; i < ARRAY_SIZE(j->donors); i++)
        fd_close(j->donors[i]);
    endpoint_specs_done(&j->specs);
    dns_sockets_close(&j->dns);
    fd_close(j->control);
    free(j);
}

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

/* Whose namespaces were joined by the number of a process must have been that process all the time.
 */
static int check_donors(struct start_job *j)
{
    for (size_t i = 0; i < ARRAY_SIZE(j->donors); i++) {
        struct pollfd p = {.fd = j->donors[i], .events = POLLIN};

        if (p.fd >= 0 && poll(&p, 1, 0) != 0)
            return err_set(&j->err, ERR_CONFLICT, ESRCH,
                           "cannot join a namespace of a container that has ended meanwhile");
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
        r = check_donors(j);
    if (r >= 0)
        r = cgroup_scope_hand_over(&j->scope, j->shim_pid, &j->err);
    cgroup_scope_release(&j->scope);
    if (r >= 0)
        r = connect_network(j, fds, n);
    while (n > 0)
        fd_close(fds[--n]);
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

void start_job_run(void *job)
{
    struct start_job *j = job;

    j->r = run_start(j);
    if (j->r >= 0)
        return;
    /* Hanging up before SHIM_GO makes the shim undo its part. */
    j->control = fd_close(j->control);
    if (j->shim_pid > 0)
        end_cgroups(j);
    while (j->n_up > 0) {
        const struct endpoint_spec *spec = &j->specs.list[--j->n_up];

        endpoint_down(spec, 0, -EBADF, NULL);
        endpoint_expect_end(j->fabric, spec->veth, NULL);
    }
    if (j->restores)
        checkpoint_explain(j->run_dir, &j->err);
    path_rm_rf(AT_FDCWD, j->run_dir);
}
