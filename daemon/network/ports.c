#include "ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"

struct ports {
    struct db *db;      /* borrowed */
    uint16_t ephemeral; /* the one to try next */
    port_probe_fn probe;
    void *userdata; /* borrowed, for probe */
};

static int probe_family(const struct port_lease *lease, int family)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons(lease->host_port),
                              .sin_addr.s_addr = htonl(lease->host_ip)};
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(lease->host_port)};
    int type = lease->proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
    _cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC, lease->proto);
    int on = 1, only = !lease_on_ipv4(lease), r;

    if (fd < 0)
        return -errno;
    /* Lets connections in TIME_WAIT pass, not listeners; for UDP it would let servers share. */
    if (lease->proto == IPPROTO_TCP)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET)
        return bind(fd, (const struct sockaddr *)&sin, sizeof(sin)) < 0 ? -errno : 0;
    memcpy(&sin6.sin6_addr, lease->host_ip6, sizeof(lease->host_ip6));
    r = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    return r < 0 || bind(fd, (const struct sockaddr *)&sin6, sizeof(sin6)) < 0 ? -errno : 0;
}

static int probe_bind(void *userdata, const struct port_lease *lease)
{
    int r;

    (void)userdata;
    if (lease->proto == IPPROTO_SCTP) /* the module is rarely there, and so is a server */
        return 0;
    /* One socket of IPv6 stands for both families, where there is IPv6. */
    r = probe_family(lease, lease_on_ipv6(lease) ? AF_INET6 : AF_INET);
    if ((r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) && lease_on_ipv6(lease) && lease_on_ipv4(lease))
        r = probe_family(lease, AF_INET);
    return r;
}

struct ports *ports_new(struct db *db)
{
    struct ports *ports = xcalloc(1, sizeof(*ports));

    ports->db = db;
    ports->ephemeral = PORT_EPHEMERAL_FIRST;
    ports->probe = probe_bind;
    return ports;
}

void ports_free(struct ports *ports)
{
    free(ports);
}

void ports_spread(struct ports *ports, uint32_t mark)
{
    ports->ephemeral =
        (uint16_t)(PORT_EPHEMERAL_FIRST + mark % (PORT_EPHEMERAL_LAST - PORT_EPHEMERAL_FIRST + 1));
}

void ports_set_probe(struct ports *ports, port_probe_fn probe, void *userdata)
{
    ports->probe = probe;
    ports->userdata = userdata;
}

/* 0, -EEXIST (a container has it), -EADDRINUSE (another program has it), or a failure for good. */
static int try_port(struct ports *ports, const char *container_id, const struct port_lease *lease,
                    struct err *reterr)
{
    char ip[LEASE_IP_MAX];
    int r = ports->probe(ports->userdata, lease);

    if (r == -EADDRINUSE)
        return r;
    if (r < 0) {
        lease_format_ip(lease, ip);
        return err_sys(reterr, -r, "failed to bind host port for %s:%u/%s", ip, lease->host_port,
                       proto_name(lease->proto));
    }
    return leases_port_add(ports->db, lease, container_id, reterr);
}

static bool is_taken(int r)
{
    return r == -EEXIST || r == -EADDRINUSE;
}

static int take_ephemeral(struct ports *ports, const char *container_id, struct port_lease *lease,
                          struct err *reterr)
{
    for (unsigned n = 0; n <= PORT_EPHEMERAL_LAST - PORT_EPHEMERAL_FIRST; n++) {
        int r;

        lease->host_port = ports->ephemeral;
        ports->ephemeral =
            ports->ephemeral == PORT_EPHEMERAL_LAST ? PORT_EPHEMERAL_FIRST : ports->ephemeral + 1;
        r = try_port(ports, container_id, lease, reterr);
        if (!is_taken(r))
            return r;
    }
    return err_set(reterr, ERR_SYSTEM, EADDRINUSE, "all ports are allocated");
}

static int take_range(struct ports *ports, const char *container_id,
                      const struct port_request *request, struct port_lease *lease,
                      struct err *reterr)
{
    char ip[LEASE_IP_MAX];
    int r = -EINVAL;

    for (unsigned port = request->host_port_first; port <= request->host_port_last; port++) {
        lease->host_port = port;
        r = try_port(ports, container_id, lease, reterr);
        if (!is_taken(r))
            return r;
    }
    lease_format_ip(lease, ip);
    if (request->host_port_first != request->host_port_last)
        return err_set(reterr, ERR_SYSTEM, EADDRINUSE,
                       "Bind for %s:%u-%u failed: all ports are allocated", ip,
                       request->host_port_first, request->host_port_last);
    if (r == -EEXIST)
        return err_set(reterr, ERR_SYSTEM, EADDRINUSE,
                       "Bind for %s:%u failed: port is already allocated", ip, lease->host_port);
    return err_set(reterr, ERR_SYSTEM, EADDRINUSE,
                   "failed to bind host port for %s:%u/%s: address already in use", ip,
                   lease->host_port, proto_name(lease->proto));
}

int ports_take(struct ports *ports, const char *container_id, const struct port_request *request,
               struct port_lease *ret, struct err *reterr)
{
    struct port_lease lease = {.proto = request->proto,
                               .family = request->family,
                               .host_ip = request->host_ip,
                               .container_port = request->container_port};
    int r;

    memcpy(lease.host_ip6, request->host_ip6, sizeof(lease.host_ip6));
    if (!proto_name(request->proto) || request->container_port == 0 ||
        request->host_port_last < request->host_port_first ||
        (request->host_port_first == 0 && request->host_port_last != 0))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid port specification");
    if (request->host_port_first == 0)
        r = take_ephemeral(ports, container_id, &lease, reterr);
    else
        r = take_range(ports, container_id, request, &lease, reterr);
    if (r >= 0)
        *ret = lease;
    return r;
}

int ports_release(struct ports *ports, const char *container_id, struct err *reterr)
{
    return leases_port_drop(ports->db, container_id, reterr);
}
