#include "driver.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fd.h"
#include "path.h"
#include "str.h"

#define UPPER "upper"
#define WORK "work"
#define MERGED "merged"

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
    /* Loads the module where it is one; opens no mount. */
    fs = (int)syscall(SYS_fsopen, "overlay", 1U /* FSOPEN_CLOEXEC */);
    if (fs < 0 && errno == ENODEV)
        return err_set(reterr, ERR_SYSTEM, ENODEV, "this kernel has no overlay file system");
    /* EPERM: an unprivileged test run, for which only the directories matter. */
    if (fs < 0 && errno != ENOSYS && errno != EPERM)
        return err_sys(reterr, errno, "fsopen overlay");
    return 0;
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

static int overlay_prepare(int containers_fd, const char *id, uid_t uid, gid_t gid,
                           struct err *reterr)
{
    char name[ID_LEN + 32];
    int r;

    leaf(name, id, UPPER);
    r = make_owned(containers_fd, name, 0755, uid, gid, reterr);
    if (r < 0)
        return r;
    leaf(name, id, WORK);
    return make_owned(containers_fd, name, 0700, uid, gid, reterr);
}

/* An untouched writable layer is removed by three rmdirs; the rest is for path_rm_rf(). */
static int remove_dir(int containers_fd, const char *id, const char *name, struct err *reterr)
{
    char path[ID_LEN + 32];
    int r;

    leaf(path, id, name);
    if (unlinkat(containers_fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    r = path_rm_rf(containers_fd, path);
    return r < 0 ? err_sys(reterr, -r, "remove containers/%s", path) : 0;
}

static int overlay_remove(int containers_fd, const char *id, struct err *reterr)
{
    char inner[ID_LEN + 32];
    int r = remove_dir(containers_fd, id, UPPER, reterr);

    if (r < 0)
        return r;
    /* The kernel's own directory inside work, mode 000. */
    leaf(inner, id, WORK "/" WORK);
    unlinkat(containers_fd, inner, AT_REMOVEDIR);
    return remove_dir(containers_fd, id, WORK, reterr);
}

static char *layer_path(const char *root, const char *chain_id)
{
    return xasprintf("%s/" LAYERS_DIR "/%s/" LAYER_DIFF, root, chain_id);
}

static char **overlay_lowers(const char *root, const char *const *chain_ids, size_t n_layers)
{
    char **v = xcalloc(n_layers + 2, sizeof(*v));

    for (size_t i = 0; i < n_layers; i++)
        v[i] = layer_path(root, chain_ids[n_layers - 1 - i]);
    v[n_layers] = xasprintf("%s/" INIT_DIR, root);
    return v;
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
    _cleanup_(strv_freep) char **lowers = overlay_lowers(root, chain_ids, n_layers);
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
    .prepare = overlay_prepare,
    .remove = overlay_remove,
    .upper = UPPER,
    .lowers = overlay_lowers,
    .graph_data = overlay_graph_data,
};
