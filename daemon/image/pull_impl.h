/* One image on its way from a registry: what pull_one.c (names, manifests, config) and
 * pull_layers.c (blobs, unpacking, the record) share. */
#pragma once

#include "fetch.h"
#include "image_job.h"
#include "pull.h"
#include "reference.h"
#include "unpack.h"

#define PULL_PARALLEL 3 /* blobs fetched, and layers unpacked, at once; dockerd's default */
#define PULL_PROGRESS_NS 100000000

struct pull_layer {
    struct pull_one *pull;
    struct load_layer *layer; /* borrowed from the job's plan */
    struct descriptor d;
    struct fetch_user *fetch; /* NULL before and after */
    struct unpack_user *unpack;
    bool here; /* the store has it */
    bool receiving, fetched, unpacked;
    int64_t told; /* time of the last progress line */
};

struct pull_one {
    struct images *im;
    struct pull_one_callbacks cb;
    struct remote *remote; /* referenced */
    struct reference ref;  /* owned; with tag or digest */
    struct platform platform;
    bool platform_given;
    struct remote_call *call; /* for a manifest or the config */
    char wanted[ID_LEN + 1];  /* digest that the manifest must have, "" for a tag's */
    char digest[ID_LEN + 1];  /* of the manifest that the name stands for */
    char *body;               /* owned; of the image's manifest, as it came */
    size_t body_len;
    char body_digest[ID_LEN + 1];
    unsigned depth; /* of indexes */
    struct registry_manifest manifest;
    struct image_job *job; /* from the config on */
    struct pull_layer *layers;
    size_t n_layers, n_fetching, n_unpacking;
    bool failed;
    bool committing, finished; /* the job works or ends by itself */
    bool newer;                /* the name stands for another image now */
    struct err err;
};

/* Whatever is under way is stopped; cb.done() follows unless it is cancelled. */
void pull_one_fail(struct pull_one *p, const struct err *err);
void pull_one_free(struct pull_one *p);

extern char *const pull_accept_headers[]; /* of a request for a manifest */
void pull_get_manifest(struct pull_one *p);
/* "Pulling from library/busybox" */
void pull_say_from(struct pull_one *p);
/* pull_known.c: 1: it is being asked whether what we have is what the tag stands for; 0: there is
 * nothing to ask. */
int pull_known_start(struct pull_one *p, struct err *reterr);

/* Layer lines carry progressDetail, others never do (API: the client tells them apart by it). */
void pull_say(struct pull_one *p, const char *id, const char *status);
void pull_say_layer(struct pull_layer *l, const char *status, int64_t current, int64_t total);
/* The job exists and holds image 0 of its plan: fetch, unpack and record. */
void pull_layers_begin(struct pull_one *p);
void pull_layers_stop(struct pull_one *p);
void pull_layers_done(struct pull_one *p); /* frees */
