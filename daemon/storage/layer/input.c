#include "input.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "fd.h"
#include "layer_protocol.h"
#include "mem.h"
#include "report.h"

/* Enough to tell what compression it is, however small the pieces are in which it comes. */
#define FIRST_MIN 512

/* Until the descriptor is readable; -ECANCELED when the input is wanted no more, or the daemon is
 * gone: nobody else would ever end the wait for a file that grows. */
static int wait_for(const struct input *in, int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
                           {.fd = in->stop_fd, .events = POLLIN},
                           {.fd = LAYER_FD_REPORT}};

    while (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return fds[1].revents || fds[2].revents & REPORT_UNREAD ? -ECANCELED : 0;
}

/* Wait for the daemon to say that there is more. */
static int follow(struct input *in)
{
    int64_t bytes = atomic_load(&in->bytes);

    while (in->valid <= bytes && !in->whole) {
        uint64_t more;
        ssize_t n;
        int r = wait_for(in, in->follow_fd);

        if (r < 0)
            return r;
        n = read(in->follow_fd, &more, sizeof(more));
        if (n != sizeof(more) && !(n < 0 && (errno == EINTR || errno == EAGAIN)))
            return -EPROTO;
        if (n == sizeof(more)) {
            in->whole = more >= LAYER_FOLLOW_END;
            in->valid += (int64_t)(more & (LAYER_FOLLOW_END - 1));
        }
    }
    return 0;
}

/* Bytes, 0 at the end, negative errno. */
static ssize_t read_some(struct input *in, char *data, size_t room)
{
    int64_t left;
    ssize_t n;
    int r = in->follow_fd >= 0 ? follow(in) : wait_for(in, STDIN_FILENO);

    if (r < 0)
        return r;
    left = in->valid - atomic_load(&in->bytes);
    if (in->follow_fd >= 0 && left < (int64_t)room)
        room = left > 0 ? (size_t)left : 0;
    do
        n = room > 0 ? read(STDIN_FILENO, data, room) : 0;
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    /* The daemon said that they are there. */
    return n == 0 && room > 0 && in->follow_fd >= 0 ? -EPROTO : n;
}

static ssize_t fill_chunk(struct input *in, char *room)
{
    size_t len = 0, want = atomic_load(&in->bytes) == 0 ? FIRST_MIN : 1;

    while (len < want) {
        ssize_t n = read_some(in, room + len, ring_chunk_size(in->ring) - len);
        int r = 0;

        if (n <= 0)
            return n < 0 ? n : (ssize_t)len;
        if (atomic_fetch_add(&in->bytes, n) + n > in->max)
            return -EFBIG;
        if (in->keep_fd >= 0)
            r = fd_write_all(in->keep_fd, room + len, (size_t)n);
        if (r < 0)
            return r;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

void input_run(struct input *in)
{
    struct err e;
    ssize_t n = 1;

    while (n > 0) {
        char *room = ring_room(in->ring);

        n = room ? fill_chunk(in, room) : -ECANCELED;
        if (n > 0)
            ring_put(in->ring, (size_t)n);
    }
    if (n == -EFBIG)
        err_set(&e, ERR_INVALID, EFBIG, "archive is larger than %lld bytes", (long long)in->max);
    else if (n < 0)
        err_set(&e, ERR_INVALID, (int)-n, "read archive: %s", err_text((int)-n));
    ring_end(in->ring, n < 0 ? &e : NULL);
}
