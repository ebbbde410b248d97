/* Typed queries on volumes and on which containers hold them.  Loop thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "db.h"

struct volume_row {
    char *name;             /* owned by the row, as all members */
    char *options, *labels; /* JSON objects */
    int64_t created;        /* ns */
    bool anonymous;
};

#define _cleanup_volume_row_ _cleanup_(volume_row_done)

void volume_row_done(struct volume_row *row);

/* -EEXIST if the name is taken. */
int db_volume_put(struct db *db, const struct volume_row *row, struct err *reterr);
/* 1 found, 0 not, negative errno. */
int db_volume_get(struct db *db, const char *name, struct volume_row *ret, struct err *reterr);
int db_volume_delete(struct db *db, const char *name, struct err *reterr);
/* All names, sorted (strv_free); NULL if none. */
int db_volume_names(struct db *db, char ***ret, struct err *reterr);

/* Inside the transaction that inserts the container's row, or later; again: no change. */
int db_volume_hold(struct db *db, const char *name, const char *container_id, struct err *reterr);
/* Ids of the containers that hold it (strv_free); NULL if none. */
int db_volume_users(struct db *db, const char *name, char ***ret, struct err *reterr);
/* Anonymous volumes that this container alone holds (strv_free); NULL if none. */
int db_volumes_only_of(struct db *db, const char *container_id, char ***ret, struct err *reterr);
