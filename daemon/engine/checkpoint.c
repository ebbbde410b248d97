/* Making checkpoints: a container's processes as files, in a directory each under the container's
 * own or under one that the client names.  The loop decides, the pool runs criu (criu.h). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint_impl.h"
#include "criu.h"
#include "fd.h"
#include "log.h"

#define CHECKPOINTS_AT_ONCE 2 /* each takes a thread of the pool */

/* ---- making one: on the pool ---- */

static int make_directory(struct checkpoint_job *j)
{
    _cleanup_free_ char *path = NULL, *name = TAKE_PTR(j->made);
    int r = checkpoint_check_dir(j, &j->err);

    if (r < 0)
        return r;
    path = path_join(j->dir, j->name);
    j->made = path_join(j->dir, name);
    j->dir_is_new = access(j->dir, F_OK) < 0;
    checkpoint_adopt_finished(j);
    if (access(path, F_OK) == 0)
        return err_set(&j->err, ERR_CONFLICT, EEXIST,
                       "checkpoint with name %s already exists for container %s", j->name,
                       j->container_name);
    r = path_mkdir_p(j->dir, 0700);
    if (r >= 0)
        r = path_rm_rf(AT_FDCWD, j->made); /* of a daemon that was killed */
    if (r >= 0 && mkdir(j->made, 0700) < 0)
        r = -errno;
    return r < 0 ? err_sys(&j->err, -r, "cannot make the checkpoint directory %s", j->dir) : 0;
}

static int write_mark(struct checkpoint_job *j, const struct criu_outside *o)
{
    _cleanup_free_ char *path = path_join(j->made, CHECKPOINT_MARK), *text = NULL;
    json_t *streams = json_array();
    int r;

    for (int i = 0; i < CRIU_STREAMS; i++)
        json_array_append_new(streams, json_string(o->stream[i]));
    json_object_set_new(j->mark, "Streams", streams);
    json_object_set_new(j->mark, "Network", json_boolean(o->network));
    text = json_to_str(j->mark);
    r = file_replace(AT_FDCWD, path, text, strlen(text), 0600, 1);
    return r < 0 ? err_sys(&j->err, -r, "cannot write %s", path) : 0;
}

/* On the disk, and by its name.  Somebody who looks for checkpoints may have been faster. */
static int name_it(struct checkpoint_job *j)
{
    _cleanup_free_ char *path = path_join(j->dir, j->name);
    _cleanup_close_ int dir = open(j->made, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir >= 0 && syncfs(dir) < 0)
        log_warn("checkpoint %s: %s", j->made, err_text(errno));
    if (rename(j->made, path) < 0 && (errno != ENOENT || access(path, F_OK) < 0))
        return err_sys(&j->err, errno, "cannot name checkpoint %s", j->name);
    return 0;
}

static int check_alive(struct checkpoint_job *j)
{
    struct pollfd p = {.fd = j->pidfd, .events = POLLIN};

    if (j->pidfd >= 0 && poll(&p, 1, 0) == 0)
        return 0;
    return err_set(&j->err, ERR_CONFLICT, ESRCH, "container %s is not running", j->container_name);
}

static int dump(struct checkpoint_job *j)
{
    _cleanup_free_ char *program = NULL;
    _cleanup_(criu_outside_done) struct criu_outside outside = {0};
    struct criu_dump d = {.pid = j->pid, .images = j->made, .leave_running = j->leave_running};
    int r = criu_find(&program, &j->err);

    /* Before anything touches the container. */
    if (r >= 0)
        r = criu_check(program, &j->err);
    if (r >= 0)
        r = check_alive(j);
    if (r >= 0)
        r = criu_look_outside(j->pid, &outside, &j->err);
    if (r >= 0)
        r = write_mark(j, &outside);
    d.program = program;
    if (r >= 0)
        r = check_alive(j); /* criu would kill whoever has the number now */
    if (r >= 0)
        r = criu_dump(&d, &j->err);
    return r < 0 ? r : name_it(j);
}

static void create_run(void *arg)
{
    struct checkpoint_job *j = arg;

    j->r = make_directory(j);
    if (j->r < 0)
        return;
    j->r = dump(j);
    if (j->r < 0) {
        path_rm_rf(AT_FDCWD, j->made);
        if (j->dir_is_new)
            rmdir(j->dir);
    }
}

/* ---- making one: on the loop ---- */

static void create_done(struct checkpoint_job *j)
{
    if (j->r < 0)
        err_wrap(&j->err, "cannot checkpoint container %s", j->container_name);
    j->done(j->arg, j->r < 0 ? &j->err : NULL);
    checkpoint_job_free(j);
}

static void ended(void *arg, const struct err *err)
{
    (void)err;
    create_done(arg);
}

/* Its policy may start it again, after all. */
static void take_back_stop(struct container *c)
{
    struct err err;

    c->stopped_by_user = false;
    if (record_save_state(c, &err) < 0)
        log_error("container %s: %s", c->id, err.message);
}

static void after_create(void *arg)
{
    struct checkpoint_job *j = arg;
    struct container *c = j->container;
    bool same_run = container_is_up(c) && c->started_ns == j->started_ns;

    c->engine->n_dumps--;
    c->checkpointing = false;
    health_hold(c, false);
    if (j->r < 0 && !j->leave_running && same_run && c->stopped_by_checkpoint)
        take_back_stop(c);
    c->stopped_by_checkpoint = false;
    if (j->r >= 0 && !c->gone)
        container_event(c, "checkpoint", NULL);
    /* criu has killed it: whoever made the checkpoint finds it ended. */
    if (j->r >= 0 && !j->leave_running && (same_run || c->exiting))
        pending_add(&c->exit_pending, ended, j);
    else
        create_done(j);
}

static int check_container(struct container *c, struct err *reterr)
{
    shim_sync(c);
    if (!container_is_up(c) || c->exiting || c->killed)
        return container_not_running(c, reterr);
    if (c->status == STATUS_PAUSED || c->freezing)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "container %s is paused: unpause the container before making a checkpoint",
                       c->id);
    if (c->checkpointing)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "a checkpoint of container %s is being made already", c->id);
    return checkpoint_check_possible(c, reterr);
}

static int check_create(struct checkpoint_job *j, const char *name, bool own_dir,
                        struct err *reterr)
{
    struct container *c = j->container;
    int r = check_container(c, reterr);

    if (r >= 0)
        r = checkpoint_check_name(name, reterr);
    if (r >= 0 && !j->leave_running && own_dir && (c->auto_remove || c->remove_after_exit))
        r = err_set(reterr, ERR_CONFLICT, EBUSY,
                    "container %s is removed when it ends, and the checkpoint with it: leave it "
                    "running, or name a checkpoint directory",
                    c->id);
    if (r >= 0 && c->engine->n_dumps >= CHECKPOINTS_AT_ONCE)
        r = err_set(reterr, ERR_UNAVAILABLE, EBUSY, "%d checkpoints are being made already",
                    CHECKPOINTS_AT_ONCE);
    return r;
}

static void begin_create(struct checkpoint_job *j)
{
    struct container *c = j->container;

    /* Two containers may be given the same directory. */
    j->made = xasprintf(".%s.%.12s.tmp", j->name, c->id);
    j->pid = c->pid;
    j->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    j->started_ns = c->started_ns;
    j->mark = json_pack("{s:i, s:s, s:s, s:I}", "Version", CHECKPOINT_MARK_VERSION, "Container",
                        c->id, "Image", c->image_id, "Created", (json_int_t)time_now_ns());
    c->engine->n_dumps++;
    c->checkpointing = true;
    health_hold(c, true);
    /* It is not to come back by its restart policy. */
    if (!j->leave_running && !c->stopped_by_user) {
        restart_stopped_by_user(c);
        c->stopped_by_checkpoint = true;
    }
    job_run(c->engine, create_run, after_create, j);
}

void engine_checkpoint_create(struct engine *e, const char *ref, const json_t *body,
                              engine_done_fn *done, void *arg)
{
    const char *name = json_get_str(body, "CheckpointID", "");
    const char *dir = json_get_str(body, "CheckpointDir", "");
    struct checkpoint_job *j = NULL;
    struct err err;
    int r = checkpoint_job_new(e, ref, dir, &j, &err);

    if (r >= 0) {
        j->leave_running = !json_get_bool(body, "Exit", false);
        r = check_create(j, name, str_empty(dir), &err);
    }
    if (checkpoint_job_named(j, name, r, &err, done, arg))
        begin_create(j);
}
