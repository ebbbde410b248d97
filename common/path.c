#include "path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"
#include "mem.h"
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

static int rm_children(int fd)
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
            r = path_rm_rf(dirfd(d), e->d_name);
    }
    closedir(d);
    return r;
}

int path_rm_rf(int dirfd, const char *name)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_NO_XDEV};
    int fd, r;

    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    /* An absolute name may cross file systems on its way; only the tree below may not. */
    if (name[0] == '/')
        how.resolve = 0;
    fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    r = rm_children(fd);
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
    struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC,
                           .mode = mode,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int fd;

    /* EAGAIN: a rename or mount raced with ".." resolution; openat2(2) says to try again. */
    for (int tries = 0; tries < 128; tries++) {
        fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
        if (fd >= 0)
            return fd;
        if (errno != EAGAIN)
            return -errno;
    }
    return -EAGAIN;
}
