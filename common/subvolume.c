#include "subvolume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "fd.h"

static int copy_name(char *to, size_t room, const char *name)
{
    size_t n = strlen(name);

    if (n >= room)
        return -ENAMETOOLONG;
    memcpy(to, name, n + 1);
    return 0;
}

int subvolume_new(int parent, int dirfd, const char *name)
{
    struct btrfs_ioctl_vol_args_v2 args = {.fd = parent};
    int r = copy_name(args.name, sizeof(args.name), name);

    if (r < 0)
        return r;
    r = ioctl(dirfd, parent < 0 ? BTRFS_IOC_SUBVOL_CREATE_V2 : BTRFS_IOC_SNAP_CREATE_V2, &args);
    return r < 0 ? -errno : 0;
}

/* Its number, which is that of its quota group too; 0: not known. */
static uint64_t number_of(int dirfd, const char *name)
{
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct btrfs_ioctl_ino_lookup_args args = {.objectid = BTRFS_FIRST_FREE_OBJECTID};

    return fd >= 0 && ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args) >= 0 ? args.treeid : 0;
}

/* Without quotas there is none; from Linux 6.11 on the kernel removes it by itself, when the last
 * block of the subvolume is gone, and does not let us do it before. */
static void forget_group(int dirfd, uint64_t number)
{
    struct btrfs_ioctl_qgroup_create_args args = {.create = 0, .qgroupid = number};

    if (number > 0)
        ioctl(dirfd, BTRFS_IOC_QGROUP_CREATE, &args);
}

int subvolume_remove(int dirfd, const char *name)
{
    struct btrfs_ioctl_vol_args args = {0};
    uint64_t number = number_of(dirfd, name);
    int r = copy_name(args.name, sizeof(args.name), name);

    if (r < 0)
        return r;
    if (ioctl(dirfd, BTRFS_IOC_SNAP_DESTROY, &args) < 0)
        return -errno;
    forget_group(dirfd, number);
    return 0;
}

int subvolume_limit(int dirfd, const char *name, uint64_t size)
{
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct btrfs_ioctl_quota_ctl_args on = {.cmd = BTRFS_QUOTA_CTL_ENABLE};
    /* Group 0: that of the subvolume which fd is on. */
    struct btrfs_ioctl_qgroup_limit_args limit = {
        .lim = {.flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = size}};

    if (fd < 0)
        return -errno;
    /* Nothing happens where they are on. */
    if (ioctl(fd, BTRFS_IOC_QUOTA_CTL, &on) < 0 && errno != EEXIST)
        return -errno;
    return ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &limit) < 0 ? -errno : 0;
}

/* The root directory of each subvolume has this inode number, and nothing else on btrfs has. */
bool subvolume_is(int dirfd, const char *name)
{
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct statfs fs;
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == BTRFS_FIRST_FREE_OBJECTID &&
           fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
}
