/* The sockets of a name server inside a container's network namespace, and the table that leads
 * port 53 to them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns.h"
#include "fd.h"
#include "netlink.h"
#include "ruleset.h"

#define TABLE "containerd-lite-dns"
#define CHAIN "output"
#define DNS_PORT 53
/* Above the range that the kernel gives out by default. */
#define FIRST_PORT 61053
#define PORT_TRIES 32
#define LISTEN_BACKLOG 256
/* A burst waits here until the loop comes to it. */
#define RECEIVE_BUFFER (4 << 20)
#define IPV4_DADDR_OFFSET 16
#define TRANSPORT_DPORT_OFFSET 2

/* ---- the table ---- */

static struct nftnl_expr *add_expr(struct nftnl_rule *rule, const char *name)
{
    struct nftnl_expr *expr = nftnl_expr_alloc(name);

    if (!expr)
        abort(); /* out of memory, as the x-allocators do */
    nftnl_rule_add_expr(rule, expr);
    return expr;
}

static void match(struct nftnl_rule *rule, const void *data, uint32_t len)
{
    struct nftnl_expr *expr = add_expr(rule, "cmp");

    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
    nftnl_expr_set(expr, NFTNL_EXPR_CMP_DATA, data, len);
}

static void match_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, const void *data,
                          uint32_t len)
{
    struct nftnl_expr *expr = add_expr(rule, "payload");

    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, len);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
    match(rule, data, len);
}

static void load(struct nftnl_rule *rule, uint32_t reg, const void *data, uint32_t len)
{
    struct nftnl_expr *expr = add_expr(rule, "immediate");

    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, reg);
    nftnl_expr_set(expr, NFTNL_EXPR_IMM_DATA, data, len);
}

/* ip daddr 127.0.0.11 PROTO dport 53 dnat to 127.0.0.11:PORT */
static void put_rule(struct nl_batch *batch, uint8_t proto, in_addr_t address, in_port_t port)
{
    struct nlmsghdr *nlh =
        nft_request(batch, "add rule", NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    struct nftnl_rule *rule = nftnl_rule_alloc();
    in_port_t from = htons(DNS_PORT);
    struct nftnl_expr *expr;

    if (!rule)
        abort();
    nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, TABLE);
    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, CHAIN);
    match_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IPV4_DADDR_OFFSET, &address, sizeof(address));
    expr = add_expr(rule, "meta");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_META_KEY, NFT_META_L4PROTO);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_META_DREG, NFT_REG_1);
    match(rule, &proto, sizeof(proto));
    match_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TRANSPORT_DPORT_OFFSET, &from, sizeof(from));
    load(rule, NFT_REG_1, &address, sizeof(address));
    load(rule, NFT_REG_2, &port, sizeof(port));
    expr = add_expr(rule, "nat");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFT_REG_2);
    nftnl_rule_nlmsg_build_payload(nlh, rule);
    nftnl_rule_free(rule);
}

static void put_chain(struct nl_batch *batch)
{
    struct nlmsghdr *nlh = nft_request(batch, "add chain", NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    struct nftnl_chain *chain = nftnl_chain_alloc();

    if (!chain)
        abort();
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, TABLE);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, CHAIN);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "nat");
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, NF_INET_LOCAL_OUT);
    nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, NF_IP_PRI_NAT_DST);
    nftnl_chain_nlmsg_build_payload(nlh, chain);
    nftnl_chain_free(chain);
}

static void put_table(struct nl_batch *batch, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *nlh = nft_request(batch, "change table", type, flags);

    mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, TABLE);
}

/* Replaces what an earlier daemon made. */
static int make_table(int fd, const struct sockaddr_in *udp, const struct sockaddr_in *tcp,
                      struct err *reterr)
{
    _cleanup_nl_batch_ struct nl_batch batch = {0};

    nft_begin(&batch);
    put_table(&batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    put_table(&batch, NFT_MSG_DELTABLE, 0);
    put_table(&batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    put_chain(&batch);
    put_rule(&batch, IPPROTO_UDP, udp->sin_addr.s_addr, udp->sin_port);
    put_rule(&batch, IPPROTO_TCP, tcp->sin_addr.s_addr, tcp->sin_port);
    nl_ask_ack(&batch);
    nft_end(&batch);
    return nl_run(fd, &batch, NULL, NULL, reterr);
}

/* ---- sockets ---- */

/* Of the first port that is free: after a crash flows still lead to the one that was used. */
static int open_socket(int type, struct sockaddr_in *ret)
{
    _cleanup_close_ int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof(*ret);
    int on = 1, size = RECEIVE_BUFFER;

    if (fd < 0)
        return -errno;
    if (type == SOCK_STREAM) /* connections of a daemon that died linger */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    else
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    *ret = (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = inet_addr(DNS_SERVER_ADDRESS)};
    for (unsigned i = 0;; i++) {
        ret->sin_port = htons(i < PORT_TRIES ? (uint16_t)(FIRST_PORT + i) : 0);
        if (bind(fd, (const struct sockaddr *)ret, len) == 0)
            break;
        if (errno != EADDRINUSE || i >= PORT_TRIES)
            return -errno;
    }
    if (getsockname(fd, (struct sockaddr *)ret, &len) < 0 ||
        (type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG) < 0))
        return -errno;
    return TAKE_FD(fd);
}

struct opened {
    struct dns_sockets sockets;
    int filter_fd;
    struct sockaddr_in udp, tcp;
};

static int open_here(struct opened *ret)
{
    ret->sockets.udp = open_socket(SOCK_DGRAM, &ret->udp);
    if (ret->sockets.udp < 0)
        return ret->sockets.udp;
    ret->sockets.tcp = open_socket(SOCK_STREAM, &ret->tcp);
    if (ret->sockets.tcp < 0)
        return ret->sockets.tcp;
    ret->filter_fd = nl_open(NETLINK_NETFILTER);
    return ret->filter_fd;
}

static int open_in(int netns_fd, struct opened *ret)
{
    _cleanup_close_ int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int r;

    if (here < 0 || setns(netns_fd, CLONE_NEWNET) < 0)
        return -errno;
    r = open_here(ret);
    if (setns(here, CLONE_NEWNET) < 0)
        abort(); /* a pool thread astray in a container's namespace must not go on */
    return r;
}

int dns_sockets_open(int netns_fd, struct dns_sockets *ret, struct err *reterr)
{
    struct opened opened = {.sockets = DNS_SOCKETS_NONE, .filter_fd = -EBADF};
    int r = open_in(netns_fd, &opened);

    if (r < 0)
        err_sys(reterr, -r, "cannot open sockets");
    else
        r = make_table(opened.filter_fd, &opened.udp, &opened.tcp, reterr);
    fd_close(opened.filter_fd);
    if (r < 0) {
        dns_sockets_close(&opened.sockets);
        return err_wrap(reterr, "name server");
    }
    *ret = opened.sockets;
    return 0;
}
