/* What builds know of images: whose step they are, and of which step (schema.c).  Loop thread only.
 * Ids and keys are 64 hex digits. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "db.h"
#include "str.h"

/* 1 and the parent's id, which may be gone, or 0: there is none. */
int db_parent_get(struct db *db, const char *image_id, char ret[ID_LEN + 1], struct err *reterr);
/* Set, or change whether it is a mere step. */
int db_parent_put(struct db *db, const char *image_id, const char *parent, bool step,
                  struct err *reterr);
/* Is it only there for the steps after it, or the next build? */
bool db_image_is_step(struct db *db, const char *image_id);
bool db_image_has_children(struct db *db, const char *image_id);
/* Ids of all steps that no tag names (strv_free), the least recently used ones first. */
int db_step_images(struct db *db, char ***ret, struct err *reterr);
/* Bytes of the layers that only these have. */
int64_t db_step_bytes(struct db *db);

/* 1 and the image, or 0. */
int db_build_step_get(struct db *db, const char *key, char ret[ID_LEN + 1], struct err *reterr);
int db_build_step_put(struct db *db, const char *key, const char *image_id, int64_t used,
                      struct err *reterr);
