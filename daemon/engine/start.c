/* Starting: leases and plan on the loop (start_plan.c), everything that touches the kernel in one
 * job on the pool (start_job.c), the result on the loop again. */
#include <errno.h>
#include <stdlib.h>

#include "checkpoint.h"
#include "fd.h"
#include "log.h"
#include "procview.h"
#include "start_impl.h"

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

        shim_post(c, &m, &a->fd, 1);
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
        j->r = start_plan(c, j, &j->err);
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
                            .fabric = c->engine->fabric,
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
    for (size_t i = 0; i < ARRAY_SIZE(j->donors); i++)
        j->donors[i] = -EBADF;
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
