#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fd.h"
#include "ignore.h"
#include "map.h"
#include "str.h"
#include "tree.h"

#define READ_SIZE (256 * 1024)
#define SPLICE_MAX (1024 * 1024)
#define DEPTH_MAX 400 /* a directory above each other one is open */

struct packer {
    int fd; /* borrowed */
    bool splices;
    int64_t total;
    unsigned depth;
    struct map links; /* "dev:inode" of what has several names -> the first of them, owned */
    const struct tree_filter *filter; /* borrowed, or NULL: everything */
    struct buf out;
    char data[READ_SIZE];
};

static int put(struct packer *p, const void *data, size_t len, struct err *reterr)
{
    int r = fd_write_all(p->fd, data, len);

    p->total += r < 0 ? 0 : (int64_t)len;
    return r < 0 ? err_sys(reterr, -r, "write archive") : 0;
}

static int put_header(struct packer *p, const struct tar_entry *e, struct err *reterr)
{
    int r;

    tar_put_header(&p->out, e);
    r = put(p, buf_head(&p->out), buf_size(&p->out), reterr);
    buf_consume(&p->out, buf_size(&p->out));
    return r;
}

static int put_zeros(struct packer *p, int64_t n, struct err *reterr)
{
    int r = 0;

    memset(p->data, 0, n < READ_SIZE ? (size_t)n : READ_SIZE);
    while (r >= 0 && n > 0) {
        size_t now = n < READ_SIZE ? (size_t)n : READ_SIZE;

        r = put(p, p->data, now, reterr);
        n -= (int64_t)now;
    }
    return r;
}

/* One that shrinks meanwhile is filled up with zeros; one that grows is cut. */
static int put_data(struct packer *p, int fd, const char *name, int64_t size, struct err *reterr)
{
    int64_t left = size;
    int r = 0;

    /* To a pipe the file's pages go as they are. */
    while (p->splices && left > 0) {
        ssize_t n = splice(fd, NULL, p->fd, NULL, left < SPLICE_MAX ? (size_t)left : SPLICE_MAX,
                           SPLICE_F_MORE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            p->splices = n == 0; /* not for files like this one: by copying */
            break;
        }
        p->total += n;
        left -= n;
    }
    while (r >= 0 && left > 0) {
        ssize_t n = read(fd, p->data, left < READ_SIZE ? (size_t)left : READ_SIZE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(reterr, errno, "read %s", name);
        if (n == 0)
            break;
        r = put(p, p->data, (size_t)n, reterr);
        left -= n;
    }
    return r < 0 ? r : put_zeros(p, left + (int64_t)tar_padding(size), reterr);
}

/* True if it was packed under another name already. */
static bool is_link(struct packer *p, const struct stat *sb, struct tar_entry *e)
{
    const char *first;
    char key[64];

    if (sb->st_nlink < 2 || S_ISDIR(sb->st_mode))
        return false;
    snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)sb->st_dev,
             (unsigned long long)sb->st_ino);
    first = map_get(&p->links, key);
    if (!first) {
        map_put(&p->links, key, xstrdup(e->name));
        return false;
    }
    e->type = TAR_HARDLINK;
    e->link = xstrdup(first);
    return true;
}

static int pack_children(struct packer *p, int dir, const char *as, struct err *reterr);

static int pack_dir(struct packer *p, int dir, const char *name, struct tar_entry *e,
                    struct err *reterr)
{
    _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_free_ char *as = xstrdup(e->name);
    bool slash = *as && as[strlen(as) - 1] == '/';
    int r;

    if (fd < 0)
        return err_set(reterr, ERR_SYSTEM, errno, "open %s: %s", as, err_text(errno));
    if (++p->depth > DEPTH_MAX)
        return err_set(reterr, ERR_INVALID, ELOOP, "%.200s...: too many directories", as);
    if (!slash) {
        free(e->name);
        e->name = xasprintf("%s/", as);
    }
    r = put_header(p, e, reterr);
    if (r >= 0)
        r = pack_children(p, fd, as, reterr);
    p->depth--;
    return r;
}

static int pack_file(struct packer *p, int dir, const char *name, struct tar_entry *e,
                     struct err *reterr)
{
    _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char capability[64];
    struct stat sb;
    ssize_t n;
    int r;

    if (fd < 0 || fstat(fd, &sb) < 0)
        return err_set(reterr, ERR_SYSTEM, errno, "open %s: %s", e->name, err_text(errno));
    n = fgetxattr(fd, "security.capability", capability, sizeof(capability));
    e->capability = capability;
    e->capability_len = n > 0 ? (size_t)n : 0;
    e->size = sb.st_size;
    r = put_header(p, e, reterr);
    return r < 0 ? r : put_data(p, fd, e->name, e->size, reterr);
}

static int pack_symlink(struct packer *p, int dir, const char *name, struct tar_entry *e,
                        struct err *reterr)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, name, target, sizeof(target));

    if (n < 0)
        return err_sys(reterr, errno, "readlink %s", e->name);
    e->link = xstrndup(target, (size_t)n);
    return put_header(p, e, reterr);
}

static char type_of(mode_t mode)
{
    static const struct {
        mode_t mode;
        char type;
    } types[] = {{S_IFREG, TAR_FILE}, {S_IFDIR, TAR_DIRECTORY},    {S_IFLNK, TAR_SYMLINK},
                 {S_IFCHR, TAR_CHAR}, {S_IFBLK, TAR_BLOCK_DEVICE}, {S_IFIFO, TAR_FIFO}};

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (types[i].mode == (mode & S_IFMT))
            return types[i].type;
    }
    return 0; /* a socket: means nothing without the process that listens */
}

static int pack_entry(struct packer *p, int dir, const char *name, const char *as,
                      struct err *reterr)
{
    _cleanup_tar_entry_ struct tar_entry e = {0};
    struct stat sb;

    if (fstatat(dir, name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(reterr, errno, "lstat %s", as);
    e = (struct tar_entry){.type = type_of(sb.st_mode),
                           .name = xstrdup(as),
                           .mode = sb.st_mode & 07777,
                           .uid = sb.st_uid,
                           .gid = sb.st_gid,
                           .mtime = sb.st_mtim.tv_sec};
    if (!e.type)
        return 0;
    if (p->filter)
        e.uid = e.gid = 0;
    if (is_link(p, &sb, &e))
        return put_header(p, &e, reterr);
    switch (e.type) {
    case TAR_FILE:
        return pack_file(p, dir, name, &e, reterr);
    case TAR_DIRECTORY:
        return pack_dir(p, dir, name, &e, reterr);
    case TAR_SYMLINK:
        return pack_symlink(p, dir, name, &e, reterr);
    case TAR_CHAR:
    case TAR_BLOCK_DEVICE:
        e.major = major(sb.st_rdev);
        e.minor = minor(sb.st_rdev);
        break;
    default:
        break;
    }
    return put_header(p, &e, reterr);
}

static bool is_kept(const struct tree_filter *f, const char *path)
{
    size_t n = strlen(path);

    for (size_t i = 0; i < ARRAY_SIZE(f->keep); i++) {
        /* Or a directory on the way to it. */
        if (f->keep[i] && strncmp(f->keep[i], path, n) == 0 &&
            (!f->keep[i][n] || f->keep[i][n] == '/'))
            return true;
    }
    return false;
}

/* Is it packed?  A directory that is left out may still hold what is not. */
static bool is_wanted(const struct packer *p, int dir, const char *name, const char *path)
{
    struct stat sb;

    if (!p->filter || is_kept(p->filter, path) || !ignore_match(p->filter->ignore, path))
        return true;
    return p->filter->ignore->exceptions && ignore_may_hold(p->filter->ignore, path) &&
           fstatat(dir, name, &sb, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(sb.st_mode);
}

static int pack_children(struct packer *p, int dir, const char *as, struct err *reterr)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    bool slash = !*as || as[strlen(as) - 1] == '/';
    struct dirent *e;

    if (!d) {
        fd_close(copy);
        return err_sys(reterr, errno, "open %s", as);
    }
    while (r >= 0 && (errno = 0, e = readdir(d))) {
        _cleanup_free_ char *name = xasprintf("%s%s%s", as, slash ? "" : "/", e->d_name);

        if (!streq(e->d_name, ".") && !streq(e->d_name, "..") && is_wanted(p, dir, e->d_name, name))
            r = pack_entry(p, dir, e->d_name, name, reterr);
    }
    if (r >= 0 && errno)
        r = err_sys(reterr, errno, "read %s", as);
    closedir(d);
    return r;
}

/* name NULL: what is in dir. */
static int pack(struct packer *p, const char *dir, const char *name, const char *as,
                int64_t *ret_total, struct err *reterr)
{
    _cleanup_close_ int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct map_entry *e;
    int r;

    if (at < 0)
        r = err_sys(reterr, errno, "open %s", dir);
    else
        r = name ? pack_entry(p, at, name, as, reterr) : pack_children(p, at, as, reterr);
    if (r >= 0)
        r = put_zeros(p, 2 * TAR_BLOCK, reterr);
    *ret_total = p->total;
    for (size_t i = 0; (e = map_next(&p->links, &i));)
        free(e->value);
    map_done(&p->links);
    buf_done(&p->out);
    free(p);
    return r;
}

int tree_pack(const char *dir, const char *name, const char *as, int fd, int64_t *ret_total,
              struct err *reterr)
{
    struct packer *p = xcalloc(1, sizeof(*p));

    p->fd = fd;
    p->splices = true;
    return pack(p, dir, name, as, ret_total, reterr);
}

int tree_pack_context(const char *dir, const struct tree_filter *filter, int fd, struct err *reterr)
{
    struct packer *p = xcalloc(1, sizeof(*p));
    int64_t total;

    p->fd = fd;
    p->filter = filter;
    return pack(p, dir, NULL, "", &total, reterr);
}
