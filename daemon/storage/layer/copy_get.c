/* A tree of a container as a tar.  Each name is opened in the directory that is open already, and
 * never followed: what is swapped for a symlink meanwhile is a symlink, no way out. */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "copy.h"
#include "copy_give.h"
#include "fd.h"
#include "layer_protocol.h"
#include "str.h"

int giver_new(struct giver **ret, struct err *reterr)
{
    _cleanup_(giver_freep) struct giver *g = xcalloc(1, sizeof(*g));

    g->tar = archive_write_new();
    g->entry = archive_entry_new();
    if (!g->tar || !g->entry || archive_write_set_format_pax_restricted(g->tar) != ARCHIVE_OK)
        return err_sys(reterr, ENOMEM, "libarchive");
    archive_write_set_format_option(g->tar, "pax", "xattrheader", "SCHILY");
    archive_write_set_bytes_per_block(g->tar, BLOCK);
    archive_write_set_bytes_in_last_block(g->tar, 1);
    *ret = TAKE_PTR(g);
    return 0;
}

int giver_new_picked(struct giver **ret, struct err *reterr)
{
    _cleanup_(giver_freep) struct giver *g = NULL;
    int r = giver_new(&g, reterr);

    if (r >= 0)
        r = sha_init(&g->sha, reterr);
    if (r < 0)
        return r;
    g->picked = true;
    *ret = TAKE_PTR(g);
    return 0;
}

void giver_free(struct giver *g)
{
    struct map_entry *e;

    for (size_t i = 0; (e = map_next(&g->links, &i));)
        free(e->value);
    map_done(&g->links);
    if (g->picked)
        sha_done(&g->sha);
    archive_entry_free(g->entry);
    archive_write_free(g->tar);
    free(g);
}

static la_ssize_t out(struct archive *tar, void *arg, const void *data, size_t len)
{
    struct giver *g = arg;
    int r = fd_write_all(STDOUT_FILENO, data, len);

    if (r < 0) {
        g->error = -r;
        archive_set_error(tar, g->error, "write");
        return -1;
    }
    return (la_ssize_t)len;
}

int giver_failed(struct giver *g, struct err *reterr)
{
    const char *text = archive_error_string(g->tar);

    if (g->error)
        return err_sys(reterr, g->error, "write archive");
    return err_set(reterr, ERR_SYSTEM, EIO, "%s: %s", g->path, text ? text : "cannot be archived");
}

/* What is gone by now, or has become something else, is left out. */
static bool is_gone(int r)
{
    return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -ENXIO || r == -EXDEV;
}

/* ---- entries ---- */

static int begin(struct giver *g, const struct stat *sb, struct err *reterr)
{
    if (++g->entries > TREE_MAX_ENTRIES)
        return err_set(reterr, ERR_INVALID, EFBIG, "more than %lld files", TREE_MAX_ENTRIES);
    archive_entry_clear(g->entry);
    archive_entry_copy_pathname(g->entry, g->path);
    archive_entry_set_mode(g->entry, sb->st_mode);
    archive_entry_set_uid(g->entry, g->picked ? 0 : sb->st_uid);
    archive_entry_set_gid(g->entry, g->picked ? 0 : sb->st_gid);
    archive_entry_set_size(g->entry, S_ISREG(sb->st_mode) ? sb->st_size : 0);
    /* Whole seconds, as Docker has them: a fraction would cost each file a pax header. */
    archive_entry_set_mtime(g->entry, sb->st_mtim.tv_sec, 0);
    return 0;
}

static void hash_text(struct giver *g, const char *text)
{
    if (text)
        sha_update(&g->sha, text, strlen(text));
    sha_update(&g->sha, "", 1);
}

static void hash_xattrs(struct giver *g)
{
    const void *value;
    const char *name;
    size_t size;

    archive_entry_xattr_reset(g->entry);
    while (archive_entry_xattr_next(g->entry, &name, &value, &size) == ARCHIVE_OK) {
        char text[32];

        snprintf(text, sizeof(text), "%zu", size);
        hash_text(g, name);
        hash_text(g, text);
        sha_update(&g->sha, value, size);
    }
}

/* What makes one file another, in whatever order and at whatever time it was made. */
static void hash_header(struct giver *g)
{
    char numbers[160];

    hash_text(g, archive_entry_pathname(g->entry));
    hash_text(g, archive_entry_symlink(g->entry));
    hash_text(g, archive_entry_hardlink(g->entry));
    snprintf(numbers, sizeof(numbers), "%o %lld %lld %lld %llu", archive_entry_mode(g->entry),
             (long long)archive_entry_uid(g->entry), (long long)archive_entry_gid(g->entry),
             (long long)archive_entry_size(g->entry),
             (unsigned long long)archive_entry_rdev(g->entry));
    hash_text(g, numbers);
    hash_xattrs(g);
}

int giver_header(struct giver *g, struct err *reterr)
{
    int r = archive_write_header(g->tar, g->entry);

    if (g->picked)
        hash_header(g);
    /* A warning: a name that is no UTF-8, which pax then carries as it is. */
    return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 0 : giver_failed(g, reterr);
}

int giver_bytes(struct giver *g, const void *data, size_t len, struct err *reterr)
{
    if (g->picked)
        sha_update(&g->sha, data, len);
    return archive_write_data(g->tar, data, len) < 0 ? giver_failed(g, reterr) : 0;
}

/* Capabilities, alone of all attributes, are part of what a file is for. */
static void add_capability(struct giver *g, int fd)
{
    char value[XATTR_CAPS_SZ_3];
    ssize_t n = fgetxattr(fd, "security.capability", value, sizeof(value));

    if (n > 0)
        archive_entry_xattr_add_entry(g->entry, "security.capability", value, (size_t)n);
}

/* 1 if it was archived under another name already, which it then refers to. */
static int put_link(struct giver *g, const struct stat *sb, struct err *reterr)
{
    const char *first;
    char key[64];
    int r;

    if (sb->st_nlink < 2 || S_ISDIR(sb->st_mode))
        return 0;
    snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)sb->st_dev,
             (unsigned long long)sb->st_ino);
    first = map_get(&g->links, key);
    if (!first) {
        map_put(&g->links, key, xstrdup(g->path));
        return 0;
    }
    r = begin(g, sb, reterr);
    if (r < 0)
        return r;
    archive_entry_set_size(g->entry, 0);
    archive_entry_copy_hardlink(g->entry, first);
    r = giver_header(g, reterr);
    return r < 0 ? r : 1;
}

/* A file that shrinks meanwhile is filled up with zeros by libarchive; one that grows is cut. */
static int put_data(struct giver *g, int fd, int64_t size, struct err *reterr)
{
    while (size > 0) {
        ssize_t n = read(fd, g->data, size < BLOCK ? (size_t)size : BLOCK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(reterr, errno, "read %s", g->path);
        if (n == 0)
            return 0;
        if (giver_bytes(g, g->data, (size_t)n, reterr) < 0)
            return -EIO;
        size -= n;
    }
    return 0;
}

int giver_put_file(struct giver *g, int fd, const struct stat *sb, struct err *reterr)
{
    int r = put_link(g, sb, reterr);

    if (r != 0)
        return r < 0 ? r : 0;
    r = begin(g, sb, reterr);
    if (r < 0)
        return r;
    add_capability(g, fd);
    r = giver_header(g, reterr);
    return r < 0 ? r : put_data(g, fd, sb->st_size, reterr);
}

static int put_file(struct giver *g, int dir, const char *name, struct err *reterr)
{
    /* Not waiting: what was a file a moment ago may be a fifo now. */
    _cleanup_close_ int fd = view_open_at(dir, name, O_RDONLY | O_NONBLOCK);
    struct stat sb;

    if (fd < 0)
        return is_gone(fd) ? 0 : err_sys(reterr, -fd, "open %s", g->path);
    if (fstat(fd, &sb) < 0)
        return err_sys(reterr, errno, "stat %s", g->path);
    return S_ISREG(sb.st_mode) ? giver_put_file(g, fd, &sb, reterr) : 0;
}

/* fd: O_PATH of it. */
static int put_symlink(struct giver *g, int fd, const struct stat *sb, struct err *reterr)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);
    int r;

    if (n < 0)
        return err_sys(reterr, errno, "read link %s", g->path);
    target[n] = '\0';
    r = put_link(g, sb, reterr);
    if (r != 0)
        return r < 0 ? r : 0;
    r = begin(g, sb, reterr);
    if (r < 0)
        return r;
    archive_entry_copy_symlink(g->entry, target);
    return giver_header(g, reterr);
}

int giver_put_node(struct giver *g, const struct stat *sb, struct err *reterr)
{
    int r = put_link(g, sb, reterr);

    if (r != 0)
        return r < 0 ? r : 0;
    r = begin(g, sb, reterr);
    if (r < 0)
        return r;
    archive_entry_set_rdev(g->entry, sb->st_rdev);
    return giver_header(g, reterr);
}

/* ---- the walk ---- */

static int put_tree(struct giver *g, int fd, struct err *reterr);

static int put_name(struct giver *g, int dir, const char *name, struct err *reterr)
{
    _cleanup_close_ int fd = view_open_at(dir, name, O_PATH);
    struct stat sb;

    if (fd < 0)
        return is_gone(fd) ? 0 : err_sys(reterr, -fd, "open %s", g->path);
    if (fstat(fd, &sb) < 0)
        return err_sys(reterr, errno, "stat %s", g->path);
    switch (sb.st_mode & S_IFMT) {
    case S_IFREG:
        return put_file(g, dir, name, reterr);
    case S_IFDIR:
        return put_tree(g, fd, reterr);
    case S_IFLNK:
        return put_symlink(g, fd, &sb, reterr);
    case S_IFSOCK: /* means nothing without the process that listens */
        return 0;
    default:
        return giver_put_node(g, &sb, reterr);
    }
}

static int put_child(struct giver *g, int dir, const char *name, struct err *reterr)
{
    size_t was = g->len, n = strlen(name);
    bool slash = was > 0 && g->path[was - 1] != '/';
    int r;

    if (was + n + 2 > sizeof(g->path))
        return err_set(reterr, ERR_INVALID, ENAMETOOLONG, "%.200s...: path is too long", g->path);
    if (slash)
        g->path[g->len++] = '/';
    memcpy(g->path + g->len, name, n + 1);
    g->len += n;
    r = put_name(g, dir, name, reterr);
    g->len = was;
    g->path[was] = '\0';
    return r;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their bytes, so that the same tree gives the same digest. */
static int put_sorted(struct giver *g, DIR *d, struct err *reterr)
{
    char **names = NULL;
    size_t n = 0, room = 0;
    struct dirent *e;
    int r = 0;

    while (r >= 0 && (errno = 0, e = readdir(d))) {
        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
            continue;
        if (n == room) {
            room = room ? room * 2 : 64;
            names = xrealloc(names, room * sizeof(*names));
        }
        names[n++] = xstrdup(e->d_name);
        if (g->entries + (int64_t)n > LAYER_MAX_ENTRIES)
            r = err_set(reterr, ERR_INVALID, EFBIG, "more than %lld files", LAYER_MAX_ENTRIES);
    }
    if (r >= 0 && errno)
        r = err_sys(reterr, errno, "read %s", g->path);
    if (n > 0)
        qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = 0; i < n; i++) {
        if (r >= 0)
            r = put_child(g, dirfd(d), names[i], reterr);
        free(names[i]);
    }
    free(names);
    return r;
}

static int put_children(struct giver *g, DIR *d, struct err *reterr)
{
    struct dirent *e;

    if (g->picked)
        return put_sorted(g, d, reterr);
    while ((errno = 0, e = readdir(d))) {
        int r = streq(e->d_name, ".") || streq(e->d_name, "..")
                    ? 0
                    : put_child(g, dirfd(d), e->d_name, reterr);

        if (r < 0)
            return r;
    }
    return errno ? err_sys(reterr, errno, "read %s", g->path) : 0;
}

int giver_put_children(struct giver *g, int fd, struct err *reterr)
{
    int open_fd = view_open_at(fd, ".", O_RDONLY | O_DIRECTORY), r;
    DIR *d = open_fd < 0 ? NULL : fdopendir(open_fd);

    if (!d) {
        fd_close(open_fd);
        return err_sys(reterr, open_fd < 0 ? -open_fd : errno, "open %s", g->path);
    }
    r = put_children(g, d, reterr);
    closedir(d);
    return r;
}

/* What the kernel makes up when it is asked is nobody's file, and some of it can only be written:
 * of a running container's root such a mount is an empty directory, as it is of one that is down.
 */
static bool is_made_up(int fd)
{
    static const long types[] = {
        PROC_SUPER_MAGIC, SYSFS_MAGIC,   CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, SECURITYFS_MAGIC,
        DEBUGFS_MAGIC,    TRACEFS_MAGIC, BPF_FS_MAGIC,       PSTOREFS_MAGIC,      EFIVARFS_MAGIC};
    struct statfs fs;

    for (size_t i = 0; fstatfs(fd, &fs) == 0 && i < ARRAY_SIZE(types); i++) {
        if ((long)fs.f_type == types[i])
            return true;
    }
    return false;
}

/* fd: O_PATH of a directory, which stays the caller's. */
static int put_tree(struct giver *g, int fd, struct err *reterr)
{
    int open_fd = view_open_at(fd, ".", O_RDONLY | O_DIRECTORY);
    DIR *d = open_fd < 0 ? NULL : fdopendir(open_fd);
    struct stat sb;
    int r;

    if (!d) {
        fd_close(open_fd);
        return is_gone(open_fd) ? 0 : err_sys(reterr, errno, "open %s", g->path);
    }
    if (++g->depth > DEPTH_MAX)
        r = err_set(reterr, ERR_INVALID, ELOOP, "%.200s...: too many directories", g->path);
    else if (fstat(open_fd, &sb) < 0)
        r = err_sys(reterr, errno, "stat %s", g->path);
    else
        r = begin(g, &sb, reterr);
    if (r >= 0)
        r = giver_header(g, reterr);
    if (r >= 0 && (g->made_up || !is_made_up(open_fd)))
        r = put_children(g, d, reterr);
    closedir(d);
    g->depth--;
    return r;
}

int giver_open(struct giver *g, struct err *reterr)
{
    return archive_write_open(g->tar, g, NULL, out, NULL) == ARCHIVE_OK ? 0
                                                                        : giver_failed(g, reterr);
}

int giver_close(struct giver *g, struct err *reterr)
{
    return archive_write_close(g->tar) == ARCHIVE_OK ? 0 : giver_failed(g, reterr);
}

int giver_run(struct giver *g, const struct archive_node *n, struct err *reterr)
{
    int r;

    strcpy(g->path, n->base);
    g->len = strlen(g->path);
    g->made_up = is_made_up(n->fd);
    r = giver_open(g, reterr);
    if (r < 0)
        return r;
    /* By its name only where that may not have changed its meaning since it was looked up. */
    if (S_ISDIR(n->sb.st_mode))
        r = put_tree(g, n->fd, reterr);
    else
        r = put_name(g, n->parent, n->base, reterr);
    return r < 0 ? r : giver_close(g, reterr);
}
