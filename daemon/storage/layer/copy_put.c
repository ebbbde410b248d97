/* A tar into a directory of a container, as `docker cp` does it: names are those of processes in
 * the container, so symlinks on the way are followed, within the root (view.h).  The last part of a
 * name is never followed, and nothing that exists is opened for writing. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "copy.h"
#include "fd.h"
#include "files.h"
#include "layer_protocol.h"
#include "path.h"
#include "report.h"
#include "str.h"
#include "tree.h"
#include "user.h"

#define DIRS_MAX 65536 /* whose times are set at the end; of more they are as they are */

/* A directory's times are set last: making files in it changes them. */
struct dir_time {
    char *path; /* owned */
    struct timespec mtime;
};

struct taker {
    const struct view *view;
    const struct archive_options *opt;
    struct source *src;
    struct user_ids *owner;  /* owned, or NULL */
    char dest[PATH_MAX];     /* without symlinks */
    char name[NAME_MAX + 1]; /* what the one file is to be called; "": as the archive has it */
    int parent;              /* owned: the directory of the last name, most names share it */
    char parent_path[PATH_MAX];
    struct dir_time *dirs; /* owned */
    size_t n_dirs, room_dirs;
    int64_t entries, written;
};

struct place {
    const char *path; /* clean, relative to the destination */
    const char *base;
    int dirfd;   /* borrowed */
    bool exists; /* and then sb is what it is */
    struct stat sb;
};

static int fail(const struct place *at, const char *what, int errnum, struct err *reterr)
{
    return err_sys(reterr, errnum, "%s %s", what, at->path);
}

/* ---- directories on the way ---- */

static int in_dest(const struct taker *t, const char *path, char ret[PATH_MAX])
{
    size_t n = strlen(t->dest), len = strlen(path);

    if (n + len + 2 > PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret, t->dest, n);
    ret[n] = '/';
    memcpy(ret + n + 1, path, len + 1);
    return 0;
}

/* One component after the other from the root, each parent a descriptor before a name is made. */
static int make_parents(struct taker *t, char *path)
{
    char *p = path + strlen(t->dest) + 1;

    for (;;) {
        _cleanup_close_ int dir = -EBADF, have = -EBADF;
        char *end = strchrnul(p, '/'), was = *end;
        int r = 0;

        *end = '\0';
        have = view_open(t->view, path, O_PATH | O_DIRECTORY);
        if (have == -ENOENT) {
            p[-1] = '\0';
            dir = view_open(t->view, *path ? path : "/", O_PATH | O_DIRECTORY);
            p[-1] = '/';
            if (dir < 0)
                return dir;
            r = mkdirat(dir, p, 0755) < 0 && errno != EEXIST ? -errno : 0;
            if (r >= 0 && t->owner && t->opt->make)
                r = fchownat(dir, p, t->owner->uid, t->owner->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
                                                                                            : 0;
        }
        *end = was;
        if (r < 0)
            return r;
        if (!was)
            return view_open(t->view, path, O_PATH | O_DIRECTORY);
        p = end + 1;
    }
}

static int open_parent(struct taker *t, const char *path, const char **ret_base)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX] = "", full[PATH_MAX];
    int r;

    *ret_base = slash ? slash + 1 : path;
    if (slash) {
        memcpy(dir, path, (size_t)(slash - path));
        dir[slash - path] = '\0';
    }
    if (t->parent >= 0 && streq(dir, t->parent_path))
        return t->parent;
    t->parent = fd_close(t->parent);
    r = in_dest(t, dir, full);
    if (r < 0)
        return r;
    t->parent = view_open(t->view, full, O_PATH | O_DIRECTORY);
    if (t->parent == -ENOENT)
        t->parent = make_parents(t, full);
    strcpy(t->parent_path, dir);
    return t->parent;
}

/* ---- what is there ---- */

static int check_kind(const struct taker *t, const struct place *at, bool dir, struct err *reterr)
{
    bool was_dir = at->exists && S_ISDIR(at->sb.st_mode);

    if (!t->opt->keep_kind || !at->exists || was_dir == dir)
        return 0;
    return err_set(reterr, ERR_INVALID, EEXIST,
                   was_dir ? "cannot overwrite directory \"%s/%s\" with non-directory \"%s\""
                           : "cannot overwrite non-directory \"%s/%s\" with directory \"%s\"",
                   streq(t->dest, "/") ? "" : t->dest, at->path, t->dest);
}

/* A directory goes with all that is in it.  What is mounted there stays, and is an error. */
static int clear_name(struct taker *t, const struct place *at, struct err *reterr)
{
    int r;

    if (!at->exists)
        return 0;
    if (S_ISDIR(at->sb.st_mode)) {
        r = path_rm_rf(at->dirfd, at->base);
        t->parent_path[0] = '/'; /* a cached parent may be gone: never equal again */
    } else {
        r = unlinkat(at->dirfd, at->base, 0) < 0 && errno != ENOENT ? -errno : 0;
    }
    return r < 0 ? fail(at, "remove", -r, reterr) : 0;
}

/* ---- making ---- */

static void set_owner(const struct taker *t, struct archive_entry *e)
{
    if (t->opt->mode && archive_entry_filetype(e) != AE_IFLNK)
        archive_entry_set_perm(e, t->opt->mode);
    if (!t->owner)
        return;
    archive_entry_set_uid(e, t->owner->uid);
    archive_entry_set_gid(e, t->owner->gid);
}

static void remember_dir(struct taker *t, const char *path, struct archive_entry *e)
{
    if (t->n_dirs == DIRS_MAX)
        return;
    if (t->n_dirs == t->room_dirs) {
        t->room_dirs = t->room_dirs ? t->room_dirs * 2 : 64;
        t->dirs = xrealloc(t->dirs, t->room_dirs * sizeof(*t->dirs));
    }
    t->dirs[t->n_dirs++] = (struct dir_time){.path = xstrdup(path), .mtime = entry_mtime(e)};
}

static void restore_dir_times(struct taker *t)
{
    for (size_t i = t->n_dirs; i-- > 0;) {
        struct timespec times[2] = {t->dirs[i].mtime, t->dirs[i].mtime};
        char full[PATH_MAX];
        _cleanup_close_ int fd = -EBADF;

        if (in_dest(t, t->dirs[i].path, full) >= 0)
            fd = view_open(t->view, full, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (fd >= 0)
            futimens(fd, times); /* the file system's own business if it has none */
    }
}

static int make_dir(struct taker *t, const struct place *at, struct archive_entry *e,
                    struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;

    if (!at->exists || !S_ISDIR(at->sb.st_mode)) {
        int r = clear_name(t, at, reterr);

        if (r < 0)
            return r;
        if (mkdirat(at->dirfd, at->base, 0700) < 0)
            return fail(at, "mkdir", errno, reterr);
    }
    fd = view_open_at(at->dirfd, at->base, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fail(at, "open", -fd, reterr);
    remember_dir(t, at->path, e);
    return entry_apply_fd(e, fd, at->path, reterr);
}

static int write_all(struct taker *t, int fd, const struct place *at, const char *data, size_t len,
                     int64_t offset, struct err *reterr)
{
    t->written += (int64_t)len;
    if (t->written > LAYER_MAX_BYTES)
        return err_set(reterr, ERR_INVALID, EFBIG, "archive is larger than %lld bytes",
                       LAYER_MAX_BYTES);
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(at, "write", errno, reterr);
        data += n;
        len -= (size_t)n;
        offset += n;
    }
    return 0;
}

static int write_data(struct taker *t, int fd, const struct place *at, struct err *reterr)
{
    const void *data;
    size_t len;
    int64_t offset;
    int r;

    while ((r = source_data(t->src, at->path, &data, &len, &offset, reterr)) > 0) {
        r = write_all(t, fd, at, data, len, offset, reterr);
        if (r < 0)
            return r;
    }
    return r;
}

static int make_file(struct taker *t, const struct place *at, struct archive_entry *e,
                     struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    int r = clear_name(t, at, reterr);

    if (r < 0)
        return r;
    fd = openat(at->dirfd, at->base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(at, "create", errno, reterr);
    r = write_data(t, fd, at, reterr);
    if (r < 0)
        return r;
    /* A sparse file may end in a hole. */
    if (archive_entry_sparse_count(e) > 0 && ftruncate(fd, archive_entry_size(e)) < 0)
        return fail(at, "truncate", errno, reterr);
    r = entry_apply_fd(e, fd, at->path, reterr);
    return r < 0 ? r : entry_set_time(e, fd, at->path, reterr);
}

/* Owner and time of what has just been made and is not opened.  A process of the container may have
 * given the name to another file since: that one is left as it is, unless it is of the same kind
 * and has no other name, which makes it as good as the one that is gone. */
static int settle_made(const struct place *at, struct archive_entry *e, struct err *reterr)
{
    struct timespec times[2] = {entry_mtime(e), entry_mtime(e)};
    _cleanup_close_ int fd = view_open_at(at->dirfd, at->base, O_PATH);
    struct stat sb;
    int r = entry_check_owner(e, at->path, reterr);

    if (r < 0)
        return r;
    if (fd < 0)
        return fd == -ENOENT ? 0 : fail(at, "open", -fd, reterr);
    if (fstat(fd, &sb) < 0)
        return fail(at, "stat", errno, reterr);
    if ((sb.st_mode & S_IFMT) != archive_entry_filetype(e) || sb.st_nlink > 1)
        return 0;
    if (fchownat(fd, "", (uid_t)archive_entry_uid(e), (gid_t)archive_entry_gid(e), AT_EMPTY_PATH) <
        0)
        return fail(at, "chown", errno, reterr);
    if (utimensat(fd, "", times, AT_EMPTY_PATH) < 0)
        return fail(at, "set time of", errno, reterr);
    return 0;
}

static int make_symlink(struct taker *t, const struct place *at, struct archive_entry *e,
                        struct err *reterr)
{
    const char *target = archive_entry_symlink(e);
    int r = clear_name(t, at, reterr);

    if (r < 0)
        return r;
    if (str_empty(target))
        return err_set(reterr, ERR_INVALID, EINVAL, "symlink %s without a target", at->path);
    if (symlinkat(target, at->dirfd, at->base) < 0)
        return fail(at, "symlink", errno, reterr);
    return settle_made(at, e, reterr);
}

/* A node's mode is right from the start. */
static int make_node(struct taker *t, const struct place *at, struct archive_entry *e,
                     struct err *reterr)
{
    mode_t type = archive_entry_filetype(e);
    int r = clear_name(t, at, reterr);

    if (r < 0)
        return r;
    if (mknodat(at->dirfd, at->base, type | (archive_entry_mode(e) & 0777),
                type == AE_IFIFO ? 0 : archive_entry_rdev(e)) < 0)
        return fail(at, "mknod", errno, reterr);
    return settle_made(at, e, reterr);
}

static int make_hardlink(struct taker *t, const struct place *at, struct archive_entry *e,
                         struct err *reterr)
{
    _cleanup_close_ int dirfd = fcntl(at->dirfd, F_DUPFD_CLOEXEC, 0);
    char target[PATH_MAX];
    const char *base;
    int from, r = tree_clean(archive_entry_hardlink(e), target, reterr);

    if (r < 0)
        return err_wrap(reterr, "hard link %s", at->path);
    if (!*target || dirfd < 0)
        return fail(at, "hard link", dirfd < 0 ? errno : EISDIR, reterr);
    if (streq(target, at->path))
        return 0;
    r = clear_name(t, at, reterr);
    if (r < 0)
        return r;
    from = open_parent(t, target, &base);
    if (from < 0)
        return fail(at, "hard link", -from, reterr);
    return linkat(from, base, dirfd, at->base, 0) < 0 ? fail(at, "hard link", errno, reterr) : 0;
}

static const struct {
    mode_t type;
    int (*make)(struct taker *t, const struct place *at, struct archive_entry *e,
                struct err *reterr);
} kinds[] = {
    {AE_IFREG, make_file}, {AE_IFDIR, make_dir},  {AE_IFLNK, make_symlink},
    {AE_IFCHR, make_node}, {AE_IFBLK, make_node}, {AE_IFIFO, make_node},
};

static int take_entry(struct taker *t, struct archive_entry *e, struct err *reterr)
{
    char path[PATH_MAX];
    struct place at = {.path = path};
    bool dir = !archive_entry_hardlink(e) && archive_entry_filetype(e) == AE_IFDIR;
    int r = tree_clean(archive_entry_pathname(e) ?: "", path, reterr);

    if (r < 0)
        return r;
    if (*path && *t->name)
        memcpy(path, t->name, sizeof(t->name));
    if (!*path)
        return 0; /* "./" is the destination, which is as it is */
    at.dirfd = open_parent(t, path, &at.base);
    if (at.dirfd < 0)
        return fail(&at, "open the directory of", -at.dirfd, reterr);
    at.exists = fstatat(at.dirfd, at.base, &at.sb, AT_SYMLINK_NOFOLLOW) == 0;
    r = check_kind(t, &at, dir, reterr);
    if (r < 0)
        return r;
    set_owner(t, e);
    if (archive_entry_hardlink(e))
        return make_hardlink(t, &at, e, reterr);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (kinds[i].type == archive_entry_filetype(e))
            return kinds[i].make(t, &at, e, reterr);
    }
    return err_set(reterr, ERR_INVALID, EINVAL, "%s: unknown type of entry", path);
}

/* ---- the whole ---- */

static int find_owner(struct taker *t, struct err *reterr)
{
    static const char *const names[] = {"/etc/passwd", "/etc/group"};
    int fds[2], r;

    if (str_empty(t->opt->owner))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        struct stat sb;

        fds[i] = view_open(t->view, names[i], O_RDONLY | O_NONBLOCK);
        if (fds[i] >= 0 && (fstat(fds[i], &sb) < 0 || !S_ISREG(sb.st_mode)))
            fds[i] = fd_close(fds[i]);
    }
    t->owner = xcalloc(1, sizeof(*t->owner));
    r = user_resolve(t->opt->owner, fds[0], fds[1], t->owner, reterr);
    fd_close(fds[0]);
    fd_close(fds[1]);
    return r;
}

/* The mount itself knows best, whatever the container was asked to be. */
static int check_writable(const struct taker *t, int fd, struct err *reterr)
{
    struct statfs fs;
    struct statx sx;

    if (fstatfs(fd, &fs) < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
        return err_sys(reterr, errno, "stat %s", t->opt->path);
    if (!(fs.f_flags & ST_RDONLY))
        return 0;
    return err_set(reterr, ERR_INVALID, EROFS, "%s",
                   sx.stx_mnt_id == t->view->root_mnt ? "container rootfs is marked read-only"
                                                      : "mounted volume is marked read-only");
}

/* Of a path that is no directory the last part is the file's name, and what is before that the
 * destination: *path is cut.  A symlink stands for where it leads. */
static int take_name(struct taker *t, char path[PATH_MAX], struct err *reterr)
{
    _cleanup_close_ int dir = view_open(t->view, path, O_PATH | O_DIRECTORY);
    struct archive_node n = {.fd = -EBADF, .parent = -EBADF};
    char *base;
    int r = 0;

    if (dir >= 0)
        return 0;
    if (archive_find(t->view, path, &n, NULL) >= 0 && S_ISLNK(n.sb.st_mode))
        r = archive_link_target(t->view, &n, path);
    archive_node_done(&n);
    base = strrchr(path, '/');
    if (r < 0 || !base || strlen(base + 1) > NAME_MAX || !base[1])
        return err_set(reterr, ERR_INVALID, EINVAL, "%s is no name for a file", path);
    strcpy(t->name, base + 1);
    base[base == path] = '\0';
    return 0;
}

/* Make the directory, with those above it.  The path is absolute. */
static int make_dest(struct taker *t, char path[PATH_MAX])
{
    int fd = view_open(t->view, path, O_PATH);

    if (fd != -ENOENT)
        return fd;
    t->dest[0] = '\0'; /* make_parents() begins at the root */
    return make_parents(t, path);
}

static int find_dest(struct taker *t, struct err *reterr)
{
    _cleanup_free_ char *rooted = xasprintf("/%s", t->opt->path), *clean = path_clean(rooted);
    char path[PATH_MAX];
    _cleanup_close_ int fd = -EBADF;
    struct stat sb;
    int r = strlen(clean) < PATH_MAX && strlen(t->opt->path) < PATH_MAX ? 0 : -ENAMETOOLONG;

    if (r >= 0)
        strcpy(path, t->opt->make ? clean : t->opt->path);
    if (r >= 0 && t->opt->name && take_name(t, path, reterr) < 0)
        return -EINVAL;
    if (r >= 0)
        r = fd = t->opt->make ? make_dest(t, path) : view_open(t->view, path, O_PATH);
    if (fd == -ENOENT)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "Could not find the file %s in container",
                       t->opt->path);
    if (fd == -ENOTDIR || (fd >= 0 && fstat(fd, &sb) == 0 && !S_ISDIR(sb.st_mode)))
        return err_set(reterr, ERR_INVALID, ENOTDIR, "extraction point is not a directory");
    if (fd >= 0)
        r = view_canonical(fd, t->dest);
    if (r < 0)
        return err_sys(reterr, -r, "open %s", t->opt->path);
    return check_writable(t, fd, reterr);
}

static int take_all(struct taker *t, struct err *reterr)
{
    struct archive_entry *e;
    int r;

    while ((r = source_next(t->src, &e, reterr)) > 0) {
        if (++t->entries > TREE_MAX_ENTRIES)
            return err_set(reterr, ERR_INVALID, EFBIG, "archive has more than %lld entries",
                           TREE_MAX_ENTRIES);
        r = take_entry(t, e, reterr);
        if (r < 0)
            return r;
    }
    return r;
}

static void taker_done(struct taker *t)
{
    for (size_t i = 0; i < t->n_dirs; i++)
        free(t->dirs[i].path);
    free(t->dirs);
    free(t->owner);
    fd_close(t->parent);
}

int archive_take(const struct view *v, const struct archive_options *o, struct source *src,
                 struct err *reterr)
{
    _cleanup_(taker_done) struct taker t = {
        .view = v, .opt = o, .src = src, .parent = -EBADF, .parent_path = "/"};
    int r = find_owner(&t, reterr);

    if (r >= 0)
        r = find_dest(&t, reterr);
    if (r >= 0)
        r = source_start(src, reterr);
    if (r >= 0)
        r = take_all(&t, reterr);
    if (r >= 0)
        r = source_finish(src, NULL, NULL, reterr);
    restore_dir_times(&t);
    return r;
}
