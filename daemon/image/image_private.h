/* What the files of the image store share; not for other folders. */
#pragma once

#include "blob_rows.h"
#include "digest.h"
#include "image.h"
#include "images.h"

#define IMAGE_CACHE_SIZE 16
#define IMAGE_LAYERS_MAX 128 /* with the init layer still a page of overlay options */

struct images {
    struct db *db;
    struct storage *storage;
    uv_loop_t *loop;
    char *worker_path; /* owned */
    struct images_hooks hooks;
    struct image *cache[IMAGE_CACHE_SIZE]; /* most recently used first */
    struct image_job *jobs;                /* list */
    struct image_job *alone;               /* waits until it is the only one; NULL */
    struct image_pull *pulls;              /* list */
    struct image_push *pushes;             /* list */
    struct image_download *downloads;      /* list */
    struct registry_query *queries;        /* list */
    struct fetch *fetches;                 /* list */
    struct unpack *unpacks;                /* list */
    struct image_send *sends;              /* list */
    unsigned n_sends;
    struct registry *registry; /* owned */
    unsigned pending;          /* jobs and pool work that will still call back */
    bool collect_later;        /* layers were given up while a job or push may rely on them */
    bool closing;
};

/* What an image goes by. */
struct image_names {
    char **tags;    /* owned; "docker.io/library/busybox:latest" */
    char **digests; /* owned; "docker.io/library/busybox@sha256:<hex>" */
};

#define _cleanup_image_names_ _cleanup_(image_names_done)

void image_names_done(struct image_names *names);
/* Canonical, sorted. */
int image_names_load(struct images *im, const char *id, struct image_names *ret,
                     struct err *reterr);

/* The image through the cache: 0, -ENOENT without a message. */
int images_get(struct images *im, const char *id, struct image **ret, struct err *reterr);
/* After an image was deleted. */
void images_forget(struct images *im, const char *id);
/* name -> id; ret_name (may be NULL): the canonical tag or digest it matched, NULL if it was an id.
 */
int images_resolve(struct images *im, const char *name, char ret_id[ID_LEN + 1], char **ret_name,
                   struct err *reterr);
void images_emit(struct images *im, const char *action, const struct image *img, const char *name);
/* Free layers nobody refers to, or remember to when the last job or push is over.  deleted (may be
 * NULL): gets {"Deleted":"sha256:.."} of each; ret_bytes (may be NULL) their sizes. */
void images_collect(struct images *im, json_t *deleted, int64_t *ret_bytes);
/* Delete what is in the trash, in the pool; takes the vector (NULL: nothing). */
void images_empty_trash(struct images *im, char **names);
/* A worker's error that is the disk's (full, read-only ...) becomes ERR_SYSTEM and says where. */
void images_name_disk(const char *path, struct err *e);
/* A callback is due: the object stays until images_done() of the last. */
void images_begin(struct images *im);
void images_done(struct images *im);

json_t *json_sha256(const char *id);                     /* "sha256:<id>" */
json_t *image_container_config(const struct image *img); /* borrowed "config" object or NULL */
/* What of a container's configuration is meant for the next one, without what says nothing; new
 * reference. */
json_t *image_config_kept(const json_t *config);
