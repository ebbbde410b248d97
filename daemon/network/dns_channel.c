/* A channel is a UDP socket, connected to one server, with a source port of its own.  It serves a
 * bounded number of queries, so that ports change as ids do, and is closed when none of them waits
 * any longer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns_impl.h"
#include "fd.h"

#define CHANNEL_QUERIES 256
#define CHANNEL_SLOTS 256 /* a power of two */
#define CHANNEL_RECEIVE_BUFFER (1 << 20)
#define ID_TRIES 16

struct dns_channel {
    uv_poll_t poll;
    struct dns *dns;
    LIST_ENTRY(dns_channel) link;
    int fd;
    struct sockaddr_storage to;
    unsigned used;      /* queries so far */
    unsigned in_flight; /* of these, not answered */
    bool open;          /* in dns->channels */
    struct dns_forward_list slots[CHANNEL_SLOTS];
};

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void retire(struct dns_channel *channel)
{
    if (channel->open)
        LIST_REMOVE(channel, link);
    channel->open = false;
}

static void channel_close(struct dns_channel *channel)
{
    retire(channel);
    uv_poll_stop(&channel->poll);
    channel->fd = fd_close(channel->fd);
    uv_close((uv_handle_t *)&channel->poll, on_closed);
}

static struct dns_forward *find(struct dns_channel *channel, uint16_t id)
{
    struct dns_forward *f;

    LIST_FOREACH(f, &channel->slots[id % CHANNEL_SLOTS], in_slot)
    {
        if (dns_id(f->query) == id)
            return f;
    }
    return NULL;
}

/* The server's port is closed: none of the queries will be answered. */
static void fail_all(struct dns_channel *channel)
{
    struct dns_forward *f;

    retire(channel);
    channel->in_flight++; /* keeps it open meanwhile */
    for (size_t i = 0; i < CHANNEL_SLOTS; i++) {
        while ((f = LIST_FIRST(&channel->slots[i])))
            dns_forward_failed(f);
    }
    if (--channel->in_flight == 0)
        channel_close(channel);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct dns_channel *channel = poll->data;
    uint8_t *packet = channel->dns->packet;

    (void)events;
    if (status < 0) { /* an ICMP error: libuv polls no more */
        fail_all(channel);
        return;
    }
    for (int i = 0; i < DNS_EVENT_MAX; i++) {
        ssize_t n = recv(channel->fd, packet, DNS_MESSAGE_MAX, MSG_DONTWAIT);
        struct dns_forward *f;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            fail_all(channel);
        if (n < 0)
            return;
        f = n >= DNS_HEADER_LEN ? find(channel, dns_id(packet)) : NULL;
        if (!f || !dns_is_answer_to(packet, (size_t)n, f->query, f->len))
            continue; /* made up, or late */
        channel->in_flight++;
        dns_forward_answered(f, packet, (size_t)n);
        if (--channel->in_flight == 0) {
            channel_close(channel);
            return;
        }
    }
}

static socklen_t address_len(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}

static int channel_new(struct dns *dns, const struct sockaddr_storage *to, struct dns_channel **ret)
{
    _cleanup_close_ int fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int size = CHANNEL_RECEIVE_BUFFER, r;
    struct dns_channel *channel;

    /* The kernel chooses the source port, at random. */
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, address_len(to)) < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    channel = xcalloc(1, sizeof(*channel));
    channel->dns = dns;
    channel->to = *to;
    r = uv_poll_init(dns->loop, &channel->poll, fd);
    if (r < 0) {
        free(channel);
        return r;
    }
    channel->fd = TAKE_FD(fd);
    channel->poll.data = channel;
    uv_poll_start(&channel->poll, UV_READABLE, on_readable);
    LIST_INSERT_HEAD(&dns->channels, channel, link);
    channel->open = true;
    *ret = channel;
    return 0;
}

static int channel_to(struct dns *dns, const struct sockaddr_storage *to, struct dns_channel **ret)
{
    LIST_FOREACH(*ret, &dns->channels, link)
    {
        if (memcmp(&(*ret)->to, to, sizeof(*to)) == 0)
            return 0;
    }
    return channel_new(dns, to, ret);
}

static int choose_id(struct dns_channel *channel, struct dns_forward *f)
{
    for (int i = 0; i < ID_TRIES; i++) {
        uint16_t id = dns_random(channel->dns);

        if (find(channel, id))
            continue;
        dns_set_id(f->query, id);
        return 0;
    }
    return -EAGAIN;
}

int dns_channel_send(struct dns *dns, struct dns_forward *f, const struct sockaddr_storage *to)
{
    struct dns_channel *channel;
    int r = channel_to(dns, to, &channel);

    if (r >= 0)
        r = choose_id(channel, f);
    if (r < 0)
        return r;
    LIST_INSERT_HEAD(&channel->slots[dns_id(f->query) % CHANNEL_SLOTS], f, in_slot);
    f->channel = channel;
    channel->in_flight++;
    if (++channel->used >= CHANNEL_QUERIES)
        retire(channel);
    /* A datagram that does not fit into the socket's buffer is one lost on the way. */
    if (send(channel->fd, f->query, f->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
        r = -errno;
        dns_channel_leave(f);
    }
    return r;
}

void dns_channel_leave(struct dns_forward *f)
{
    struct dns_channel *channel = f->channel;

    if (!channel)
        return;
    LIST_REMOVE(f, in_slot);
    f->channel = NULL;
    if (--channel->in_flight == 0)
        channel_close(channel);
}
