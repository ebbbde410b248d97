/* Hash map from strings to borrowed pointers.  Keys are copied. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct map_entry {
    char *key; /* owned; NULL: free slot */
    void *value;
};

struct map {
    struct map_entry *slots; /* owned; room is 0 or a power of two, at most 3/4 full */
    size_t room;
    size_t count;
};

void map_done(struct map *m);
void *map_get(const struct map *m, const char *key); /* NULL if absent */
/* Insert or replace; value must not be NULL. */
void map_put(struct map *m, const char *key, void *value);
void *map_remove(struct map *m, const char *key); /* the value, or NULL */

/* for (size_t i = 0; (e = map_next(m, &i));) — no change of the map meanwhile. */
struct map_entry *map_next(const struct map *m, size_t *i);
