#include <errno.h>
#include <stdlib.h>

#include "private.h"
#include "ps.h"

struct top_job {
    const struct cgroup *cgroup;
    char id[ID_LEN + 1];
    char *parent, *ps_args;
    json_t *result;
    engine_json_fn *done;
    void *arg;
    struct err err;
    int r;
};

static void top_run(void *arg)
{
    struct top_job *j = arg;
    _cleanup_free_ pid_t *pids = NULL;
    size_t n = 0;

    j->r = cgroup_pids(j->cgroup, j->parent, j->id, &pids, &n);
    if (j->r == -ENOENT) /* its cgroup went first: it has ended */
        err_set(&j->err, ERR_CONFLICT, ESRCH, "container %s is not running", j->id);
    else if (j->r < 0)
        err_sys(&j->err, -j->r, "cannot list the container's processes");
    else if (streq(j->ps_args, "-ef"))
        j->result = ps_native(pids, n);
    else
        j->r = ps_external(j->ps_args, pids, n, &j->result, &j->err);
}

static void after_top(void *arg)
{
    struct top_job *j = arg;

    j->done(j->arg, j->r < 0 ? NULL : j->result, j->r < 0 ? &j->err : NULL);
    free(j->parent);
    free(j->ps_args);
    free(j);
}

void engine_container_top(struct engine *e, const char *ref, const char *ps_args,
                          engine_json_fn *done, void *arg)
{
    struct container *c;
    struct top_job *j;
    struct err err;
    int r = registry_find(e, ref, &c, &err);

    if (r >= 0) {
        shim_sync(c);
        if (!container_is_up(c))
            r = container_not_running(c, &err);
    }
    if (r < 0) {
        done(arg, NULL, &err);
        return;
    }
    j = xcalloc(1, sizeof(*j));
    *j = (struct top_job){.cgroup = e->cgroup, .done = done, .arg = arg};
    memcpy(j->id, c->id, sizeof(j->id));
    j->parent = xstrdup(json_get_str(c->host_config, "CgroupParent", ""));
    j->ps_args = xstrdup(str_empty(ps_args) ? "-ef" : ps_args);
    job_run(e, top_run, after_top, j);
}
