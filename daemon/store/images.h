/* Typed queries on images, layers, tags and the layers that containers hold (schema.c).  Loop
 * thread only.  Ids are 64 hex digits; names canonical references. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "str.h"

struct image_row {
    char *id;     /* owned by the row, as all members */
    char *config; /* JSON text, config_len bytes and a NUL */
    size_t config_len;
    int64_t size;
    int64_t created; /* ns */
    int64_t loaded;  /* ns */
};

#define _cleanup_image_row_ _cleanup_(image_row_done)

void image_row_done(struct image_row *row);

/* 1 found, 0 not, negative errno. */
int db_image_get(struct db *db, const char *id, struct image_row *ret, struct err *reterr);
int db_image_exists(struct db *db, const char *id);
/* Ids that start with prefix (hex): 1 and ret_id, 0 none, -ENOTUNIQ for several. */
int db_image_find(struct db *db, const char *prefix, char ret_id[ID_LEN + 1], struct err *reterr);
/* All ids, newest first (strv_free). */
int db_image_ids(struct db *db, char ***ret, struct err *reterr);
int db_image_count(struct db *db);
/* Insert with its layers' references; an existing one is left alone.  The layers' rows must exist.
 */
int db_image_put(struct db *db, const struct image_row *row, const char *const *chain_ids,
                 size_t n_layers, struct err *reterr);
int db_image_delete(struct db *db, const char *id, struct err *reterr);
/* Chain ids bottom .. top (strv_free). */
int db_image_layers(struct db *db, const char *id, char ***ret, struct err *reterr);
/* Bytes in layers that other images hold too. */
int64_t db_image_shared_size(struct db *db, const char *id);

/* parent NULL for a bottom layer; existing: left alone. */
int db_layer_put(struct db *db, const char *chain_id, const char *diff_id, const char *parent,
                 int64_t size, struct err *reterr);
/* 1 and the size, or 0. */
int db_layer_get(struct db *db, const char *chain_id, int64_t *ret_size, struct err *reterr);
struct layer_row {
    char chain_id[ID_LEN + 1], diff_id[ID_LEN + 1];
    char parent[ID_LEN + 1]; /* "" of a bottom layer */
};

/* All, in no order; the caller frees *ret, NULL when there are none. */
int db_layer_list(struct db *db, struct layer_row **ret, size_t *ret_n, struct err *reterr);
/* Delete the rows of layers that neither image nor container holds; their ids (strv_free), and
 * the sum of their sizes. */
int db_layer_collect(struct db *db, char ***ret, int64_t *ret_bytes, struct err *reterr);

/* 1 and the image's id, or 0. */
int db_tag_get(struct db *db, const char *name, char ret_id[ID_LEN + 1], struct err *reterr);
/* Set or move; ret_old_id becomes "" if the name was free (may be NULL). */
int db_tag_put(struct db *db, const char *name, const char *image_id, int64_t tagged,
               char ret_old_id[ID_LEN + 1], struct err *reterr);
int db_tag_delete(struct db *db, const char *name, struct err *reterr);
/* Canonical names, sorted (strv_free); image_id NULL: of all images; ret_tagged (may be NULL): the
 * newest time, 0 if none. */
int db_tag_list(struct db *db, const char *image_id, char ***ret, int64_t *ret_tagged,
                struct err *reterr);

/* Canonical names of all tags of a repository ("docker.io/library/busybox"), sorted (strv_free). */
int db_tags_of(struct db *db, const char *repository, char ***ret, struct err *reterr);

int db_container_layers_put(struct db *db, const char *container_id, const char *const *chain_ids,
                            size_t n_layers, struct err *reterr);
int db_container_layers_get(struct db *db, const char *container_id, char ***ret,
                            struct err *reterr);
