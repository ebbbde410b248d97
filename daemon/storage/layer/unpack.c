#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "dirtimes.h"
#include "fd.h"
#include "files.h"
#include "path.h"
#include "report.h"
#include "str.h"
#include "tree.h"
#include "whiteout.h"
#include "whole.h"
#include "writeback.h"

struct unpack {
    struct source *src; /* borrowed */
    const struct limits *limits;
    struct tree tree;
    struct dirtimes dirs;
    int64_t entries, written, size;
    struct lower *lower; /* owned; NULL: the directory holds nothing but this layer */
};

/* Where the current entry goes. */
struct place {
    const char *path; /* clean, for messages */
    const char *base;
    int dirfd; /* borrowed from the tree */
};

static int fail(const struct place *at, const char *what, struct err *reterr)
{
    return err_sys(reterr, errno, "%s %s", what, at->path);
}

static bool is_whiteout(const struct stat *sb)
{
    return S_ISCHR(sb->st_mode) && sb->st_rdev == makedev(0, 0);
}

static int set_opaque(int fd, const char *path, struct err *reterr)
{
    if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
        return err_sys(reterr, errno, "make %s opaque", path);
    return 0;
}

/* Take away what an earlier entry of this layer left under the name.  1 if it was a whiteout. */
static int clear_name(struct unpack *u, const struct place *at, struct err *reterr)
{
    struct stat sb;
    int r;

    if (fstatat(at->dirfd, at->base, &sb, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fail(at, "stat", reterr);
    r = path_rm_rf(at->dirfd, at->base);
    if (r < 0)
        return err_sys(reterr, -r, "replace %s", at->path);
    /* The cached parent may have been reached through what is gone now; at->dirfd itself is still
     * open and right for this entry, so it is only renamed out of the cache. */
    if (S_ISDIR(sb.st_mode) || S_ISLNK(sb.st_mode))
        u->tree.parent_path[0] = '\0';
    return is_whiteout(&sb);
}

/* ---- one function for each kind of entry ---- */

static int make_dir(struct unpack *u, const struct place *at, struct archive_entry *e,
                    struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    int whiteout = 0;
    struct stat sb;

    if (fstatat(at->dirfd, at->base, &sb, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(sb.st_mode)) {
        whiteout = clear_name(u, at, reterr);
        if (whiteout < 0)
            return whiteout;
        if (mkdirat(at->dirfd, at->base, 0700) < 0)
            return fail(at, "mkdir", reterr);
    }
    fd = openat(at->dirfd, at->base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(at, "open", reterr);
    if (dirtimes_add(&u->dirs, u->tree.root, at->path, entry_mtime(e), reterr) < 0)
        return -EIO;
    /* Removed and made again in one layer: nothing of the lower layers shows through. */
    if (whiteout && set_opaque(fd, at->path, reterr) < 0)
        return -EIO;
    return entry_apply_fd(e, fd, at->path, reterr);
}

static int too_large(const struct unpack *u, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EFBIG, "layer is larger than %lld bytes",
                   (long long)u->limits->max_bytes);
}

static int write_data(struct unpack *u, int fd, const struct place *at, struct err *reterr)
{
    struct writeback wb = {0};
    const void *data;
    size_t len;
    int64_t offset = 0;
    int r;

    while ((r = source_data(u->src, at->path, &data, &len, &offset, reterr)) > 0) {
        u->written += (int64_t)len;
        if (u->written > u->limits->max_bytes)
            return too_large(u, reterr);
        for (const char *p = data; len > 0;) {
            ssize_t n = pwrite(fd, p, len, offset);

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return fail(at, "write", reterr);
            p += n;
            len -= (size_t)n;
            offset += n;
        }
        writeback_push(&wb, fd, offset, false);
        report_progress(source_length(u->src));
    }
    writeback_push(&wb, fd, offset, true);
    return r;
}

static int make_file(struct unpack *u, const struct place *at, struct archive_entry *e,
                     struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    int64_t size = archive_entry_size(e);
    int r = entry_check_size(e, at->dirfd, at->path, u->limits->max_bytes - u->size, reterr);

    if (r == -EFBIG)
        return too_large(u, reterr);
    if (r >= 0)
        r = clear_name(u, at, reterr);
    if (r < 0)
        return r;
    fd = openat(at->dirfd, at->base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(at, "create", reterr);
    r = write_data(u, fd, at, reterr);
    if (r < 0)
        return r;
    /* A sparse file may end in a hole. */
    if (archive_entry_sparse_count(e) > 0 && ftruncate(fd, size) < 0)
        return fail(at, "truncate", reterr);
    u->size += size;
    r = entry_apply_fd(e, fd, at->path, reterr);
    return r < 0 ? r : entry_set_time(e, fd, at->path, reterr);
}

static int make_symlink(struct unpack *u, const struct place *at, struct archive_entry *e,
                        struct err *reterr)
{
    const char *target = archive_entry_symlink(e);
    int r = clear_name(u, at, reterr);

    if (r < 0)
        return r;
    if (str_empty(target))
        return err_set(reterr, ERR_INVALID, EINVAL, "symlink %s without a target", at->path);
    if (symlinkat(target, at->dirfd, at->base) < 0)
        return fail(at, "symlink", reterr);
    return entry_apply_at(e, at->dirfd, at->base, at->path, reterr);
}

static int make_node(struct unpack *u, const struct place *at, struct archive_entry *e,
                     struct err *reterr)
{
    mode_t type = archive_entry_filetype(e);
    dev_t dev = type == AE_IFIFO ? 0 : archive_entry_rdev(e);
    int r = clear_name(u, at, reterr);

    if (r < 0)
        return r;
    if (mknodat(at->dirfd, at->base, type | 0600, dev) < 0)
        return fail(at, "mknod", reterr);
    return entry_apply_at(e, at->dirfd, at->base, at->path, reterr);
}

static int make_hardlink(struct unpack *u, const struct place *at, struct archive_entry *e,
                         struct err *reterr)
{
    _cleanup_close_ int dirfd = fcntl(at->dirfd, F_DUPFD_CLOEXEC, 0);
    char target[PATH_MAX];
    const char *base;
    int from, r = tree_clean(archive_entry_hardlink(e), target, reterr);

    if (r < 0)
        return err_wrap(reterr, "hard link %s", at->path);
    if (dirfd < 0)
        return fail(at, "dup for", reterr);
    if (!*target)
        return err_set(reterr, ERR_INVALID, EINVAL, "hard link %s to a directory", at->path);
    if (streq(target, at->path))
        return 0;
    r = clear_name(u, at, reterr);
    if (r < 0)
        return r;
    from = tree_parent(&u->tree, target, false, &base, reterr);
    if (from < 0)
        return err_wrap(reterr, "hard link %s", at->path);
    if (linkat(from, base, dirfd, at->base, 0) < 0)
        return fail(at, "hard link", reterr);
    return 0;
}

/* name NULL: all that is in the directory. */
static int drop_lower(struct unpack *u, const struct place *at, const char *name,
                      struct err *reterr)
{
    /* As in clear_name(): the cached parent may be gone. */
    u->tree.parent_path[0] = '\0';
    return lower_remove(u->lower, at->dirfd, name, reterr);
}

static int make_whiteout(struct unpack *u, const struct place *at, struct err *reterr)
{
    const char *name = at->base + strlen(WHITEOUT);
    struct stat sb;

    if (u->lower && streq(at->base, WHITEOUT_OPAQUE))
        return drop_lower(u, at, NULL, reterr);
    if (streq(at->base, WHITEOUT_OPAQUE))
        return set_opaque(at->dirfd, at->path, reterr);
    if (str_starts(at->base, WHITEOUT_META))
        return 0; /* aufs' own bookkeeping (plink, orph): means nothing here */
    if (!str_is_filename(name))
        return err_set(reterr, ERR_INVALID, EINVAL, "malformed whiteout %s", at->path);
    if (u->lower)
        return drop_lower(u, at, name, reterr);
    if (mknodat(at->dirfd, name, S_IFCHR, makedev(0, 0)) == 0)
        return 0;
    if (errno != EEXIST || fstatat(at->dirfd, name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(at, "whiteout", reterr);
    /* The layer holds the name itself; a whiteout speaks of lower layers only. */
    if (S_ISDIR(sb.st_mode)) {
        _cleanup_close_ int fd =
            openat(at->dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? fail(at, "open", reterr) : set_opaque(fd, at->path, reterr);
    }
    return 0;
}

static const struct {
    mode_t type;
    int (*make)(struct unpack *u, const struct place *at, struct archive_entry *e,
                struct err *reterr);
} kinds[] = {
    {AE_IFREG, make_file}, {AE_IFDIR, make_dir},  {AE_IFLNK, make_symlink},
    {AE_IFCHR, make_node}, {AE_IFBLK, make_node}, {AE_IFIFO, make_node},
};

static int make_root(struct unpack *u, struct archive_entry *e, struct err *reterr)
{
    if (archive_entry_filetype(e) != AE_IFDIR)
        return err_set(reterr, ERR_INVALID, EINVAL, "archive's root is no directory");
    if (dirtimes_add(&u->dirs, u->tree.root, "", entry_mtime(e), reterr) < 0)
        return -EIO;
    return entry_apply_fd(e, u->tree.root, "/", reterr);
}

static int make_entry(struct unpack *u, const struct place *at, struct archive_entry *e,
                      struct err *reterr)
{
    if (archive_entry_hardlink(e))
        return make_hardlink(u, at, e, reterr);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (kinds[i].type == archive_entry_filetype(e))
            return kinds[i].make(u, at, e, reterr);
    }
    return err_set(reterr, ERR_INVALID, EINVAL, "%s: unknown type of entry", at->path);
}

static int unpack_entry(struct unpack *u, struct archive_entry *e, struct err *reterr)
{
    const char *name = archive_entry_pathname(e);
    char path[PATH_MAX];
    struct place at = {.path = path};
    int r;

    if (!name)
        return err_set(reterr, ERR_INVALID, EINVAL, "entry without a name");
    r = tree_clean(name, path, reterr);
    if (r < 0)
        return r;
    if (!*path)
        return make_root(u, e, reterr);
    at.dirfd = tree_parent(&u->tree, path, true, &at.base, reterr);
    if (at.dirfd < 0)
        return at.dirfd;
    if (str_starts(at.base, WHITEOUT))
        return make_whiteout(u, &at, reterr);
    /* Before it is made: a name that cannot be taken ends the unpacking anyway. */
    r = u->lower ? lower_cover(u->lower, at.dirfd, at.base, reterr) : 0;
    return r < 0 ? r : make_entry(u, &at, e, reterr);
}

static int unpack_entries(struct unpack *u, struct err *reterr)
{
    struct archive_entry *e;
    int r;

    while ((r = source_next(u->src, &e, reterr)) > 0) {
        if (++u->entries > u->limits->max_entries)
            return err_set(reterr, ERR_INVALID, EFBIG, "layer has more than %lld entries",
                           (long long)u->limits->max_entries);
        r = unpack_entry(u, e, reterr);
        if (r < 0)
            return r;
        report_progress(source_length(u->src));
    }
    return r;
}

int unpack_layer(struct source *src, const struct limits *limits, bool whole,
                 struct unpack_result *ret, struct err *reterr)
{
    struct unpack u = {
        .src = src, .limits = limits, .dirs = DIRTIMES_NONE, .lower = whole ? lower_new() : NULL};
    int r = tree_open(&u.tree, reterr);

    if (r >= 0)
        r = source_start(src, reterr);
    if (r >= 0)
        r = unpack_entries(&u, reterr);
    if (r >= 0)
        r = dirtimes_apply(&u.dirs, u.tree.root, reterr);
    if (r >= 0)
        r = source_finish(src, ret->diff_id, ret->blob, reterr);
    if (r >= 0)
        ret->bytes = u.size;
    dirtimes_done(&u.dirs);
    lower_free(u.lower);
    tree_done(&u.tree);
    return r;
}
