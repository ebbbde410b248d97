/* What happens when a container's process begins and ends. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "private.h"
#include "procview.h"

void container_event(struct container *c, const char *action, json_t *extra)
{
    json_t *attributes = json_copy(json_object_get(c->config, "Labels"));

    if (!json_is_object(attributes))
        attributes = json_object();
    if (extra) {
        json_object_update(attributes, extra);
        json_decref(extra);
    }
    json_object_set_new(attributes, "image", json_string(c->image_ref));
    json_object_set_new(attributes, "name", json_string(c->name));
    events_emit(c->engine->events, "container", action, c->id, c->image_ref, attributes);
}

int container_not_running(const struct container *c, struct err *reterr)
{
    if (c->status == STATUS_RESTARTING)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "Container %s is restarting, wait until the container is running", c->id);
    return err_set(reterr, ERR_CONFLICT, ESRCH, "container %s is not running", c->id);
}

void network_event(struct container *c, const char *action)
{
    enum net_mode mode = container_net_mode(c);

    for (size_t i = 0; i < c->n_endpoints; i++)
        net_event(c->endpoints[i].net, action, c->id);
    if (mode == NET_HOST || mode == NET_NONE)
        net_event(net_predefined(c->engine, mode == NET_HOST ? NET_KIND_HOST : NET_KIND_NULL),
                  action, c->id);
}

void container_started(struct container *c, const struct shim_state *state)
{
    struct err err;

    c->status = STATUS_RUNNING;
    names_changed(c->engine);
    c->pid = state->pid;
    c->started_ns = state->started_ns;
    c->finished_ns = 0;
    c->exit_code = 0;
    c->oom_killed = false;
    c->oom_told = false;
    c->stopped_by_user = false;
    c->killed = false;
    c->failing = false;
    free(TAKE_PTR(c->error));
    if (record_save_state(c, &err) < 0)
        log_error("container %s: %s", c->id, err.message);
    shortage_watch(c);
}

/* Withdrawing published ports: before the leases go back, or the next holder's would clash. */
struct ports_job {
    struct container *container; /* a reference; for the loop only */
    struct endpoint_specs specs;
    struct err err;
    int r;
};

static void ports_job_run(void *arg)
{
    struct ports_job *j = arg;

    for (size_t i = 0; i < j->specs.n && j->r >= 0; i++)
        j->r = endpoint_down(&j->specs.list[i], 0, -EBADF, &j->err);
}

/* Deleting the run directory, the links whose namespace does not end, and what else a shim has left
 * that was killed: nobody waits for it but the next start. */
struct clean_job {
    struct container *container; /* a reference; for the loop only */
    char *run_dir;
    const struct cgroup *cgroup; /* NULL: the shim has removed it */
    char *cgroup_parent;
    char id[ID_LEN + 1];
    struct fabric *fabric; /* with links */
    char **links;          /* owned: what its endpoints were called on the host */
    int r;
};

static void clean_job_run(void *arg)
{
    struct clean_job *j = arg;
    struct err err;

    for (size_t i = 0; j->links && j->links[i]; i++) {
        if (endpoint_expect_end(j->fabric, j->links[i], &err) < 0)
            log_warn("container %s: %s", j->id, err.message);
    }
    if (j->cgroup)
        j->r = cgroup_end(j->cgroup, j->cgroup_parent, j->id);
    path_rm_rf(AT_FDCWD, j->run_dir);
}

static void after_clean(void *arg)
{
    struct clean_job *j = arg;
    struct container *c = j->container;

    if (j->r < 0)
        log_error("container %s: cannot remove its cgroup: %s", c->id, err_text(-j->r));
    c->cleaning = false;
    pending_finish(&c->clean_pending, NULL);
    free(j->cgroup_parent);
    free(j->run_dir);
    strv_free(j->links);
    free(j);
    container_unref(c);
}

static char **links_of(const struct container *c)
{
    char **links = NULL;

    for (size_t i = 0; c->engine->fabric && i < c->n_endpoints; i++)
        links = strv_append(links, c->endpoints[i].veth);
    return links;
}

/* links: of its endpoints, taken over; they have been released. */
static void clean(struct container *c, char **links)
{
    struct clean_job *j;

    /* What the exit file says must be in the database before it goes. */
    if (c->unsaved && !c->gone) {
        strv_free(links);
        pending_finish(&c->clean_pending, NULL);
        return;
    }
    j = xcalloc(1, sizeof(*j));

    j->container = container_ref(c);
    j->run_dir = container_run_dir(c);
    j->fabric = c->engine->fabric;
    j->links = links;
    memcpy(j->id, c->id, sizeof(j->id));
    if (c->lost) {
        j->cgroup = c->engine->cgroup;
        j->cgroup_parent = xstrdup(json_get_str(c->host_config, "CgroupParent", ""));
    }
    c->lost = false;
    c->cleaning = true;
    job_run(c->engine, clean_job_run, after_clean, j);
}

static bool is_to_be_removed(const struct container *c)
{
    return (c->auto_remove && !c->restarting) || c->remove_after_exit;
}

static bool starts_again(const struct container *c)
{
    return !is_to_be_removed(c) && !c->restarting && !c->starting && restart_wanted(c);
}

/* All it had is given back: record it and tell those who wait. */
static void finish_exit(void *arg)
{
    struct container *c = arg;
    bool remove = is_to_be_removed(c), restart = starts_again(c);
    char **links = links_of(c);
    struct err err;

    c->exiting = false;
    c->restarting = false;
    if (!remove) {
        endpoints_release(c);
        if (restart)
            restart_schedule(c);
        else
            restart_cancel(c);
        if (record_save_state(c, &err) < 0)
            log_error("container %s: %s", c->id, err.message);
        clean(c, links);
    }
    logs_container_exited(c);
    waits_fire(c, WAIT_EXIT, NULL);
    pending_finish(&c->exit_pending, NULL);
    if (remove) {
        if (!c->gone)
            container_remove_finish(c);
        clean(c, links);
    }
    container_unref(c);
}

void containers_save_again(struct engine *e)
{
    _cleanup_free_ struct container **all = registry_sorted(e);
    struct err err;

    for (size_t i = 0; all[i]; i++) {
        struct container *c = all[i];
        bool busy = c->starting || c->exiting || c->cleaning || container_is_up(c);

        if (c->unsaved && record_save_state(c, &err) >= 0 && !busy)
            clean(c, NULL);
        if (c->status == STATUS_DEAD && c->auto_remove && !busy)
            container_remove_finish(c);
    }
}

static void after_ports(void *arg)
{
    struct ports_job *j = arg;

    if (j->r < 0)
        log_error("container %s: %s", j->container->id, j->err.message);
    finish_exit(j->container);
    endpoint_specs_done(&j->specs);
    free(j);
}

static void withdraw_ports(struct container *c)
{
    struct ports_job *j = xcalloc(1, sizeof(*j));

    j->container = c; /* takes the reference */
    endpoint_specs_of(c, &j->specs);
    job_run(c->engine, ports_job_run, after_ports, j);
}

static void stop_kill_timer(struct container *c)
{
    if (!c->kill_timer)
        return;
    uv_timer_stop(c->kill_timer);
    uv_close((uv_handle_t *)TAKE_PTR(c->kill_timer), (uv_close_cb)free);
}

static void emit_die(struct container *c)
{
    char code[16], seconds[24];

    snprintf(code, sizeof(code), "%d", c->exit_code);
    snprintf(seconds, sizeof(seconds), "%lld",
             (long long)((c->finished_ns - c->started_ns) / 1000000000));
    container_event(c, "die", json_pack("{s:s, s:s}", "exitCode", code, "execDuration", seconds));
    network_event(c, "disconnect");
    mounts_event(c, "unmount");
}

void container_exited(struct container *c, const struct shim_state *state)
{
    if (!container_is_up(c))
        return;
    container_ref(c);
    shim_drop(c);
    metrics_forget(c);
    stats_forget(c);
    stop_kill_timer(c);
    execs_container_gone(c);
    health_exited(c);
    resolver_stop(c);
    shortage_unwatch(c);
    c->oom_killed = state->oom != 0;
    shortage_at_exit(c);
    c->status = STATUS_EXITED;
    names_changed(c->engine);
    c->exiting = true;
    if (procview_wanted(c))
        procview_ended(c->engine);
    c->pid = 0;
    c->exit_code = state->code;
    c->finished_ns = state->finished_ns;
    /* At once: nobody shall take it for one that stays down. */
    if (starts_again(c))
        c->status = STATUS_RESTARTING;
    emit_die(c);

    if (c->connecting)
        c->exit_waits = true; /* what is half made is undone when it is made */
    else
        container_exit_continue(c);
}

/* Callers may hold the container only by its place in the registry: it goes from the loop. */
void container_exit_continue(struct container *c)
{
    c->exit_waits = false;
    if (container_gateway(c) && c->n_ports > 0)
        withdraw_ports(c);
    else
        engine_defer(c->engine, finish_exit, c);
}
