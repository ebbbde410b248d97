#include <errno.h>
#include <stdlib.h>

#include "private.h"

struct container *container_new(struct engine *e)
{
    struct container *c = xcalloc(1, sizeof(*c));

    c->engine = e;
    c->refs = 1;
    c->shim.fd = -EBADF;
    return c;
}

struct container *container_ref(struct container *c)
{
    c->refs++;
    return c;
}

void container_unref(struct container *c)
{
    if (--c->refs > 0)
        return;
    execs_container_gone(c);
    attach_requests_free(c->attaches);
    json_decref(c->config);
    json_decref(c->host_config);
    json_decref(c->networking);
    json_decref(c->points);
    json_decref(c->health.log);
    free(c->endpoints);
    free(c->ports);
    free(c->image_ref);
    free(c->error);
    free(c->restore_from);
    json_decref(c->restore_mark);
    free(c->name);
    free(c);
}

void registry_add(struct engine *e, struct container *c)
{
    map_put(&e->by_id, c->id, c);
    map_put(&e->by_name, c->name, c);
    names_changed(e);
}

void registry_remove(struct engine *e, struct container *c)
{
    if (map_get(&e->by_id, c->id) != c)
        return;
    map_remove(&e->by_id, c->id);
    map_remove(&e->by_name, c->name);
    names_changed(e);
    c->gone = true;
    container_unref(c);
}

static int find_prefix(struct engine *e, const char *ref, struct container **ret,
                       struct err *reterr)
{
    struct map_entry *m;

    *ret = NULL;
    for (size_t i = 0; (m = map_next(&e->by_id, &i));) {
        if (!str_starts(m->key, ref))
            continue;
        if (*ret)
            return err_set(reterr, ERR_INVALID, ENOTUNIQ,
                           "multiple IDs found with provided prefix: %s", ref);
        *ret = m->value;
    }
    return 0;
}

int registry_find(struct engine *e, const char *ref, struct container **ret, struct err *reterr)
{
    const char *name = ref[0] == '/' ? ref + 1 : ref;
    struct container *c;
    int r;

    c = map_get(&e->by_id, ref);
    if (!c)
        c = map_get(&e->by_name, name);
    if (!c && *ref) {
        r = find_prefix(e, ref, &c, reterr);
        if (r < 0)
            return r;
    }
    if (!c)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "No such container: %s", ref);
    *ret = c;
    return 0;
}

static int newer_first(const void *a, const void *b)
{
    const struct container *x = *(struct container *const *)a, *y = *(struct container *const *)b;

    return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

struct container **registry_sorted(struct engine *e)
{
    struct container **all = xcalloc(e->by_id.count + 1, sizeof(struct container *));
    struct map_entry *m;
    size_t n = 0;

    for (size_t i = 0; (m = map_next(&e->by_id, &i));)
        all[n++] = m->value;
    qsort(all, n, sizeof(struct container *), newer_first);
    return all;
}

char *container_run_dir(const struct container *c)
{
    return path_join(c->engine->config.exec_root, c->id);
}

char *container_dir(const struct container *c, const char *leaf)
{
    return storage_container_path(c->engine->storage, c->id, leaf);
}

enum net_mode container_net_mode(const struct container *c)
{
    const char *mode = json_get_str(c->host_config, "NetworkMode", "bridge");

    if (streq(mode, "host"))
        return NET_HOST;
    if (streq(mode, "none"))
        return NET_NONE;
    if (str_starts(mode, "container:"))
        return NET_CONTAINER;
    return NET_BRIDGE;
}

#define JOINS_MAX 8 /* one that joined one that joined ... */

bool container_has_network(const struct container *c)
{
    for (int i = 0; i < JOINS_MAX; i++) {
        enum net_mode mode = container_net_mode(c);
        struct container *target;
        const char *name;

        if (mode != NET_CONTAINER)
            return mode != NET_HOST;
        name = json_get_str(c->host_config, "NetworkMode", "") + strlen("container:");
        if (registry_find(c->engine, name, &target, NULL) < 0)
            return false;
        c = target;
    }
    return false;
}
