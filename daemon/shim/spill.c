#include "spill.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"

#define CHUNK (32u << 10)
#define PUNCH (UINT64_C(1) << 20) /* sent bytes are given back in steps of this */

static char chunk[CHUNK] __attribute__((aligned(4096)));

void spill_done(struct spill *s)
{
    fd_close(s->fd);
    *s = SPILL_INIT;
}

static int open_file(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    if (fd < 0)
        fd = memfd_create("spill", MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int spill_put(struct spill *s, int dirfd, const void *data, size_t len)
{
    const char *p = data;
    size_t done = 0;

    if (s->fd < 0) {
        int fd = open_file(dirfd);

        if (fd < 0)
            return fd;
        s->fd = fd;
    }
    while (done < len) {
        ssize_t n = pwrite(s->fd, p + done, len - done, (off_t)(s->tail + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        done += (size_t)n;
    }
    s->tail += len;
    return 0;
}

static void give_back(struct spill *s, uint64_t from)
{
    if (s->head == s->tail) {
        if (ftruncate(s->fd, 0) == 0)
            s->head = s->tail = 0;
    } else if (s->head / PUNCH != from / PUNCH) {
        fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                  (off_t)(s->head / PUNCH * PUNCH));
    }
}

ssize_t spill_drain(struct spill *s, int sock)
{
    uint64_t from = s->head;
    ssize_t r = 0;

    while (s->head < s->tail) {
        uint64_t left = s->tail - s->head;
        ssize_t n = pread(s->fd, chunk, left < CHUNK ? left : CHUNK, (off_t)s->head), sent;

        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        sent = send(sock, chunk, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            r = errno == EAGAIN || errno == EINTR ? 0 : -errno;
            break;
        }
        s->head += (uint64_t)sent;
    }
    if (r < 0)
        return r;
    r = (ssize_t)(s->head - from);
    give_back(s, from);
    return r;
}
