/* `pack` and `changes`: directories become a tar, or a list of what differs (layer_protocol.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "options.h"
#include "sha.h"
#include "stack.h"

struct packed {
    char diff_id[SHA_HEX];
    int64_t bytes;  /* of the files in it */
    int64_t length; /* of the tar */
};

struct packer;

/* Outside the sandbox: libcrypto and libarchive load what they need then. */
int packer_new(const struct options *o, struct packer **ret, struct err *reterr);
void packer_free(struct packer *p);
DEFINE_FREEP(struct packer *, packer_free)
/* A tar on standard output.  Layer 0 alone with its whiteouts, or with o->tree all layers as one
 * tree without any, or with o->base.whole what layer 0 has and what it lacks of those below it. */
int packer_run(struct packer *p, const struct stack *s, struct packed *ret, struct err *reterr);

/* Is what both layers have the same to Docker?  path: of both; o: whose ids layer 0 has. */
bool stack_differs(const struct stack *s, const struct options *o, const char *path,
                   const struct node *new, const struct node *old);

/* What layer 0 changes in the layers below it, as records on standard output. */
int list_changes(const struct stack *s, const struct options *o, int64_t *ret_count,
                 struct err *reterr);
