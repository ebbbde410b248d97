/* The directories that a container's root file system is made of, opened for a worker. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "fd.h"
#include "layer_protocol.h"
#include "log.h"
#include "private.h"

struct open_job {
    struct container *container; /* a reference; for the loop only */
    struct storage *storage;
    char id[ID_LEN + 1];
    uid_t root;   /* host id of the container's root */
    int64_t size; /* limit of its size */
    char **chain; /* owned; of the image's layers, bottom first */
    char **dirs;  /* owned, top first */
    struct rootfs_fds fds;
    rootfs_fds_fn *done;
    void *arg;
    struct err err;
    int r;
};

struct rootfs_spec rootfs_spec_of(const char *id, char *const *chain, uid_t root, int64_t size)
{
    return (struct rootfs_spec){.container_id = id,
                                .chain_ids = (const char *const *)chain,
                                .n_layers = strv_len(chain),
                                .uid = root,
                                .gid = (gid_t)root,
                                .size = size};
}

int64_t container_size_limit(const struct container *c)
{
    int64_t size;
    struct err err = {0};

    /* Checked at create.  Where the file system is mounted without quota since, the container
     * starts without a limit rather than never again. */
    if (storage_size(c->engine->storage, json_get(c->host_config, "StorageOpt"), &size, &err) >= 0)
        return size;
    log_warn("container %s: no limit of its size: %s", c->id, err.message);
    return 0;
}

void rootfs_fds_done(struct rootfs_fds *f)
{
    for (size_t i = 0; i < f->n; i++)
        fd_close(f->fds[i]);
    free(f->fds);
    *f = (struct rootfs_fds){0};
}

static void open_run(void *arg)
{
    struct open_job *j = arg;
    struct rootfs_spec spec = rootfs_spec_of(j->id, j->chain, j->root, j->size);
    size_t n = strv_len(j->dirs);

    if (n > LAYER_LOWERS_MAX + 1) {
        j->r = err_set(&j->err, ERR_SYSTEM, E2BIG, "container %s has too many layers", j->id);
        return;
    }
    /* One that was never started has no directory of its own yet. */
    j->r = storage_rootfs_prepare(j->storage, &spec, &j->err);
    j->fds.fds = xcalloc(n, sizeof(*j->fds.fds));
    while (j->r >= 0 && j->fds.n < n) {
        const char *dir = j->dirs[j->fds.n];
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
            j->r = err_sys(&j->err, errno, "open %s", dir);
        else
            j->fds.fds[j->fds.n++] = fd;
    }
}

static void after_open(void *arg)
{
    struct open_job *j = arg;

    if (j->container->gone) {
        char *trash = NULL;

        /* Its directory may have been made anew. */
        if (storage_container_remove(j->storage, j->id, &trash, NULL) >= 0 && trash)
            trash_delete(j->container->engine, trash);
        j->r = err_set(&j->err, ERR_NOT_FOUND, ENOENT, "No such container: %s", j->id);
    }
    if (j->r < 0)
        rootfs_fds_done(&j->fds);
    j->done(j->arg, j->r < 0 ? NULL : &j->fds, j->r < 0 ? &j->err : NULL);
    rootfs_fds_done(&j->fds);
    strv_free(j->dirs);
    strv_free(j->chain);
    container_unref(j->container);
    free(j);
}

/* Top first; the container's own before the image's. */
static char **list_dirs(const struct rootfs_dirs *of, enum rootfs_use use)
{
    char **dirs = strv_append(NULL, of->upper), **below = NULL;

    if (of->lowers)
        below = use == ROOTFS_LAYER ? NULL : of->lowers;
    else
        below = use == ROOTFS_MERGED ? NULL : of->base;
    for (size_t i = 0; below && below[i]; i++)
        dirs = strv_append(dirs, below[i]);
    return dirs;
}

int container_open_rootfs(struct container *c, enum rootfs_use use, rootfs_fds_fn *done, void *arg,
                          struct err *reterr)
{
    _cleanup_(rootfs_dirs_done) struct rootfs_dirs dirs = {0};
    _cleanup_(strv_freep) char **chain = NULL;
    struct rootfs_spec spec;
    struct open_job *j;
    uint32_t base;
    int r;

    if (c->removing)
        return err_set(reterr, ERR_CONFLICT, EBUSY, "container %s is being removed", c->id);
    r = container_idmap(c, &base, reterr);
    if (r >= 0)
        r = images_held(c->engine->images, c->id, &chain, reterr);
    if (r < 0)
        return r;
    spec = rootfs_spec_of(c->id, chain, base, 0);
    storage_rootfs_dirs(c->engine->storage, &spec, &dirs);
    j = xcalloc(1, sizeof(*j));
    *j = (struct open_job){.container = container_ref(c),
                           .storage = c->engine->storage,
                           .root = base,
                           .size = container_size_limit(c),
                           .chain = TAKE_PTR(chain),
                           .dirs = list_dirs(&dirs, use),
                           .done = done,
                           .arg = arg};
    memcpy(j->id, c->id, sizeof(j->id));
    /* A whole tree is owned as the image says, whoever writes it. */
    if (base > 0 && dirs.lowers) {
        snprintf(j->fds.maps[0], sizeof(j->fds.maps[0]), "--uid-map=0:%u:%u", base, IDMAP_SIZE);
        snprintf(j->fds.maps[1], sizeof(j->fds.maps[1]), "--gid-map=0:%u:%u", base, IDMAP_SIZE);
    }
    if (!dirs.lowers && use != ROOTFS_MERGED)
        snprintf(j->fds.maps[0], sizeof(j->fds.maps[0]), "--whole");
    return job_run(c->engine, open_run, after_open, j);
}
