#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fd.h"
#include "path.h"
#include "str.h"
#include "tree.h"

/* A directory's mode and time are set last: it may be read-only, and files in it change its time.
 */
struct dir_end {
    struct dir_end *next;
    char *path; /* owned */
    mode_t mode;
    int64_t mtime;
};

struct unpacker {
    struct tar_reader *tar;
    int root;
    const char *dir, *from, *as; /* borrowed */
    struct dir_end *dirs;        /* the last one first */
};

/* Below the root and through no symlink: one that came out of the archive leads nowhere. */
static int open_dir(const struct unpacker *u, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    int fd = (int)syscall(SYS_openat2, u->root, *path ? path : ".", &how, sizeof(how));

    return fd < 0 ? -errno : fd;
}

/* "a/b" of "/a//./b/"; NULL if it holds "..". */
static char *clean(const char *name)
{
    char *out = xmalloc(strlen(name) + 1), *to = out;

    while (*name) {
        size_t n = strcspn(name, "/");

        if (n == 2 && memcmp(name, "..", 2) == 0) {
            free(out);
            return NULL;
        }
        if (n > 0 && !(n == 1 && *name == '.')) {
            if (to > out)
                *to++ = '/';
            memcpy(to, name, n);
            to += n;
        }
        name += n;
        name += strspn(name, "/");
    }
    *to = '\0';
    return out;
}

/* Only whole components are replaced; `from` "" is the root of all names. */
static char *rebase(const struct unpacker *u, const char *name)
{
    size_t n = u->from ? strlen(u->from) : 0;

    if (!u->from || !str_starts(name, u->from) || (n > 0 && name[n] && name[n] != '/'))
        return clean(name);
    {
        _cleanup_free_ char *text = xasprintf("%s/%s", u->as, name + n);

        return clean(text);
    }
}

static int breakout(const char *name, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EXDEV, "\"%s\" is outside of the destination", name);
}

/* Parents that are missing are made, one by one from the root. */
static int open_parent(const struct unpacker *u, char *path, const char **ret_base)
{
    char *slash = strrchr(path, '/');
    int fd;

    *ret_base = slash ? slash + 1 : path;
    if (!slash)
        return open_dir(u, "");
    *slash = '\0';
    fd = open_dir(u, path);
    if (fd == -ENOENT) {
        const char *base;
        _cleanup_close_ int up = open_parent(u, path, &base);

        fd = up < 0                                           ? up
             : mkdirat(up, base, 0755) < 0 && errno != EEXIST ? -errno
                                                              : open_dir(u, path);
    }
    *slash = '/';
    return fd;
}

static int check_kind(const struct unpacker *u, int dir, const char *base, const char *path,
                      bool is_dir, struct err *reterr)
{
    struct stat sb;

    if (fstatat(dir, base, &sb, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_sys(reterr, errno, "lstat %s", path);
    if (S_ISDIR(sb.st_mode) != is_dir)
        return err_set(reterr, ERR_INVALID, EEXIST,
                       is_dir ? "cannot overwrite non-directory \"%s/%s\" with directory \"%s\""
                              : "cannot overwrite directory \"%s/%s\" with non-directory \"%s\"",
                       u->dir, path, u->dir);
    if (!is_dir && unlinkat(dir, base, 0) < 0)
        return err_sys(reterr, errno, "remove %s", path);
    return 0;
}

static int write_data(const struct unpacker *u, int fd, const char *path, struct err *reterr)
{
    const char *data;
    ssize_t n;

    while ((n = tar_data(u->tar, &data, reterr)) > 0) {
        int r = fd_write_all(fd, data, (size_t)n);

        if (r < 0)
            return err_sys(reterr, -r, "write %s", path);
    }
    return (int)n;
}

static int make_file(struct unpacker *u, int dir, const char *base, const char *path,
                     const struct tar_entry *e, struct err *reterr)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = e->mtime}};
    _cleanup_close_ int fd =
        openat(dir, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r;

    if (fd < 0)
        return err_sys(reterr, errno, "open %s", path);
    r = write_data(u, fd, path, reterr);
    if (r < 0)
        return r;
    if (fchmod(fd, e->mode) < 0 || futimens(fd, times) < 0)
        return err_sys(reterr, errno, "chmod %s", path);
    return 0;
}

static int make_dir(struct unpacker *u, int dir, const char *base, const char *path,
                    const struct tar_entry *e, struct err *reterr)
{
    struct dir_end *end;

    if (mkdirat(dir, base, 0700) < 0 && errno != EEXIST)
        return err_sys(reterr, errno, "mkdir %s", path);
    end = xcalloc(1, sizeof(*end));
    *end = (struct dir_end){u->dirs, xstrdup(path), e->mode, e->mtime};
    u->dirs = end;
    return 0;
}

static int make_hardlink(struct unpacker *u, int dir, const char *base, const char *path,
                         const struct tar_entry *e, struct err *reterr)
{
    _cleanup_free_ char *target = rebase(u, e->link);
    _cleanup_close_ int from = -EBADF;
    const char *target_base;

    if (!target || !*target)
        return breakout(e->link, reterr);
    from = open_parent(u, target, &target_base);
    if (from < 0 || linkat(from, target_base, dir, base, 0) < 0)
        return err_sys(reterr, from < 0 ? -from : errno, "link %s", path);
    return 0;
}

static int make_symlink(struct unpacker *u, int dir, const char *base, const char *path,
                        const struct tar_entry *e, struct err *reterr)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = e->mtime}};

    (void)u;
    if (symlinkat(e->link, dir, base) < 0)
        return err_sys(reterr, errno, "symlink %s", path);
    utimensat(dir, base, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

static int make_node(struct unpacker *u, int dir, const char *base, const char *path,
                     const struct tar_entry *e, struct err *reterr)
{
    mode_t type = e->type == TAR_CHAR ? S_IFCHR : e->type == TAR_FIFO ? S_IFIFO : S_IFBLK;

    (void)u;
    if (mknodat(dir, base, type | e->mode, makedev(e->major, e->minor)) < 0)
        return err_sys(reterr, errno, "mknod %s", path);
    return 0;
}

static const struct {
    char type;
    int (*make)(struct unpacker *u, int dir, const char *base, const char *path,
                const struct tar_entry *e, struct err *reterr);
} kinds[] = {
    {TAR_FILE, make_file},         {'7', make_file},
    {TAR_DIRECTORY, make_dir},     {TAR_HARDLINK, make_hardlink},
    {TAR_SYMLINK, make_symlink},   {TAR_CHAR, make_node},
    {TAR_BLOCK_DEVICE, make_node}, {TAR_FIFO, make_node},
};

static int unpack_entry(struct unpacker *u, const struct tar_entry *e, struct err *reterr)
{
    _cleanup_free_ char *path = rebase(u, e->name);
    _cleanup_close_ int dir = -EBADF;
    const char *base;
    int r;

    if (!path)
        return breakout(e->name, reterr);
    if (!*path)
        return 0; /* the destination is as it is */
    dir = open_parent(u, path, &base);
    if (dir == -ELOOP || dir == -EXDEV)
        return breakout(e->name, reterr);
    if (dir < 0)
        return err_sys(reterr, -dir, "open %s", path);
    r = check_kind(u, dir, base, path, e->type == TAR_DIRECTORY, reterr);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(kinds); i++) {
        if (kinds[i].type == e->type)
            return kinds[i].make(u, dir, base, path, e, reterr);
    }
    return r < 0 ? r
                 : err_set(reterr, ERR_INVALID, EINVAL, "unhandled tar header type %d", e->type);
}

static void end_dirs(struct unpacker *u)
{
    while (u->dirs) {
        struct dir_end *d = u->dirs;
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = d->mtime}};
        _cleanup_close_ int fd = open_dir(u, d->path);

        if (fd >= 0 && fchmod(fd, d->mode) == 0)
            futimens(fd, times);
        u->dirs = d->next;
        free(d->path);
        free(d);
    }
}

int tree_unpack(struct tar_reader *t, const char *dir, const char *from, const char *as,
                struct err *reterr)
{
    _cleanup_close_ int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct unpacker u = {.tar = t, .root = root, .dir = dir, .from = from, .as = as};
    int r = 1;

    if (root < 0)
        return err_set(reterr, ERR_SYSTEM, errno, "open %s: %s", dir, err_text(errno));
    while (r > 0) {
        _cleanup_tar_entry_ struct tar_entry e = {0};

        r = tar_next(t, &e, reterr);
        if (r > 0 && unpack_entry(&u, &e, reterr) < 0)
            r = -EIO;
    }
    end_dirs(&u);
    return r;
}
