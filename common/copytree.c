#include "copytree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fd.h"
#include "map.h"
#include "mem.h"
#include "path.h"
#include "str.h"

#define COPY_STEP (16 << 20)
#define COPY_BUFFER (128 << 10)

struct copy {
    struct map
        links; /* "device:inode" of files with several names -> owned path of the first copy */
    char path[PATH_MAX]; /* below the root, for messages and links */
    int root;            /* of the copy, borrowed */
    dev_t dev;           /* of the original */
    bool replace;
    unsigned depth;
    char names[XATTR_LIST_MAX], value[XATTR_SIZE_MAX], buffer[COPY_BUFFER];
};

static int fail(const struct copy *c, const char *what, struct err *reterr)
{
    return err_sys(reterr, errno, "%s %s", what, *c->path ? c->path : "the directory");
}

/* ---- what a file is besides its bytes ---- */

static bool is_wanted(const char *name)
{
    return str_starts(name, "user.") ? !str_starts(name, "user.overlay.")
                                     : streq(name, "security.capability");
}

static int copy_xattrs(struct copy *c, int from, int to, struct err *reterr)
{
    ssize_t n = flistxattr(from, c->names, sizeof(c->names));

    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(c->names + at) + 1) {
        const char *name = c->names + at;
        ssize_t size;

        if (!is_wanted(name))
            continue;
        size = fgetxattr(from, name, c->value, sizeof(c->value));
        if (size >= 0 && fsetxattr(to, name, c->value, (size_t)size, 0) < 0 && errno != EOPNOTSUPP)
            return fail(c, "set attributes of", reterr);
    }
    return 0;
}

/* chown(2) clears set-id bits and capabilities: it comes first.  Times come last. */
static int copy_meta(struct copy *c, int from, int to, const struct stat *st, struct err *reterr)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    int r;

    if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
        return fail(c, "set the owner of", reterr);
    r = copy_xattrs(c, from, to, reterr);
    if (r < 0)
        return r;
    return futimens(to, times) < 0 ? fail(c, "set the times of", reterr) : 0;
}

/* ---- bytes ---- */

static int copy_by_hand(struct copy *c, int from, int to, off_t at, off_t end, struct err *reterr)
{
    while (at < end) {
        size_t want = end - at < COPY_BUFFER ? (size_t)(end - at) : COPY_BUFFER;
        ssize_t n = pread(from, c->buffer, want, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(c, "read", reterr);
        if (n == 0)
            return 0; /* it has become shorter */
        for (ssize_t done = 0; done < n;) {
            ssize_t w = pwrite(to, c->buffer + done, (size_t)(n - done), at + done);

            if (w < 0 && errno != EINTR)
                return fail(c, "write", reterr);
            done += w > 0 ? w : 0;
        }
        at += n;
    }
    return 0;
}

static int copy_range(struct copy *c, int from, int to, off_t at, off_t end, struct err *reterr)
{
    off_t out = at;

    while (at < end) {
        size_t want = end - at < COPY_STEP ? (size_t)(end - at) : COPY_STEP;
        ssize_t n = copy_file_range(from, &at, to, &out, want, 0);

        if (n < 0 && errno == ENOSPC)
            return fail(c, "write", reterr);
        /* Between some file systems the kernel does not copy, and says so in many ways. */
        if (n <= 0)
            return copy_by_hand(c, from, to, at, end, reterr);
    }
    return 0;
}

/* Holes stay holes: an image may hold a file of terabytes that has no block. */
static int copy_bytes(struct copy *c, int from, int to, off_t size, struct err *reterr)
{
    off_t at = 0, end;

    if (size == 0 || ioctl(to, FICLONE, from) == 0)
        return 0;
    if (ftruncate(to, size) < 0)
        return fail(c, "size", reterr);
    while (at < size) {
        int r;

        at = lseek(from, at, SEEK_DATA);
        if (at < 0)
            return errno == ENXIO ? 0 : fail(c, "read", reterr);
        end = lseek(from, at, SEEK_HOLE);
        if (end < 0)
            return fail(c, "read", reterr);
        r = copy_range(c, from, to, at, end, reterr);
        if (r < 0)
            return r;
        at = end;
    }
    return 0;
}

/* ---- one object ---- */

static int copy_file(struct copy *c, int from_dir, int to_dir, const char *name,
                     const struct stat *st, struct err *reterr)
{
    _cleanup_close_ int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_close_ int to = -EBADF;
    int r;

    if (from < 0)
        return fail(c, "open", reterr);
    to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return fail(c, "create", reterr);
    r = copy_bytes(c, from, to, st->st_size, reterr);
    return r < 0 ? r : copy_meta(c, from, to, st, reterr);
}

static int copy_symlink(struct copy *c, int from_dir, int to_dir, const char *name,
                        struct err *reterr)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

    if (n < 0)
        return fail(c, "read link", reterr);
    target[n] = '\0';
    return symlinkat(target, to_dir, name) < 0 ? fail(c, "create", reterr) : 0;
}

static int copy_special(struct copy *c, int from_dir, int to_dir, const char *name,
                        const struct stat *st, struct err *reterr)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    int r = 0;

    if (S_ISLNK(st->st_mode))
        r = copy_symlink(c, from_dir, to_dir, name, reterr);
    else if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0)
        r = fail(c, "create", reterr);
    if (r < 0)
        return r;
    if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        (!S_ISLNK(st->st_mode) && fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0) ||
        utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(c, "set the owner of", reterr);
    return 0;
}

/* 1: made as another name of a file that was copied already. */
static int copy_link(struct copy *c, int to_dir, const char *name, const struct stat *st)
{
    const char *first;
    char key[40];

    /* An overlay's files have the device numbers of its layers. */
    snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev,
             (unsigned long long)st->st_ino);
    first = map_get(&c->links, key);
    if (first)
        return linkat(c->root, first, to_dir, name, 0) == 0;
    map_put(&c->links, key, xstrdup(c->path));
    return 0;
}

/* ---- the tree ---- */

static int copy_children(struct copy *c, int from, int to, struct err *reterr);

static int copy_dir(struct copy *c, int from_dir, int to_dir, const char *name,
                    const struct stat *st, struct err *reterr)
{
    _cleanup_close_ int from = -EBADF, to = -EBADF;
    int r;

    from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return fail(c, "open", reterr);
    if (mkdirat(to_dir, name, 0700) < 0)
        return fail(c, "create", reterr);
    to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (to < 0)
        return fail(c, "open", reterr);
    r = copy_children(c, from, to, reterr);
    return r < 0 ? r : copy_meta(c, from, to, st, reterr);
}

static int copy_entry(struct copy *c, int from, int to, const char *name, struct err *reterr)
{
    struct stat st;
    int r;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(c, "stat", reterr);
    r = c->replace ? path_rm_rf(to, name) : 0;
    if (r < 0)
        return err_sys(reterr, -r, "replace %s", c->path);
    if (S_ISDIR(st.st_mode))
        return st.st_dev == c->dev ? copy_dir(c, from, to, name, &st, reterr) : 0;
    if (S_ISSOCK(st.st_mode))
        return 0; /* names a process, which is not copied */
    if (st.st_nlink > 1 && copy_link(c, to, name, &st))
        return 0;
    return S_ISREG(st.st_mode) ? copy_file(c, from, to, name, &st, reterr)
                               : copy_special(c, from, to, name, &st, reterr);
}

static int copy_list(struct copy *c, DIR *d, int from, int to, struct err *reterr)
{
    size_t at = strlen(c->path);
    struct dirent *e;
    int r = 0;

    while (r >= 0 && (e = readdir(d))) {
        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
            continue;
        if (at + strlen(e->d_name) + 2 > sizeof(c->path))
            return err_set(reterr, ERR_INVALID, ENAMETOOLONG, "%s: too deep", c->path);
        sprintf(c->path + at, "%s%s", at ? "/" : "", e->d_name);
        r = copy_entry(c, from, to, e->d_name, reterr);
        if (r >= 0)
            c->path[at] = '\0';
    }
    return r;
}

static int copy_children(struct copy *c, int from, int to, struct err *reterr)
{
    int fd, r;
    DIR *d;

    if (c->depth == COPYTREE_DEPTH_MAX)
        return err_set(reterr, ERR_INVALID, ELOOP, "%s: too deep", c->path);
    fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        fd_close(fd);
        return fail(c, "list", reterr);
    }
    c->depth++;
    r = copy_list(c, d, from, to, reterr);
    c->depth--;
    closedir(d);
    return r;
}

static void copy_free(struct copy *c)
{
    struct map_entry *e;

    for (size_t i = 0; (e = map_next(&c->links, &i));)
        free(e->value);
    map_done(&c->links);
    free(c);
}

int copytree_fill(int from, int to, bool replace, struct err *reterr)
{
    struct copy *c = xmalloc(sizeof(*c));
    struct stat st;
    int r;

    c->links = (struct map){0};
    c->path[0] = '\0';
    c->root = to;
    c->replace = replace;
    c->depth = 0;
    if (fstat(from, &st) < 0) {
        r = fail(c, "stat", reterr);
    } else {
        c->dev = st.st_dev;
        r = copy_children(c, from, to, reterr);
        if (r >= 0)
            r = copy_meta(c, from, to, &st, reterr);
    }
    copy_free(c);
    return r;
}
