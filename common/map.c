#include "map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "str.h"

static uint64_t hash(const char *s)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
    return h ^ (h >> 32);
}

void map_done(struct map *m)
{
    for (size_t i = 0; i < m->room; i++)
        free(m->slots[i].key);
    free(m->slots);
    *m = (struct map){0};
}

/* The slot of key, or the free slot where it would go. */
static struct map_entry *find(const struct map *m, const char *key)
{
    size_t i = hash(key) & (m->room - 1);

    while (m->slots[i].key && !streq(m->slots[i].key, key))
        i = (i + 1) & (m->room - 1);
    return &m->slots[i];
}

void *map_get(const struct map *m, const char *key)
{
    return m->room ? find(m, key)->value : NULL;
}

static void grow(struct map *m)
{
    struct map old = *m;

    m->room = old.room ? old.room * 2 : 16;
    m->slots = xcalloc(m->room, sizeof(*m->slots));
    for (size_t i = 0; i < old.room; i++) {
        if (old.slots[i].key)
            *find(m, old.slots[i].key) = old.slots[i];
    }
    free(old.slots);
}

void map_put(struct map *m, const char *key, void *value)
{
    struct map_entry *e;

    if ((m->count + 1) * 4 > m->room * 3)
        grow(m);
    e = find(m, key);
    if (!e->key) {
        e->key = xstrdup(key);
        m->count++;
    }
    e->value = value;
}

void *map_remove(struct map *m, const char *key)
{
    struct map_entry *e;
    void *value;
    size_t hole;

    if (!m->room)
        return NULL;
    e = find(m, key);
    if (!e->key)
        return NULL;
    value = e->value;
    free(e->key);
    *e = (struct map_entry){0};
    m->count--;
    /* Close the gap: whatever follows in the run may have been pushed past it. */
    hole = (size_t)(e - m->slots);
    for (size_t i = (hole + 1) & (m->room - 1); m->slots[i].key; i = (i + 1) & (m->room - 1)) {
        struct map_entry moved = m->slots[i];

        m->slots[i] = (struct map_entry){0};
        *find(m, moved.key) = moved;
    }
    return value;
}

struct map_entry *map_next(const struct map *m, size_t *i)
{
    while (*i < m->room) {
        struct map_entry *e = &m->slots[(*i)++];

        if (e->key)
            return e;
    }
    return NULL;
}
