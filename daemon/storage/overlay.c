#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fd.h"
#include "path.h"
#include "quota.h"
#include "storage_impl.h"
#include "str.h"
#include "usage.h"

#define UPPER "upper"
#define WORK "work"
#define MERGED "merged"
#define PROBE ".overlay-probe"

#define PARTS 3

/* One of the parts that make an overlay, in a directory of the probe's own.  The descriptor must
 * stay open: before Linux 6.5 names are looked up when the file system is created, not before. */
static int probe_part(int dir, int fs, int i, struct err *reterr)
{
    static const struct {
        const char *name, *option;
    } parts[PARTS] = {{"l", "lowerdir"}, {"u", "upperdir"}, {"w", "workdir"}};
    _cleanup_close_ int fd = -EBADF;
    char link[64];

    if (mkdirat(dir, parts[i].name, 0700) < 0 && errno != EEXIST)
        return err_sys(reterr, errno, "mkdir " PROBE "/%s", parts[i].name);
    fd = openat(dir, parts[i].name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    if (fd < 0 || fsconfig(fs, FSCONFIG_SET_STRING, parts[i].option, link, 0) < 0)
        return err_sys(reterr, errno, "overlay's %s", parts[i].option);
    return TAKE_FD(fd);
}

/* Make one and forget it again: only the kernel knows on what it can have an upper directory. */
static int probe_here(int root_fd, const char *root, int fs, struct err *reterr)
{
    _cleanup_close_ int dir = -EBADF;
    int fds[PARTS], n = 0, r;

    if (mkdirat(root_fd, PROBE, 0700) < 0 && errno != EEXIST)
        return err_sys(reterr, errno, "mkdir %s/" PROBE, root);
    dir = openat(root_fd, PROBE, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    r = dir < 0 ? err_sys(reterr, errno, "open %s/" PROBE, root) : 0;
    while (r >= 0 && n < PARTS) {
        r = probe_part(dir, fs, n, reterr);
        if (r >= 0)
            fds[n++] = r;
    }
    if (r >= 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        r = err_set(reterr, ERR_SYSTEM, errno,
                    "overlay cannot have its upper directories in the data root %s (%s): %s: use "
                    "another --data-root or --storage-driver vfs",
                    root, driver_backing_fs(root_fd), err_text(errno));
    /* Opaque directories are marked so. */
    if (r >= 0 && fsetxattr(dir, "trusted.overlay.opaque", "y", 1, 0) < 0)
        r = err_sys(reterr, errno, "the data root %s keeps no extended attributes", root);
    while (n > 0)
        fd_close(fds[--n]);
    path_rm_rf(root_fd, PROBE);
    return r;
}

static int overlay_probe(int root_fd, const char *root, struct err *reterr)
{
    _cleanup_close_ int fs = -EBADF;
    struct statfs sb;

    if (fstatfs(root_fd, &sb) < 0)
        return err_sys(reterr, errno, "statfs %s", root);
    if (sb.f_type == OVERLAYFS_SUPER_MAGIC)
        return err_set(reterr, ERR_SYSTEM, ENOTSUP,
                       "the data root %s is on overlayfs, which cannot hold the upper directories "
                       "of another overlay: use --data-root on a real file system",
                       root);
    /* Loads the module where it is one. */
    fs = fsopen("overlay", FSOPEN_CLOEXEC);
    if (fs < 0 && errno == ENODEV)
        return err_set(reterr, ERR_SYSTEM, ENODEV, "this kernel has no overlay file system");
    /* EPERM: an unprivileged test run, for which only the directories matter. */
    if (fs < 0)
        return errno == EPERM ? 0 : err_sys(reterr, errno, "fsopen overlay");
    return probe_here(root_fd, root, fs, reterr);
}

static void overlay_status(json_t *rows)
{
    static const char *const values[][2] = {{"Supports d_type", "true"},
                                            {"Using metacopy", "false"},
                                            {"Native Overlay Diff", "true"},
                                            {"userxattr", "false"}};

    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        json_array_append_new(rows, json_pack("[s,s]", values[i][0], values[i][1]));
}

static int make_owned(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid,
                      struct err *reterr)
{
    if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
        return err_sys(reterr, errno, "mkdir containers/%s", name);
    if ((uid || gid) && fchownat(dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(reterr, errno, "chown containers/%s", name);
    return 0;
}

static void leaf(char ret[ID_LEN + 32], const char *id, const char *name)
{
    snprintf(ret, ID_LEN + 32, "%.*s/%s", ID_LEN, id, name);
}

static int overlay_limit_probe(int root_fd, struct err *reterr)
{
    return quota_supported(root_fd)
               ? 0
               : err_set(reterr, ERR_INVALID, ENOTSUP,
                         "--storage-opt is supported only for overlay over xfs with 'pquota' "
                         "mount option");
}

/* Both directories, since files are renamed between them.  Each time: the work directory may be
 * another one than at the last start. */
static int limit(struct storage *st, const struct rootfs_spec *spec, struct err *reterr)
{
    char upper[ID_LEN + 32], work[ID_LEN + 32];

    leaf(upper, spec->container_id, UPPER);
    leaf(work, spec->container_id, WORK);
    return quota_limit(st->containers_fd, (const char *const[]){upper, work}, 2, spec->size,
                       reterr);
}

static void overlay_limit_drop(struct storage *st, const char *container_id)
{
    char name[ID_LEN + 32];

    leaf(name, container_id, UPPER);
    quota_forget(st->containers_fd, name);
}

static int overlay_prepare(struct storage *st, const struct rootfs_spec *spec, struct err *reterr)
{
    char name[ID_LEN + 32];
    int r;

    leaf(name, spec->container_id, UPPER);
    r = make_owned(st->containers_fd, name, 0755, spec->uid, spec->gid, reterr);
    if (r < 0)
        return r;
    leaf(name, spec->container_id, WORK);
    r = make_owned(st->containers_fd, name, 0700, spec->uid, spec->gid, reterr);
    return r < 0 || spec->size == 0 ? r : limit(st, spec, reterr);
}

static char **lowers_of(const char *root, const char *const *chain_ids, size_t n_layers)
{
    char **v = xcalloc(n_layers + 2, sizeof(*v));

    for (size_t i = 0; i < n_layers; i++)
        v[i] = driver_layer_path(root, chain_ids[n_layers - 1 - i]);
    v[n_layers] = xasprintf("%s/" INIT_DIR, root);
    return v;
}

static void overlay_dirs(const struct storage *st, const struct rootfs_spec *spec,
                         struct rootfs_dirs *ret)
{
    ret->upper = storage_container_path(st, spec->container_id, UPPER);
    ret->work = storage_container_path(st, spec->container_id, WORK);
    ret->lowers = lowers_of(st->root, spec->chain_ids, spec->n_layers);
}

static int overlay_usage(struct storage *st, const char *container_id, int64_t *ret)
{
    char name[ID_LEN + 32];

    leaf(name, container_id, UPPER);
    return usage_of_tree(st->containers_fd, name, ret);
}

static json_t *path_value(const char *root, const char *id, const char *name)
{
    _cleanup_free_ char *path = xasprintf("%s/containers/%s/%s", root, id, name);

    return json_string(path);
}

static json_t *join_lowers(char *const *lowers, size_t skip, size_t drop_last)
{
    _cleanup_free_ char *s = xstrdup("");
    size_t n = strv_len(lowers);

    for (size_t i = skip; i + drop_last < n; i++) {
        char *next = xasprintf("%s%s%s", s, *s ? ":" : "", lowers[i]);

        free(s);
        s = next;
    }
    return json_string(s);
}

static json_t *overlay_graph_data(const char *root, const char *id, const char *const *chain_ids,
                                  size_t n_layers)
{
    _cleanup_(strv_freep) char **lowers = lowers_of(root, chain_ids, n_layers);
    json_t *data = json_object();

    if (id) {
        json_object_set_new(data, "LowerDir", join_lowers(lowers, 0, 0));
        json_object_set_new(data, "MergedDir", path_value(root, id, MERGED));
        json_object_set_new(data, "UpperDir", path_value(root, id, UPPER));
        json_object_set_new(data, "WorkDir", path_value(root, id, WORK));
        return data;
    }
    /* An image: its top layer plays the upper, and nothing is ever merged. */
    if (n_layers > 1)
        json_object_set_new(data, "LowerDir", join_lowers(lowers, 1, 1));
    if (n_layers > 0) {
        _cleanup_free_ char *merged =
            xasprintf("%s/" LAYERS_DIR "/%s/" MERGED, root, chain_ids[n_layers - 1]);
        _cleanup_free_ char *work =
            xasprintf("%s/" LAYERS_DIR "/%s/" WORK, root, chain_ids[n_layers - 1]);

        json_object_set_new(data, "MergedDir", json_string(merged));
        json_object_set_new(data, "UpperDir", json_string(lowers[0]));
        json_object_set_new(data, "WorkDir", json_string(work));
    }
    return data;
}

const struct driver overlay_driver = {
    .name = "overlay2",
    .aliases = {"overlay2", "overlay", NULL},
    .probe = overlay_probe,
    .status = overlay_status,
    .prepare = overlay_prepare,
    .dirs = overlay_dirs,
    .usage = overlay_usage,
    .limit_probe = overlay_limit_probe,
    .limit_drop = overlay_limit_drop,
    .graph_data = overlay_graph_data,
};
