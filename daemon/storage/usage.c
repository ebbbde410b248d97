#include "usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "compare.h"
#include "fd.h"
#include "map.h"
#include "str.h"

struct walk {
    struct map links; /* "inode" of files with several links, counted already */
    dev_t dev;
    int64_t total;
};

static void count_file(struct walk *w, const struct stat *sb)
{
    if (!S_ISREG(sb->st_mode) && !S_ISLNK(sb->st_mode))
        return;
    if (sb->st_nlink > 1) {
        char key[24];

        snprintf(key, sizeof(key), "%llx", (unsigned long long)sb->st_ino);
        if (map_get(&w->links, key))
            return;
        map_put(&w->links, key, w);
    }
    w->total += sb->st_size;
}

static int walk_dir(struct walk *w, int fd, unsigned depth);

static int walk_entry(struct walk *w, int dirfd, const char *name, unsigned depth)
{
    struct stat sb;
    int fd;

    if (fstatat(dirfd, name, &sb, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISDIR(sb.st_mode)) {
        count_file(w, &sb);
        return 0;
    }
    if (sb.st_dev != w->dev || depth >= USAGE_DEPTH_MAX)
        return 0;
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
    return walk_dir(w, fd, depth + 1);
}

/* Takes fd. */
static int walk_dir(struct walk *w, int fd, unsigned depth)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    int r = 0;

    if (!d) {
        fd_close(fd);
        return -ENOMEM;
    }
    while (r >= 0 && (e = readdir(d))) {
        if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
            r = walk_entry(w, dirfd(d), e->d_name, depth);
    }
    closedir(d);
    return r;
}

int usage_of_tree(int dirfd, const char *name, int64_t *ret)
{
    struct walk w = {0};
    struct stat sb;
    int fd, r;

    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &sb) < 0) {
        r = -errno;
        fd_close(fd);
        return r;
    }
    w.dev = sb.st_dev;
    r = walk_dir(&w, fd, 0);
    map_done(&w.links);
    if (r < 0)
        return r;
    *ret = w.total;
    return 0;
}

static int count_change(void *arg, const struct change *c)
{
    if (c->kind != CHANGE_DELETED)
        count_file(arg, &c->sb);
    return 0;
}

int usage_of_changes(int lower, int upper, int64_t *ret)
{
    struct walk w = {0};
    int r = compare_trees(lower, upper, count_change, &w);

    map_done(&w.links);
    if (r >= 0)
        *ret = w.total;
    return r;
}
