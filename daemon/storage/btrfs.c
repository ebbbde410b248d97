/* Each layer and each container is a subvolume, a writable snapshot of the one below: made in the
 * time of one transaction whatever its size, sharing all blocks, and dropped as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fd.h"
#include "storage_impl.h"
#include "str.h"
#include "subvolume.h"
#include "trees.h"

/* tmp/<stage>/<layer>/diff: a subvolume is never further down. */
#define DROP_DEPTH 3

static int btrfs_probe(int root_fd, const char *root, struct err *reterr)
{
    struct statfs sb;

    if (fstatfs(root_fd, &sb) < 0)
        return err_sys(reterr, errno, "statfs %s", root);
    if (sb.f_type != BTRFS_SUPER_MAGIC)
        return err_set(reterr, ERR_INVALID, ENOTSUP,
                       "the storage driver btrfs needs a data root on btrfs; %s is on %s", root,
                       driver_backing_fs(root_fd));
    return 0;
}

static void btrfs_status(json_t *rows)
{
    json_array_append_new(rows, json_pack("[s,s]", "Btrfs", ""));
}

static int btrfs_tree_new(int parent, int dirfd, const char *name, int64_t size, struct err *reterr)
{
    int r = subvolume_new(parent, dirfd, name);

    if (r < 0)
        return err_sys(reterr, -r, "make the subvolume %s", name);
    /* A snapshot has its origin's mode; a new one the umask's. */
    if (parent < 0 && fchmodat(dirfd, name, 0755, 0) < 0)
        return err_sys(reterr, errno, "chmod %s", name);
    r = size > 0 ? subvolume_limit(dirfd, name, (uint64_t)size) : 0;
    return r < 0 ? err_sys(reterr, -r, "limit the size of the subvolume %s", name) : 0;
}

static void drop(int dirfd, const char *name, unsigned depth)
{
    _cleanup_(strv_freep) char **names = NULL;
    _cleanup_close_ int fd = -EBADF;

    /* One that a container has filled with its own is left to the slow way. */
    if (subvolume_is(dirfd, name)) {
        subvolume_remove(dirfd, name);
        return;
    }
    if (depth == DROP_DEPTH)
        return;
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || storage_list_dir(fd, &names) < 0)
        return;
    for (size_t i = 0; names && names[i]; i++)
        drop(fd, names[i], depth + 1);
}

static void btrfs_drop(int dirfd, const char *name)
{
    drop(dirfd, name, 0);
}

const struct driver btrfs_driver = {
    .name = "btrfs",
    .aliases = {"btrfs", NULL},
    .probe = btrfs_probe,
    .status = btrfs_status,
    .unpack = "--subvolume",
    .subvolumes = true,
    .prepare = trees_prepare,
    .dirs = trees_dirs,
    .usage = trees_usage,
    .tree_new = btrfs_tree_new,
    .drop = btrfs_drop,
};
