/* Works on any file system: each layer and each container is a full copy, of which only the blocks
 * are shared where the file system can (reflinks: xfs, btrfs, bcachefs ...). */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copytree.h"
#include "fd.h"
#include "quota.h"
#include "trees.h"

static int vfs_probe(int root_fd, const char *root, struct err *reterr)
{
    (void)root_fd, (void)root, (void)reterr;
    return 0;
}

static int vfs_limit_probe(int root_fd, struct err *reterr)
{
    return quota_supported(root_fd)
               ? 0
               : err_set(reterr, ERR_INVALID, ENOTSUP,
                         "Filesystem does not support, or has not enabled quotas");
}

static int vfs_tree_new(int parent, int dirfd, const char *name, int64_t size, struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;

    if (mkdirat(dirfd, name, 0755) < 0)
        return err_sys(reterr, errno, "mkdir %s", name);
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fchmod(fd, 0755) < 0)
        return err_sys(reterr, errno, "open %s", name);
    /* Before there is anything in it: only what is made later belongs to the project. */
    if (size > 0) {
        int r = quota_limit(dirfd, &name, 1, size, reterr);

        if (r < 0)
            return r;
    }
    return parent < 0 ? 0 : copytree_fill(parent, fd, false, reterr);
}

const struct driver vfs_driver = {
    .name = "vfs",
    .aliases = {"vfs", NULL},
    .probe = vfs_probe,
    .unpack = "--whole",
    .prepare = trees_prepare,
    .dirs = trees_dirs,
    .usage = trees_usage,
    .tree_new = vfs_tree_new,
    .limit_probe = vfs_limit_probe,
    .limit_drop = trees_limit_drop,
};
