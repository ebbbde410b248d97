#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fd.h"
#include "req.h"

/* Put one end of a fresh socket pair in the place of the connection's descriptor.  The connection
 * is suspended, thus in nobody's epoll set. */
static int replace_socket(struct http_req *req)
{
    _cleanup_close_ int fd = -EBADF;
    int pair[2], conn_fd = req_fd(req);

    fd = fcntl(conn_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -errno;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    server_forget_head(req);
    if (dup3(pair[0], conn_fd, O_CLOEXEC) < 0) {
        int r = -errno;

        fd_close(pair[0]);
        fd_close(pair[1]);
        return r;
    }
    fd_close(pair[0]);
    req->dummy_fd = pair[1];
    return TAKE_FD(fd);
}

int takeover_begin(struct http_req *req, takeover_fn fn, void *arg)
{
    req->takeover = fn;
    req->takeover_arg = arg;
    if (!req->conn || req->gone) {
        req->client_fd = -ECONNRESET;
    } else {
        req_suspend_blind(req);
        req->client_fd = replace_socket(req);
    }
    if (req->client_fd < 0)
        req->gone = true;
    return req->client_fd;
}

void takeover_finish(struct http_req *req, const void *extra, size_t extra_len)
{
    takeover_fn fn = TAKE_PTR(req->takeover);

    req->dummy_fd = fd_close(req->dummy_fd);
    if (fn)
        fn(req->takeover_arg, TAKE_FD(req->client_fd), extra, extra_len);
}

static void finish_dead(void *arg)
{
    struct http_req *req = arg;

    takeover_finish(req, NULL, 0);
    req_answered(req, ANSWER_TAKEOVER);
}

void takeover_commit(struct http_req *req)
{
    if (req->conn)
        req_answered(req, ANSWER_TAKEOVER);
    else
        server_defer(req->server, finish_dead, req);
}
