#include "build_rows.h"

#include <stdio.h>

#include "column.h"

static int one_id(struct db *db, sqlite3_stmt *st, char ret[ID_LEN + 1], struct err *reterr)
{
    int r = db_step(db, st, reterr);

    if (r <= 0)
        return r;
    /* "": a step on nothing, FROM scratch. */
    snprintf(ret, ID_LEN + 1, "%s", (const char *)sqlite3_column_text(st, 0));
    sqlite3_reset(st);
    return *ret ? 1 : 0;
}

static bool is_there(struct db *db, sqlite3_stmt *st)
{
    int r = db_step(db, st, NULL);

    sqlite3_reset(st);
    return r > 0;
}

int db_parent_get(struct db *db, const char *image_id, char ret[ID_LEN + 1], struct err *reterr)
{
    return one_id(db,
                  db_query(db, "SELECT parent FROM image_parents WHERE image_id=?", "s", image_id),
                  ret, reterr);
}

int db_parent_put(struct db *db, const char *image_id, const char *parent, bool step,
                  struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO image_parents(image_id,parent,step) VALUES(?,?,?)"
                           " ON CONFLICT(image_id) DO UPDATE SET step=min(step,excluded.step)",
                           "ssi", image_id, parent, (int64_t)step),
                  reterr);
}

bool db_image_is_step(struct db *db, const char *image_id)
{
    return is_there(
        db, db_query(db, "SELECT 1 FROM image_parents WHERE image_id=? AND step=1", "s", image_id));
}

bool db_image_has_children(struct db *db, const char *image_id)
{
    return is_there(
        db, db_query(db, "SELECT 1 FROM image_parents WHERE parent=? LIMIT 1", "s", image_id));
}

int db_step_images(struct db *db, char ***ret, struct err *reterr)
{
    return column_list(db,
                       db_query(db,
                                "SELECT i.id FROM images i JOIN image_parents p ON p.image_id=i.id"
                                " WHERE p.step=1 AND NOT EXISTS(SELECT 1 FROM tags WHERE"
                                " image_id=i.id) ORDER BY (SELECT max(used) FROM build_steps WHERE"
                                " image_id=i.id), i.loaded DESC, i.created DESC",
                                NULL),
                       ret, reterr);
}

int64_t db_step_bytes(struct db *db)
{
    sqlite3_stmt *st =
        db_query(db,
                 "WITH steps AS (SELECT image_id FROM image_parents p WHERE step=1 AND NOT EXISTS"
                 " (SELECT 1 FROM tags WHERE image_id=p.image_id))"
                 " SELECT coalesce(sum(size),0) FROM layers l WHERE EXISTS (SELECT 1 FROM"
                 " image_layers WHERE chain_id=l.chain_id AND image_id IN steps) AND NOT EXISTS"
                 " (SELECT 1 FROM image_layers WHERE chain_id=l.chain_id AND image_id NOT IN steps)"
                 " AND NOT EXISTS (SELECT 1 FROM container_layers WHERE chain_id=l.chain_id)",
                 NULL);
    int64_t size = db_step(db, st, NULL) > 0 ? sqlite3_column_int64(st, 0) : 0;

    sqlite3_reset(st);
    return size;
}

int db_build_step_get(struct db *db, const char *key, char ret[ID_LEN + 1], struct err *reterr)
{
    return one_id(db, db_query(db, "SELECT image_id FROM build_steps WHERE key=?", "s", key), ret,
                  reterr);
}

int db_build_step_put(struct db *db, const char *key, const char *image_id, int64_t used,
                      struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO build_steps(key,image_id,used) VALUES(?,?,?) ON"
                           " CONFLICT(key) DO UPDATE SET image_id=excluded.image_id,"
                           " used=excluded.used",
                           "ssi", key, image_id, used),
                  reterr);
}
