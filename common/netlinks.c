#include "netlinks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "fd.h"

#define FOUND_MAX 64      /* a container is on that many networks at most */
#define MESSAGES_MAX 1024 /* of a listing: who makes more links hides ours, for its own harm */
#define RECEIVE_MAX 32768 /* the kernel fills dumps up to this */
#define TIMEOUT_S 10

struct found {
    uint32_t list[FOUND_MAX];
    size_t n;
};

struct request {
    struct nlmsghdr head;
    struct ifinfomsg link;
};

static int open_socket(void)
{
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    return fd;
}

/* A rtnetlink socket of the namespace that sock is of. */
static int open_inside(int sock)
{
    _cleanup_close_ int there = ioctl(sock, SIOCGSKNS);
    _cleanup_close_ int here = -EBADF;
    int fd;

    if (there < 0)
        return -errno;
    here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (here < 0 || setns(there, CLONE_NEWNET) < 0)
        return -errno;
    fd = open_socket();
    if (setns(here, CLONE_NEWNET) < 0)
        abort(); /* a thread astray in a container's namespace must not go on */
    return fd;
}

static int ask(int fd, uint16_t type, uint16_t flags, uint32_t index)
{
    struct request q = {.head = {.nlmsg_len = sizeof(q),
                                 .nlmsg_type = type,
                                 .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
                        .link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index}};

    return send(fd, &q, sizeof(q), 0) == sizeof(q) ? 0 : -errno;
}

/* The lower link of those that the container itself makes is beside them. */
static bool leads_outside(const struct nlmsghdr *h)
{
    const struct rtattr *a = IFLA_RTA(NLMSG_DATA(h));
    int left = (int)IFLA_PAYLOAD(h);

    for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == IFLA_LINK_NETNSID)
            return true;
    }
    return false;
}

static void take(const struct nlmsghdr *h, struct found *found)
{
    const struct ifinfomsg *link = NLMSG_DATA(h);

    if (h->nlmsg_type == RTM_NEWLINK && (uint32_t)link->ifi_index >= NETLINKS_FIRST &&
        leads_outside(h) && found->n < FOUND_MAX)
        found->list[found->n++] = (uint32_t)link->ifi_index;
}

/* One datagram of an answer: 1 if more follow, 0 at its end. */
static int receive(int fd, struct found *found)
{
    char data[RECEIVE_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
    ssize_t n = recv(fd, data, sizeof(data), 0);
    const struct nlmsghdr *h = (const struct nlmsghdr *)data;

    if (n < 0)
        return errno == EINTR ? 1 : -errno;
    for (; NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n)) {
        if (h->nlmsg_type == NLMSG_ERROR)
            return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
        if (h->nlmsg_type == NLMSG_DONE)
            return 0;
        take(h, found);
    }
    return 1;
}

static int run(int fd, struct found *found)
{
    int r = 1;

    for (int i = 0; r == 1 && i < MESSAGES_MAX; i++)
        r = receive(fd, found);
    return r == 1 ? -E2BIG : r;
}

int netlinks_delete(int sock)
{
    _cleanup_close_ int fd = open_inside(sock);
    struct found found = {.n = 0}, none = {.n = 0};
    int r = fd < 0 ? fd : ask(fd, RTM_GETLINK, NLM_F_DUMP, 0);

    if (r >= 0)
        r = run(fd, &found);
    for (size_t i = 0; r >= 0 && i < found.n; i++) {
        r = ask(fd, RTM_DELLINK, NLM_F_ACK, found.list[i]);
        if (r >= 0)
            r = run(fd, &none);
        if (r == -ENODEV)
            r = 0;
    }
    return r < 0 ? r : (int)found.n;
}
