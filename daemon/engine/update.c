/* POST /containers/{id}/update: limits of running and stopped containers, and the restart policy.
 * All of it holds, in the kernel and in the record, or none of it does. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "devices.h"
#include "log.h"
#include "private.h"

struct update_job {
    struct container *container; /* a reference; for the loop only */
    const struct cgroup *cgroup;
    char id[ID_LEN + 1];
    char *parent;
    json_t *from, *to; /* HostConfig before and after, owned copies */
    json_t *delta;     /* owned; what changes */
    json_t *warnings;
    struct cgroup_change *change; /* owned; NULL: nothing was written */
    engine_json_fn *done;
    void *arg;
    struct err err;
    int r;
};

/* One that may have to wait for another of the same container, or for its start. */
struct request {
    struct engine *engine;
    char *ref;
    json_t *body; /* a reference */
    engine_json_fn *done;
    void *arg;
};

/* What of HostConfig may change while a container is there. */
static const char *const updatable[] = {
    "BlkioWeight",
    "BlkioWeightDevice",
    "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps",
    "CpuShares",
    "CpuPeriod",
    "CpuQuota",
    "CpuBurst",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpusetCpus",
    "CpusetMems",
    "NanoCpus",
    "Memory",
    "MemorySwap",
    "MemoryReservation",
    "MemoryHigh",
    "MemorySwappiness",
    "KernelMemory",
    "KernelMemoryTCP",
    "OomKillDisable",
    "PidsLimit",
    "DeviceCgroupRules",
    "HugepageLimits",
    "RdmaLimits",
    "NetClassId",
    "NetPriorities",
    "RestartPolicy",
    "RestartOnUnhealthy",
};

static int change_devices(const struct update_job *j, const json_t *from, const json_t *to,
                          struct err *reterr)
{
    _cleanup_devices_ struct device_list was = {0}, will = {0};
    const json_t *old = json_get(from, "DeviceCgroupRules"),
                 *new = json_get(to, "DeviceCgroupRules");
    struct cgroup_devices a, b;
    int r;

    if (old == new || json_equal(old, new) || json_get_bool(to, "Privileged", false))
        return 0;
    r = device_list_build(from, &was, reterr);
    if (r >= 0)
        r = device_list_build(to, &will, reterr);
    if (r < 0)
        return r;
    a = (struct cgroup_devices){was.rules, was.n_rules};
    b = (struct cgroup_devices){will.rules, will.n_rules};
    r = cgroup_devices_update(j->cgroup, j->parent, j->id, &a, &b);
    /* A file of a cgroup that is being removed says ENODEV, which no rule does. */
    return r < 0 ? err_sys(reterr, r == -ENODEV ? ENOENT : -r, "change the device rules") : 0;
}

static int change_class(const struct update_job *j, const json_t *from, const json_t *to,
                        struct err *reterr)
{
    int r = cgroup_class_update(j->cgroup, j->parent, j->id, from, to);

    return r < 0 ? err_sys(reterr, -r, "change the network class") : 0;
}

static void update_run(void *arg)
{
    struct update_job *j = arg;

    j->r = cgroup_change_apply(j->cgroup, j->parent, j->id, j->from, j->to, &j->change, &j->err);
    if (j->r >= 0)
        j->r = change_class(j, j->from, j->to, &j->err);
    if (j->r >= 0)
        j->r = change_devices(j, j->from, j->to, &j->err);
    if (j->r < 0 && j->change) {
        (void)cgroup_change_revert(j->change);
        (void)change_class(j, j->to, j->from, NULL);
    }
}

static void job_end(void *arg)
{
    struct update_job *j = arg;

    j->container->updating = false;
    stats_limits_changed(j->container);
    if (j->r >= 0)
        j->done(j->arg, json_pack("{s:O}", "Warnings", j->warnings), NULL);
    else
        j->done(j->arg, NULL, &j->err);
    if (j->change)
        cgroup_change_free(j->change);
    json_decref(j->from);
    json_decref(j->to);
    json_decref(j->delta);
    json_decref(j->warnings);
    free(j->parent);
    pending_finish(&j->container->update_pending, NULL);
    container_unref(j->container);
    free(j);
}

static void revert_run(void *arg)
{
    struct update_job *j = arg;

    (void)cgroup_change_revert(j->change);
    (void)change_class(j, j->to, j->from, NULL);
    (void)change_devices(j, j->to, j->from, NULL);
}

static int keep(struct container *c, json_t *delta, struct err *reterr)
{
    json_t *from = json_copy(c->host_config);
    int r;

    json_object_update(c->host_config, delta);
    r = record_save_config(c, reterr);
    if (r < 0) {
        json_object_clear(c->host_config);
        json_object_update(c->host_config, from);
    }
    json_decref(from);
    return r;
}

static void after_update(void *arg)
{
    struct update_job *j = arg;
    struct container *c = j->container;
    bool changed; /* in the kernel */

    if (j->r < 0 && j->err.errnum == ENOENT) /* its cgroup went first: it has ended */
        err_set(&j->err, ERR_CONFLICT, ESRCH, "container %s is not running", c->id);
    else if (j->r < 0)
        err_wrap(&j->err, "Cannot update container %s", c->id);
    changed = j->r >= 0 && j->change;
    if (j->r >= 0)
        j->r = keep(c, j->delta, &j->err);
    if (j->r >= 0) {
        container_event(c, "update", NULL);
        if (container_is_up(c))
            shortage_watch(c);
        if (json_get(j->delta, "RestartOnUnhealthy") && c->health.status == SHIM_HEALTH_UNHEALTHY)
            restart_unhealthy(c);
    }
    if (j->r < 0 && changed)
        job_run(c->engine, revert_run, job_end, j);
    else
        job_end(j);
}

/* Zero and null mean "leave it" in an update, as they do for dockerd. */
static bool is_given(const char *key, const json_t *v)
{
    if (!v || json_is_null(v) || (json_is_integer(v) && json_integer_value(v) == 0) ||
        (json_is_string(v) && !*json_string_value(v)) ||
        (json_is_array(v) && json_array_size(v) == 0))
        return false;
    return !streq(key, "RestartPolicy") || *json_get_str(v, "Name", "");
}

/* The members that change, under their right names. */
static json_t *changed_members(const json_t *body)
{
    json_t *out = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(updatable); i++) {
        json_t *v = json_get(body, updatable[i]);

        if (is_given(updatable[i], v))
            json_object_set(out, updatable[i], v);
    }
    return out;
}

/* As for a new container: memory and swap together are twice the memory unless told. */
static void complete(const struct container *c, json_t *delta)
{
    int64_t memory = json_get_int(delta, "Memory", 0);

    if (memory > 0 && memory <= INT64_MAX / 2 && !json_get(delta, "MemorySwap") &&
        json_get_int(c->host_config, "MemorySwap", 0) == 0)
        json_object_set_new(delta, "MemorySwap", json_integer(memory * 2));
}

/* A container that removes itself has nothing to start again. */
static int check_policy(const struct container *c, const json_t *delta, struct err *reterr)
{
    const char *name = json_get_str(json_get(delta, "RestartPolicy"), "Name", "");

    if (!c->auto_remove || !*name || streq(name, "no"))
        return 0;
    return err_set(reterr, ERR_CONFLICT, EINVAL,
                   "Restart policy cannot be updated because AutoRemove is enabled for the "
                   "container");
}

/* Either may be what there is, and the other what is told. */
static int check_unhealthy(const struct container *c, const json_t *delta, struct err *reterr)
{
    const json_t *policy = json_get(delta, "RestartPolicy");
    const char *name =
        json_get_str(policy ? policy : json_get(c->host_config, "RestartPolicy"), "Name", "");

    if (!json_get_bool(delta, "RestartOnUnhealthy",
                       json_get_bool(c->host_config, "RestartOnUnhealthy", false)) ||
        (*name && !streq(name, "no")))
        return 0;
    return err_set(reterr, ERR_INVALID, EINVAL, "RestartOnUnhealthy needs a restart policy");
}

/* What was set earlier and is not told anew rules out some of the new values. */
static int check_conflicts(const struct container *c, const json_t *delta, struct err *reterr)
{
    static const char *const pairs[][3] = {
        {"NanoCpus", "CpuPeriod",
         "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"},
        {"NanoCpus", "CpuQuota",
         "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"},
        {"CpuPeriod", "NanoCpus",
         "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"},
        {"CpuQuota", "NanoCpus",
         "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"},
    };
    int64_t memory = json_get_int(delta, "Memory", 0);
    int64_t swap = json_get_int(c->host_config, "MemorySwap", 0);

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        if (json_get_int(delta, pairs[i][0], 0) > 0 &&
            json_get_int(c->host_config, pairs[i][1], 0) > 0)
            return err_set(reterr, ERR_CONFLICT, EINVAL, "%s", pairs[i][2]);
    }
    if (swap > 0 && memory > swap && json_get_int(delta, "MemorySwap", 0) == 0)
        return err_set(reterr, ERR_CONFLICT, EINVAL,
                       "Memory limit should be smaller than already set memoryswap limit, update "
                       "the memoryswap at the same time");
    if (check_unhealthy(c, delta, reterr) < 0)
        return -EINVAL;
    return check_policy(c, delta, reterr);
}

static int check(struct request *q, struct container *c, const json_t *delta, json_t *warnings,
                 struct err *reterr)
{
    int r = validate_update(q->engine->runtime, q->body, warnings, reterr);

    if (r < 0)
        return r;
    r = check_conflicts(c, delta, reterr);
    return r < 0 ? err_wrap(reterr, "Cannot update container %s", c->id) : 0;
}

static void request_end(struct request *q, const struct err *err)
{
    if (err)
        q->done(q->arg, NULL, err);
    json_decref(q->body);
    free(q->ref);
    free(q);
}

static void start_job(struct request *q, struct container *c, json_t *delta, json_t *warnings)
{
    struct update_job *j = xcalloc(1, sizeof(*j));

    complete(c, delta);
    *j = (struct update_job){.container = container_ref(c),
                             .cgroup = q->engine->cgroup,
                             .from = json_deep_copy(c->host_config),
                             .to = json_deep_copy(c->host_config),
                             .delta = delta,
                             .warnings = warnings,
                             .done = q->done,
                             .arg = q->arg};
    json_object_update(j->to, delta);
    memcpy(j->id, c->id, sizeof(j->id));
    j->parent = xstrdup(json_get_str(c->host_config, "CgroupParent", ""));
    c->updating = true;
    if (container_is_up(c))
        job_run(q->engine, update_run, after_update, j);
    else
        after_update(j);
    request_end(q, NULL);
}

static void begin(struct request *q);

static void again(void *arg, const struct err *err)
{
    (void)err; /* of what was waited for */
    begin(arg);
}

static void begin(struct request *q)
{
    _cleanup_json_ json_t *delta = NULL, *warnings = json_array();
    struct container *c;
    struct err err;
    int r = registry_find(q->engine, q->ref, &c, &err);

    if (r >= 0 && (c->updating || c->starting)) {
        pending_add(c->updating ? &c->update_pending : &c->start_pending, again, q);
        return;
    }
    if (r >= 0)
        r = validate_update_types(q->body, &err);
    if (r >= 0) {
        delta = changed_members(q->body);
        r = check(q, c, delta, warnings, &err);
    }
    if (r < 0)
        request_end(q, &err);
    else
        start_job(q, c, TAKE_PTR(delta), TAKE_PTR(warnings));
}

void engine_container_update(struct engine *e, const char *ref, json_t *body, engine_json_fn *done,
                             void *arg)
{
    struct request *q = xcalloc(1, sizeof(*q));

    *q = (struct request){e, xstrdup(ref), json_incref(body), done, arg};
    begin(q);
}
