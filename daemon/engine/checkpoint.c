/* Checkpoints: a container's processes as files, in a directory each under the container's own or
 * under one that the client names.  The loop decides, the pool runs criu (criu.h), and a restore is
 * the shim's (shim/restore.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint.h"
#include "criu.h"
#include "fd.h"
#include "log.h"
#include "names.h"
#include "private.h"

#define OWN_DIR "checkpoints"
/* Beside the images: what makes a directory a checkpoint, once it has its name.
 * {"Version", "Container", "Image", "Created", "Streams": ["pipe:[1]", ...], "Network"} */
#define MARK "containerd-lite.json"
#define MARK_VERSION 1
#define MARK_MAX 65536
#define CHECKPOINTS_AT_ONCE 2 /* each takes a thread of the pool */
#define NAME_MAX_LEN 128
#define TMP_LEN strlen(".0123456789ab.tmp")

struct checkpoint_job {
    struct container *container; /* a reference; for the loop only */
    char *dir, *name;            /* owned */
    char *made;                  /* owned; a dump: where it is made */
    pid_t pid;
    int pidfd; /* owned; of a dump: its number may be somebody else's by now */
    bool leave_running;
    bool dir_is_new;
    bool busy;          /* a checkpoint of it is being made */
    int64_t started_ns; /* which run of the container is meant */
    char container_name[NAME_MAX_LEN];
    json_t *mark; /* of a dump */
    json_t *list; /* of a listing */
    engine_done_fn *done;
    engine_json_fn *done_list;
    void *arg;
    struct err err;
    int r;
};

static void job_free(struct checkpoint_job *j)
{
    container_unref(j->container);
    json_decref(j->mark);
    json_decref(j->list);
    fd_close(j->pidfd);
    free(j->dir);
    free(j->name);
    free(j->made);
    free(j);
}

/* ---- names ---- */

static int check_name(const char *name, struct err *reterr)
{
    if (name_is_valid(name) && strlen(name) < NAME_MAX_LEN)
        return 0;
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "Invalid checkpoint ID (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
}

static int choose_dir(const struct container *c, const char *wanted, char **ret, struct err *reterr)
{
    if (str_empty(wanted)) {
        *ret = container_dir(c, OWN_DIR);
        return 0;
    }
    if (*wanted != '/' || strlen(wanted) >= PATH_MAX - NAME_MAX_LEN - NAME_MAX)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid checkpoint directory \"%.200s\": it must be an absolute path that "
                       "is not too long",
                       wanted);
    *ret = path_clean(wanted);
    return 0;
}

/* A job about this container's checkpoints; done is called with the error otherwise. */
static int job_new(struct engine *e, const char *ref, const char *dir, struct checkpoint_job **ret,
                   struct err *reterr)
{
    _cleanup_free_ char *path = NULL;
    struct container *c;
    int r = registry_find(e, ref, &c, reterr);

    if (r >= 0)
        r = choose_dir(c, dir, &path, reterr);
    if (r < 0)
        return r;
    *ret = xcalloc(1, sizeof(**ret));
    (*ret)->container = container_ref(c);
    (*ret)->busy = c->checkpointing;
    (*ret)->dir = TAKE_PTR(path);
    (*ret)->pidfd = -EBADF;
    snprintf((*ret)->container_name, sizeof((*ret)->container_name), "%s", c->name);
    return 0;
}

/* ---- what is there; any thread ---- */

/* A directory that a client names may be in a container's hands, too: no link is followed from
 * there, and nobody waits for what is no file. */
static int open_mark(int dirfd, const char *checkpoint)
{
    _cleanup_close_ int dir =
        openat(dirfd, checkpoint, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_close_ int fd = -EBADF;
    struct stat st;

    if (dir < 0)
        return -errno;
    fd = openat(dir, MARK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) && st.st_size <= MARK_MAX ? TAKE_FD(fd) : -EINVAL;
}

static int read_mark(int dirfd, const char *checkpoint, json_t **ret)
{
    _cleanup_close_ int fd = open_mark(dirfd, checkpoint);

    if (fd < 0)
        return fd;
    *ret = json_loadfd(fd, 0, NULL);
    if (json_get_int(*ret, "Version", 0) == MARK_VERSION)
        return 0;
    json_decref(TAKE_PTR(*ret));
    return -EINVAL;
}

/* A daemon that is killed while criu dumps leaves it to finish: a container that has ended by that
 * is not to be lost.  The directory is ".NAME.ID.tmp". */
static void adopt(const char *dir, const char *entry)
{
    size_t n = strlen(entry);
    _cleanup_free_ char *name = n > TMP_LEN + 1 ? xstrndup(entry + 1, n - TMP_LEN - 1) : NULL;
    _cleanup_free_ char *from = path_join(dir, entry), *last = path_join(from, CRIU_FINISHED);
    _cleanup_free_ char *to = name ? path_join(dir, name) : NULL;
    _cleanup_json_ json_t *mark = NULL;

    if (!name || !name_is_valid(name) || access(last, F_OK) < 0 ||
        read_mark(AT_FDCWD, from, &mark) < 0 ||
        renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
        return;
    log_info("checkpoint %s was complete though nobody had waited for it", to);
}

static void adopt_finished(const struct checkpoint_job *j)
{
    DIR *d = j->busy ? NULL : opendir(j->dir);
    const struct dirent *entry;

    while (d && (entry = readdir(d))) {
        if (*entry->d_name == '.' && str_ends(entry->d_name, ".tmp"))
            adopt(j->dir, entry->d_name);
    }
    if (d)
        closedir(d);
}

static int not_there(const struct checkpoint_job *j, struct err *reterr)
{
    return err_set(reterr, ERR_NOT_FOUND, ENOENT, "checkpoint %s does not exist for container %s",
                   j->name, j->container_name);
}

static int find_mark(const struct checkpoint_job *j, json_t **ret, struct err *reterr)
{
    _cleanup_free_ char *path = path_join(j->dir, j->name);

    adopt_finished(j);
    return read_mark(AT_FDCWD, path, ret) < 0 ? not_there(j, reterr) : 0;
}

static void list_run(void *arg)
{
    struct checkpoint_job *j = arg;
    const struct dirent *entry;
    DIR *d;

    adopt_finished(j);
    d = opendir(j->dir);
    j->list = json_array();
    while (d && (entry = readdir(d))) {
        _cleanup_json_ json_t *mark = NULL;

        if (name_is_valid(entry->d_name) && read_mark(dirfd(d), entry->d_name, &mark) >= 0)
            json_array_append_new(j->list, json_pack("{s:s}", "Name", entry->d_name));
    }
    if (d)
        closedir(d);
}

static void after_list(void *arg)
{
    struct checkpoint_job *j = arg;

    j->done_list(j->arg, TAKE_PTR(j->list), NULL);
    job_free(j);
}

void engine_checkpoint_list(struct engine *e, const char *ref, const char *dir,
                            engine_json_fn *done, void *arg)
{
    struct checkpoint_job *j;
    struct err err;

    if (job_new(e, ref, dir, &j, &err) < 0) {
        done(arg, NULL, &err);
        return;
    }
    j->done_list = done;
    j->arg = arg;
    job_run(e, list_run, after_list, j);
}

/* ---- removing ---- */

/* Without its mark first: a half-removed one must not be taken for a whole. */
static int delete_checkpoint(const char *path)
{
    _cleanup_free_ char *mark = path_join(path, MARK);

    if (unlink(mark) < 0 && errno != ENOENT)
        return -errno;
    return path_rm_rf(AT_FDCWD, path);
}

static void remove_run(void *arg)
{
    struct checkpoint_job *j = arg;
    _cleanup_free_ char *path = path_join(j->dir, j->name);
    _cleanup_json_ json_t *mark = NULL;
    int r;

    j->r = find_mark(j, &mark, &j->err);
    if (j->r < 0)
        return;
    r = delete_checkpoint(path);
    if (r < 0)
        j->r = err_sys(&j->err, -r, "cannot remove checkpoint %s", j->name);
}

static void after_remove(void *arg)
{
    struct checkpoint_job *j = arg;

    j->done(j->arg, j->r < 0 ? &j->err : NULL);
    job_free(j);
}

void engine_checkpoint_remove(struct engine *e, const char *ref, const char *name, const char *dir,
                              engine_done_fn *done, void *arg)
{
    struct checkpoint_job *j;
    struct err err;
    int r = job_new(e, ref, dir, &j, &err);

    if (r >= 0 && (r = check_name(name, &err)) < 0)
        job_free(j);
    if (r < 0) {
        done(arg, &err);
        return;
    }
    j->name = xstrdup(name);
    j->done = done;
    j->arg = arg;
    job_run(e, remove_run, after_remove, j);
}

/* ---- making one: on the pool ---- */

static int make_directory(struct checkpoint_job *j)
{
    _cleanup_free_ char *path = path_join(j->dir, j->name);
    int r;

    j->dir_is_new = access(j->dir, F_OK) < 0;
    adopt_finished(j);
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
    _cleanup_free_ char *path = path_join(j->made, MARK), *text = NULL;
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
    job_free(j);
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

static bool has_private(const struct container *c, enum runtime_ns which)
{
    enum runtime_ns_mode mode = runtime_ns_mode(c->host_config, which, NULL);

    return mode == RUNTIME_NS_PRIVATE || mode == RUNTIME_NS_SHAREABLE || mode == RUNTIME_NS_NONE;
}

/* What criu cannot dump, or a restore could not give back. */
static const char *obstacle(const struct container *c)
{
    if (!has_private(c, RUNTIME_NS_PID))
        return "a pid namespace that is not its own";
    if (runtime_ns_mode(c->host_config, RUNTIME_NS_IPC, NULL) == RUNTIME_NS_CONTAINER)
        return "another container's ipc namespace";
    if (streq(json_get_str(c->host_config, "UsernsMode", ""), "auto"))
        return "a user namespace";
    if (json_get_bool(c->host_config, "Init", false))
        return "an init of ours (--init)";
    return NULL;
}

static int check_container(struct container *c, struct err *reterr)
{
    const char *what;

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
    if (c->tty)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "checkpoint not support on containers with tty");
    what = obstacle(c);
    return what ? err_set(reterr, ERR_INVALID, EINVAL,
                          "checkpoints of containers with %s are not supported", what)
                : 0;
}

static int check_create(struct checkpoint_job *j, const char *name, bool own_dir,
                        struct err *reterr)
{
    struct container *c = j->container;
    int r = check_container(c, reterr);

    if (r >= 0)
        r = check_name(name, reterr);
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
    j->made = xasprintf("%s/.%s.%.12s.tmp", j->dir, j->name, c->id);
    j->pid = c->pid;
    j->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    j->started_ns = c->started_ns;
    j->mark = json_pack("{s:i, s:s, s:s, s:I}", "Version", MARK_VERSION, "Container", c->id,
                        "Image", c->image_id, "Created", (json_int_t)time_now_ns());
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
    int r = job_new(e, ref, dir, &j, &err);

    if (r >= 0) {
        j->leave_running = !json_get_bool(body, "Exit", false);
        r = check_create(j, name, str_empty(dir), &err);
    }
    if (r < 0) {
        if (j)
            job_free(j);
        done(arg, &err);
        return;
    }
    j->name = xstrdup(name);
    j->done = done;
    j->arg = arg;
    begin_create(j);
}

/* ---- starting from one ---- */

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
    job_free(j);
}

static void restore_run(void *arg)
{
    struct checkpoint_job *j = arg;
    _cleanup_free_ char *program = NULL;

    j->r = find_mark(j, &j->mark, &j->err);
    if (j->r >= 0)
        j->r = criu_find(&program, &j->err);
    if (j->r < 0)
        return;
    j->r = criu_check(program, &j->err);
    json_object_set_new(j->mark, "Program", json_string(program));
}

static int check_restore(struct container *c, struct err *reterr)
{
    const char *what;

    shim_sync(c);
    if (container_is_up(c))
        return err_set(reterr, ERR_NOT_MODIFIED, EALREADY, "container already started");
    if (c->starting)
        return err_set(reterr, ERR_CONFLICT, EBUSY, "container %s is being started already", c->id);
    what = c->tty ? "a tty" : obstacle(c);
    return what ? err_set(reterr, ERR_INVALID, EINVAL,
                          "checkpoints of containers with %s are not supported", what)
                : 0;
}

void engine_checkpoint_start(struct engine *e, const char *ref, const char *name, const char *dir,
                             engine_done_fn *done, void *arg)
{
    struct checkpoint_job *j = NULL;
    struct err err;
    int r = job_new(e, ref, dir, &j, &err);

    if (r >= 0)
        r = check_name(name, &err);
    if (r >= 0)
        r = check_restore(j->container, &err);
    if (r < 0) {
        if (j)
            job_free(j);
        done(arg, &err);
        return;
    }
    j->name = xstrdup(name);
    j->done = done;
    j->arg = arg;
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
