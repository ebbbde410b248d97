/* A query that came by TCP goes on by TCP: who asks so wants what a datagram does not hold. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns_impl.h"
#include "fd.h"

#define READ_CHUNK 4096

struct dns_stream {
    uv_poll_t poll;
    struct dns_forward *forward;
    int fd;
    size_t sent; /* of length and query */
    struct buf in;
};

static void on_closed(uv_handle_t *handle)
{
    struct dns_stream *stream = handle->data;

    buf_done(&stream->in);
    free(stream);
}

void dns_stream_leave(struct dns_forward *f)
{
    struct dns_stream *stream = TAKE_PTR(f->stream);

    if (!stream)
        return;
    uv_poll_stop(&stream->poll);
    stream->fd = fd_close(stream->fd);
    uv_close((uv_handle_t *)&stream->poll, on_closed);
}

/* 1: all is sent, 0: the socket takes no more now. */
static int send_query(struct dns_stream *stream)
{
    struct dns_forward *f = stream->forward;
    uint8_t prefix[2] = {(uint8_t)(f->len >> 8), (uint8_t)f->len};

    while (stream->sent < sizeof(prefix) + f->len) {
        struct iovec iov[2] = {{prefix, sizeof(prefix)}, {f->query, f->len}};
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
        size_t skip = stream->sent < sizeof(prefix) ? stream->sent : sizeof(prefix);
        ssize_t n;

        iov[0].iov_base = prefix + skip;
        iov[0].iov_len -= skip;
        iov[1].iov_base = f->query + (stream->sent - skip);
        iov[1].iov_len -= stream->sent - skip;
        n = sendmsg(stream->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        stream->sent += (size_t)n;
    }
    return 1;
}

/* 1: the answer is whole. */
static int receive(struct dns_stream *stream)
{
    for (int i = 0; i < DNS_EVENT_MAX; i++) {
        const uint8_t *head;
        ssize_t n =
            recv(stream->fd, buf_reserve(&stream->in, READ_CHUNK), READ_CHUNK, MSG_DONTWAIT);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
            return -EPIPE;
        stream->in.len += (size_t)n;
        head = (const uint8_t *)buf_head(&stream->in);
        if (buf_size(&stream->in) >= 2 &&
            buf_size(&stream->in) >= 2 + ((size_t)head[0] << 8 | head[1]))
            return 1;
    }
    return 0;
}

static void finish(struct dns_stream *stream)
{
    struct dns_forward *f = stream->forward;
    uint8_t *head = (uint8_t *)stream->in.data + stream->in.start, *packet = f->server->dns->packet;
    size_t len = (size_t)head[0] << 8 | head[1];

    memcpy(packet, head + 2, len);
    if (dns_is_answer_to(packet, len, f->query, f->len))
        dns_forward_answered(f, packet, len);
    else
        dns_forward_failed(f);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct dns_stream *stream = poll->data;
    int r = status;

    if (r >= 0 && events & UV_WRITABLE) {
        r = send_query(stream); /* fails with what the connection failed with */
        if (r > 0)
            uv_poll_start(&stream->poll, UV_READABLE, on_event);
        r = r < 0 ? r : 0;
    } else if (r >= 0) {
        r = receive(stream);
    }
    if (r < 0)
        dns_forward_failed(stream->forward);
    else if (r > 0)
        finish(stream);
}

static int connect_to(const struct sockaddr_storage *to)
{
    socklen_t len =
        to->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    _cleanup_close_ int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)to, len) < 0 && errno != EINPROGRESS)
        return -errno;
    return TAKE_FD(fd);
}

int dns_stream_send(struct dns *dns, struct dns_forward *f, const struct sockaddr_storage *to)
{
    struct dns_stream *stream;
    int fd = connect_to(to), r;

    if (fd < 0)
        return fd;
    stream = xcalloc(1, sizeof(*stream));
    r = uv_poll_init(dns->loop, &stream->poll, fd);
    if (r < 0) {
        fd_close(fd);
        free(stream);
        return r;
    }
    dns_set_id(f->query, dns_random(dns));
    stream->fd = fd;
    stream->forward = f;
    stream->poll.data = stream;
    f->stream = stream;
    uv_poll_start(&stream->poll, UV_WRITABLE, on_event);
    return 0;
}
