/* What the files of the store's examination share (images_fsck() in image.h). */
#pragma once

#include <nettle/sha2.h>

#include "blob_rows.h"
#include "image_job.h"

enum fsck_kind {
    FSCK_BLOB_MISSING,
    FSCK_BLOB_CORRUPT,
    FSCK_LAYER_MISSING,
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
    char *id; /* owned; a digest or an id, without the algorithm */
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

    struct layer_row *layers; /* owned */
    size_t n_layers;

    char **images; /* owned; ids */
    size_t image;
    struct image_row row; /* owned; the image that is looked at */
    char **chain_ids;     /* owned */
    struct manifest_row *manifests;
    size_t n_manifests;
};

void fsck_add(struct fsck *f, enum fsck_kind kind, const char *id);
/* fsck_repair.c, loop thread, while no other job runs: what nobody knows, repairs if wanted, the
 * report.  Number of problems that are left, or negative errno. */
int fsck_conclude(struct fsck *f, struct err *reterr);
