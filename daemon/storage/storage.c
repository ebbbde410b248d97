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

static const struct driver *const drivers[] = {&overlay_driver};

static const struct {
    const char *name;
    mode_t mode;
} directories[] = {
    {LAYERS_DIR, 0700},
    /* Passable, so that a mapped root reaches its own directory; those are 0710. */
    {"containers", 0711},
    {"tmp", 0700},
    {BLOBS_DIR, 0700},
    {BLOBS_SHA256_DIR, 0700},
    {BLOBS_PARTIAL_DIR, 0700},
    {"volumes", 0700},
    {INIT_DIR, 0755},
    {INIT_DIR "/etc", 0755},
    {INIT_DIR "/dev", 0755},
    {INIT_DIR "/dev/pts", 0755},
    {INIT_DIR "/dev/shm", 0755},
    {INIT_DIR "/proc", 0755},
    {INIT_DIR "/sys", 0755},
};

static const char *const init_files[] = {INIT_DIR "/etc/hosts", INIT_DIR "/etc/hostname",
                                         INIT_DIR "/etc/resolv.conf", INIT_DIR "/dev/console",
                                         INIT_DIR "/.dockerenv" /* programs look for it */};

static int select_driver(const char *name, const struct driver **ret, struct err *reterr)
{
    if (str_empty(name)) {
        *ret = drivers[0];
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        for (const char *const *alias = drivers[i]->aliases; *alias; alias++) {
            if (streq(*alias, name)) {
                *ret = drivers[i];
                return 0;
            }
        }
    }
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "unknown storage driver \"%s\" (this daemon has: overlay2)", name);
}

static int open_dir(int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? -errno : fd;
}

static int make_dirs(struct storage *st, struct err *reterr)
{
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        if (mkdirat(st->root_fd, directories[i].name, directories[i].mode) == 0) {
            /* Exact, whatever the umask. */
            if (fchmodat(st->root_fd, directories[i].name, directories[i].mode, 0) < 0)
                return err_sys(reterr, errno, "chmod %s/%s", st->root, directories[i].name);
        } else if (errno != EEXIST) {
            return err_sys(reterr, errno, "mkdir %s/%s", st->root, directories[i].name);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(init_files); i++) {
        _cleanup_close_ int fd =
            openat(st->root_fd, init_files[i], O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);

        if (fd < 0)
            return err_sys(reterr, errno, "create %s/%s", st->root, init_files[i]);
    }
    if (symlinkat("/proc/mounts", st->root_fd, INIT_DIR "/etc/mtab") < 0 && errno != EEXIST)
        return err_sys(reterr, errno, "create %s/" INIT_DIR "/etc/mtab", st->root);
    return 0;
}

static int open_dirs(struct storage *st, struct err *reterr)
{
    struct {
        int *fd;
        const char *name;
    } v[] = {{&st->layers_fd, LAYERS_DIR},
             {&st->containers_fd, "containers"},
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
    r = select_driver(driver, &st->driver, reterr);
    if (r < 0)
        return r;
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
    r = st->driver->probe(st->root_fd, st->root, reterr);
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
    snprintf(name, sizeof(name), "%s/diff", chain_id);
    return fstatat(st->layers_fd, name, &sb, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(sb.st_mode);
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
    int r = trash ? path_rm_rf_until(st->tmp_fd, trash, &st->stopping) : 0;

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

/* ---- root file systems of containers ---- */

int storage_rootfs_prepare(struct storage *st, const char *container_id, uid_t uid, gid_t gid,
                           struct err *reterr)
{
    if (!str_is_hex(container_id, ID_LEN))
        return err_set(reterr, ERR_INVALID, EINVAL, "bad container id");
    if (mkdirat(st->containers_fd, container_id, 0710) < 0 && errno != EEXIST)
        return err_sys(reterr, errno, "mkdir %s/containers/%s", st->root, container_id);
    /* Only the group is the container's: its root passes through, but never writes here. */
    if (gid && fchownat(st->containers_fd, container_id, 0, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(reterr, errno, "chown %s/containers/%s", st->root, container_id);
    return st->driver->prepare(st->containers_fd, container_id, uid, gid, reterr);
}

char **storage_rootfs_lowers(const struct storage *st, const char *const *chain_ids,
                             size_t n_layers)
{
    return st->driver->lowers(st->root, chain_ids, n_layers);
}

char *storage_container_path(const struct storage *st, const char *container_id, const char *leaf)
{
    return xasprintf("%s/containers/%s%s%s", st->root, container_id, leaf ? "/" : "",
                     leaf ? leaf : "");
}

int storage_rootfs_remove(struct storage *st, const char *container_id, struct err *reterr)
{
    if (!str_is_hex(container_id, ID_LEN))
        return err_set(reterr, ERR_INVALID, EINVAL, "bad container id");
    return st->driver->remove(st->containers_fd, container_id, reterr);
}

int storage_container_remove(struct storage *st, const char *container_id, char **ret_trash,
                             struct err *reterr)
{
    return storage_remove_named(st, st->containers_fd, "containers", container_id, ret_trash,
                                reterr);
}

int storage_rootfs_usage(struct storage *st, const char *container_id, int64_t *ret,
                         struct err *reterr)
{
    char name[ID_LEN + 32];
    int r;

    snprintf(name, sizeof(name), "%.*s/%s", ID_LEN, container_id, st->driver->upper);
    r = usage_of_tree(st->containers_fd, name, ret);
    return r < 0 ? err_sys(reterr, -r, "size of %s/containers/%s", st->root, name) : 0;
}

json_t *storage_graph_data(const struct storage *st, const char *container_id,
                           const char *const *chain_ids, size_t n_layers)
{
    json_t *data = st->driver->graph_data(st->root, container_id, chain_ids, n_layers);

    return json_pack("{s:s,s:o}", "Name", st->driver->name, "Data", data);
}
