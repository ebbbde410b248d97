/* What the typed queries share; not for other folders. */
#pragma once

#include "db.h"
#include "str.h"

/* Column 0 of all rows (strv_free); NULL if none. */
int column_list(struct db *db, sqlite3_stmt *st, char ***ret, struct err *reterr);
/* Column 0 of the first row into an id: 1, 0 or -errno. */
int column_id(struct db *db, sqlite3_stmt *st, char ret[ID_LEN + 1], struct err *reterr);
/* A column of the current row into an id; "" when it is none. */
void column_copy_id(sqlite3_stmt *st, int column, char ret[ID_LEN + 1]);
