/* Starting from a checkpoint: the restore itself is the shim's (shim/restore.h). */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "checkpoint.h"
#include "checkpoint_impl.h"
#include "criu.h"
#include "trusted.h"

void checkpoint_forget(struct container *c)
{
    free(TAKE_PTR(c->restore_from));
    json_decref(TAKE_PTR(c->restore_mark));
}

static void restore_ready(void *arg)
{
    struct checkpoint_job *j = arg;
    struct container *c = j->container;

    if (j->r >= 0 && (c->gone || c->starting || container_is_up(c)))
        j->r =
            err_set(&j->err, ERR_CONFLICT, EBUSY, "container %s has been started already", c->id);
    if (j->r < 0) {
        j->done(j->arg, &j->err);
    } else {
        checkpoint_forget(c);
        c->restore_from = path_join(j->dir, j->name);
        c->restore_mark = TAKE_PTR(j->mark);
        restart_by_user(c);
        container_start(c, j->done, j->arg);
        if (!c->starting)
            checkpoint_forget(c);
    }
    checkpoint_job_free(j);
}

static void restore_run(void *arg)
{
    struct checkpoint_job *j = arg;
    _cleanup_free_ char *program = NULL, *images = NULL;

    j->r = checkpoint_find(j, &j->mark, &j->err);
    images = path_join(j->dir, j->name);
    if (j->r >= 0 && trusted_files(images, &j->err) < 0)
        j->r = err_wrap(&j->err, "the checkpoint cannot be used");
    if (j->r >= 0)
        j->r = criu_find(&program, &j->err);
    if (j->r < 0)
        return;
    j->r = criu_check(program, &j->err);
    json_object_set_new(j->mark, "Program", json_string(program));
}

static int check_restore(struct container *c, struct err *reterr)
{
    shim_sync(c);
    if (container_is_up(c))
        return err_set(reterr, ERR_NOT_MODIFIED, EALREADY, "container already started");
    if (c->starting)
        return err_set(reterr, ERR_CONFLICT, EBUSY, "container %s is being started already", c->id);
    return checkpoint_check_possible(c, reterr);
}

void engine_checkpoint_start(struct engine *e, const char *ref, const char *name, const char *dir,
                             engine_done_fn *done, void *arg)
{
    struct checkpoint_job *j = NULL;
    struct err err;
    int r = checkpoint_job_new(e, ref, dir, &j, &err);

    if (r >= 0)
        r = checkpoint_check_name(name, &err);
    if (r >= 0)
        r = check_restore(j->container, &err);
    if (checkpoint_job_named(j, name, r, &err, done, arg))
        job_run(e, restore_run, restore_ready, j);
}

bool checkpoint_plan(struct container *c, struct plan *plan)
{
    _cleanup_free_ char *images = TAKE_PTR(c->restore_from);
    _cleanup_json_ json_t *mark = TAKE_PTR(c->restore_mark);
    const json_t *streams = json_get(mark, "Streams");
    const char *stream[CRIU_STREAMS];

    if (!images)
        return false;
    for (size_t i = 0; i < CRIU_STREAMS; i++) {
        const char *text = json_string_value(json_array_get(streams, i));

        stream[i] = text ? text : "";
    }
    plan_add(plan, PLAN_RESTORE, 0, 0, 0, 0, json_get_str(mark, "Program", ""), images,
             "PATH=" CRIU_PATH, json_get_bool(mark, "Network", false) ? CRIU_NETNS_KEY : "",
             stream[0], stream[1], stream[2], criu_network_lock(), criu_config(), NULL);
    return true;
}

void checkpoint_explain(const char *run_dir, struct err *err)
{
    _cleanup_free_ char *log = path_join(run_dir, CRIU_RESTORE_LOG);

    if (!strstr(err->message, SHIM_RESTORE_FAILED))
        return; /* it did not come to that */
    criu_explain(run_dir, access(log, F_OK) == 0 ? CRIU_RESTORE_LOG : CRIU_RESTORE_OUTPUT,
                 "criu restore failed", err);
    err_wrap(err, "cannot start the container from the checkpoint");
}
