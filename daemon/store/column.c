#include "column.h"

#include <errno.h>
#include <string.h>

int column_list(struct db *db, sqlite3_stmt *st, char ***ret, struct err *reterr)
{
    _cleanup_(strv_freep) char **v = NULL;
    int r;

    while ((r = db_step(db, st, reterr)) > 0)
        v = strv_append(v, (const char *)sqlite3_column_text(st, 0));
    if (r < 0)
        return r;
    *ret = TAKE_PTR(v);
    return 0;
}

void column_copy_id(sqlite3_stmt *st, int column, char ret[ID_LEN + 1])
{
    if (sqlite3_column_bytes(st, column) == ID_LEN)
        memcpy(ret, sqlite3_column_text(st, column), ID_LEN + 1);
    else
        *ret = '\0';
}

int column_id(struct db *db, sqlite3_stmt *st, char ret[ID_LEN + 1], struct err *reterr)
{
    int r = db_step(db, st, reterr);

    if (r <= 0)
        return r;
    column_copy_id(st, 0, ret);
    sqlite3_reset(st);
    return *ret ? 1 : err_set(reterr, ERR_SYSTEM, EUCLEAN, "database: malformed image id");
}
