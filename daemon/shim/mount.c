#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "fd.h"
#include "mem.h"
#include "sys.h"
#include "text.h"

#define OPTION_MAX 256 /* fsconfig(2) takes no longer strings */
#define LINKS_MAX 16   /* symlinks into the void on the way to one mount target */

int mount_resolve(int root, const char *path, uint64_t flags)
{
    int fd = sys_openat2(root, path, O_PATH | O_CLOEXEC | flags, 0, RESOLVE_IN_ROOT);

    return fd < 0 ? -errno : fd;
}

int mount_beneath(int dir, const char *path)
{
    int fd = sys_openat2(dir, path, O_PATH | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);

    return fd < 0 ? -errno : fd;
}

static bool same_file(int a, int b)
{
    struct stat sa, sb;

    return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

/* Cut the last component of a path off; an empty one for "/", ".", "..". */
static int split(const char *path, char parent[PATH_MAX], char name[256])
{
    size_t end = strlen(path), start;

    while (end > 0 && path[end - 1] == '/')
        end--;
    start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    if (start >= PATH_MAX - 1 || end - start > 255)
        return -ENAMETOOLONG;
    memcpy(name, path + start, end - start);
    name[end - start] = '\0';
    memcpy(parent, path, start);
    parent[start] = '\0';
    if (start == 0)
        memcpy(parent, "/", 2);
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    return 0;
}

/* Where a symlink that leads to nothing points, as a path below the root. */
static int read_dangling(int dir, const char *parent, const char *name, char ret[PATH_MAX])
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

    if (n <= 0)
        return n < 0 && errno != EINVAL ? -errno : -ELOOP;
    target[n] = '\0';
    return text_join(ret, PATH_MAX, target[0] == '/' ? "" : parent, "/", target, NULL);
}

static int make_dirs(int root, const char *path, unsigned *left);

/* A symlink is in the way whose target is not there: make that, as runc does.  The links of one
 * target share a budget: it bounds the depth here, and what an image can make us walk. */
static int make_dangling(int root, int dir, const char *parent, const char *name, unsigned *left)
{
    _cleanup_close_ int fd = -EBADF;
    char target[PATH_MAX];
    int r = *left == 0 ? -ELOOP : read_dangling(dir, parent, name, target);

    if (r < 0)
        return r;
    --*left;
    fd = make_dirs(root, target, left);
    return fd < 0 ? fd : 0;
}

/* The short way, when nothing but the last component is missing; -ENOENT if it is not so simple. */
static int make_last(int root, const char *path)
{
    char parent[PATH_MAX], name[256];
    _cleanup_close_ int dir = -EBADF;

    if (split(path, parent, name) < 0)
        return -ENOENT;
    dir = mount_resolve(root, parent, O_DIRECTORY);
    if (dir < 0 || mkdirat(dir, name, 0755) < 0)
        return -ENOENT;
    return mount_resolve(dir, name, O_DIRECTORY | O_NOFOLLOW);
}

/* mkdir -p, one component at a time: each parent is a descriptor inside the root before the next
 * name is made in it, so that a symlink swapped in by someone else leads nowhere new. */
static int make_dirs(int root, const char *path, unsigned *left)
{
    char prefix[PATH_MAX], parent[PATH_MAX], name[256];
    const char *p = path;
    int fd = mount_resolve(root, path, O_DIRECTORY);

    if (fd == -ENOENT)
        fd = make_last(root, path);
    if (fd != -ENOENT)
        return fd;
    while (*p) {
        _cleanup_close_ int have = -EBADF, dir = -EBADF;
        size_t len;

        p += strspn(p, "/");
        p += strcspn(p, "/");
        len = (size_t)(p - path);
        if (len >= sizeof(prefix))
            return -ENAMETOOLONG;
        memcpy(prefix, path, len);
        prefix[len] = '\0';
        have = mount_resolve(root, prefix, O_DIRECTORY);
        if (have >= 0)
            continue;
        if (have != -ENOENT || split(prefix, parent, name) < 0)
            return have;
        dir = mount_resolve(root, parent, O_DIRECTORY);
        if (dir < 0)
            return dir;
        if (mkdirat(dir, name, 0755) < 0) {
            int r = errno == EEXIST ? make_dangling(root, dir, parent, name, left) : -errno;

            if (r < 0)
                return r;
        }
    }
    return mount_resolve(root, path, O_DIRECTORY);
}

int mount_parent(int root, const char *path, char name[256])
{
    unsigned left = LINKS_MAX;
    char parent[PATH_MAX];
    int r = split(path, parent, name);

    return r < 0 ? r : make_dirs(root, parent, &left);
}

static int make_file(int root, const char *path, unsigned *left)
{
    _cleanup_close_ int dir = -EBADF, fd = -EBADF;
    char parent[PATH_MAX], name[256], target[PATH_MAX];
    int r = split(path, parent, name);

    if (r < 0)
        return r;
    dir = make_dirs(root, parent, left);
    if (dir < 0)
        return dir;
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd >= 0)
        return mount_resolve(root, path, 0);
    if (errno != EEXIST)
        return -errno;
    r = *left == 0 ? -ELOOP : read_dangling(dir, parent, name, target);
    if (r < 0)
        return r;
    --*left;
    return make_file(root, target, left);
}

int mount_target(int root, const char *path, bool directory)
{
    _cleanup_close_ int fd = mount_resolve(root, path, 0);
    unsigned left = LINKS_MAX;
    struct stat st;

    if (fd == -ENOENT)
        fd = directory ? make_dirs(root, path, &left) : make_file(root, path, &left);
    if (fd < 0)
        return TAKE_FD(fd);
    if (same_file(root, fd))
        return -EBUSY;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode))
        return -ELOOP;
    if (S_ISDIR(st.st_mode) != directory)
        return directory ? -ENOTDIR : -EISDIR;
    return TAKE_FD(fd);
}

static int set_option(int fs, const char *option, size_t len)
{
    char buf[OPTION_MAX];
    char *value;

    if (len >= sizeof(buf))
        return -E2BIG;
    memcpy(buf, option, len);
    buf[len] = '\0';
    value = strchr(buf, '=');
    if (value)
        *value++ = '\0';
    if (fsconfig(fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, buf, value, 0) < 0)
        return -errno;
    return 0;
}

uint64_t mount_attr(uint64_t flags)
{
    static const struct {
        uint64_t ms, attr;
    } table[] = {
        {MS_RDONLY, MOUNT_ATTR_RDONLY},         {MS_NOSUID, MOUNT_ATTR_NOSUID},
        {MS_NODEV, MOUNT_ATTR_NODEV},           {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
        {MS_NOATIME, MOUNT_ATTR_NOATIME},       {MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
        {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    };
    uint64_t attr = 0;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (flags & table[i].ms)
            attr |= table[i].attr;
    }
    return attr;
}

int mount_new(const char *type, const char *source, const char *data, uint64_t flags)
{
    _cleanup_close_ int fs = fsopen(type, FSOPEN_CLOEXEC);
    int fd;

    if (fs < 0)
        return -errno;
    if (*source && fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
        return -errno;
    for (const char *p = data; *p;) {
        size_t len = strcspn(p, ",");
        int r = len > 0 ? set_option(fs, p, len) : 0;

        if (r < 0)
            return r;
        p += len + (p[len] == ',');
    }
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)mount_attr(flags));
    return fd < 0 ? -errno : fd;
}

int mount_clone(int dirfd, const char *path, bool recursive)
{
    int fd =
        open_tree(dirfd, path,
                  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                      (unsigned)((*path ? 0 : AT_EMPTY_PATH) | (recursive ? AT_RECURSIVE : 0)));

    return fd < 0 ? -errno : fd;
}

static int set_attr(int fd, struct mount_attr *attr, bool recursive)
{
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

    return mount_setattr(fd, "", flags, attr, sizeof(*attr)) < 0 ? -errno : 0;
}

int mount_set(int fd, uint64_t attr, uint64_t propagation, bool recursive)
{
    struct mount_attr a = {.attr_set = attr, .propagation = propagation};

    return attr || propagation ? set_attr(fd, &a, recursive) : 0;
}

int mount_detach(int fd)
{
    struct mount_attr a = {.attr_clr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                       MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW,
                           .propagation = MS_PRIVATE};

    return set_attr(fd, &a, false);
}

int mount_idmap(int fd, int userns, bool recursive, const char *path, struct err *reterr)
{
    struct mount_attr a = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
    int r = set_attr(fd, &a, recursive);

    if (r == -EINVAL)
        return err_set(reterr, ERR_SYSTEM, EINVAL,
                       "cannot map the owners of %s for a user namespace: this kernel does not do "
                       "that on its file system",
                       path);
    return r < 0 ? err_sys(reterr, -r, "cannot map the owners of %s", path) : 0;
}

int mount_attach(int fd, int target)
{
    if (move_mount(fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

int mount_part(int root, int mount, const char *below)
{
    _cleanup_close_ int fd = -EBADF, part = -EBADF;
    int r = mount_attach(mount, root);

    if (r < 0)
        return r;
    fd = mount_beneath(mount, below);
    part = fd < 0 ? fd : mount_clone(fd, "", false);
    if (fchdir(mount) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return TAKE_FD(part);
}
