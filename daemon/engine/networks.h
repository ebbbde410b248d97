/* Networks as the engine keeps them: the predefined three and those that users make.  Loop thread
 * only.  The engine's own files include this by private.h; the name server includes it for
 * engine_networks_resolve(). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "err.h"
#include "inet4.h"
#include "inet6.h"
#include "network.h"
#include "str.h"

struct container;
struct engine;
struct ipam;

/* ---- names, for the name server ---- */

#define NET_ANSWERS_MAX 64

/* Addresses, shuffled by nobody: IPv4 in host byte order. */
struct net_addresses {
    size_t n;
    uint32_t list[NET_ANSWERS_MAX];            /* AF_INET */
    uint8_t list6[NET_ANSWERS_MAX][INET6_LEN]; /* AF_INET6 */
};

/* What a container may know by a name (without a dot at its end, any case): the running containers
 * that go by it, as name, alias, short id or hostname, on the user-defined networks that the asking
 * one is on; its own links come first.  family: AF_INET or AF_INET6.
 * 1: the name is known (there may still be no address of the family), 0: it is not, -ENOENT: no
 * such container is running. */
int engine_networks_resolve(struct engine *e, const char *container_id, const char *name,
                            int family, struct net_addresses *ret);
#define NET_NAME_MAX 256
/* The other way, for PTR: "NAME.NETWORK" of a uint32_t in host byte order (AF_INET) or of INET6_LEN
 * bytes (AF_INET6).  1, 0 or -ENOENT as above. */
int engine_networks_reverse(struct engine *e, const char *container_id, int family,
                            const void *address, char ret[NET_NAME_MAX]);
/* May queries of this container leave the host?  Not if all its networks are internal. */
bool engine_networks_forwards(struct engine *e, const char *container_id);

/* ---- the rest is the engine's own ---- */

enum net_kind {
    NET_KIND_BRIDGE, /* or macvlan: those that containers are connected to */
    NET_KIND_HOST,
    NET_KIND_NULL,
    NET_KIND_TEMPLATE, /* ConfigOnly: others take their configuration from it */
};

struct net {
    struct engine *engine;
    char id[ID_LEN + 1];
    char *name;
    enum net_kind kind;
    bool predefined;
    bool busy;      /* being made or removed: nobody else sees it, but its name is taken */
    unsigned users; /* jobs that connect or disconnect */
    int64_t created_ns;
    json_t *config; /* owned: as inspect shows it (Driver, IPAM, Options, Labels, ...), and
                     * "Bridge", "BridgeIsOurs" */
    struct name_index *names; /* owned; NULL until somebody asks */
    struct network *network;  /* NULL: host, none, or no bridge on this daemon */
    struct ipam *ipam;        /* with network */
};

int networks_open(struct engine *e, struct err *reterr);
void networks_close(struct engine *e);

/* The fabric, with its monitor; made with the first bridge. */
int networks_fabric(struct engine *e, struct err *reterr);

struct net *net_new(struct engine *e, const char *id, const char *name, enum net_kind kind);
void net_drop(struct net *net);
/* Its IPAM configuration of IPv4, of a family, or NULL. */
const json_t *net_pool(const struct net *net);
const json_t *net_pool_of(const struct net *net, bool six);
bool net_subnet(const struct net *net, struct inet4 *ret);
bool net_subnet6(const struct net *net, struct inet6 *ret);
void net_kernel_config(const struct net *net, struct network_config *ret);
/* Of a macvlan network's options: as the kernel counts them, 0 if none is named, -EINVAL. */
int net_macvlan_mode(const json_t *options);
/* The option with its containers' routes: see route.h. */
#define NET_OPTION_ROUTES "containerd-lite.network.routes"
/* key: what it goes by in the table `addresses` */
int net_open_ipam(struct net *net, const char *key, struct err *reterr);

/* ---- network_config.c ---- */

/* May a network be called so? */
int net_check_name(struct engine *e, const char *name, struct err *reterr);
/* The request's body, checked, with what it leaves open filled in: *ret is net->config. */
int net_settle_config(struct engine *e, const char *id, const json_t *body, json_t **ret,
                      struct err *reterr);

/* The same of a ConfigOnly one: what it says is kept as it is.  Checked now rather than when it is
 * used. */
int net_settle_template(const json_t *body, json_t **ret, struct err *reterr);

/* ---- network_template.c ---- */

/* What dockerd refuses of requests with ConfigOnly or ConfigFrom. */
int net_check_template_use(const json_t *body, struct err *reterr);
/* The request with what the network of ConfigFrom says in it; body itself if it names none.  New
 * reference. */
int net_apply_template(struct engine *e, const json_t *body, json_t **ret, struct err *reterr);
/* Is there a network that was made from it? */
bool net_template_in_use(const struct net *template);

/* ---- watch.c: somebody deletes what is ours ---- */

int networks_watch(struct engine *e, struct err *reterr);
void networks_unwatch(struct engine *e);

/* ---- network_list.c ---- */

bool net_matches(const struct net *net, const json_t *filters);

/* ---- networks.c ---- */

/* By name, id or unique prefix of an id; borrowed. */
int net_find(struct engine *e, const char *ref, struct net **ret, struct err *reterr);
/* NULL if there is none. */
struct net *net_by_id(struct engine *e, const char *id);
struct net *net_predefined(struct engine *e, enum net_kind kind);
/* Can a container be connected to it?  ERR_NOT_FOUND, ERR_FORBIDDEN. */
int net_check_usable(const struct net *net, struct err *reterr);
/* User-defined networks have names; the others do not. */
bool net_has_names(const struct net *net);
bool net_is_internal(const struct net *net);
/* Do its containers have ports of the host?  Those of macvlan are reached by their own addresses.
 */
bool net_publishes(const struct net *net);
/* The address that published ports are bound to if the request names none. */
uint32_t net_host_binding(const struct net *net);
/* Is a container using it now? */
bool net_in_use(const struct net *net, const struct container **ret_by);
void net_event(struct net *net, const char *action, const char *container_id);
