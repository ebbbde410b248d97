/* Who goes by which name on a network: looked up for each query, made again after a change of
 * containers when the next query comes. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>

#include "private.h"

#define SHORT_ID_LEN 12

struct name_index {
    uint64_t generation; /* of the engine's names when it was made */
    struct map names;    /* name in lower case -> struct named, owned */
    struct map owners;   /* address as text -> name of the container, owned */
};

void names_changed(struct engine *e)
{
    e->names_generation++;
}

static void clear(struct name_index *index)
{
    struct map_entry *m;

    for (size_t i = 0; (m = map_next(&index->names, &i));) {
        struct named *named = m->value;

        free(named->list);
        free(named);
    }
    map_done(&index->names);
    index->names = (struct map){0};
    for (size_t i = 0; (m = map_next(&index->owners, &i));)
        free(m->value);
    map_done(&index->owners);
    index->owners = (struct map){0};
}

void name_index_free(struct name_index *index)
{
    if (index)
        clear(index);
    free(index);
}

static void to_lower(const char *name, char ret[NET_NAME_MAX])
{
    size_t n = 0;

    for (; *name && n < NET_NAME_MAX - 1; name++)
        ret[n++] = (char)tolower((unsigned char)*name);
    ret[n] = '\0';
}

static void add(struct name_index *index, const char *name, const struct endpoint *ep)
{
    char key[NET_NAME_MAX];
    struct named *named;

    to_lower(name, key);
    if (!*key)
        return;
    named = map_get(&index->names, key);
    if (!named) {
        named = xcalloc(1, sizeof(*named));
        map_put(&index->names, key, named);
    }
    /* One container may go by the same name twice, as name and alias. */
    if (named->n > 0 && named->list[named->n - 1].address == ep->address)
        return;
    named->list = xrealloc(named->list, (named->n + 1) * sizeof(*named->list));
    named->list[named->n++] = (struct named_address){ep->address, ep->address6};
}

static void add_owner(struct name_index *index, int family, const void *address, const char *name)
{
    char key[INET6_ADDRSTRLEN];

    if (inet_ntop(family, address, key, sizeof(key)) && !map_get(&index->owners, key))
        map_put(&index->owners, key, xstrdup(name));
}

static void add_container(struct name_index *index, const struct container *c,
                          const struct net *net)
{
    const struct endpoint *ep = container_endpoint(c, net);
    const json_t *aliases, *v;
    char short_id[SHORT_ID_LEN + 1];
    size_t i;

    if (!ep)
        return;
    aliases = json_get(container_endpoint_config(c, net->name), "Aliases");
    snprintf(short_id, sizeof(short_id), "%.*s", SHORT_ID_LEN, c->id);
    add_owner(index, AF_INET, &ep->address, c->name);
    if (ep->address6.prefix)
        add_owner(index, AF_INET6, ep->address6.address, c->name);
    add(index, c->name, ep);
    add(index, short_id, ep);
    add(index, json_get_str(c->config, "Hostname", ""), ep);
    json_array_foreach (aliases, i, v) {
        if (json_is_string(v))
            add(index, json_string_value(v), ep);
    }
}

static struct name_index *get(struct net *net)
{
    struct engine *e = net->engine;
    struct map_entry *m;

    if (!net->names)
        net->names = xcalloc(1, sizeof(*net->names));
    else if (net->names->generation == e->names_generation)
        return net->names;
    clear(net->names);
    net->names->generation = e->names_generation;
    for (size_t i = 0; (m = map_next(&e->by_id, &i));) {
        if (container_is_up(m->value))
            add_container(net->names, m->value, net);
    }
    return net->names;
}

const struct named *name_index_find(struct net *net, const char *name)
{
    char key[NET_NAME_MAX];

    to_lower(name, key);
    return map_get(&get(net)->names, key);
}

const char *name_index_owner(struct net *net, int family, const void *address)
{
    char key[INET6_ADDRSTRLEN];

    return inet_ntop(family, address, key, sizeof(key)) ? map_get(&get(net)->owners, key) : NULL;
}
