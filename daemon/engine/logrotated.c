#include "logrotated.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "logpack.h"
#include "str.h"

#define LOCK_TRIES 200 /* a millisecond each: a rotation is a few renames */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int lock_once(const char *base)
{
    _cleanup_close_ int fd = open(base, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat held, named;

    if (fd < 0 || flock(fd, LOCK_EX) < 0 || fstat(fd, &held) < 0)
        return -errno;
    if (lstat(base, &named) < 0 || !is_same(&held, &named))
        return -EAGAIN; /* it was rotated while we waited */
    return TAKE_FD(fd);
}

/* Closing the descriptor gives the lock back. */
static int lock_log(const char *base)
{
    int r = -EAGAIN;

    for (int i = 0; i < LOCK_TRIES && (r == -EAGAIN || r == -ENOENT); i++) {
        if (i > 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        r = lock_once(base);
    }
    return r;
}

static char *name_of(const char *base, uint64_t n)
{
    return xasprintf("%s.%llu", base, (unsigned long long)n);
}

/* Where the file stands by now; 0: nowhere any more. */
static uint64_t find_place(const char *base, uint64_t files, const struct stat *file)
{
    for (uint64_t n = 1; n < files; n++) {
        _cleanup_free_ char *name = name_of(base, n);
        struct stat st;

        if (lstat(name, &st) == 0 && is_same(&st, file))
            return n;
    }
    return 0;
}

/* The packed file takes the place of the plain one.  Somebody who looks finds one of them. */
static int put_in_place(const char *base, uint64_t files, const struct stat *file,
                        const char *temporary)
{
    _cleanup_close_ int lock = lock_log(base);
    uint64_t n = lock < 0 ? 0 : find_place(base, files, file);
    _cleanup_free_ char *plain = name_of(base, n), *packed = xasprintf("%s.gz", plain);

    if (lock < 0)
        return lock;
    if (n == 0)
        return -ESTALE; /* it was one too many */
    if (rename(temporary, packed) < 0)
        return -errno;
    unlink(plain);
    return 0;
}

static int pack(const char *base, uint64_t files, int in, const char *temporary)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
    _cleanup_close_ int out = open(temporary, flags, 0640);
    struct stat st;
    int r;

    if (out < 0 || fstat(in, &st) < 0)
        return -errno;
    r = log_file_gzip(in, out, st.st_ino);
    if (r < 0)
        return r;
    if (futimens(out, (struct timespec[]){st.st_mtim, st.st_mtim}) < 0 || fdatasync(out) < 0)
        return -errno;
    return put_in_place(base, files, &st, temporary);
}

static void settle_one(const char *base, uint64_t files, uint64_t n)
{
    _cleanup_free_ char *name = name_of(base, n), *temporary = xasprintf("%s.packing", base);
    _cleanup_close_ int in = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int r = in < 0 ? 0 : pack(base, files, in, temporary);

    if (r < 0)
        unlink(temporary);
    if (r == -ELIBACC)
        log_warn("logs stay as they are: no libz");
    else if (r < 0 && r != -ESTALE)
        log_warn("cannot pack %s: %s", name, err_text(-r));
}

/* One that moved on to a place where we have been is told of again, as its move was a rotation. */
void log_rotated_settle(const char *base, uint64_t files)
{
    for (uint64_t n = files; n-- > 1;)
        settle_one(base, files, n);
}
