/* Typed queries on the table `networks`: those that users make.  Loop thread only. */
#pragma once

#include <stdint.h>

#include "db.h"

struct network_row {
    char *id, *name, *driver; /* owned by the row, as all members */
    char *config;             /* JSON object */
    int64_t created;          /* ns */
};

#define _cleanup_network_row_ _cleanup_(network_row_done)

void network_row_done(struct network_row *row);

/* -EEXIST if the name is taken. */
int db_network_put(struct db *db, const struct network_row *row, struct err *reterr);
int db_network_set_config(struct db *db, const char *id, const char *config, struct err *reterr);
int db_network_delete(struct db *db, const char *id, struct err *reterr);
/* All, oldest first; caller frees each row and *ret (NULL if none). */
int db_network_list(struct db *db, struct network_row **ret, size_t *ret_n, struct err *reterr);
