/* Handing the client's socket out. */
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "api.h"
#include "fd.h"
#include "req.h"
#include "status.h"

struct hijack {
    http_hijack_fn cb;
    void *arg;
    int error; /* of writing the head */
};

static void on_taken(void *arg, int fd, const void *extra, size_t extra_len)
{
    struct hijack h = *(struct hijack *)arg;

    free(arg);
    if (h.error < 0) {
        fd_close(fd);
        fd = h.error;
    }
    if (h.cb)
        h.cb(h.arg, fd, extra, extra_len);
    else
        fd_close(fd);
}

/* One write: clients exist that lose what comes together with the head. */
static int send_once(int fd, const struct buf *b)
{
    ssize_t n = send(fd, buf_head(b), buf_size(b), MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return -errno;
    return (size_t)n == buf_size(b) ? 0 : -ECONNRESET;
}

static void take(struct http_req *req, const struct buf *head, http_hijack_fn cb, void *arg)
{
    struct hijack *h = xcalloc(1, sizeof(*h));
    int fd;

    assert(req->phase == REQ_RUNNING || !req->conn);
    h->cb = cb;
    h->arg = arg;
    fd = takeover_begin(req, on_taken, h);
    if (fd >= 0)
        h->error = send_once(fd, head);
    takeover_commit(req);
}

void http_hijack(struct http_req *req, const char *content_type, http_hijack_fn cb, void *arg)
{
    _cleanup_buf_ struct buf head = {0};
    bool upgrade = http_wants_upgrade(req);

    if (!content_type)
        content_type = API_TYPE_RAW_STREAM;
    head_begin(&head, req, upgrade ? 101 : 200, upgrade ? "UPGRADED" : "OK", content_type);
    buf_append_str(&head, upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
                                  : "Connection: close\r\n\r\n");
    take(req, &head, cb, arg);
}

static void refuse_old(void *arg)
{
    struct hijack *h = arg;

    h->cb(h->arg, -EPROTO, NULL, 0);
    free(h);
}

void http_hijack_body(struct http_req *req, const char *content_type, int64_t length,
                      http_hijack_fn cb, void *arg)
{
    _cleanup_buf_ struct buf head = {0};

    if (length < 0 && req->http10) {
        struct hijack *h = xcalloc(1, sizeof(*h));

        *h = (struct hijack){.cb = cb, .arg = arg};
        server_defer(req->server, refuse_old, h);
        http_reply_error(req, 505, "this answer needs HTTP/1.1");
        return;
    }
    head_begin(&head, req, 200, "OK", content_type);
    if (length < 0)
        buf_append_str(&head, "Transfer-Encoding: chunked\r\n");
    else
        buf_printf(&head, "Content-Length: %lld\r\n", (long long)length);
    buf_append_str(&head, "Connection: close\r\n\r\n");
    take(req, &head, cb, arg);
}

void http_hijack_error(struct http_req *req, const struct err *err)
{
    _cleanup_buf_ struct buf text = {0};
    unsigned status = http_status_of(err);

    buf_printf(&text, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\n\r\n%s\r\n", status,
               http_status_text(status), API_TYPE_RAW_STREAM, err->message);
    take(req, &text, NULL, NULL);
}
