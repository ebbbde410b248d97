/* --link on the default bridge, where containers have no names: lines in /etc/hosts, which follow
 * when the target starts again with another address. */
#include <errno.h>
#include <stdlib.h>

#include "private.h"

/* "TARGET:ALIAS", "TARGET" or "/TARGET:/SELF/ALIAS", as inspect of others shows it. */
static const char *split(const char *text, char target[NET_NAME_MAX])
{
    const char *colon = strchr(text, ':'), *alias, *slash;

    if (*text == '/')
        text++;
    snprintf(target, NET_NAME_MAX, "%.*s", colon ? (int)(colon - text) : (int)strlen(text), text);
    alias = colon ? colon + 1 : text;
    slash = strrchr(alias, '/');
    return slash ? slash + 1 : alias;
}

static const json_t *links_of(const struct container *c)
{
    const char *mode = json_get_str(c->host_config, "NetworkMode", "bridge");

    return streq(mode, "bridge") ? json_get(c->host_config, "Links") : NULL;
}

static struct endpoint *default_endpoint(const struct container *c)
{
    const struct net *net = net_predefined(c->engine, NET_KIND_BRIDGE);

    return net && container_is_up(c) ? container_endpoint(c, net) : NULL;
}

int links_check(const struct container *c, struct err *reterr)
{
    const json_t *v;
    size_t i;

    json_array_foreach (links_of(c), i, v) {
        char target[NET_NAME_MAX];
        const char *alias = split(json_string_value(v), target);
        struct container *other;
        int r = registry_find(c->engine, target, &other, reterr);

        if (r < 0)
            return err_wrap(reterr, "could not get container for %s", target);
        if (!default_endpoint(other))
            return err_set(reterr, ERR_INVALID, ESRCH,
                           "Cannot link to a non running container: /%s AS /%s/%s", other->name,
                           c->name, alias);
    }
    return 0;
}

void links_add_hosts(const struct container *c, struct buf *out)
{
    const json_t *v;
    size_t i;

    json_array_foreach (links_of(c), i, v) {
        char target[NET_NAME_MAX], address[INET4_STR_MAX];
        const char *alias = split(json_string_value(v), target);
        const struct endpoint *ep;
        struct container *other;

        if (registry_find(c->engine, target, &other, NULL) < 0)
            continue;
        ep = default_endpoint(other);
        if (!ep)
            continue;
        inet4_format_address(ep->address, address);
        buf_printf(out, "%s\t%s %.12s %s\n", address, alias, other->id,
                   streq(alias, other->name) ? "" : other->name);
    }
}

static bool links_to(const struct container *c, const struct container *target)
{
    const json_t *v;
    size_t i;

    json_array_foreach (links_of(c), i, v) {
        char name[NET_NAME_MAX];
        struct container *other;

        split(json_string_value(v), name);
        if (registry_find(c->engine, name, &other, NULL) >= 0 && other == target)
            return true;
    }
    return false;
}

/* The place in its list of what it calls `alias`; -1: nothing. */
static int find_alias(const struct container *c, const char *alias)
{
    const json_t *v;
    size_t i;

    json_array_foreach (json_get(c->host_config, "Links"), i, v) {
        char target[NET_NAME_MAX];

        if (streq(split(json_string_value(v), target), alias))
            return (int)i;
    }
    return -1;
}

int engine_link_remove(struct engine *e, const char *name, struct err *reterr)
{
    const char *slash = strrchr(name, '/');
    _cleanup_free_ char *parent = slash ? xstrndup(name, (size_t)(slash - name)) : NULL;
    struct container *c;
    int r = registry_find(e, parent && *parent ? parent : name, &c, reterr), at;

    if (r < 0)
        return r;
    if (!parent || !*parent)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "Conflict, cannot remove the default link name of the container");
    at = find_alias(c, slash + 1);
    if (at < 0)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "No such container: %s", name);
    json_array_remove(json_get(c->host_config, "Links"), (size_t)at);
    r = record_save_config(c, reterr);
    if (r >= 0 && container_is_up(c))
        container_hosts_refresh(c, false);
    return r;
}

void links_follow(struct container *target)
{
    struct map_entry *m;

    if (!default_endpoint(target))
        return;
    for (size_t i = 0; (m = map_next(&target->engine->by_id, &i));) {
        struct container *c = m->value;

        if (container_is_up(c) && links_to(c, target))
            container_hosts_refresh(c, false);
    }
}
