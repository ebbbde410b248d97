/* The directories that a container's root file system is made of, opened for a worker. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "fd.h"
#include "layer_protocol.h"
#include "private.h"

struct open_job {
    struct container *container; /* a reference; for the loop only */
    struct storage *storage;
    char id[ID_LEN + 1];
    uid_t root;  /* host id of the container's root */
    char **dirs; /* owned, top first */
    struct rootfs_fds fds;
    rootfs_fds_fn *done;
    void *arg;
    struct err err;
    int r;
};

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
    size_t n = strv_len(j->dirs);

    if (n > LAYER_LOWERS_MAX + 1) {
        j->r = err_set(&j->err, ERR_SYSTEM, E2BIG, "container %s has too many layers", j->id);
        return;
    }
    /* One that was never started has no directory of its own yet. */
    j->r = storage_rootfs_prepare(j->storage, j->id, j->root, (gid_t)j->root, &j->err);
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
    container_unref(j->container);
    free(j);
}

/* Top first; the container's own before the image's. */
static int list_dirs(struct container *c, bool lowers, char ***ret, struct err *reterr)
{
    _cleanup_(strv_freep) char **chain = NULL, **below = NULL, **dirs = NULL;
    _cleanup_free_ char *upper = container_dir(c, "upper");
    int r;

    dirs = strv_append(NULL, upper);
    if (lowers) {
        r = images_held(c->engine->images, c->id, &chain, reterr);
        if (r < 0)
            return r;
        below =
            storage_rootfs_lowers(c->engine->storage, (const char *const *)chain, strv_len(chain));
        for (size_t i = 0; below[i]; i++)
            dirs = strv_append(dirs, below[i]);
    }
    *ret = TAKE_PTR(dirs);
    return 0;
}

int container_open_rootfs(struct container *c, bool lowers, rootfs_fds_fn *done, void *arg,
                          struct err *reterr)
{
    _cleanup_(strv_freep) char **dirs = NULL;
    struct open_job *j;
    uint32_t base;
    int r;

    if (c->removing)
        return err_set(reterr, ERR_CONFLICT, EBUSY, "container %s is being removed", c->id);
    r = container_idmap(c, &base, reterr);
    if (r >= 0)
        r = list_dirs(c, lowers, &dirs, reterr);
    if (r < 0)
        return r;
    j = xcalloc(1, sizeof(*j));
    *j = (struct open_job){.container = container_ref(c),
                           .storage = c->engine->storage,
                           .root = base,
                           .dirs = TAKE_PTR(dirs),
                           .done = done,
                           .arg = arg};
    memcpy(j->id, c->id, sizeof(j->id));
    if (base > 0) {
        snprintf(j->fds.maps[0], sizeof(j->fds.maps[0]), "--uid-map=0:%u:%u", base, IDMAP_SIZE);
        snprintf(j->fds.maps[1], sizeof(j->fds.maps[1]), "--gid-map=0:%u:%u", base, IDMAP_SIZE);
    }
    return job_run(c->engine, open_run, after_open, j);
}
