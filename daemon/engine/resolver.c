/* The name servers of containers on user-defined networks: who has one, from its start to its end,
 * and what they know.  The servers themselves are network/dns.h. */
#include <fcntl.h>
#include <stdlib.h>

#include "fd.h"
#include "log.h"
#include "netlinks.h"
#include "private.h"

#define RESOLV_CONF "/etc/resolv.conf"

/* ---- names, asked by the servers ---- */

static int on_resolve(void *data, const char *id, const char *name, bool ipv4, bool ipv6,
                      struct dns_answer *ret)
{
    _Static_assert(NET_ANSWERS_MAX <= DNS_ADDRESSES_MAX && INET6_LEN == DNS_IPV6_LEN,
                   "what is found fits into an answer");
    struct net_addresses found;
    int r = engine_networks_resolve(data, id, name, ipv4 ? AF_INET : AF_UNSPEC, &found);

    if (r > 0 && ipv4) {
        ret->n = found.n;
        memcpy(ret->addresses, found.list, found.n * sizeof(found.list[0]));
    }
    if (r <= 0 || !ipv6)
        return r;
    r = engine_networks_resolve(data, id, name, AF_INET6, &found);
    ret->n6 = found.n;
    memcpy(ret->addresses6, found.list6, found.n * sizeof(found.list6[0]));
    return r;
}

static int on_reverse(void *data, const char *id, uint32_t address, char ret[DNS_NAME_MAX])
{
    _Static_assert(NET_NAME_MAX <= DNS_NAME_MAX, "names of networks fit");
    return engine_networks_reverse(data, id, AF_INET, &address, ret);
}

static int on_reverse6(void *data, const char *id, const uint8_t address[DNS_IPV6_LEN],
                       char ret[DNS_NAME_MAX])
{
    return engine_networks_reverse(data, id, AF_INET6, address, ret);
}

static bool on_forwards(void *data, const char *id)
{
    return engine_networks_forwards(data, id);
}

/* ---- servers ---- */

bool resolver_wanted(const struct container *c)
{
    for (size_t i = 0; i < c->n_endpoints; i++) {
        if (net_has_names(c->endpoints[i].net))
            return true;
    }
    return false;
}

static struct dns *get_dns(struct engine *e)
{
    struct dns_backend backend = {e, on_resolve, on_reverse, on_reverse6, on_forwards};

    if (!e->dns) /* most daemons have no such network */
        e->dns = dns_new(e->loop, &backend, RESOLV_CONF);
    return e->dns;
}

void resolver_serve(struct container *c, struct dns_sockets *sockets)
{
    _cleanup_(strv_freep) char **servers = NULL;
    struct err err;

    if (sockets->udp < 0)
        return;
    resolver_stop(c);
    servers = container_dns_setting(c, "Dns", c->engine->config.dns);
    if (dns_server_open(get_dns(c->engine), c->id, sockets, (const char *const *)servers, &c->dns,
                        &err) < 0)
        log_error("container %s: no name server: %s", c->id, err.message);
}

void resolver_stop(struct container *c)
{
    dns_server_close(TAKE_PTR(c->dns));
}

/* ---- the namespace that they are in ---- */

struct links_job {
    int sock; /* owned */
    char id[ID_LEN + 1];
    int r;
};

static void links_run(void *arg)
{
    struct links_job *j = arg;

    j->r = netlinks_delete(j->sock);
}

static void after_links(void *arg)
{
    struct links_job *j = arg;

    if (j->r < 0)
        log_warn("container %s: cannot delete its links: %s", j->id, err_text(-j->r));
    fd_close(j->sock);
    free(j);
}

void resolver_delete_links(struct container *c)
{
    bool macvlan = false;
    struct links_job *j;

    for (size_t i = 0; i < c->n_endpoints; i++)
        macvlan = macvlan || !net_publishes(c->endpoints[i].net);
    if (!macvlan || !c->dns)
        return;
    j = xcalloc(1, sizeof(*j));
    j->sock = fcntl(dns_server_socket(c->dns), F_DUPFD_CLOEXEC, 3);
    memcpy(j->id, c->id, sizeof(j->id));
    job_run(c->engine, links_run, after_links, j);
}

void resolver_close(struct engine *e)
{
    if (e->dns)
        dns_free(TAKE_PTR(e->dns));
}

int resolver_open_sockets(int netns_fd, int control, struct dns_sockets *ret, struct err *reterr)
{
    struct shim_msg m = {.type = SHIM_KEEP};
    int fds[SHIM_KEEP_FDS], r = dns_sockets_open(netns_fd, ret, reterr);

    if (r < 0)
        return r;
    fds[0] = ret->udp;
    fds[1] = ret->tcp;
    r = shim_send(control, &m, fds, SHIM_KEEP_FDS);
    /* A shim that has hung up tells why itself. */
    return r == -EPIPE || r == -ECONNRESET ? 0
           : r < 0                         ? err_sys(reterr, -r, "cannot reach the shim")
                                           : 0;
}
