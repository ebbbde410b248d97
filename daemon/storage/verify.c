/* Is a layer in the store what its blob unpacks to?  It was unpacked once more, beside it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "compare.h"
#include "fd.h"
#include "storage_impl.h"
#include "str.h"

#define BUFFER ((size_t)128 << 10)

struct verify {
    const atomic_bool *stop;
    char *a, *b; /* owned; BUFFER bytes each */
    unsigned depth;
    char path[PATH_MAX]; /* of the first difference when it ends */
};

#define OPEN_FLAGS (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

/* ---- attributes ---- */

/* Those that come out of an archive or are made of it; labels belong to the place. */
static bool is_ours(const char *name)
{
    return str_starts(name, "user.") || streq(name, "security.capability") ||
           streq(name, "trusted.overlay.opaque");
}

/* Does b have all those of a, and how many are they? */
static int covers(struct verify *v, const char *a, const char *b, size_t *ret_n)
{
    _cleanup_free_ char *names = xmalloc(XATTR_LIST_MAX);
    ssize_t len = llistxattr(a, names, XATTR_LIST_MAX);

    *ret_n = 0;
    if (len < 0)
        return errno == ENOTSUP ? 1 : -errno;
    for (const char *name = names; name < names + len; name += strlen(name) + 1) {
        ssize_t na, nb;

        if (!is_ours(name))
            continue;
        ++*ret_n;
        na = lgetxattr(a, name, v->a, XATTR_SIZE_MAX);
        nb = lgetxattr(b, name, v->b, XATTR_SIZE_MAX);
        if (na < 0 || na != nb || memcmp(v->a, v->b, (size_t)na) != 0)
            return 0;
    }
    return 1;
}

/* Paths below /proc/self/fd, because there is no way to read those of a symlink or device by
 * descriptor alone. */
static int same_attributes(struct verify *v, int a, int b, const char *name)
{
    _cleanup_free_ char *pa = xasprintf("/proc/self/fd/%d/%s", a, name);
    _cleanup_free_ char *pb = xasprintf("/proc/self/fd/%d/%s", b, name);
    size_t na, nb;
    int r = covers(v, pa, pb, &na);

    return r <= 0 ? r : (r = covers(v, pb, pa, &nb)) <= 0 ? r : na == nb;
}

/* ---- content ---- */

/* The next byte at or after `at` that either has for data; size: there is none. */
static off_t skip_holes(int a, int b, off_t at, off_t size)
{
    off_t x = lseek(a, at, SEEK_DATA), y = lseek(b, at, SEEK_DATA);

    if (x < 0)
        x = errno == ENXIO ? size : at;
    if (y < 0)
        y = errno == ENXIO ? size : at;
    return x < y ? x : y;
}

static int same_bytes(struct verify *v, int a, int b, off_t size)
{
    for (off_t at = 0; (at = skip_holes(a, b, at, size)) < size;) {
        ssize_t n = pread(a, v->a, BUFFER, at), m;

        if (atomic_load(v->stop))
            return -ECANCELED;
        m = n > 0 ? pread(b, v->b, (size_t)n, at) : n;
        /* What cannot be read is as good as wrong. */
        if (n <= 0 || m != n || memcmp(v->a, v->b, (size_t)n) != 0)
            return 0;
        at += n;
    }
    return 1;
}

static int same_file(struct verify *v, int a, int b, const char *name, off_t size)
{
    _cleanup_close_ int fa = openat(a, name, O_RDONLY | OPEN_FLAGS);
    _cleanup_close_ int fb = openat(b, name, O_RDONLY | OPEN_FLAGS);

    if (fa < 0)
        return -errno;
    return fb < 0 ? 0 : same_bytes(v, fa, fb, size);
}

static int same_link(struct verify *v, int a, int b, const char *name)
{
    ssize_t n = readlinkat(a, name, v->a, PATH_MAX), m = readlinkat(b, name, v->b, PATH_MAX);

    return n < 0 ? -errno : n == m && memcmp(v->a, v->b, (size_t)n) == 0;
}

/* ---- names ---- */

/* Times of directories and of whiteouts may be those of the unpacking. */
static bool same_stat(const struct stat *a, const struct stat *b)
{
    bool timed = S_ISREG(a->st_mode) || S_ISLNK(a->st_mode);

    if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid ||
        a->st_rdev != b->st_rdev)
        return false;
    return !timed ||
           (a->st_size == b->st_size && a->st_nlink == b->st_nlink &&
            a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec);
}

static int same_dirs(struct verify *v, int a, int b);

static int descend(struct verify *v, int a, int b, const char *name)
{
    _cleanup_close_ int da = -EBADF, db = -EBADF;
    int r;

    if (v->depth == COMPARE_DEPTH_MAX)
        return 1;
    da = openat(a, name, O_RDONLY | O_DIRECTORY | OPEN_FLAGS);
    db = openat(b, name, O_RDONLY | O_DIRECTORY | OPEN_FLAGS);
    if (da < 0 || db < 0)
        return -errno;
    v->depth++;
    r = same_dirs(v, da, db);
    v->depth--;
    return r;
}

static int same_name(struct verify *v, int a, int b, const char *name)
{
    struct stat sa, sb;
    int r;

    if (atomic_load(v->stop))
        return -ECANCELED;
    if (fstatat(a, name, &sa, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (fstatat(b, name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!same_stat(&sa, &sb))
        return 0;
    r = same_attributes(v, a, b, name);
    if (r <= 0)
        return r;
    if (S_ISREG(sa.st_mode))
        return same_file(v, a, b, name, sa.st_size);
    if (S_ISLNK(sa.st_mode))
        return same_link(v, a, b, name);
    return S_ISDIR(sa.st_mode) ? descend(v, a, b, name) : 1;
}

static int open_list(int fd, DIR **ret)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (copy < 0)
        return -errno;
    *ret = fdopendir(copy);
    if (!*ret)
        fd_close(copy);
    return *ret ? 0 : -ENOMEM;
}

/* Each name of `listed`, which is a or b.  The path stays where it ended. */
static int each_name(struct verify *v, int listed, int a, int b,
                     int (*fn)(struct verify *v, int a, int b, const char *name))
{
    size_t at = strlen(v->path);
    struct dirent *e;
    DIR *d = NULL;
    int r = open_list(listed, &d);

    if (r < 0)
        return r;
    r = 1;
    while (r > 0 && (e = readdir(d))) {
        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
            continue;
        v->path[at] = '\0';
        snprintf(v->path + at, sizeof(v->path) - at, "%s%s", at ? "/" : "", e->d_name);
        r = fn(v, a, b, e->d_name);
    }
    closedir(d);
    if (r > 0)
        v->path[at] = '\0';
    return r;
}

static int is_there(struct verify *v, int a, int b, const char *name)
{
    (void)v, (void)b;
    if (faccessat(a, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return errno == ENOENT ? 0 : -errno;
}

static int same_dirs(struct verify *v, int a, int b)
{
    int r = each_name(v, a, a, b, same_name);

    return r <= 0 ? r : each_name(v, b, a, b, is_there);
}

int storage_layer_compare(struct storage *st, const struct stage *stage, const char *name,
                          const char *chain_id, const atomic_bool *stop, char **ret_path,
                          struct err *reterr)
{
    _cleanup_free_ char *fresh = xasprintf("%s/" LAYER_DIFF, name);
    _cleanup_free_ char *kept = xasprintf("%s/" LAYER_DIFF, chain_id);
    _cleanup_free_ struct verify *v = xcalloc(1, sizeof(*v));
    _cleanup_free_ char *a = xmalloc(BUFFER), *b = xmalloc(BUFFER);
    _cleanup_close_ int da = openat(stage->fd, fresh, O_RDONLY | O_DIRECTORY | OPEN_FLAGS);
    _cleanup_close_ int db = -EBADF;
    int r;

    if (da < 0)
        return err_sys(reterr, errno, "open %s/%s", stage->path, fresh);
    db = openat(st->layers_fd, kept, O_RDONLY | O_DIRECTORY | OPEN_FLAGS);
    if (db < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return -ENOENT;
    if (db < 0)
        return err_sys(reterr, errno, "open %s/" LAYERS_DIR "/%s", st->root, kept);
    *v = (struct verify){.stop = stop, .a = a, .b = b};
    r = same_dirs(v, da, db);
    if (r == 0)
        *ret_path = xstrdup(v->path);
    return r < 0 ? err_sys(reterr, -r, "compare %s/" LAYERS_DIR "/%s/%s", st->root, kept, v->path)
                 : r;
}

int storage_layer_replace(struct storage *st, struct stage *stage, const char *name,
                          const char *chain_id, struct err *reterr)
{
    if (renameat2(stage->fd, name, st->layers_fd, chain_id, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno == ENOENT)
        return storage_layer_commit(st, stage, name, chain_id, reterr);
    return err_sys(reterr, errno, "put a layer in place of %s/" LAYERS_DIR "/%s", st->root,
                   chain_id);
}
