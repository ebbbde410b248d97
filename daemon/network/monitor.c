/* Seeing that somebody deletes what is ours: `nft flush ruleset`, the reload of a firewall. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "internal.h"
#include "str.h"

#define BUFFER_SIZE 32768
#define READS_MAX 256

static int port_of(int fd, uint32_t *ret)
{
    struct sockaddr_nl address = {0};
    socklen_t len = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return -errno;
    *ret = address.nl_pid;
    return 0;
}

/* One packet tells of one transaction, and each message in it names the socket that made it: ours
 * never wake the loop. */
static int ignore_own(int fd, uint32_t port)
{
    struct sock_filter code[] = {
        /* loads are in network byte order, the header's fields in the host's */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {ARRAY_SIZE(code), code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

int fabric_monitor(const struct fabric *fabric)
{
    _cleanup_close_ int fd =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    int group = NFNLGRP_NFTABLES;
    uint32_t port = 0;
    int r;

    if (fd < 0)
        return -errno;
    r = port_of(fabric->filter_fd, &port);
    if (r >= 0)
        r = ignore_own(fd, port);
    if (r < 0)
        return r;
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static bool is_deletion(uint16_t type)
{
    static const uint8_t deletions[] = {NFT_MSG_DELTABLE, NFT_MSG_DELCHAIN, NFT_MSG_DELRULE,
                                        NFT_MSG_DELSET, NFT_MSG_DELSETELEM};

    if (type >> 8 != NFNL_SUBSYS_NFTABLES)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(deletions); i++) {
        if ((type & 0xff) == deletions[i])
            return true;
    }
    return false;
}

/* The table's name is attribute 1 in messages of every kind. */
static const char *table_of(const struct nlmsghdr *nlh)
{
    const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *attr;

    _Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
                       NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1,
                   "the attribute that names the table");
    if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*nfg) ||
        (nfg->nfgen_family != NFPROTO_IPV4 && nfg->nfgen_family != NFPROTO_IPV6))
        return "";
    mnl_attr_for_each(attr, nlh, sizeof(*nfg))
    {
        if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
            return mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 ? mnl_attr_get_str(attr) : "";
    }
    return "";
}

/* Of iptables: a policy that changes is a chain that is made again; rules that come are no loss. */
static bool is_policy_or_loss(const struct nlmsghdr *nlh)
{
    return nlh->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN) ||
           nlh->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELRULE);
}

static unsigned news_of(const struct fabric *fabric, const void *data, size_t len)
{
    const struct nlmsghdr *nlh = data;
    int left = (int)len;
    unsigned news = 0;

    for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
        if (is_deletion(nlh->nlmsg_type) && streq(table_of(nlh), fabric->table))
            news |= FABRIC_LOST;
        if (is_policy_or_loss(nlh) && streq(table_of(nlh), "filter"))
            news |= FABRIC_FOREIGN;
    }
    return news;
}

unsigned fabric_monitor_read(const struct fabric *fabric, int fd)
{
    _Alignas(struct nlmsghdr) char buffer[BUFFER_SIZE];
    unsigned news = 0;

    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_TRUNC);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == ENOBUFS) {
            news =
                FABRIC_LOST | FABRIC_FOREIGN; /* more than fits: anything may have been among it */
            continue;
        }
        if (n <= 0)
            break;
        if ((size_t)n > sizeof(buffer))
            news = FABRIC_LOST | FABRIC_FOREIGN;
        else
            news |= news_of(fabric, buffer, (size_t)n);
    }
    return news;
}
