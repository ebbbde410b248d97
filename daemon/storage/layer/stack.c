#include "stack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fd.h"
#include "str.h"

static const char *or_dot(const char *path)
{
    return *path ? path : ".";
}

int stack_open(const struct stack *s, unsigned layer, const char *path, int flags)
{
    int fd = openat(s->fds[layer], or_dot(path), flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

void stack_root(const struct stack *s, unsigned first, unsigned n, struct spot *ret)
{
    ret->n = 0;
    for (unsigned i = first; i < s->n && ret->n < n; i++)
        ret->layers[ret->n++] = (uint16_t)i;
}

int stack_is_opaque(const struct stack *s, unsigned layer, const char *path, struct err *reterr)
{
    _cleanup_close_ int fd = stack_open(s, layer, path, O_DIRECTORY);
    char value[2];

    if (fd < 0)
        return fd == -ENOENT || fd == -ENOTDIR ? 0 : err_sys(reterr, -fd, "open %s", path);
    /* "x" only announces whiteouts in the form of files, which nothing here makes. */
    return fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

static bool is_whiteout(const struct stat *sb)
{
    return S_ISCHR(sb->st_mode) && sb->st_rdev == makedev(0, 0);
}

int stack_lookup(const struct stack *s, const struct spot *in, const char *path, struct node *ret,
                 struct err *reterr)
{
    *ret = (struct node){0};
    for (unsigned i = 0; i < in->n; i++) {
        unsigned layer = in->layers[i];
        struct stat sb;
        int r;

        if (fstatat(s->fds[layer], or_dot(path), &sb, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno == ENOENT || errno == ENOTDIR)
                continue;
            return err_sys(reterr, errno, "stat %s", path);
        }
        if (is_whiteout(&sb)) {
            ret->whiteout = !ret->there;
            return 0;
        }
        if (ret->there && !S_ISDIR(sb.st_mode))
            return 0;
        if (!ret->there) {
            ret->there = true;
            ret->layer = layer;
            ret->sb = sb;
            if (!S_ISDIR(sb.st_mode))
                return 0;
        }
        ret->dir.layers[ret->dir.n++] = (uint16_t)layer;
        /* The last one has nothing below it that it could hide. */
        r = i + 1 < in->n ? stack_is_opaque(s, layer, path, reterr) : 0;
        if (r != 0)
            return r < 0 ? r : 0;
    }
    return 0;
}

/* ---- listing ---- */

static void add_name(struct listing *l, const char *name)
{
    size_t size = strlen(name) + 1;

    if (l->n == l->room_names) {
        l->room_names = l->room_names ? l->room_names * 2 : 32;
        l->names = xrealloc(l->names, l->room_names * sizeof(*l->names));
    }
    if (l->room_bytes - l->len < size) {
        l->room_bytes = l->room_bytes * 2 + size + 256;
        l->bytes = xrealloc(l->bytes, l->room_bytes);
    }
    memcpy(l->bytes + l->len, name, size);
    l->names[l->n++] = l->len;
    l->len += size;
}

static int by_name(const void *a, const void *b, void *bytes)
{
    return strcmp((const char *)bytes + *(const size_t *)a,
                  (const char *)bytes + *(const size_t *)b);
}

static int list_one(const struct stack *s, unsigned layer, const char *path, struct listing *l,
                    struct err *reterr)
{
    int fd = stack_open(s, layer, path, O_DIRECTORY);
    struct dirent *e;
    DIR *d;

    if (fd < 0)
        return fd == -ENOENT || fd == -ENOTDIR ? 0 : err_sys(reterr, -fd, "open %s", path);
    d = fdopendir(fd);
    if (!d) {
        fd_close(fd);
        return err_sys(reterr, ENOMEM, "read %s", path);
    }
    while ((errno = 0, e = readdir(d))) {
        if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
            add_name(l, e->d_name);
    }
    fd = errno;
    closedir(d);
    return fd ? err_sys(reterr, fd, "read %s", path) : 0;
}

int stack_list(const struct stack *s, const struct spot *dir, const char *path, struct listing *ret,
               struct err *reterr)
{
    size_t kept = 0;

    *ret = (struct listing){0};
    for (unsigned i = 0; i < dir->n; i++) {
        int r = list_one(s, dir->layers[i], path, ret, reterr);

        if (r < 0) {
            listing_done(ret);
            return r;
        }
    }
    if (ret->n == 0)
        return 0;
    qsort_r(ret->names, ret->n, sizeof(*ret->names), by_name, ret->bytes);
    for (size_t i = 0; i < ret->n; i++) {
        if (kept == 0 || !streq(listing_name(ret, kept - 1), listing_name(ret, i)))
            ret->names[kept++] = ret->names[i];
    }
    ret->n = kept;
    return 0;
}

void listing_done(struct listing *l)
{
    free(l->bytes);
    free(l->names);
    *l = (struct listing){0};
}

int walk_path_push(struct walk_path *p, const char *name, struct err *reterr)
{
    size_t was = p->len, n = strlen(name);

    if (was + n + 2 > sizeof(p->text))
        return err_set(reterr, ERR_INVALID, ENAMETOOLONG, "%.200s...: path is too long", p->text);
    if (was > 0)
        p->text[p->len++] = '/';
    memcpy(p->text + p->len, name, n + 1);
    p->len += n;
    return (int)was;
}

void walk_path_pop(struct walk_path *p, int len)
{
    p->len = (size_t)len;
    p->text[len] = '\0';
}
