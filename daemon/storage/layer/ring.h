/* A bounded queue of chunks between threads: one writer, up to RING_READERS readers that each see
 * every chunk.  The writer waits for the slowest reader, so memory is what ring_new() took. */
#pragma once

#include <stddef.h>

#include "err.h"
#include "mem.h"

#define RING_READERS 2

struct ring;

struct ring *ring_new(unsigned chunks, size_t chunk_size);
void ring_free(struct ring *r); /* when no thread uses it any more */
DEFINE_FREEP(struct ring *, ring_free)
size_t ring_chunk_size(const struct ring *r);

/* The writer: a free chunk, NULL after ring_stop(); then how much of it is filled (> 0). */
void *ring_room(struct ring *r);
void ring_put(struct ring *r, size_t len);
/* No more chunks come; e (may be NULL) says why too early. */
void ring_end(struct ring *r, const struct err *e);

/* A reader, 0 or 1: the oldest chunk that it has not released, borrowed until it does: 1; at the
 * end 0; the writer's error; -ECANCELED after ring_stop(). */
int ring_get(struct ring *r, unsigned reader, const void **ret, size_t *ret_len,
             struct err *reterr);
void ring_release(struct ring *r, unsigned reader);
/* This reader wants nothing more and is waited for no more. */
void ring_leave(struct ring *r, unsigned reader);

/* Wake everybody for good.  Any thread. */
void ring_stop(struct ring *r);
