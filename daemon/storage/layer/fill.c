#include "fill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "layer_protocol.h"
#include "map.h"
#include "path.h"
#include "str.h"

#define LOWERS_MAX 500
#define LIST_MAX (LOWERS_MAX * PATH_MAX)
#define DEPTH_MAX 256
#define XATTR_MAX 65536
#define COPY_STEP (16 << 20)

struct copy {
    struct map
        links; /* "dev:ino" of files with several names -> path of the first below the volume */
    char path[PATH_MAX]; /* below the volume, for messages and links */
    int root;            /* of the volume */
    int depth;
};

/* ---- the source ---- */

/* By descriptor, so that any number of long paths fits the page that mount(2) takes. */
static int overlay_options(struct buf *ret, struct err *reterr)
{
    _cleanup_free_ char *list = NULL;
    char *line, *save = NULL;
    int n = 0;

    if (file_read(AT_FDCWD, "/proc/self/fd/0", LIST_MAX, &list) < 0)
        return err_sys(reterr, EIO, "read the list of layers");
    for (line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        int fd = open(line, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || n++ == LOWERS_MAX)
            return err_sys(reterr, fd < 0 ? errno : E2BIG, "layer %s", line);
        buf_printf(ret, "%s/proc/self/fd/%d", buf_size(ret) ? ":" : "lowerdir=", fd);
    }
    buf_append_str(ret, ",index=off,metacopy=off,redirect_dir=off");
    return 0;
}

static int open_source(const char *target, int *ret, struct err *reterr)
{
    _cleanup_buf_ struct buf b = {0};
    _cleanup_free_ char *options = NULL;
    _cleanup_close_ int root = -EBADF;
    int r;

    /* First: layers must be opened by the mounts of the namespace that the overlay is made in. */
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_sys(reterr, errno, "cannot make a mount namespace");
    r = overlay_options(&b, reterr);
    if (r < 0)
        return r;
    options = buf_take_str(&b);
    if (mount("overlay", "/tmp", "overlay", MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC, options) <
        0)
        return err_sys(reterr, errno, "cannot mount the image");
    root = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_sys(reterr, errno, "cannot open the image");
    *ret = path_open_in_root(root, target, O_RDONLY | O_DIRECTORY, 0);
    if (*ret == -ENOENT || *ret == -ENOTDIR)
        return 0;
    return *ret < 0 ? err_sys(reterr, -*ret, "cannot open %s in the image", target) : 1;
}

/* ---- one object ---- */

static int fail(const struct copy *c, const char *what, struct err *reterr)
{
    return err_sys(reterr, errno, "%s %s", what, *c->path ? c->path : "the directory");
}

/* user.* and capabilities; overlay's own marks and the host's labels stay behind. */
static bool is_wanted(const char *name)
{
    return str_starts(name, "user.") ? !str_starts(name, "user.overlay.")
                                     : streq(name, "security.capability");
}

static int copy_xattrs(const struct copy *c, int from, int to, struct err *reterr)
{
    static char names[XATTR_MAX], value[XATTR_MAX];
    ssize_t n = flistxattr(from, names, sizeof(names));

    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
        const char *name = names + at;
        ssize_t size;

        if (!is_wanted(name))
            continue;
        size = fgetxattr(from, name, value, sizeof(value));
        if (size >= 0 && fsetxattr(to, name, value, (size_t)size, 0) < 0 && errno != EOPNOTSUPP)
            return fail(c, "set attributes of", reterr);
    }
    return 0;
}

/* chown(2) clears set-id bits and capabilities: it comes first.  Times come last. */
static int copy_meta(const struct copy *c, int from, int to, const struct stat *st,
                     struct err *reterr)
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

static int copy_bytes(const struct copy *c, int from, int to, struct err *reterr)
{
    ssize_t n;

    /* Shared blocks or a copy in the kernel, where the file systems can. */
    while ((n = copy_file_range(from, NULL, to, NULL, COPY_STEP, 0)) > 0)
        ;
    if (n == 0)
        return 0;
    while ((n = sendfile(to, from, NULL, COPY_STEP)) > 0 || (n < 0 && errno == EINTR))
        ;
    return n < 0 ? fail(c, "copy", reterr) : 0;
}

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
    r = copy_bytes(c, from, to, reterr);
    return r < 0 ? r : copy_meta(c, from, to, st, reterr);
}

static int copy_special(const struct copy *c, int from_dir, int to_dir, const char *name,
                        const struct stat *st, struct err *reterr)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    char link[PATH_MAX];
    ssize_t n;

    if (S_ISLNK(st->st_mode)) {
        n = readlinkat(from_dir, name, link, sizeof(link) - 1);
        if (n < 0)
            return fail(c, "read link", reterr);
        link[n] = '\0';
        if (symlinkat(link, to_dir, name) < 0)
            return fail(c, "create", reterr);
    } else if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0 ||
               fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0) {
        return fail(c, "create", reterr);
    }
    if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(c, "set the owner of", reterr);
    return 0;
}

/* 1: made as another name of a file that is there already. */
static int copy_link(struct copy *c, int to_dir, const char *name, const struct stat *st)
{
    _cleanup_free_ char *key =
        xasprintf("%llx:%llx", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
    const char *first = map_get(&c->links, key);

    if (first)
        return linkat(c->root, first, to_dir, name, 0) == 0;
    map_put(&c->links, key, xstrdup(c->path));
    return 0;
}

/* ---- the tree ---- */

static int copy_tree(struct copy *c, int from, int to, struct err *reterr);

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
    r = copy_tree(c, from, to, reterr);
    return r < 0 ? r : copy_meta(c, from, to, st, reterr);
}

static int copy_entry(struct copy *c, int from, int to, const char *name, struct err *reterr)
{
    struct stat st;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(c, "stat", reterr);
    path_rm_rf(to, name); /* of a fill that was broken off */
    if (S_ISDIR(st.st_mode))
        return copy_dir(c, from, to, name, &st, reterr);
    if (st.st_nlink > 1 && copy_link(c, to, name, &st))
        return 0;
    return S_ISREG(st.st_mode) ? copy_file(c, from, to, name, &st, reterr)
                               : copy_special(c, from, to, name, &st, reterr);
}

static int copy_tree(struct copy *c, int from, int to, struct err *reterr)
{
    size_t at = strlen(c->path);
    int fd = fcntl(from, F_DUPFD_CLOEXEC, 0), r = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d) {
        fd_close(fd);
        return fail(c, "list", reterr);
    }
    if (++c->depth > DEPTH_MAX)
        r = err_set(reterr, ERR_INVALID, ELOOP, "%s: too deep", c->path);
    while (r >= 0 && (e = readdir(d))) {
        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
            continue;
        if (at + strlen(e->d_name) + 2 > sizeof(c->path)) {
            r = err_set(reterr, ERR_INVALID, ENAMETOOLONG, "%s: too deep", c->path);
            break;
        }
        sprintf(c->path + at, "%s%s", at ? "/" : "", e->d_name);
        r = copy_entry(c, from, to, e->d_name, reterr);
        c->path[at] = '\0';
    }
    c->depth--;
    closedir(d);
    return r;
}

int fill_volume(const char *target, struct err *reterr)
{
    _cleanup_close_ int from = -EBADF;
    struct copy c = {.root = LAYER_FD_DIR};
    struct stat st;
    int r = open_source(target, &from, reterr);

    if (r <= 0)
        return r;
    umask(0);
    if (fstat(from, &st) < 0)
        return fail(&c, "stat", reterr);
    r = copy_tree(&c, from, LAYER_FD_DIR, reterr);
    return r < 0 ? r : copy_meta(&c, from, LAYER_FD_DIR, &st, reterr);
}
