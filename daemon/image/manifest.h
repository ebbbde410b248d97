/* What an image archive holds, read from its unpacked files: docker-archive (manifest.json) or OCI
 * layout (index.json).  Everything here is foreign input. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blob_rows.h"
#include "err.h"
#include "registry_manifest.h"
#include "str.h"

#define MANIFEST_SIZE_MAX (4 << 20)
#define CONFIG_SIZE_MAX (8 << 20)
#define MANIFEST_IMAGES_MAX 1024
#define MANIFEST_TAGS_MAX 1024
#define MANIFEST_INDEX_DEPTH 4 /* an index in an index in ... */

/* A layer as it came, to be kept. */
struct load_blob {
    char digest[ID_LEN + 1]; /* "": not known yet, or nothing is kept */
    char media_type[MEDIA_TYPE_MAX];
    int64_t size;
    char file[32]; /* in the stage; "": a download's, in blobs/partial */
};

struct stage;

struct load_layer {
    char *blob; /* owned: name below the archive's directory */
    char diff_id[ID_LEN + 1];
    char chain_id[ID_LEN + 1];
    int64_t size;        /* unpacked; known after unpacking or from the store */
    char dir[32];        /* in the stage, where it was unpacked; "" if it was there already */
    struct stage *stage; /* borrowed; NULL: the job's */
    struct load_blob kept;
};

struct load_image {
    char id[ID_LEN + 1];
    char *config; /* owned, byte for byte */
    size_t config_len;
    int64_t created;           /* ns, 0 if unknown */
    char **tags;               /* owned, canonical */
    struct load_layer *layers; /* owned, bottom first */
    size_t n_layers;
    struct manifest_row *manifests; /* owned; those that it came with */
    size_t n_manifests;
    char *repository;        /* owned, canonical, of a pull; NULL */
    char digest[ID_LEN + 1]; /* what the repository knows it by */
};

struct load_plan {
    struct load_image *images; /* owned */
    size_t n_images;
};

void load_plan_done(struct load_plan *plan);
#define _cleanup_load_plan_ _cleanup_(load_plan_done)
struct load_image *load_plan_add(struct load_plan *plan);

/* Fill from the archive's files below dirfd; any thread. */
int load_plan_read(int dirfd, struct load_plan *ret, struct err *reterr);
/* Take the config (ownership) into img: its digest is the id, its rootfs gives diff and chain ids;
 * n_blobs layers are expected. */
int load_image_set_config(struct load_image *img, char *config, size_t len, size_t n_blobs,
                          struct err *reterr);
/* Keep a manifest (copied) with the image. */
void load_image_add_manifest(struct load_image *img, const char *digest, const char *media_type,
                             const char *body, size_t len);
