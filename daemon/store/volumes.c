#include "volumes.h"

#include <stdlib.h>

#include "str.h"

void volume_row_done(struct volume_row *row)
{
    free(row->name);
    free(row->options);
    free(row->labels);
    *row = (struct volume_row){0};
}

int db_volume_put(struct db *db, const struct volume_row *row, struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO volumes(name,options,labels,created,anonymous)"
                           " VALUES(?,?,?,?,?)",
                           "sssii", row->name, row->options, row->labels, row->created,
                           (int64_t)row->anonymous),
                  reterr);
}

int db_volume_get(struct db *db, const char *name, struct volume_row *ret, struct err *reterr)
{
    sqlite3_stmt *st = db_query(
        db, "SELECT name,options,labels,created,anonymous FROM volumes WHERE name=?", "s", name);
    int r = db_step(db, st, reterr);

    if (r <= 0)
        return r;
    *ret = (struct volume_row){
        .name = db_column_dup(st, 0),
        .options = db_column_dup(st, 1),
        .labels = db_column_dup(st, 2),
        .created = sqlite3_column_int64(st, 3),
        .anonymous = sqlite3_column_int64(st, 4) != 0,
    };
    sqlite3_reset(st);
    return 1;
}

int db_volume_delete(struct db *db, const char *name, struct err *reterr)
{
    return db_run(db, db_query(db, "DELETE FROM volumes WHERE name=?", "s", name), reterr);
}

/* The first column of all rows. */
static int strings(struct db *db, sqlite3_stmt *st, char ***ret, struct err *reterr)
{
    char **v = NULL;
    int r;

    while ((r = db_step(db, st, reterr)) > 0)
        v = strv_append(v, (const char *)sqlite3_column_text(st, 0));
    if (r < 0) {
        strv_free(v);
        return r;
    }
    *ret = v;
    return 0;
}

int db_volume_names(struct db *db, char ***ret, struct err *reterr)
{
    return strings(db, db_query(db, "SELECT name FROM volumes ORDER BY name", NULL), ret, reterr);
}

int db_volume_hold(struct db *db, const char *name, const char *container_id, struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO volume_users(volume,container_id) VALUES(?,?)"
                           " ON CONFLICT DO NOTHING",
                           "ss", name, container_id),
                  reterr);
}

int db_volume_users(struct db *db, const char *name, char ***ret, struct err *reterr)
{
    return strings(
        db,
        db_query(db, "SELECT container_id FROM volume_users WHERE volume=? ORDER BY 1", "s", name),
        ret, reterr);
}

int db_volumes_only_of(struct db *db, const char *container_id, char ***ret, struct err *reterr)
{
    return strings(db,
                   db_query(db,
                            "SELECT v.name FROM volume_users u JOIN volumes v ON v.name=u.volume"
                            " WHERE u.container_id=? AND v.anonymous AND NOT EXISTS (SELECT 1 FROM"
                            " volume_users o WHERE o.volume=u.volume AND o.container_id<>?)",
                            "ss", container_id, container_id),
                   ret, reterr);
}
