/* Names of containers on user-defined networks, for the name server. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "private.h"

/* "NAME.NETWORK" means NAME on that network; the length of NAME, or 0. */
static size_t qualified(const struct net *net, const char *name)
{
    size_t n = strlen(name), tail = strlen(net->name);

    if (n <= tail + 1 || name[n - tail - 1] != '.' || strcasecmp(name + n - tail, net->name) != 0)
        return 0;
    return n - tail - 1;
}

static void add4(struct net_addresses *ret, uint32_t address)
{
    for (size_t i = 0; i < ret->n; i++) {
        if (ret->list[i] == address)
            return;
    }
    if (ret->n < NET_ANSWERS_MAX)
        ret->list[ret->n++] = address;
}

static void add6(struct net_addresses *ret, const struct inet6 *address)
{
    for (size_t i = 0; i < ret->n; i++) {
        if (memcmp(ret->list6[i], address->address, INET6_LEN) == 0)
            return;
    }
    if (address->prefix && ret->n < NET_ANSWERS_MAX)
        memcpy(ret->list6[ret->n++], address->address, INET6_LEN);
}

/* A link of the asking container: "TARGET:ALIAS". */
static const char *linked_name(const struct container *asking, const struct net *net,
                               const char *name, char target[NET_NAME_MAX])
{
    const json_t *links = json_get(container_endpoint_config(asking, net->name), "Links"), *v;
    size_t i;

    json_array_foreach (links, i, v) {
        const char *text = json_is_string(v) ? json_string_value(v) : "",
                   *colon = strchr(text, ':');

        if (colon && strcasecmp(colon + 1, name) == 0) {
            snprintf(target, NET_NAME_MAX, "%.*s", (int)(colon - text), text);
            return target;
        }
    }
    return name;
}

static bool add_named(struct net *net, const char *name, int family, struct net_addresses *ret)
{
    const struct named *named = name_index_find(net, name);

    for (size_t i = 0; named && i < named->n; i++) {
        if (family == AF_INET)
            add4(ret, named->list[i].address);
        else if (family == AF_INET6)
            add6(ret, &named->list[i].address6);
    }
    return named;
}

static bool resolve_on(struct container *asking, struct net *net, const char *name, int family,
                       struct net_addresses *ret)
{
    char target[NET_NAME_MAX], short_name[NET_NAME_MAX];
    size_t n = qualified(net, name);
    bool known;

    name = linked_name(asking, net, name, target);
    known = add_named(net, name, family, ret);
    if (n > 0) {
        snprintf(short_name, sizeof(short_name), "%.*s", (int)n, name);
        known = add_named(net, short_name, family, ret) || known;
    }
    return known;
}

static struct container *asking_container(struct engine *e, const char *id)
{
    struct container *c = map_get(&e->by_id, id);

    return c && container_is_up(c) ? c : NULL;
}

int engine_networks_resolve(struct engine *e, const char *container_id, const char *name,
                            int family, struct net_addresses *ret)
{
    struct container *c = asking_container(e, container_id);
    bool known = false;

    ret->n = 0;
    if (!c)
        return -ENOENT;
    if (strlen(name) >= NET_NAME_MAX)
        return 0;
    for (size_t i = 0; i < c->n_endpoints; i++) {
        struct net *net = c->endpoints[i].net;

        if (net_has_names(net))
            known = resolve_on(c, net, name, family, ret) || known;
    }
    return known;
}

int engine_networks_reverse(struct engine *e, const char *container_id, int family,
                            const void *address, char ret[NET_NAME_MAX])
{
    struct container *c = asking_container(e, container_id);

    if (!c)
        return -ENOENT;
    for (size_t i = 0; i < c->n_endpoints; i++) {
        struct net *net = c->endpoints[i].net;
        const char *owner = net_has_names(net) ? name_index_owner(net, family, address) : NULL;

        if (owner)
            return snprintf(ret, NET_NAME_MAX, "%s.%s", owner, net->name) < NET_NAME_MAX;
    }
    return 0;
}

bool engine_networks_forwards(struct engine *e, const char *container_id)
{
    const struct container *c = asking_container(e, container_id);

    return c && container_gateway(c);
}
