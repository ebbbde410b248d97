/* Request bodies that go to a pipe as they come. */
#include <errno.h>
#include <unistd.h>

#include "fd.h"
#include "req.h"

struct upload {
    int fd; /* owned; -EBADF once the reader has left */
    struct watch *watch;
    http_upload_fn done;
    void *arg;
};

static void upload_close(struct upload *u)
{
    watch_free(TAKE_PTR(u->watch));
    u->fd = fd_close(u->fd);
}

static void upload_tell(struct upload *u, int result)
{
    http_upload_fn done = TAKE_PTR(u->done);

    upload_close(u);
    if (done)
        done(u->arg, result);
}

void upload_finish(struct http_req *req, int result)
{
    struct upload *u = TAKE_PTR(req->upload);

    upload_tell(u, result);
    free(u);
}

/* The pipe has room again, or its reader died: the next write(2) tells. */
static void on_pipe(uv_poll_t *p, int status, int events)
{
    struct http_req *req = p->data;

    (void)status, (void)events;
    uv_poll_stop(p);
    req_resume(req);
}

static void upload_wait(struct http_req *req)
{
    struct upload *u = req->upload;

    req_suspend(req);
    uv_poll_start(&u->watch->poll, UV_WRITABLE, on_pipe);
}

ssize_t upload_feed(struct http_req *req, const char *data, size_t len)
{
    struct upload *u = req->upload;
    size_t taken = 0;
    ssize_t n;

    if (!u && !req->stream && req->answer == ANSWER_NONE) {
        req_suspend(req); /* until the handler has made up its mind */
        return 0;
    }
    if (!u || u->fd < 0)
        return (ssize_t)len;
    while (taken < len) {
        n = write(u->fd, data + taken, len - taken);
        if (n >= 0) {
            taken += (size_t)n;
        } else if (errno == EAGAIN) {
            upload_wait(req);
            return (ssize_t)taken;
        } else if (errno != EINTR) {
            upload_tell(u, -EPIPE);
            break;
        }
    }
    return (ssize_t)len;
}

static void finish_late(void *arg)
{
    struct upload *u = arg;

    upload_tell(u, -ECONNRESET);
    free(u);
}

void http_body_to_fd(struct http_req *req, int fd, http_upload_fn done, void *arg)
{
    struct upload *u;

    fd_set_nonblock(fd, 1);
    if (raw_begin(req, fd, done, arg))
        return;
    u = xcalloc(1, sizeof(*u));
    u->fd = fd;
    u->done = done;
    u->arg = arg;
    if (req->conn && !req->gone)
        u->watch = watch_new(req->server, fd, req);
    if (!u->watch) {
        server_defer(req->server, finish_late, u);
        return;
    }
    req->upload = u;
    req_resume(req);
}
