#include "quota.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

/* Not among those that administrators give by hand in /etc/projid. */
#define ID_FIRST (1u << 20)
#define ID_MASK (INT32_MAX >> 1)
#define ID_TRIES 64
#define BLOCK 512 /* "basic blocks", the unit of linux/dqblk_xfs.h */

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

/* glibc has no wrapper. */
static int quotactl_fd(int fd, int command, uint32_t id, void *arg)
{
    return syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), id, arg) < 0 ? -errno : 0;
}

bool quota_supported(int fd)
{
    struct fs_quota_statv state = {.qs_version = FS_QSTATV_VERSION1};

    return quotactl_fd(fd, Q_XGETQSTATV, 0, &state) >= 0 && (state.qs_flags & FS_QUOTA_PDQ_ENFD);
}

/* blocks: 0 for no limit. */
static int set_limit(int fd, uint32_t id, uint64_t blocks)
{
    struct fs_disk_quota quota = {.d_version = FS_DQUOT_VERSION,
                                  .d_flags = FS_PROJ_QUOTA,
                                  .d_fieldmask = FS_DQ_BHARD | FS_DQ_BSOFT,
                                  .d_id = id,
                                  .d_blk_hardlimit = blocks,
                                  .d_blk_softlimit = blocks};

    return quotactl_fd(fd, Q_XSETQLIM, id, &quota);
}

static bool is_free(int fd, uint32_t id)
{
    struct fs_disk_quota quota = {0};
    int r = quotactl_fd(fd, Q_XGETQUOTA, id, &quota);

    return r == -ENOENT || (r >= 0 && !quota.d_blk_hardlimit && !quota.d_bcount && !quota.d_icount);
}

/* The limit is what makes the id taken.  No lock: two that look at once would have to draw the same
 * of 2^30 numbers. */
static int take_id(int fd, uint64_t blocks, uint32_t *ret)
{
    int r = -EUSERS;

    for (unsigned i = 0; i < ID_TRIES && r == -EUSERS; i++) {
        uint32_t id;

        if (getrandom(&id, sizeof(id), 0) != sizeof(id))
            return -EIO;
        id = ID_FIRST + (id & ID_MASK);
        if (!is_free(fd, id))
            continue;
        r = set_limit(fd, id, blocks);
        *ret = id;
    }
    return r;
}

static int id_of(int dirfd, const char *name, uint32_t *ret)
{
    _cleanup_close_ int fd = openat(dirfd, name, OPEN_DIR);
    struct fsxattr attr;

    if (fd < 0 || ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
        return -errno;
    *ret = attr.fsx_projid;
    return 0;
}

static int give_id(int dirfd, const char *name, uint32_t id)
{
    _cleanup_close_ int fd = openat(dirfd, name, OPEN_DIR);
    struct fsxattr attr;

    if (fd < 0 || ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
        return -errno;
    if (attr.fsx_projid == id && (attr.fsx_xflags & FS_XFLAG_PROJINHERIT))
        return 0;
    attr.fsx_projid = id;
    attr.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    return ioctl(fd, FS_IOC_FSSETXATTR, &attr) < 0 ? -errno : 0;
}

int quota_limit(int dirfd, const char *const *names, size_t n, int64_t size, struct err *reterr)
{
    uint64_t blocks = ((uint64_t)size + BLOCK - 1) / BLOCK;
    uint32_t id = 0;
    int r = id_of(dirfd, names[0], &id);

    if (r >= 0)
        r = id ? set_limit(dirfd, id, blocks) : take_id(dirfd, blocks, &id);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = give_id(dirfd, names[i], id);
    return r < 0 ? err_sys(reterr, -r, "limit the size of %s", names[0]) : 0;
}

void quota_forget(int dirfd, const char *name)
{
    uint32_t id;

    if (id_of(dirfd, name, &id) >= 0 && id >= ID_FIRST)
        set_limit(dirfd, id, 0);
}
