/* Events: live subscribers, and the journal for those who ask for what has been.  All of it is the
 * loop thread's; files are written and read on the pool. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

/* Bytes that wait for the disk; what comes on top is not kept (subscribers get it all the same). */
#define EVENTS_PENDING_MAX (4 << 20)

struct events;

struct events_counts {
    uint64_t emitted; /* since the daemon started */
    unsigned subscribers;
    uint64_t lost; /* of them not kept: the disk was full or did not keep up */
};

struct events *events_new(struct engine *e);
/* Blocks: at start-up only. */
int events_open(struct events *ev, const char *dir, struct err *reterr);
/* Writes what waits; no job may be on the pool any more. */
void events_free(struct events *ev);

/* type: "container", "image", "network", "volume", "builder", "daemon"; id: "" of none;
 * attributes: stolen, NULL for {}.
 * from: the image of container events, NULL otherwise. */
void events_emit(struct events *ev, const char *type, const char *action, const char *id,
                 const char *from, json_t *attributes);

/* The end of a prune, whatever it removed. */
void events_pruned(struct events *ev, const char *type, int64_t bytes);

int events_subscribe(struct events *ev, int64_t since_ns, int64_t until_ns, json_t *filters,
                     engine_event_fn *fn, void *arg, struct event_subscription **ret,
                     struct err *reterr);
struct events_counts events_counts(const struct events *ev);

/* Any thread.  Does the event pass filters that engine_events_check() let pass? */
bool events_match(const json_t *event, const json_t *filters);
