/* Events: a ring of the last EVENTS_KEPT in memory and live subscribers. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "engine.h"

#define EVENTS_KEPT 256

struct events;

struct events *events_new(void);
void events_free(struct events *ev);

/* type: "container", "image", "network", "daemon"; attributes: stolen, NULL for {}.  from: the
 * image of container events, NULL otherwise. */
void events_emit(struct events *ev, const char *type, const char *action, const char *id,
                 const char *from, json_t *attributes);

int events_subscribe(struct events *ev, int64_t since_ns, int64_t until_ns, json_t *filters,
                     engine_event_fn *fn, void *arg, struct event_subscription **ret,
                     struct err *reterr);
