#include "path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "mem.h"
#include "openat2.h"
#include "str.h"

char *path_join(const char *a, const char *b)
{
    while (*b == '/')
        b++;
    return xasprintf("%s%s%s", a, str_ends(a, "/") ? "" : "/", b);
}

int path_mkdir_p(const char *path, mode_t mode)
{
    _cleanup_free_ char *p = xstrdup(path);

    for (char *s = p + 1;; s++) {
        char c = *s;

        if (c != '/' && c != '\0')
            continue;
        *s = '\0';
        if (mkdir(p, mode) < 0 && errno != EEXIST)
            return -errno;
        *s = c;
        if (c == '\0')
            return 0;
    }
}

/* Each level holds a descriptor and stack: what lies deeper is first moved up into the top
 * directory, so that no tree that a container made can exhaust either. */
#define RM_DEPTH_MAX 64

struct removal {
    int top;        /* borrowed: the directory being removed */
    unsigned moved; /* directories moved into it so far */
    const atomic_bool *stop;
};

static int rm_entry(struct removal *rm, int dirfd, const char *name, unsigned depth);

/* Takes fd. */
static int rm_children(struct removal *rm, int fd, unsigned depth)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    int r = 0;

    if (!d) {
        r = -errno;
        fd_close(fd);
        return r;
    }
    while (r >= 0 && (e = readdir(d))) {
        if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
            r = rm_entry(rm, dirfd(d), e->d_name, depth);
    }
    closedir(d);
    return r;
}

static int move_up(struct removal *rm, int dirfd, const char *name)
{
    char up[32];

    for (;;) {
        snprintf(up, sizeof(up), ".rm-%u", rm->moved++);
        if (renameat2(dirfd, name, rm->top, up, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EEXIST)
            return -errno;
    }
}

static int open_tree(int dirfd, const char *name, uint64_t resolve)
{
    int fd = sys_openat2(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, resolve);

    return fd < 0 ? -errno : fd;
}

static int rm_entry(struct removal *rm, int dirfd, const char *name, unsigned depth)
{
    int fd, r;

    if (rm->stop && atomic_load_explicit(rm->stop, memory_order_relaxed))
        return -ECANCELED;
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (depth >= RM_DEPTH_MAX)
        return move_up(rm, dirfd, name);
    fd = open_tree(dirfd, name, RESOLVE_NO_XDEV);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    r = rm_children(rm, fd, depth + 1);
    if (r >= 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

int path_rm_rf(int dirfd, const char *name)
{
    return path_rm_rf_until(dirfd, name, NULL);
}

int path_rm_rf_until(int dirfd, const char *name, const atomic_bool *stop)
{
    _cleanup_close_ int top = -EBADF;
    struct removal rm = {.stop = stop};
    unsigned before;
    int r;

    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    /* An absolute name may cross file systems on its way; only the tree below may not. */
    top = open_tree(dirfd, name, name[0] == '/' ? 0 : RESOLVE_NO_XDEV);
    if (top < 0)
        return top == -ENOENT ? 0 : top;
    rm.top = top;
    do {
        int fd = open_tree(top, ".", RESOLVE_NO_XDEV);

        before = rm.moved;
        r = fd < 0 ? fd : rm_children(&rm, fd, 0);
    } while (r >= 0 && rm.moved != before);
    if (r >= 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

char *path_clean(const char *path)
{
    char *out = xmalloc(strlen(path) + 2), *w = out;
    bool rooted = *path == '/';
    size_t floor;

    if (rooted)
        *w++ = '/';
    floor = (size_t)(w - out);
    while (*path) {
        size_t n = strcspn(path, "/");

        if (n == 2 && memcmp(path, "..", 2) == 0) {
            if ((size_t)(w - out) > floor) {
                while ((size_t)(w - out) > floor && w[-1] != '/')
                    w--;
                if ((size_t)(w - out) > floor)
                    w--;
            } else if (!rooted) {
                if (w > out)
                    *w++ = '/';
                memcpy(w, "..", 2);
                w += 2;
                floor = (size_t)(w - out);
            }
        } else if (n > 0 && !(n == 1 && *path == '.')) {
            if (w > out && w[-1] != '/')
                *w++ = '/';
            memcpy(w, path, n);
            w += n;
        }
        path += n;
        while (*path == '/')
            path++;
    }
    if (w == out)
        *w++ = '.';
    *w = '\0';
    return out;
}

int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode)
{
    int fd = sys_openat2(rootfd, path, (unsigned)flags | O_CLOEXEC, mode,
                         RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

    return fd < 0 ? -errno : fd;
}
