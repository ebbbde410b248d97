/* What a path names, by Docker's rules: symlinks on the way are followed, the last part only if a
 * slash or "/." comes behind it; ".." is taken away before anything is looked up. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"
#include "fd.h"
#include "layer_protocol.h"
#include "path.h"
#include "str.h"

#define LINKS_MAX 40 /* as the kernel has it */

static int fail(const char *path, int errnum, struct err *reterr)
{
    if (errnum == ENOENT)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "Could not find the file %s in container",
                       path);
    if (errnum == ENOTDIR || errnum == ELOOP || errnum == ENAMETOOLONG)
        return err_set(reterr, ERR_INVALID, errnum, "stat %s: %s", path, err_text(errnum));
    return err_sys(reterr, errnum, "stat %s", path);
}

static bool is_inside(const char *path)
{
    size_t n = strlen(path);

    return n == 0 || path[n - 1] == '/' || streq(path, ".") ||
           (n >= 2 && streq(path + n - 2, "/."));
}

static int clean(const char *path, char ret[PATH_MAX])
{
    _cleanup_free_ char *rooted = xasprintf("/%s", path), *text = path_clean(rooted);

    if (strlen(text) >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}

/* Of an absolute, clean path that is not "/". */
static const char *split(const char *path, char ret_parent[PATH_MAX])
{
    const char *base = strrchr(path, '/') + 1;
    size_t n = (size_t)(base - path);

    memcpy(ret_parent, path, n);
    ret_parent[n] = '\0';
    return base;
}

static int open_node(const struct view *v, bool inside, struct archive_node *n)
{
    char parent[PATH_MAX];
    const char *base;

    if (inside) {
        n->fd = view_open(v, n->path, O_PATH | O_DIRECTORY);
        return n->fd;
    }
    base = split(n->path, parent);
    n->parent = view_open(v, parent, O_PATH | O_DIRECTORY);
    if (n->parent < 0)
        return n->parent;
    n->fd = view_open_at(n->parent, base, O_PATH);
    return n->fd;
}

int archive_find(const struct view *v, const char *path, struct archive_node *ret,
                 struct err *reterr)
{
    bool inside = is_inside(path);
    const char *base;
    size_t len = strlen(path);
    int r = clean(path, ret->path);

    if (r < 0)
        return fail(path, -r, reterr);
    base = strrchr(ret->path, '/') + 1;
    if (strlen(base) > NAME_MAX)
        return fail(path, ENAMETOOLONG, reterr);
    if (!*base)
        strcpy(ret->base, "/");
    else if (streq(path, ".") || (len >= 2 && streq(path + len - 2, "/.")))
        strcpy(ret->base, ".");
    else
        strcpy(ret->base, base);
    r = open_node(v, inside || !*base, ret);
    if (r >= 0 && fstat(ret->fd, &ret->sb) < 0)
        r = -errno;
    return r < 0 ? fail(path, -r, reterr) : 0;
}

void archive_node_done(struct archive_node *n)
{
    n->fd = fd_close(n->fd);
    n->parent = fd_close(n->parent);
}

/* ---- where a symlink leads ---- */

/* One step: 1 if `at` (absolute, not clean) is a symlink and now where that points, 0 if it is
 * something else or nothing: then it is where the way ends. */
static int step(const struct view *v, char at[PATH_MAX])
{
    char parent[PATH_MAX], dir[PATH_MAX], target[PATH_MAX];
    const char *base = split(at, parent);
    _cleanup_close_ int fd = view_open(v, parent, O_PATH | O_DIRECTORY);
    ssize_t n;

    if (fd < 0 || view_canonical(fd, dir) < 0)
        return 0;
    n = *base && !streq(base, ".") && !streq(base, "..")
            ? readlinkat(fd, base, target, sizeof(target) - 1)
            : -1;
    target[n > 0 ? n : 0] = '\0';
    if (n > 0 && *target == '/') {
        memcpy(at, target, (size_t)n + 1);
        return 1;
    } else {
        _cleanup_free_ char *next = xasprintf("%s/%s", dir, n > 0 ? target : base);

        if (strlen(next) >= PATH_MAX)
            return -ENAMETOOLONG;
        memcpy(at, next, strlen(next) + 1);
    }
    return n > 0;
}

int archive_link_target(const struct view *v, const struct archive_node *n, char ret[PATH_MAX])
{
    char at[PATH_MAX];
    int r = 1;

    memcpy(at, n->path, sizeof(at));
    for (int i = 0; r > 0 && i < LINKS_MAX; i++)
        r = step(v, at);
    if (r != 0)
        return r < 0 ? r : -ELOOP;
    return clean(at, ret);
}

/* ---- telling ---- */

int archive_tell(const struct view *v, const struct archive_node *n, struct err *reterr)
{
    char target[PATH_MAX] = "", record[LAYER_STAT_MAX];
    int r = S_ISLNK(n->sb.st_mode) ? archive_link_target(v, n, target) : 0;

    if (r < 0)
        return fail(n->path, -r, reterr);
    r = snprintf(record, sizeof(record), "%u %lld %lld %ld%c%s%c%s", n->sb.st_mode,
                 (long long)n->sb.st_size, (long long)n->sb.st_mtim.tv_sec,
                 (long)n->sb.st_mtim.tv_nsec, 0, n->base, 0, target);
    r = fd_write_all(STDOUT_FILENO, record, (size_t)r + 1);
    return r < 0 ? err_sys(reterr, -r, "write") : 0;
}
