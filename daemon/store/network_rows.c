#include "network_rows.h"

#include <stdlib.h>

void network_row_done(struct network_row *row)
{
    free(row->id);
    free(row->name);
    free(row->driver);
    free(row->config);
    *row = (struct network_row){0};
}

int db_network_put(struct db *db, const struct network_row *row, struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO networks(id,name,driver,created,config) VALUES(?,?,?,?,?)",
                           "sssis", row->id, row->name, row->driver, row->created, row->config),
                  reterr);
}

int db_network_set_config(struct db *db, const char *id, const char *config, struct err *reterr)
{
    return db_run(db, db_query(db, "UPDATE networks SET config=? WHERE id=?", "ss", config, id),
                  reterr);
}

int db_network_delete(struct db *db, const char *id, struct err *reterr)
{
    return db_run(db, db_query(db, "DELETE FROM networks WHERE id=?", "s", id), reterr);
}

int db_network_list(struct db *db, struct network_row **ret, size_t *ret_n, struct err *reterr)
{
    sqlite3_stmt *st = db_query(
        db, "SELECT id,name,driver,config,created FROM networks ORDER BY created,id", NULL);
    struct network_row *rows = NULL;
    size_t n = 0;
    int r;

    while ((r = db_step(db, st, reterr)) > 0) {
        rows = xrealloc(rows, (n + 1) * sizeof(*rows));
        rows[n++] = (struct network_row){.id = db_column_dup(st, 0),
                                         .name = db_column_dup(st, 1),
                                         .driver = db_column_dup(st, 2),
                                         .config = db_column_dup(st, 3),
                                         .created = sqlite3_column_int64(st, 4)};
    }
    if (r < 0) {
        while (n > 0)
            network_row_done(&rows[--n]);
        free(rows);
        return r;
    }
    *ret = rows;
    *ret_n = n;
    return 0;
}
