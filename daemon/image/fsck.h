/* What the files of the store's examination share (images_fsck() in image.h). */
#pragma once

#include <nettle/sha2.h>

#include "blob_rows.h"
#include "image_job.h"

enum fsck_kind {
    FSCK_BLOB_MISSING,
    FSCK_BLOB_CORRUPT,
    FSCK_LAYER_MISSING,
    FSCK_LAYER_CORRUPT,
    FSCK_LAYER_INCONSISTENT,
    FSCK_IMAGE_CORRUPT,
    FSCK_IMAGE_INCONSISTENT,
    FSCK_MANIFEST_CORRUPT,
    FSCK_LAYER_ORPHAN,
    FSCK_BLOB_ORPHAN,
    FSCK_DOWNLOAD_ORPHAN,
    FSCK_CONTAINER_ORPHAN,
};

struct finding {
    enum fsck_kind kind;
    char *id;      /* owned; a digest or an id, without the algorithm */
    char *detail;  /* owned; more for the user, or NULL */
    bool repaired; /* already */
};

struct fsck {
    struct image_job *job;
    bool repair;
    struct finding *found; /* owned vector */
    size_t n_found;

    char **blobs; /* owned; rows when it began */
    size_t blob;
    int fd; /* owned; of the blob that is being read, -EBADF: none */
    struct sha256_ctx hash;
    int64_t blob_size, offset, done, total; /* bytes */
    int64_t told;                           /* time of the last progress line */

    struct fsck_layers *layers; /* owned; NULL before it is their turn */
    bool layers_done;

    char **images; /* owned; ids */
    size_t image;
    struct image_row row; /* owned; the image that is looked at */
    char **chain_ids;     /* owned */
    struct manifest_row *manifests;
    size_t n_manifests;
};

void fsck_add(struct fsck *f, enum fsck_kind kind, const char *id);
/* Is something wrong with it? */
bool fsck_has_found(const struct fsck *f, const char *id);
/* The next step of the examination, from wherever one has ended. */
void fsck_go_on(struct image_job *job);

/* ---- fsck_layers.c: loop thread ---- */

/* rows: taken over. */
struct fsck_layers *fsck_layers_new(struct layer_row *rows, size_t n);
void fsck_layers_free(struct fsck_layers *l);
size_t fsck_layers_count(const struct fsck_layers *l);
/* 1: fsck_go_on() follows; 0: all layers are through. */
int fsck_layers_next(struct fsck *f, struct err *reterr);
/* The job is cancelled.  True: nothing is under way that would end it. */
bool fsck_layers_stop(struct fsck_layers *l);

/* fsck_repair.c, loop thread, while no other job runs: what nobody knows, repairs if wanted, the
 * report.  Number of problems that are left, or negative errno. */
int fsck_conclude(struct fsck *f, struct err *reterr);
