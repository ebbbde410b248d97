/* Making the bridge itself, once in the life of a data root: by libnl.  What happens per container
 * is in endpoint.c, with messages of our own that go out in one piece. */
#include "bridge_link.h"

#include <errno.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>

static int fail(int code, const char *name, struct err *reterr)
{
    return err_set(reterr, ERR_SYSTEM, code == -NLE_EXIST ? EEXIST : EIO, "bridge %s: %s", name,
                   nl_geterror(code));
}

static int add_link(struct nl_sock *sk, const char *name, const uint8_t mac[MAC_LEN], uint32_t mtu)
{
    struct rtnl_link *link = rtnl_link_bridge_alloc();
    struct nl_addr *address = nl_addr_build(AF_LLC, mac, MAC_LEN);
    int r = -NLE_NOMEM;

    if (link && address) {
        rtnl_link_set_name(link, name);
        rtnl_link_set_mtu(link, mtu);
        rtnl_link_set_addr(link, address);
        rtnl_link_set_flags(link, IFF_UP);
        r = rtnl_link_add(sk, link, NLM_F_CREATE | NLM_F_EXCL);
    }
    if (address)
        nl_addr_put(address);
    if (link)
        rtnl_link_put(link);
    return r;
}

static int add_address(struct nl_sock *sk, const char *name, const struct inet4 *net)
{
    uint32_t bytes = htonl(net->address);
    struct rtnl_addr *addr = rtnl_addr_alloc();
    struct nl_addr *local = nl_addr_build(AF_INET, &bytes, sizeof(bytes));
    int r = -NLE_NOMEM;

    if (addr && local) {
        nl_addr_set_prefixlen(local, net->prefix);
        rtnl_addr_set_ifindex(addr, (int)if_nametoindex(name));
        rtnl_addr_set_prefixlen(addr, net->prefix);
        r = rtnl_addr_set_local(addr, local);
        if (r >= 0)
            r = rtnl_addr_add(sk, addr, 0);
    }
    if (local)
        nl_addr_put(local);
    if (addr)
        rtnl_addr_put(addr);
    return r;
}

static void delete_link(struct nl_sock *sk, const char *name)
{
    struct rtnl_link *link = rtnl_link_alloc();

    if (!link)
        return;
    rtnl_link_set_name(link, name);
    rtnl_link_delete(sk, link);
    rtnl_link_put(link);
}

int bridge_link_create(const char *name, const uint8_t mac[MAC_LEN], uint32_t mtu,
                       const struct inet4 *address, struct err *reterr)
{
    struct nl_sock *sk = nl_socket_alloc();
    int r = sk ? nl_connect(sk, NETLINK_ROUTE) : -NLE_NOMEM;

    if (r >= 0)
        r = add_link(sk, name, mac, mtu);
    if (r >= 0) {
        r = add_address(sk, name, address);
        if (r < 0)
            delete_link(sk, name);
    }
    if (sk)
        nl_socket_free(sk);
    return r < 0 ? fail(r, name, reterr) : 0;
}
