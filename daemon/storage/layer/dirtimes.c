#include "dirtimes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "mem.h"
#include "path.h"

#define BUFFER_MIN 4096
#define BUFFER_MAX (1024 * 1024)

/* In front of each path, which follows without a NUL. */
struct record {
    struct timespec mtime;
    size_t len;
};

/* To the file.  One that the file system cannot make is done without. */
static int spill(struct dirtimes *d, int root, struct err *reterr)
{
    int r;

    if (d->spill < 0)
        d->spill = openat(root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (d->spill < 0)
        return 0;
    r = fd_write_all(d->spill, d->buffer, d->len);
    d->len = 0;
    return r < 0 ? err_sys(reterr, -r, "remember times of directories") : 0;
}

int dirtimes_add(struct dirtimes *d, int root, const char *path, struct timespec mtime,
                 struct err *reterr)
{
    struct record head = {.mtime = mtime, .len = strlen(path)};
    size_t need = sizeof(head) + head.len;

    if (d->len + need > BUFFER_MAX) {
        int r = spill(d, root, reterr);

        if (r < 0)
            return r;
    }
    if (d->len + need > d->room) {
        while (d->len + need > d->room)
            d->room = d->room ? d->room * 2 : BUFFER_MIN;
        d->buffer = xrealloc(d->buffer, d->room);
    }
    memcpy(d->buffer + d->len, &head, sizeof(head));
    memcpy(d->buffer + d->len + sizeof(head), path, head.len);
    d->len += need;
    return 0;
}

static int set_time(int root, const char *path, struct timespec mtime, struct err *reterr)
{
    struct timespec times[2] = {mtime, mtime};
    _cleanup_close_ int fd =
        path_open_in_root(root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

    /* A later entry may have put something else in its place. */
    if (fd >= 0 && futimens(fd, times) < 0)
        return err_sys(reterr, errno, "set time of %s", path);
    return 0;
}

/* How much of data was whole records. */
static ssize_t apply(int root, const char *data, size_t len, struct err *reterr)
{
    size_t at = 0;

    for (;;) {
        struct record head;
        char path[PATH_MAX];
        int r;

        if (len - at < sizeof(head))
            return (ssize_t)at;
        memcpy(&head, data + at, sizeof(head));
        if (len - at - sizeof(head) < head.len)
            return (ssize_t)at;
        memcpy(path, data + at + sizeof(head), head.len);
        path[head.len] = '\0';
        at += sizeof(head) + head.len;
        r = set_time(root, path, head.mtime, reterr);
        if (r < 0)
            return r;
    }
}

int dirtimes_apply(struct dirtimes *d, int root, struct err *reterr)
{
    size_t kept = 0;
    ssize_t n = 0, used;
    off_t at = 0;

    if (d->spill < 0) {
        used = apply(root, d->buffer, d->len, reterr);
        return used < 0 ? (int)used : 0;
    }
    if (spill(d, root, reterr) < 0)
        return -EIO;
    do {
        kept += (size_t)n;
        used = apply(root, d->buffer, kept, reterr);
        if (used < 0)
            return (int)used;
        kept -= (size_t)used;
        memmove(d->buffer, d->buffer + used, kept);
        n = pread(d->spill, d->buffer + kept, d->room - kept, at);
        at += n;
    } while (n > 0);
    return n < 0 ? err_sys(reterr, errno, "read times of directories") : 0;
}

void dirtimes_done(struct dirtimes *d)
{
    free(d->buffer);
    fd_close(d->spill);
}
