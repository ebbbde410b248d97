/* Opening a container's own view of its files for a worker: the mount namespace of one that runs, a
 * plan of the mounts of one that does not.
 *
 * Two mounts of one upper directory do not get along.  What only reads has a plan with the upper
 * directory as one more lower; what writes has it for itself: a start waits until it is done, and
 * so does the next one that writes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "layer_protocol.h"
#include "private.h"

struct view_job {
    struct container *container; /* a reference; for the loop only */
    bool writing;
    json_t *points; /* owned: the container's, with the addresses of servers */
    view_fn *done;
    void *arg;

    /* on the pool */
    pid_t pid;  /* of a container that runs, else 0 */
    pid_t shim; /* its parent; 0: not known */
    struct storage *storage;
    char id[ID_LEN + 1];
    uid_t root;
    int64_t size; /* limit of its size */
    struct plan plan;
    json_t *fills; /* volumes that may want their first content, or NULL */
    char **chain;  /* owned; of the image's layers, bottom first */
    char **lowers; /* owned; with fills */
    const char *worker;
    struct view view;
    struct err err;
    int r;
};

static void finish(struct view_job *j)
{
    if (j->r < 0 && j->view.held)
        container_release_view(j->container);
    j->done(j->arg, j->r < 0 ? NULL : &j->view, j->r < 0 ? &j->err : NULL);
    fd_close(j->view.fd);
    plan_done(&j->plan);
    json_decref(j->points);
    json_decref(j->fills);
    strv_free(j->lowers);
    strv_free(j->chain);
    container_unref(j->container);
    free(j);
}

/* ---- on the pool ---- */

static pid_t parent_of(pid_t pid)
{
    _cleanup_free_ char *text = NULL;
    const char *end;
    char path[64];
    int parent;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (file_read(AT_FDCWD, path, 4096, &text) < 0)
        return -1;
    end = strrchr(text, ')'); /* the name before may hold anything */
    return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : -1;
}

/* The number could have been given to another process since we heard of this one last: a child of
 * the shim's is in the container, whichever it is. */
static int open_namespace(struct view_job *j)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", j->pid);
    j->view.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (j->view.fd < 0 || (j->shim > 0 && parent_of(j->pid) != j->shim))
        return err_set(&j->err, ERR_CONFLICT, ESRCH, "container %s has just stopped: try again",
                       j->id);
    return 0;
}

static int open_plan(struct view_job *j)
{
    struct rootfs_spec spec = rootfs_spec_of(j->id, j->chain, j->root, j->size);
    const json_t *p;
    size_t i;

    /* One that was never started has no directory of its own yet, and its volumes may be empty. */
    j->r = storage_rootfs_prepare(j->storage, &spec, &j->err);
    json_array_foreach (j->fills, i, p) {
        if (j->r >= 0)
            j->r = storage_volume_fill(j->storage, json_get_str(p, "Name", ""), j->worker,
                                       j->lowers, json_get_str(p, "Destination", ""), &j->err);
    }
    if (j->r < 0)
        return j->r;
    j->view.fd = plan_memfd(&j->plan);
    return j->view.fd < 0 ? err_sys(&j->err, -j->view.fd, "cannot store the plan") : 0;
}

static void open_run(void *arg)
{
    struct view_job *j = arg;

    j->r = j->view.plan ? open_plan(j) : open_namespace(j);
}

/* ---- on the loop ---- */

static void after_open(void *arg)
{
    struct view_job *j = arg;
    char *trash = NULL;

    if (j->container->gone) {
        /* Its directory may have been made anew. */
        if (j->view.plan && storage_container_remove(j->storage, j->id, &trash, NULL) >= 0 && trash)
            trash_delete(j->container->engine, trash);
        j->r = err_set(&j->err, ERR_NOT_FOUND, ENOENT, "No such container: %s", j->id);
    }
    finish(j);
}

static pid_t shim_of(const struct container *c)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (c->shim.pid > 0)
        return c->shim.pid;
    return c->shim.fd >= 0 && getsockopt(c->shim.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0
               ? peer.pid
               : 0;
}

static int build_plan(struct view_job *j, uint32_t idmap)
{
    struct container *c = j->container;
    _cleanup_(rootfs_dirs_done) struct rootfs_dirs dirs = {0};
    _cleanup_(strv_freep) char **lowers = NULL;
    struct rootfs_spec rootfs;
    struct runtime_spec spec = {.id = c->id,
                                .config = c->config,
                                .host_config = c->host_config,
                                .points = j->points,
                                .idmap_base = idmap,
                                .idmap_size = IDMAP_SIZE};
    int r = images_held(c->engine->images, c->id, &j->chain, &j->err);

    if (r < 0)
        return r;
    rootfs = rootfs_spec_of(c->id, j->chain, idmap, 0);
    j->size = container_size_limit(c);
    storage_rootfs_dirs(c->engine->storage, &rootfs, &dirs);
    if (!j->view.held && dirs.lowers)
        lowers = strv_append(lowers, dirs.upper);
    /* The last one, with the mount points of containers, is none of the image's. */
    for (size_t i = 0; dirs.lowers && dirs.lowers[i] && !(c->bare && i > 0 && !dirs.lowers[i + 1]);
         i++)
        lowers = strv_append(lowers, dirs.lowers[i]);
    /* A whole tree can be mounted twice. */
    spec.upper = j->view.held || !dirs.lowers ? dirs.upper : LAYER_SCRATCH "/upper";
    spec.work = j->view.held ? dirs.work : LAYER_SCRATCH "/work";
    spec.lowers = lowers;
    r = runtime_view_plan(c->engine->runtime, &spec, &j->plan, &j->err);
    mounts_fills(c, &j->fills);
    j->lowers = dirs.lowers ? TAKE_PTR(dirs.lowers) : strv_append(NULL, dirs.upper);
    return r;
}

static void begin(void *arg, const struct err *unused)
{
    struct view_job *j = arg;
    struct container *c = j->container;
    uint32_t idmap = 0;

    (void)unused;
    if (c->engine->closing)
        j->r = err_set(&j->err, ERR_UNAVAILABLE, ESHUTDOWN, "the daemon is shutting down");
    else if (c->removing || c->gone)
        j->r = err_set(&j->err, ERR_CONFLICT, EBUSY, "container %s is being removed", c->id);
    else
        j->r = container_idmap(c, &idmap, &j->err);
    /* Layers are mapped to the container's ids all alike, but its own directory has them already:
     * it cannot be one of them. */
    j->view.held = j->writing || idmap > 0;
    j->view.plan = !container_is_up(c);
    if (j->r >= 0 && (c->starting || (j->view.plan && j->view.held && c->view_held))) {
        pending_add(&c->view_pending, begin, j);
        return;
    }
    j->view.held = j->view.held && j->view.plan;
    j->root = idmap;
    if (j->r >= 0 && j->view.plan)
        j->r = build_plan(j, idmap);
    if (j->r < 0) {
        j->view.held = false;
        finish(j);
        return;
    }
    c->view_held |= j->view.held;
    j->pid = c->pid;
    j->shim = shim_of(c);
    job_run(c->engine, open_run, after_open, j);
}

static void looked_up(void *arg, const struct err *err)
{
    struct view_job *j = arg;

    if (err && !container_is_up(j->container)) {
        j->r = -err->errnum;
        j->err = *err;
        finish(j);
        return;
    }
    begin(j, NULL);
}

/* One that runs has its file systems mounted. */
static void look_up(void *arg)
{
    struct view_job *j = arg;

    if (container_is_up(j->container))
        begin(j, NULL);
    else
        servers_look_up(j->container->engine, j->points, looked_up, j);
}

int container_open_view(struct container *c, bool writing, view_fn *done, void *arg,
                        struct err *reterr)
{
    struct view_job *j;

    if (c->removing)
        return err_set(reterr, ERR_CONFLICT, EBUSY, "container %s is being removed", c->id);
    j = xcalloc(1, sizeof(*j));
    *j = (struct view_job){.container = container_ref(c),
                           .writing = writing,
                           .points = json_deep_copy(c->points),
                           .done = done,
                           .arg = arg,
                           .storage = c->engine->storage,
                           .worker = c->engine->config.worker_path,
                           .view = {.fd = -EBADF}};
    memcpy(j->id, c->id, sizeof(j->id));
    engine_defer(c->engine, look_up, j);
    return 0;
}

void container_views_retry(struct container *c)
{
    pending_finish(&c->view_pending, NULL);
}

void container_release_view(struct container *c)
{
    c->view_held = false;
    /* A start that waits comes first: the others have its result to work with. */
    pending_finish(&c->clean_pending, NULL);
    container_views_retry(c);
}
