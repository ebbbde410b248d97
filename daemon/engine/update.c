/* POST /containers/{id}/update: limits of running and stopped containers. */
#include <errno.h>
#include <stdlib.h>

#include "log.h"
#include "private.h"

struct update_job {
    struct container *container; /* a reference; for the loop only */
    const struct cgroup *cgroup;
    char id[ID_LEN + 1];
    char *parent;
    json_t *delta, *warnings;
    engine_json_fn *done;
    void *arg;
    struct err err;
    int r;
};

static void update_run(void *arg)
{
    struct update_job *j = arg;

    j->r = cgroup_update(j->cgroup, j->parent, j->id, j->delta, j->warnings, &j->err);
}

static void after_update(void *arg)
{
    struct update_job *j = arg;
    struct container *c = j->container;

    if (j->r < 0 && j->err.errnum == ENOENT) /* its cgroup went first: it has ended */
        err_set(&j->err, ERR_CONFLICT, ESRCH, "container %s is not running", c->id);
    if (j->r >= 0) {
        json_object_update_existing(c->host_config, j->delta);
        j->r = record_save_config(c, &j->err);
    }
    if (j->r >= 0) {
        container_event(c, "update", NULL);
        j->done(j->arg, json_pack("{s:O}", "Warnings", j->warnings), NULL);
    } else {
        j->done(j->arg, NULL, &j->err);
    }
    json_decref(j->delta);
    json_decref(j->warnings);
    free(j->parent);
    free(j);
    container_unref(c);
}

/* Zero and null mean "leave it" in an update, as they do for dockerd. */
static json_t *changed_members(const json_t *body)
{
    json_t *out = json_object(), *v;
    const char *key;

    json_object_foreach ((json_t *)body, key, v) {
        if (json_is_null(v) || (json_is_integer(v) && json_integer_value(v) == 0) ||
            (json_is_string(v) && !*json_string_value(v)) ||
            (json_is_array(v) && json_array_size(v) == 0))
            continue;
        if (strcasecmp(key, "RestartPolicy") == 0 && !*json_get_str(v, "Name", ""))
            continue;
        json_object_set(out, key, v);
    }
    return out;
}

/* A container that removes itself has nothing to start again. */
static int check_policy(const struct container *c, const json_t *body, struct err *reterr)
{
    const char *name = json_get_str(json_get(body, "RestartPolicy"), "Name", "");

    if (!c->auto_remove || !*name || streq(name, "no"))
        return 0;
    return err_set(reterr, ERR_CONFLICT, EINVAL,
                   "Cannot update container %s: Restart policy cannot be updated because "
                   "AutoRemove is enabled for the container",
                   c->id);
}

void engine_container_update(struct engine *e, const char *ref, json_t *body, engine_json_fn *done,
                             void *arg)
{
    struct container *c;
    struct update_job *j;
    struct err err;
    int r = registry_find(e, ref, &c, &err);

    if (r >= 0)
        r = validate_update_types(body, &err);
    if (r >= 0)
        r = validate_resources(e->runtime, body, &err);
    if (r >= 0)
        r = check_policy(c, body, &err);
    if (r < 0) {
        done(arg, NULL, &err);
        return;
    }
    j = xcalloc(1, sizeof(*j));
    *j = (struct update_job){.container = container_ref(c),
                             .cgroup = e->cgroup,
                             .delta = changed_members(body),
                             .warnings = json_array(),
                             .done = done,
                             .arg = arg};
    memcpy(j->id, c->id, sizeof(j->id));
    j->parent = xstrdup(json_get_str(c->host_config, "CgroupParent", ""));
    if (container_is_up(c))
        job_run(e, update_run, after_update, j);
    else
        after_update(j);
}
