#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "str.h"

#define MODE_MASK 07777
#define SIZE_UNCHECKED (1LL << 20) /* not worth a system call */

struct timespec entry_mtime(struct archive_entry *e)
{
    return (struct timespec){.tv_sec = archive_entry_mtime(e),
                             .tv_nsec = archive_entry_mtime_nsec(e)};
}

/* (uid_t)-1 means "leave" to chown(2); anything past 32 bits would wrap to somebody else. */
int entry_check_owner(struct archive_entry *e, const char *path, struct err *reterr)
{
    int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);

    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
        return err_set(reterr, ERR_INVALID, ERANGE, "%s: owner %lld:%lld is out of range", path,
                       (long long)uid, (long long)gid);
    return 0;
}

/* trusted.overlay.* from an archive could redirect overlay to other places; labels and ACLs belong
 * to the host that made them. */
bool entry_wants_xattr(const char *name)
{
    if (str_starts(name, "user."))
        return !str_starts(name, "user.overlay.");
    return streq(name, "security.capability");
}

static int apply_xattrs(struct archive_entry *e, int fd, const char *path, struct err *reterr)
{
    const char *name;
    const void *value;
    size_t size;

    if (archive_entry_xattr_reset(e) > XATTRS_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG, "%s: too many extended attributes", path);
    while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
        if (!name || !entry_wants_xattr(name) || fsetxattr(fd, name, value, size, 0) == 0)
            continue;
        /* A file system without user attributes still holds the file, as with dockerd. */
        if (errno != EOPNOTSUPP || streq(name, "security.capability"))
            return err_sys(reterr, errno, "%s: attribute %s", path, name);
    }
    return 0;
}

int entry_apply_fd(struct archive_entry *e, int fd, const char *path, struct err *reterr)
{
    int r = entry_check_owner(e, path, reterr);

    if (r < 0)
        return r;
    if (fchown(fd, (uid_t)archive_entry_uid(e), (gid_t)archive_entry_gid(e)) < 0)
        return err_sys(reterr, errno, "chown %s", path);
    if (fchmod(fd, archive_entry_mode(e) & MODE_MASK) < 0)
        return err_sys(reterr, errno, "chmod %s", path);
    return apply_xattrs(e, fd, path, reterr);
}

int entry_set_time(struct archive_entry *e, int fd, const char *path, struct err *reterr)
{
    struct timespec times[2] = {entry_mtime(e), entry_mtime(e)};

    return futimens(fd, times) < 0 ? err_sys(reterr, errno, "set time of %s", path) : 0;
}

int entry_apply_at(struct archive_entry *e, int dirfd, const char *name, const char *path,
                   struct err *reterr)
{
    struct timespec times[2] = {entry_mtime(e), entry_mtime(e)};
    int r = entry_check_owner(e, path, reterr);

    if (r < 0)
        return r;
    if (fchownat(dirfd, name, (uid_t)archive_entry_uid(e), (gid_t)archive_entry_gid(e),
                 AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(reterr, errno, "chown %s", path);
    if (archive_entry_filetype(e) != AE_IFLNK &&
        fchmodat(dirfd, name, archive_entry_mode(e) & MODE_MASK, 0) < 0)
        return err_sys(reterr, errno, "chmod %s", path);
    if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(reterr, errno, "set time of %s", path);
    return 0;
}

int entry_check_size(struct archive_entry *e, int dirfd, const char *path, int64_t max,
                     struct err *reterr)
{
    int64_t size = archive_entry_size(e);
    struct statvfs vfs;

    if (size < 0 || size > max)
        return err_set(reterr, ERR_INVALID, EFBIG, "%s has %lld bytes", path, (long long)size);
    if (size < SIZE_UNCHECKED || archive_entry_sparse_count(e) > 0 || fstatvfs(dirfd, &vfs) < 0)
        return 0;
    if ((uint64_t)size / vfs.f_frsize >= vfs.f_bfree)
        return err_sys(reterr, ENOSPC, "create %s", path);
    return 0;
}
