#include "whole.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copytree.h"
#include "fd.h"
#include "layer_protocol.h"
#include "map.h"
#include "mem.h"
#include "str.h"
#include "subvolume.h"

#define LOWER_DEPTH_MAX 256 /* a descriptor a level */

/* ---- the base ---- */

bool base_parse(struct base *b, const char *argument)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--whole", &b->whole}, {"--subvolume", &b->subvolume}, {"--parent", &b->parent}};

    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (streq(flags[i].name, argument)) {
            *flags[i].flag = true;
            b->whole |= b->subvolume;
            return true;
        }
    }
    return false;
}

static int snapshot(int parent, struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    int r = subvolume_new(parent, LAYER_FD_DIR, LAYER_DIFF);

    if (r < 0)
        return err_sys(reterr, -r, "make a subvolume");
    fd = openat(LAYER_FD_DIR, LAYER_DIFF, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || dup2(fd, LAYER_FD_DIR) < 0)
        return err_sys(reterr, errno, "open the subvolume");
    return 0;
}

int base_make(const struct base *b, struct err *reterr)
{
    int parent = b->parent ? LAYER_FD_PARENT : -EBADF;
    int r = 0;

    umask(0);
    if (b->subvolume)
        r = snapshot(parent, reterr);
    else if (parent >= 0)
        r = copytree_fill(parent, LAYER_FD_DIR, false, reterr);
    if (parent >= 0)
        fd_close(parent);
    return r < 0 ? err_wrap(reterr, "copy the layer below") : r;
}

/* ---- whiteouts ---- */

struct lower {
    struct map covered; /* "inode of the directory/name", made by this layer */
};

struct lower *lower_new(void)
{
    return xcalloc(1, sizeof(struct lower));
}

void lower_free(struct lower *l)
{
    if (!l)
        return;
    map_done(&l->covered);
    free(l);
}

struct key {
    char text[24 + NAME_MAX];
};

/* By inode, because a symlink may give a directory a second path. */
static int make_key(int dirfd, const char *name, struct key *ret)
{
    struct stat st;

    if (fstat(dirfd, &st) < 0)
        return -errno;
    snprintf(ret->text, sizeof(ret->text), "%llx/%.*s", (unsigned long long)st.st_ino, NAME_MAX,
             name);
    return 0;
}

int lower_cover(struct lower *l, int dirfd, const char *name, struct err *reterr)
{
    struct key key;
    int r = make_key(dirfd, name, &key);

    if (r < 0)
        return err_sys(reterr, -r, "stat the directory of %s", name);
    map_put(&l->covered, key.text, l);
    return 0;
}

static int remove_children(struct lower *l, int dirfd, unsigned depth);

/* Of a directory that this layer made or uses something may stay, and the directory with it. */
static int remove_name(struct lower *l, int dirfd, const char *name, unsigned depth)
{
    _cleanup_close_ int fd = -EBADF;
    struct key key;
    bool covered;
    int r = make_key(dirfd, name, &key);

    if (r < 0)
        return r;
    covered = map_get(&l->covered, key.text);
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno != ENOTDIR && errno != ELOOP)
        return errno == ENOENT ? 0 : -errno;
    if (fd < 0)
        return covered || unlinkat(dirfd, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
    if (depth == LOWER_DEPTH_MAX)
        return -ELOOP;
    r = remove_children(l, fd, depth + 1);
    if (r < 0 || covered || unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOTEMPTY)
        return r;
    return -errno;
}

static int remove_children(struct lower *l, int dirfd, unsigned depth)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d) {
        r = -errno;
        fd_close(fd);
        return r;
    }
    while (r >= 0 && (e = readdir(d))) {
        if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
            r = remove_name(l, dirfd, e->d_name, depth);
    }
    closedir(d);
    return r;
}

int lower_remove(struct lower *l, int dirfd, const char *name, struct err *reterr)
{
    int r = name ? remove_name(l, dirfd, name, 0) : remove_children(l, dirfd, 0);

    return r < 0 ? err_sys(reterr, -r, "remove %s", name ? name : "what an opaque directory hides")
                 : 0;
}
