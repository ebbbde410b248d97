#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "path.h"
#include "str.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

int tree_open(struct tree *t, struct err *reterr)
{
    *t = (struct tree){.root = open("/", OPEN_DIR), .parent = -EBADF};
    return t->root < 0 ? err_sys(reterr, errno, "open the stage") : 0;
}

void tree_done(struct tree *t)
{
    tree_forget(t);
    t->root = fd_close(t->root);
}

void tree_forget(struct tree *t)
{
    t->parent = fd_close(t->parent);
}

int tree_clean(const char *name, char ret[PATH_MAX], struct err *reterr)
{
    size_t len = 0;
    unsigned depth = 0;

    while (*name) {
        size_t n = strcspn(name, "/");

        if (n == 2 && memcmp(name, "..", 2) == 0)
            return err_set(reterr, ERR_INVALID, EINVAL, "unsafe name in archive: \"..\"");
        if (n > 0 && !(n == 1 && *name == '.')) {
            if (n > NAME_MAX || len + n + 2 > PATH_MAX || ++depth > TREE_DEPTH_MAX)
                return err_set(reterr, ERR_INVALID, ENAMETOOLONG, "name in archive is too long");
            if (len > 0)
                ret[len++] = '/';
            memcpy(ret + len, name, n);
            len += n;
        }
        name += n;
        while (*name == '/')
            name++;
    }
    ret[len] = '\0';
    return 0;
}

/* Like mkdir -p; from the root for each component, which may be a symlink to elsewhere below it. */
static int make_parents(struct tree *t, const char *dir)
{
    char part[PATH_MAX];
    int fd = t->root;

    for (size_t start = 0;;) {
        size_t end = start + strcspn(dir + start, "/");
        int next;

        memcpy(part, dir, end);
        part[end] = '\0';
        next = path_open_in_root(t->root, part, OPEN_DIR, 0);
        if (next == -ENOENT) {
            if (mkdirat(fd, part + start, 0755) < 0)
                next = -errno;
            else
                next = path_open_in_root(t->root, part, OPEN_DIR, 0);
        }
        if (fd != t->root)
            fd_close(fd);
        fd = next;
        if (fd < 0 || dir[end] == '\0')
            return fd;
        start = end + 1;
    }
}

int tree_parent(struct tree *t, const char *path, bool make, const char **ret_base,
                struct err *reterr)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    char dir[PATH_MAX];
    int fd;

    *ret_base = slash ? slash + 1 : path;
    if (n == 0)
        return t->root;
    memcpy(dir, path, n);
    dir[n] = '\0';
    if (t->parent >= 0 && streq(dir, t->parent_path))
        return t->parent;
    tree_forget(t);
    fd = path_open_in_root(t->root, dir, OPEN_DIR, 0);
    if (fd == -ENOENT && make)
        fd = make_parents(t, dir);
    if (fd < 0)
        return err_sys(reterr, -fd, "directory %s", dir);
    t->parent = fd;
    memcpy(t->parent_path, dir, n + 1);
    return fd;
}
