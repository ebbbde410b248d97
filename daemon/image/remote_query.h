/* What the questions to registries have in common: a life of their own, a remote, one answer. */
#pragma once

#include "image_private.h"
#include "reference.h"
#include "registry.h"

struct manifest_put;

struct registry_query {
    struct images *im;
    struct registry_query *next, **prev_next;
    struct registry_query_callbacks cb;
    struct remote *remote;    /* owned */
    struct remote_call *call; /* NULL once answered */
    json_t *result;           /* owned; so far */
    json_t *filters;          /* owned; of a search, or NULL */
    struct manifest_put *put; /* owned; of a put, or NULL */
    int64_t limit;
    bool manifest; /* of a distribution inspect: its text, too */
};

/* actions: as in remote_new(). */
struct registry_query *registry_query_new(struct images *im, const char *domain, const char *path,
                                          const char *actions, const struct registry_auth *auth,
                                          const struct registry_query_callbacks *cb);
/* Tells, and frees q; result is stolen. */
void registry_query_finish(struct registry_query *q, json_t *result, const struct err *err);
void registry_query_free(struct registry_query *q); /* without a word */

/* The store closes. */
void registry_queries_cancel(struct images *im);
