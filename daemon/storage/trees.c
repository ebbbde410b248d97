#include "trees.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "path.h"
#include "quota.h"
#include "storage_impl.h"
#include "str.h"
#include "usage.h"

#define ROOT "root"
#define ROOT_NEW "root.new"
#define LOWER "lower"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

/* ---- making the root ---- */

static int open_top(struct storage *st, const struct rootfs_spec *spec, struct err *reterr)
{
    _cleanup_free_ char *path = NULL;
    int fd;

    if (spec->n_layers == 0)
        return -EBADF; /* an empty tree */
    path = xasprintf("%s/" LAYER_DIFF, spec->chain_ids[spec->n_layers - 1]);
    fd = openat(st->layers_fd, path, OPEN_DIR);
    return fd < 0 ? err_sys(reterr, errno, "open %s/" LAYERS_DIR "/%s", st->root, path) : fd;
}

/* As the init layer has it, so that it does not count as the container's. */
static void copy_times(int init, const char *path, int parent, const char *base)
{
    struct stat sb;

    if (fstatat(init, path, &sb, AT_SYMLINK_NOFOLLOW) == 0)
        utimensat(parent, base, (struct timespec[]){sb.st_atim, sb.st_mtim}, AT_SYMLINK_NOFOLLOW);
}

static int make_point(int parent, const char *base, const struct init_point *p)
{
    _cleanup_close_ int fd = -EBADF;

    if (!p)
        return symlinkat(INIT_MTAB, parent, base);
    if (p->directory)
        return mkdirat(parent, base, 0755) < 0 ? -1 : fchmodat(parent, base, 0755, 0);
    fd = openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd < 0 ? -1 : fchmod(fd, 0644);
}

/* One of the init layer's names, where the image has none; its parents come before it.  What cannot
 * be made (the image has a file for a parent) is the shim's to refuse when it mounts there.
 * p: NULL for mtab. */
static void add_point(int root, int init, const char *path, const struct init_point *p)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *dir = slash ? xasprintf("%.*s", (int)(slash - path), path) : xstrdup(".");
    _cleanup_close_ int parent = path_open_in_root(root, dir, O_RDONLY | O_DIRECTORY, 0);
    const char *base = slash ? slash + 1 : path;
    struct stat sb;

    if (parent < 0 || fstat(parent, &sb) < 0 || make_point(parent, base, p) < 0)
        return;
    copy_times(init, path, parent, base);
    /* The directory is as it was: nobody has changed it. */
    futimens(parent, (struct timespec[]){sb.st_atim, sb.st_mtim});
}

static int add_init(struct storage *st, int root, struct err *reterr)
{
    _cleanup_close_ int init = openat(st->root_fd, INIT_DIR, OPEN_DIR);

    if (init < 0)
        return err_sys(reterr, errno, "open %s/" INIT_DIR, st->root);
    for (size_t i = 0; i < storage_n_init_points; i++)
        add_point(root, init, storage_init_points[i].path, &storage_init_points[i]);
    add_point(root, init, "etc/mtab", NULL);
    return 0;
}

static int make_root(struct storage *st, const struct rootfs_spec *spec, int dir,
                     struct err *reterr)
{
    _cleanup_close_ int top = open_top(st, spec, reterr), root = -EBADF;
    int r;

    if (top < 0 && spec->n_layers > 0)
        return top;
    r = storage_delete(st, dir, ROOT_NEW); /* of a start that was broken off */
    if (r < 0)
        return err_sys(reterr, -r, "remove " ROOT_NEW);
    r = st->driver->tree_new(top, dir, ROOT_NEW, spec->size, reterr);
    if (r < 0)
        return r;
    root = openat(dir, ROOT_NEW, OPEN_DIR);
    if (root < 0)
        return err_sys(reterr, errno, "open " ROOT_NEW);
    return add_init(st, root, reterr);
}

/* Relative, so that a data root may be moved. */
static int note_lower(const struct rootfs_spec *spec, int dir, struct err *reterr)
{
    _cleanup_free_ char *target = NULL;

    if (spec->n_layers == 0)
        return 0;
    target = xasprintf("../../" LAYERS_DIR "/%s/" LAYER_DIFF, spec->chain_ids[spec->n_layers - 1]);
    unlinkat(dir, LOWER, 0);
    return symlinkat(target, dir, LOWER) < 0 ? err_sys(reterr, errno, "create " LOWER) : 0;
}

int trees_prepare(struct storage *st, const struct rootfs_spec *spec, struct err *reterr)
{
    _cleanup_close_ int dir = openat(st->containers_fd, spec->container_id, OPEN_DIR);
    int r;

    if (dir < 0)
        return err_sys(reterr, errno, "open %s/" CONTAINERS_DIR "/%s", st->root,
                       spec->container_id);
    /* A start and a reader of what never ran may come at once.  Let go with the descriptor. */
    if (flock(dir, LOCK_EX) < 0)
        return err_sys(reterr, errno, "lock %s/" CONTAINERS_DIR "/%s", st->root,
                       spec->container_id);
    if (faccessat(dir, ROOT, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    r = make_root(st, spec, dir, reterr);
    if (r >= 0)
        r = note_lower(spec, dir, reterr);
    if (r >= 0 && renameat(dir, ROOT_NEW, dir, ROOT) < 0)
        r = err_sys(reterr, errno, "rename " ROOT_NEW);
    if (r < 0) {
        storage_delete(st, dir, ROOT_NEW);
        err_wrap(reterr, "make the root file system in %s/" CONTAINERS_DIR "/%s", st->root,
                 spec->container_id);
    }
    return r;
}

void trees_dirs(const struct storage *st, const struct rootfs_spec *spec, struct rootfs_dirs *ret)
{
    size_t n = 0;

    ret->upper = storage_container_path(st, spec->container_id, ROOT);
    ret->base = xcalloc(3, sizeof(*ret->base));
    if (spec->n_layers > 0)
        ret->base[n++] = driver_layer_path(st->root, spec->chain_ids[spec->n_layers - 1]);
    ret->base[n] = xasprintf("%s/" INIT_DIR, st->root);
}

void trees_limit_drop(struct storage *st, const char *container_id)
{
    _cleanup_free_ char *name = path_join(container_id, ROOT);

    quota_forget(st->containers_fd, name);
}

/* ---- what the container has changed ---- */

int trees_usage(struct storage *st, const char *container_id, int64_t *ret)
{
    _cleanup_close_ int dir = openat(st->containers_fd, container_id, OPEN_DIR);
    _cleanup_close_ int root = -EBADF, lower = -EBADF;

    if (dir < 0)
        return -errno;
    root = openat(dir, ROOT, OPEN_DIR);
    if (root < 0)
        return -errno;
    lower = openat(dir, LOWER "/.", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lower < 0 && errno != ENOENT)
        return -errno;
    return usage_of_changes(lower, root, ret);
}
