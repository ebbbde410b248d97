#include "ring.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct ring {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned n;
    size_t size;
    char *chunks;                 /* owned; n * size */
    size_t *lens;                 /* owned; n */
    uint64_t head;                /* chunks that were put */
    uint64_t tails[RING_READERS]; /* and released; UINT64_MAX: left */
    bool ended, stopped;
    struct err err;
};

struct ring *ring_new(unsigned chunks, size_t chunk_size)
{
    struct ring *r = xcalloc(1, sizeof(*r));

    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->n = chunks;
    r->size = chunk_size;
    r->chunks = xmalloc(chunks * chunk_size);
    r->lens = xcalloc(chunks, sizeof(*r->lens));
    return r;
}

void ring_free(struct ring *r)
{
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r->chunks);
    free(r->lens);
    free(r);
}

size_t ring_chunk_size(const struct ring *r)
{
    return r->size;
}

static bool has_room(const struct ring *r)
{
    for (unsigned i = 0; i < RING_READERS; i++) {
        if (r->tails[i] != UINT64_MAX && r->head - r->tails[i] >= r->n)
            return false;
    }
    return true;
}

void *ring_room(struct ring *r)
{
    void *room;

    pthread_mutex_lock(&r->lock);
    while (!r->stopped && !has_room(r))
        pthread_cond_wait(&r->changed, &r->lock);
    room = r->stopped ? NULL : r->chunks + (r->head % r->n) * r->size;
    pthread_mutex_unlock(&r->lock);
    return room;
}

static void unlock_changed(struct ring *r)
{
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void ring_put(struct ring *r, size_t len)
{
    pthread_mutex_lock(&r->lock);
    r->lens[r->head % r->n] = len;
    r->head++;
    unlock_changed(r);
}

void ring_end(struct ring *r, const struct err *e)
{
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    if (e)
        r->err = *e;
    unlock_changed(r);
}

int ring_get(struct ring *r, unsigned reader, const void **ret, size_t *ret_len, struct err *reterr)
{
    int result = 1;

    pthread_mutex_lock(&r->lock);
    while (!r->stopped && !r->ended && r->tails[reader] == r->head)
        pthread_cond_wait(&r->changed, &r->lock);
    if (r->stopped) {
        result = err_set(reterr, ERR_SYSTEM, ECANCELED, "cancelled");
    } else if (r->tails[reader] < r->head) {
        *ret = r->chunks + (r->tails[reader] % r->n) * r->size;
        *ret_len = r->lens[r->tails[reader] % r->n];
    } else if (r->err.kind != ERR_NONE) {
        result = -(r->err.errnum ?: EINVAL);
        if (reterr)
            *reterr = r->err;
    } else {
        result = 0;
    }
    pthread_mutex_unlock(&r->lock);
    return result;
}

void ring_release(struct ring *r, unsigned reader)
{
    pthread_mutex_lock(&r->lock);
    r->tails[reader]++;
    unlock_changed(r);
}

void ring_leave(struct ring *r, unsigned reader)
{
    pthread_mutex_lock(&r->lock);
    r->tails[reader] = UINT64_MAX;
    unlock_changed(r);
}

void ring_stop(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->stopped = true;
    unlock_changed(r);
}
