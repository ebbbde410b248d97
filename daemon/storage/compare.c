#include "compare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "storage_impl.h"
#include "str.h"

/* A directory that is not told yet: it is when something in it is. */
struct pending {
    size_t path_len;
    struct stat sb;
};

struct walk {
    int (*fn)(void *arg, const struct change *c);
    void *arg;
    dev_t dev;
    unsigned depth, told;
    struct pending dirs[COMPARE_DEPTH_MAX + 1];
    char path[PATH_MAX];
};

static int tell_dirs(struct walk *w)
{
    int r = 0;

    for (; r >= 0 && w->told < w->depth; w->told++) {
        const struct pending *p = &w->dirs[w->told];
        struct change c = {.kind = CHANGE_CHANGED, .path = w->path, .sb = p->sb};
        char keep = w->path[p->path_len];

        w->path[p->path_len] = '\0';
        r = w->fn(w->arg, &c);
        w->path[p->path_len] = keep;
    }
    return r;
}

static int tell(struct walk *w, enum change_kind kind, const struct stat *sb)
{
    struct change c = {.kind = kind, .path = w->path, .sb = *sb};
    int r = tell_dirs(w);

    return r < 0 ? r : w->fn(w->arg, &c);
}

static bool is_init(const struct walk *w, const struct stat *sb)
{
    if (S_ISLNK(sb->st_mode))
        return streq(w->path, "etc/mtab");
    for (size_t i = 0; i < storage_n_init_points; i++) {
        const struct init_point *p = &storage_init_points[i];

        if (streq(p->path, w->path))
            return p->directory ? S_ISDIR(sb->st_mode) : S_ISREG(sb->st_mode) && sb->st_size == 0;
    }
    return false;
}

static bool same(const struct stat *a, const struct stat *b)
{
    if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid ||
        a->st_rdev != b->st_rdev)
        return false;
    return S_ISDIR(a->st_mode) ||
           (a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
            a->st_mtim.tv_nsec == b->st_mtim.tv_nsec);
}

static int compare_dirs(struct walk *w, int lower, int upper);

static int descend(struct walk *w, int lower, int upper, const char *name, const struct stat *sb,
                   bool told)
{
    _cleanup_close_ int up = -EBADF, low = -EBADF;
    int r;

    if (w->depth == COMPARE_DEPTH_MAX || sb->st_dev != w->dev)
        return 0;
    up = openat(upper, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (up < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
    if (lower >= 0)
        low = openat(lower, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    w->dirs[w->depth] = (struct pending){.path_len = strlen(w->path), .sb = *sb};
    if (told && w->told == w->depth)
        w->told++;
    w->depth++;
    r = compare_dirs(w, low, up);
    w->depth--;
    if (w->told > w->depth)
        w->told = w->depth;
    return r;
}

/* One name of the upper tree. */
static int compare_name(struct walk *w, int lower, int upper, const char *name)
{
    struct stat sb, old;
    bool was, init, told;
    int r = 0;

    if (fstatat(upper, name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    was = lower >= 0 && fstatat(lower, name, &old, AT_SYMLINK_NOFOLLOW) == 0;
    init = !was && is_init(w, &sb);
    told = !init && !(was && same(&sb, &old));
    if (told)
        r = tell(w, was ? CHANGE_CHANGED : CHANGE_ADDED, &sb);
    if (r < 0 || !S_ISDIR(sb.st_mode))
        return r;
    return descend(w, was && S_ISDIR(old.st_mode) ? lower : -EBADF, upper, name, &sb, told || init);
}

/* One name of the lower tree: only those that are gone count. */
static int compare_gone(struct walk *w, int lower, int upper, const char *name)
{
    struct stat sb, old;

    if (fstatat(upper, name, &sb, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT ||
        fstatat(lower, name, &old, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return tell(w, CHANGE_DELETED, &old);
}

static int each_name(struct walk *w, int lower, int upper, int listed,
                     int (*fn)(struct walk *w, int lower, int upper, const char *name))
{
    int fd = openat(listed, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    size_t at = strlen(w->path);
    struct dirent *e;

    if (!d) {
        r = -errno;
        fd_close(fd);
        return r;
    }
    while (r >= 0 && (e = readdir(d))) {
        if (streq(e->d_name, ".") || streq(e->d_name, "..") ||
            at + strlen(e->d_name) + 2 > sizeof(w->path))
            continue;
        sprintf(w->path + at, "%s%s", at ? "/" : "", e->d_name);
        r = fn(w, lower, upper, e->d_name);
        w->path[at] = '\0';
    }
    closedir(d);
    return r;
}

static int compare_dirs(struct walk *w, int lower, int upper)
{
    int r = each_name(w, lower, upper, upper, compare_name);

    return r < 0 || lower < 0 ? r : each_name(w, lower, upper, lower, compare_gone);
}

int compare_trees(int lower, int upper, int (*fn)(void *arg, const struct change *c), void *arg)
{
    struct walk *w = xcalloc(1, sizeof(*w));
    struct stat sb;
    int r;

    w->fn = fn;
    w->arg = arg;
    if (fstat(upper, &sb) < 0) {
        r = -errno;
    } else {
        w->dev = sb.st_dev;
        r = compare_dirs(w, lower, upper);
    }
    free(w);
    return r;
}
