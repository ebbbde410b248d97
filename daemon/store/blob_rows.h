/* Typed queries on blobs, manifests and the digests that repositories know images by (schema.c).
 * Loop thread only.  Digests are 64 hex digits; repositories canonical names without a tag. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "str.h"

/* A blob whose bytes are in the storage (blobs.h there); existing: left alone. */
int db_blob_put(struct db *db, const char *digest, int64_t size, struct err *reterr);
/* 1 and the size (may be NULL), or 0. */
int db_blob_get(struct db *db, const char *digest, int64_t *ret_size, struct err *reterr);
/* All digests (strv_free). */
int db_blob_list(struct db *db, char ***ret, struct err *reterr);
/* Number of blobs and their bytes. */
int db_blob_usage(struct db *db, int64_t *ret_count, int64_t *ret_bytes, struct err *reterr);
/* What layers and blobs take, unpacked and as they came, and how much of it containers need. */
struct store_usage {
    int64_t layers, layers_held, blobs, blobs_held; /* bytes */
};

int db_store_usage(struct db *db, struct store_usage *ret, struct err *reterr);
/* Forget a blob that is broken or gone, and what refers to it. */
int db_blob_delete(struct db *db, const char *digest, struct err *reterr);
/* Delete the rows of blobs whose layers are all gone (after db_layer_collect()); their digests
 * (strv_free), and the sum of their sizes. */
int db_blob_collect(struct db *db, char ***ret, int64_t *ret_bytes, struct err *reterr);

/* One form in which a layer came. */
struct layer_blob {
    char digest[ID_LEN + 1];
    char *media_type; /* owned */
    int64_t size;
};

void layer_blobs_free(struct layer_blob *v, size_t n);

/* The blob's row must exist; existing: left alone. */
int db_layer_blob_put(struct db *db, const char *diff_id, const char *digest,
                      const char *media_type, struct err *reterr);
/* By digest; *ret NULL when there are none. */
int db_layer_blob_list(struct db *db, const char *diff_id, struct layer_blob **ret, size_t *ret_n,
                       struct err *reterr);
/* Which of the digests does the layer have?  1 or 0. */
int db_layer_blob_exists(struct db *db, const char *diff_id, const char *digest);

struct manifest_row {
    char digest[ID_LEN + 1];
    char *media_type; /* owned */
    char *body;       /* owned; len bytes and a NUL */
    size_t len;
};

void manifest_rows_free(struct manifest_row *v, size_t n);

int db_manifest_put(struct db *db, const char *image_id, const char *digest, const char *media_type,
                    const char *body, size_t len, struct err *reterr);
/* In the order they came; *ret NULL when there are none. */
int db_manifest_list(struct db *db, const char *image_id, struct manifest_row **ret, size_t *ret_n,
                     struct err *reterr);

/* That name@digest stands for the image; moves it from another image. */
int db_repo_digest_put(struct db *db, const char *repository, const char *digest,
                       const char *image_id, struct err *reterr);
/* 1 and the image's id, or 0. */
int db_repo_digest_get(struct db *db, const char *repository, const char *digest,
                       char ret_id[ID_LEN + 1], struct err *reterr);
/* "docker.io/library/busybox@sha256:<hex>", sorted (strv_free). */
int db_repo_digest_list(struct db *db, const char *image_id, char ***ret, struct err *reterr);
/* repository and digest NULL: all of the image. */
int db_repo_digest_delete(struct db *db, const char *image_id, const char *repository,
                          const char *digest, struct err *reterr);

/* The blob's row must exist. */
int db_blob_source_put(struct db *db, const char *digest, const char *repository,
                       struct err *reterr);
/* Repositories, sorted (strv_free). */
int db_blob_source_list(struct db *db, const char *digest, char ***ret, struct err *reterr);
