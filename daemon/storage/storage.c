#include "storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver.h"
#include "fd.h"
#include "path.h"
#include "storage_impl.h"
#include "str.h"
#include "usage.h"

static const struct {
    const char *name;
    mode_t mode;
} directories[] = {
    {LAYERS_DIR, 0700},
    /* Passable, so that a mapped root reaches its own directory; those are 0710. */
    {CONTAINERS_DIR, 0711},
    {"tmp", 0700},
    {BLOBS_DIR, 0700},
    {BLOBS_SHA256_DIR, 0700},
    {BLOBS_PARTIAL_DIR, 0700},
    {"volumes", 0700},
    {INIT_DIR, 0755},
};

const struct init_point storage_init_points[] = {
    {"etc", true},          {"dev", true},           {"dev/pts", true},
    {"dev/shm", true},      {"proc", true},          {"sys", true},
    {"etc/hosts", false},   {"etc/hostname", false}, {"etc/resolv.conf", false},
    {"dev/console", false}, {".dockerenv", false}, /* programs look for it */
};
const size_t storage_n_init_points = ARRAY_SIZE(storage_init_points);

static int open_dir(int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? -errno : fd;
}

/* Modes are exact, whatever the umask. */
static int make_dir(struct storage *st, const char *name, mode_t mode, struct err *reterr)
{
    if (mkdirat(st->root_fd, name, mode) < 0)
        return errno == EEXIST ? 0 : err_sys(reterr, errno, "mkdir %s/%s", st->root, name);
    return fchmodat(st->root_fd, name, mode, 0) < 0
               ? err_sys(reterr, errno, "chmod %s/%s", st->root, name)
               : 0;
}

static int make_init(struct storage *st, struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < storage_n_init_points; i++) {
        const struct init_point *p = &storage_init_points[i];
        _cleanup_free_ char *name = path_join(INIT_DIR, p->path);
        _cleanup_close_ int fd = -EBADF;

        if (p->directory) {
            r = make_dir(st, name, 0755, reterr);
            continue;
        }
        fd = openat(st->root_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
            r = err_sys(reterr, errno, "create %s/%s", st->root, name);
    }
    if (r >= 0 && symlinkat(INIT_MTAB, st->root_fd, INIT_DIR "/etc/mtab") < 0 && errno != EEXIST)
        r = err_sys(reterr, errno, "create %s/" INIT_DIR "/etc/mtab", st->root);
    return r;
}

static int make_dirs(struct storage *st, struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(directories); i++)
        r = make_dir(st, directories[i].name, directories[i].mode, reterr);
    return r < 0 ? r : make_init(st, reterr);
}

static int open_dirs(struct storage *st, struct err *reterr)
{
    struct {
        int *fd;
        const char *name;
    } v[] = {{&st->layers_fd, LAYERS_DIR},
             {&st->containers_fd, CONTAINERS_DIR},
             {&st->tmp_fd, "tmp"},
             {&st->blobs_fd, BLOBS_SHA256_DIR},
             {&st->partial_fd, BLOBS_PARTIAL_DIR}};

    for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
        *v[i].fd = open_dir(st->root_fd, v[i].name);
        if (*v[i].fd < 0)
            return err_sys(reterr, -*v[i].fd, "open %s/%s", st->root, v[i].name);
    }
    return 0;
}

int storage_list_dir(int dirfd, char ***ret)
{
    _cleanup_(strv_freep) char **v = NULL;
    int fd = open_dir(dirfd, ".");
    struct dirent *e;
    DIR *d;

    if (fd < 0)
        return fd;
    d = fdopendir(fd);
    if (!d) {
        fd_close(fd);
        return -ENOMEM;
    }
    while ((e = readdir(d))) {
        if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
            v = strv_append(v, e->d_name);
    }
    closedir(d);
    *ret = TAKE_PTR(v);
    return 0;
}

int storage_delete(struct storage *st, int dirfd, const char *name)
{
    if (st->driver->drop)
        st->driver->drop(dirfd, name);
    return path_rm_rf(dirfd, name);
}

/* What a killed daemon left half-made. */
static int list_stale(struct storage *st, struct err *reterr)
{
    int r = storage_list_dir(st->tmp_fd, &st->stale);

    return r < 0 ? err_sys(reterr, -r, "read %s/tmp", st->root) : 0;
}

void storage_delete_stale(struct storage *st)
{
    for (size_t i = 0; st->stale && st->stale[i]; i++)
        storage_trash_remove(st, st->stale[i]);
}

void storage_stop_deleting(struct storage *st)
{
    atomic_store(&st->stopping, true);
}

int storage_open(const char *data_root, const char *driver, struct storage **ret,
                 struct err *reterr)
{
    _cleanup_(storage_closep) struct storage *st = xcalloc(1, sizeof(*st));
    char real[PATH_MAX];
    int r;

    st->root_fd = st->layers_fd = st->containers_fd = -EBADF;
    st->tmp_fd = st->blobs_fd = st->partial_fd = -EBADF;
    r = path_mkdir_p(data_root, 0711);
    if (r < 0)
        return err_sys(reterr, -r, "mkdir %s", data_root);
    /* Real, because overlay's options and the shim want what does not change with a symlink. */
    if (!realpath(data_root, real))
        return err_sys(reterr, errno, "resolve %s", data_root);
    st->root = xstrdup(real);
    st->root_fd = open_dir(AT_FDCWD, st->root);
    if (st->root_fd < 0)
        return err_sys(reterr, -st->root_fd, "open %s", st->root);
    r = driver_select(driver, st->root_fd, st->root, &st->driver, reterr);
    if (r >= 0)
        r = make_dirs(st, reterr);
    if (r >= 0)
        r = open_dirs(st, reterr);
    if (r >= 0)
        r = list_stale(st, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(st);
    return 0;
}

void storage_close(struct storage *st)
{
    fd_close(st->root_fd);
    fd_close(st->layers_fd);
    fd_close(st->containers_fd);
    fd_close(st->tmp_fd);
    fd_close(st->blobs_fd);
    fd_close(st->partial_fd);
    strv_free(st->stale);
    free(st->root);
    free(st);
}

const char *storage_driver_name(const struct storage *st)
{
    return st->driver->name;
}

json_t *storage_driver_status(const struct storage *st)
{
    json_t *rows = json_pack("[[s,s]]", "Backing Filesystem", driver_backing_fs(st->root_fd));

    if (st->driver->status)
        st->driver->status(rows);
    return rows;
}

const char *storage_root(const struct storage *st)
{
    return st->root;
}

/* ---- stages ---- */

int storage_stage_new(struct storage *st, struct stage *ret, struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    char id[ID_LEN + 1];

    id_generate(id);
    if (mkdirat(st->tmp_fd, id, 0700) < 0)
        return err_sys(reterr, errno, "mkdir %s/tmp/%s", st->root, id);
    fd = open_dir(st->tmp_fd, id);
    if (fd < 0) {
        unlinkat(st->tmp_fd, id, AT_REMOVEDIR);
        return err_sys(reterr, -fd, "open %s/tmp/%s", st->root, id);
    }
    ret->path = xasprintf("%s/tmp/%s", st->root, id);
    ret->fd = TAKE_FD(fd);
    return 0;
}

void storage_stage_forget(struct stage *stage)
{
    stage->fd = fd_close(stage->fd);
    free(TAKE_PTR(stage->path));
}

void storage_stage_discard(struct storage *st, struct stage *stage)
{
    if (stage->path)
        storage_trash_remove(st, strrchr(stage->path, '/') + 1);
    storage_stage_forget(stage);
}

/* ---- layers ---- */

int storage_sync(struct storage *st, struct err *reterr)
{
    return syncfs(st->root_fd) < 0 ? err_sys(reterr, errno, "sync %s", st->root) : 0;
}

int storage_layers_fsync(struct storage *st, struct err *reterr)
{
    return fsync(st->layers_fd) < 0 ? err_sys(reterr, errno, "fsync %s/" LAYERS_DIR, st->root) : 0;
}

bool storage_layer_exists(struct storage *st, const char *chain_id)
{
    return str_is_hex(chain_id, CHAIN_ID_LEN) && faccessat(st->layers_fd, chain_id, F_OK, 0) == 0;
}

bool storage_layer_is_whole(struct storage *st, const char *chain_id)
{
    char name[CHAIN_ID_LEN + 8];
    struct stat sb;

    if (!str_is_hex(chain_id, CHAIN_ID_LEN))
        return false;
    snprintf(name, sizeof(name), "%s/" LAYER_DIFF, chain_id);
    return fstatat(st->layers_fd, name, &sb, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(sb.st_mode);
}

bool storage_layers_depend(const struct storage *st)
{
    return st->driver->tree_new;
}

/* The directory that is filled; with subvolumes the worker makes it itself. */
static int make_diff(struct storage *st, int dir)
{
    _cleanup_close_ int fd = -EBADF;

    if (st->driver->subvolumes)
        return fcntl(dir, F_DUPFD_CLOEXEC, 0);
    if (mkdirat(dir, LAYER_DIFF, 0755) < 0)
        return -errno;
    fd = open_dir(dir, LAYER_DIFF);
    if (fd < 0)
        return fd;
    /* The root of a layer whose archive does not mention it: 0755 whatever the umask. */
    return fchmod(fd, 0755) < 0 ? -errno : TAKE_FD(fd);
}

int storage_layer_begin(struct storage *st, struct stage *stage, const char *name,
                        const char **ret_tree, struct err *reterr)
{
    _cleanup_close_ int dir = -EBADF;
    int fd;

    if (mkdirat(stage->fd, name, 0700) < 0)
        return err_sys(reterr, errno, "mkdir %s/%s", stage->path, name);
    dir = open_dir(stage->fd, name);
    fd = dir < 0 ? dir : make_diff(st, dir);
    if (fd < 0)
        return err_sys(reterr, -fd, "make a layer's directory in %s/%s", stage->path, name);
    *ret_tree = st->driver->unpack;
    return fd;
}

int storage_layer_open(struct storage *st, const struct stage *stage, const char *name,
                       const char *chain_id, struct err *reterr)
{
    _cleanup_free_ char *here = xasprintf("%s/" LAYER_DIFF, name ? name : "");
    _cleanup_free_ char *kept = xasprintf("%s/" LAYER_DIFF, chain_id);
    int fd = stage ? open_dir(stage->fd, here) : -ENOENT;

    if (fd == -ENOENT)
        fd = open_dir(st->layers_fd, kept);
    return fd < 0 ? err_sys(reterr, -fd, "open the layer %s/" LAYERS_DIR "/%s", st->root, kept)
                  : fd;
}

int storage_layer_commit(struct storage *st, struct stage *stage, const char *name,
                         const char *chain_id, struct err *reterr)
{
    if (!str_is_hex(chain_id, CHAIN_ID_LEN))
        return err_set(reterr, ERR_INVALID, EINVAL, "bad chain id");
    if (renameat2(stage->fd, name, st->layers_fd, chain_id, RENAME_NOREPLACE) == 0 ||
        errno == EEXIST)
        return 0;
    /* Of two that share a stage the slower one finds the layer instead. */
    if (errno == ENOENT && storage_layer_exists(st, chain_id))
        return 0;
    return err_sys(reterr, errno, "rename to %s/" LAYERS_DIR "/%s", st->root, chain_id);
}

/* Rename dirfd/name into tmp/ under a new name. */
static int move_to_trash(struct storage *st, int dirfd, const char *name, char **ret)
{
    char id[ID_LEN + 1];

    id_generate(id);
    if (renameat(dirfd, name, st->tmp_fd, id) < 0)
        return -errno;
    *ret = xstrdup(id);
    return 0;
}

int storage_trash_remove(struct storage *st, const char *trash)
{
    int r;

    if (!trash)
        return 0;
    if (st->driver->drop)
        st->driver->drop(st->tmp_fd, trash);
    r = path_rm_rf_until(st->tmp_fd, trash, &st->stopping);
    return r == -ECANCELED ? 0 : r; /* the next daemon finds it there */
}

int storage_remove_named(struct storage *st, int dirfd, const char *what, const char *name,
                         char **ret_trash, struct err *reterr)
{
    _cleanup_free_ char *trash = NULL;
    int r = str_is_filename(name) ? move_to_trash(st, dirfd, name, &trash) : -EINVAL;

    if (r == -ENOENT)
        r = 0;
    else if (r >= 0 && !ret_trash)
        r = storage_trash_remove(st, trash);
    if (r < 0)
        return err_sys(reterr, -r, "remove %s/%s/%s", st->root, what, name);
    if (ret_trash)
        *ret_trash = TAKE_PTR(trash);
    return 0;
}

int storage_layer_remove(struct storage *st, const char *chain_id, char **ret_trash,
                         struct err *reterr)
{
    return storage_remove_named(st, st->layers_fd, LAYERS_DIR, chain_id, ret_trash, reterr);
}

int storage_unknown(struct storage *st, int dirfd, const char *what,
                    bool (*known)(void *arg, const char *id), void *arg, char ***ret,
                    struct err *reterr)
{
    _cleanup_(strv_freep) char **all = NULL, **unknown = NULL;
    int r = storage_list_dir(dirfd, &all);

    if (r < 0)
        return err_sys(reterr, -r, "list %s/%s", st->root, what);
    for (size_t i = 0; all && all[i]; i++) {
        if (str_is_hex(all[i], ID_LEN) && !known(arg, all[i]))
            unknown = strv_append(unknown, all[i]);
    }
    *ret = TAKE_PTR(unknown);
    return 0;
}

int storage_layer_orphans(struct storage *st, bool (*known)(void *arg, const char *chain_id),
                          void *arg, char ***ret, struct err *reterr)
{
    return storage_unknown(st, st->layers_fd, LAYERS_DIR, known, arg, ret, reterr);
}

int storage_container_orphans(struct storage *st, bool (*known)(void *arg, const char *id),
                              void *arg, char ***ret, struct err *reterr)
{
    return storage_unknown(st, st->containers_fd, "containers", known, arg, ret, reterr);
}
