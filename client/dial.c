/* system dial-stdio: stdin and stdout joined with the daemon's socket.  It is what ssh runs on the
 * daemon's side, for `ctlc -H ssh://` as for Docker's client. */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "fd.h"

#define PUMP_ROOM ((size_t)64 << 10)

/* One direction: what was read and not yet written. */
struct pump {
    int from, to;
    char *data;
    size_t at, len;
    bool ended; /* `from` is at its end */
};

static bool pump_full(const struct pump *p)
{
    return p->len > 0;
}

/* Read if there is nothing to write, write what there is; 0, or -errno. */
static int pump_step(struct pump *p)
{
    ssize_t n;

    if (!pump_full(p) && !p->ended) {
        n = read(p->from, p->data, PUMP_ROOM);
        if (n < 0)
            return errno == EINTR || errno == EAGAIN ? 0 : -errno;
        p->ended = n == 0;
        p->at = 0;
        p->len = (size_t)n;
    }
    if (pump_full(p)) {
        n = write(p->to, p->data + p->at, p->len);
        if (n < 0)
            return errno == EINTR || errno == EAGAIN ? 0 : -errno;
        p->at += (size_t)n;
        p->len -= (size_t)n;
    }
    return 0;
}

/* What this direction waits for; -1: for nothing any more. */
static struct pollfd pump_wait(const struct pump *p)
{
    if (pump_full(p))
        return (struct pollfd){.fd = p->to, .events = POLLOUT};
    return (struct pollfd){.fd = p->ended ? -1 : p->from, .events = POLLIN};
}

/* Until the daemon has said all.  The end of what comes in is passed on, as docker does. */
static int pump_both(struct pump *in, struct pump *out, struct err *reterr)
{
    bool told = false;
    int r = 0;

    while (r >= 0 && (!out->ended || pump_full(out))) {
        struct pollfd waits[] = {pump_wait(in), pump_wait(out)};

        if (in->ended && !pump_full(in) && !told) {
            shutdown(in->to, SHUT_WR);
            told = true;
        }
        if (poll(waits, 2, -1) < 0 && errno != EINTR)
            return err_sys(reterr, errno, "poll");
        if (waits[0].revents && pump_step(in) < 0)
            in->ended = true, in->len = 0;
        if (waits[1].revents)
            r = pump_step(out);
    }
    return r < 0 ? err_sys(reterr, -r, "dial-stdio") : 0;
}

int cmd_dial_stdio(struct invocation *inv)
{
    _cleanup_free_ char *up = xmalloc(PUMP_ROOM), *down = xmalloc(PUMP_ROOM);
    _cleanup_close_ int sock = -EBADF;
    struct err e = {0};
    int r;

    sock = transport_connect(&inv->client->transport, &e);
    if (sock < 0)
        return cli_fail(inv, &e);
    fd_set_nonblock(sock, true);
    fd_set_nonblock(STDOUT_FILENO, true);
    r = pump_both(&(struct pump){.from = STDIN_FILENO, .to = sock, .data = up},
                  &(struct pump){.from = sock, .to = STDOUT_FILENO, .data = down}, &e);
    fd_set_nonblock(STDOUT_FILENO, false);
    return r < 0 ? cli_fail(inv, &e) : 0;
}
