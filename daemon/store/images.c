#include "images.h"

#include <errno.h>
#include <string.h>

#include "column.h"

void image_row_done(struct image_row *row)
{
    free(row->id);
    free(row->config);
    *row = (struct image_row){0};
}

/* ---- images ---- */

int db_image_get(struct db *db, const char *id, struct image_row *ret, struct err *reterr)
{
    sqlite3_stmt *st =
        db_query(db, "SELECT config, size, created, loaded FROM images WHERE id=?", "s", id);
    int r = db_step(db, st, reterr);

    if (r <= 0)
        return r;
    ret->id = xstrdup(id);
    ret->config_len = (size_t)sqlite3_column_bytes(st, 0);
    ret->config = xmalloc(ret->config_len + 1);
    if (ret->config_len)
        memcpy(ret->config, sqlite3_column_blob(st, 0), ret->config_len);
    ret->config[ret->config_len] = '\0';
    ret->size = sqlite3_column_int64(st, 1);
    ret->created = sqlite3_column_int64(st, 2);
    ret->loaded = sqlite3_column_int64(st, 3);
    sqlite3_reset(st);
    return 1;
}

int db_image_exists(struct db *db, const char *id)
{
    sqlite3_stmt *st = db_query(db, "SELECT 1 FROM images WHERE id=?", "s", id);
    int r = db_step(db, st, NULL);

    sqlite3_reset(st);
    return r;
}

int db_image_find(struct db *db, const char *prefix, char ret_id[ID_LEN + 1], struct err *reterr)
{
    char end[ID_LEN + 2] = {0};
    size_t n = strlen(prefix);
    sqlite3_stmt *st;
    int r;

    if (n == 0 || n > ID_LEN || !str_is_hex(prefix, n))
        return 0;
    /* A range over the primary key instead of LIKE: 'g' is the first byte above all hex digits. */
    memcpy(end, prefix, n);
    end[n] = 'g';
    st = db_query(db, "SELECT id FROM images WHERE id>=? AND id<? LIMIT 2", "ss", prefix, end);
    r = db_step(db, st, reterr);
    if (r <= 0)
        return r;
    memcpy(ret_id, sqlite3_column_text(st, 0), ID_LEN + 1);
    r = db_step(db, st, reterr);
    sqlite3_reset(st);
    return r > 0 ? -ENOTUNIQ : r < 0 ? r : 1;
}

int db_image_ids(struct db *db, char ***ret, struct err *reterr)
{
    return column_list(db, db_query(db, "SELECT id FROM images ORDER BY created DESC, id", NULL),
                       ret, reterr);
}

int db_image_count(struct db *db)
{
    sqlite3_stmt *st = db_query(db, "SELECT count(*) FROM images", NULL);
    int r = db_step(db, st, NULL);

    if (r > 0)
        r = sqlite3_column_int(st, 0);
    sqlite3_reset(st);
    return r;
}

int db_image_put(struct db *db, const struct image_row *row, const char *const *chain_ids,
                 size_t n_layers, struct err *reterr)
{
    int r = db_run(db,
                   db_query(db,
                            "INSERT INTO images(id, config, size, created, loaded)"
                            " VALUES(?,?,?,?,?) ON CONFLICT DO NOTHING",
                            "sbiii", row->id, row->config, row->config_len, row->size, row->created,
                            row->loaded),
                   reterr);

    for (size_t i = 0; r >= 0 && i < n_layers; i++)
        r = db_run(db,
                   db_query(db,
                            "INSERT INTO image_layers(image_id, position, chain_id) VALUES(?,?,?)"
                            " ON CONFLICT DO NOTHING",
                            "sis", row->id, (int64_t)i, chain_ids[i]),
                   reterr);
    return r;
}

int db_image_delete(struct db *db, const char *id, struct err *reterr)
{
    return db_run(db, db_query(db, "DELETE FROM images WHERE id=?", "s", id), reterr);
}

int db_image_layers(struct db *db, const char *id, char ***ret, struct err *reterr)
{
    return column_list(
        db,
        db_query(db, "SELECT chain_id FROM image_layers WHERE image_id=? ORDER BY position", "s",
                 id),
        ret, reterr);
}

int64_t db_image_shared_size(struct db *db, const char *id)
{
    sqlite3_stmt *st =
        db_query(db,
                 "SELECT coalesce(sum(size), 0) FROM layers WHERE chain_id IN"
                 " (SELECT chain_id FROM image_layers a WHERE image_id=?1 AND EXISTS (SELECT 1 FROM"
                 " image_layers b WHERE b.chain_id=a.chain_id AND b.image_id<>?1))",
                 "s", id);
    int64_t size = db_step(db, st, NULL) > 0 ? sqlite3_column_int64(st, 0) : 0;

    sqlite3_reset(st);
    return size;
}

/* ---- layers ---- */

int db_layer_put(struct db *db, const char *chain_id, const char *diff_id, const char *parent,
                 int64_t size, struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO layers(chain_id, diff_id, parent, size) VALUES(?,?,?,?)"
                           " ON CONFLICT DO NOTHING",
                           "sssi", chain_id, diff_id, parent, size),
                  reterr);
}

int db_layer_get(struct db *db, const char *chain_id, int64_t *ret_size, struct err *reterr)
{
    sqlite3_stmt *st = db_query(db, "SELECT size FROM layers WHERE chain_id=?", "s", chain_id);
    int r = db_step(db, st, reterr);

    if (r > 0) {
        *ret_size = sqlite3_column_int64(st, 0);
        sqlite3_reset(st);
    }
    return r;
}

int db_layer_list(struct db *db, struct layer_row **ret, size_t *ret_n, struct err *reterr)
{
    sqlite3_stmt *st = db_query(db, "SELECT chain_id, diff_id, parent FROM layers", NULL);
    _cleanup_free_ struct layer_row *v = NULL;
    size_t n = 0;
    int r;

    while ((r = db_step(db, st, reterr)) > 0) {
        v = xrealloc(v, (n + 1) * sizeof(*v));
        column_copy_id(st, 0, v[n].chain_id);
        column_copy_id(st, 1, v[n].diff_id);
        column_copy_id(st, 2, v[n].parent);
        n++;
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(v);
    *ret_n = n;
    return 0;
}

int db_layer_collect(struct db *db, char ***ret, int64_t *ret_bytes, struct err *reterr)
{
    _cleanup_(strv_freep) char **v = NULL;
    int64_t bytes = 0;
    sqlite3_stmt *st;
    int r;

    /* One statement for the whole set: the foreign key on the parent is checked at its end.  A held
     * layer's parents are held too, so no parent of a survivor is in the set. */
    st = db_query(db,
                  "DELETE FROM layers WHERE NOT EXISTS (SELECT 1 FROM image_layers i WHERE"
                  " i.chain_id=layers.chain_id) AND NOT EXISTS (SELECT 1 FROM container_layers c"
                  " WHERE c.chain_id=layers.chain_id) RETURNING chain_id, size",
                  NULL);
    while ((r = db_step(db, st, reterr)) > 0) {
        v = strv_append(v, (const char *)sqlite3_column_text(st, 0));
        bytes += sqlite3_column_int64(st, 1);
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(v);
    if (ret_bytes)
        *ret_bytes = bytes;
    return 0;
}

/* ---- tags ---- */

int db_tag_get(struct db *db, const char *name, char ret_id[ID_LEN + 1], struct err *reterr)
{
    return column_id(db, db_query(db, "SELECT image_id FROM tags WHERE name=?", "s", name), ret_id,
                     reterr);
}

int db_tag_put(struct db *db, const char *name, const char *image_id, int64_t tagged,
               char ret_old_id[ID_LEN + 1], struct err *reterr)
{
    char old[ID_LEN + 1] = "";
    int r = db_tag_get(db, name, old, reterr);

    if (r < 0)
        return r;
    r = db_run(db,
               db_query(db,
                        "INSERT INTO tags(name, image_id, tagged) VALUES(?,?,?) ON CONFLICT(name)"
                        " DO UPDATE SET image_id=excluded.image_id, tagged=excluded.tagged",
                        "ssi", name, image_id, tagged),
               reterr);
    if (r >= 0 && ret_old_id)
        memcpy(ret_old_id, old, sizeof(old));
    return r;
}

int db_tag_delete(struct db *db, const char *name, struct err *reterr)
{
    return db_run(db, db_query(db, "DELETE FROM tags WHERE name=?", "s", name), reterr);
}

int db_tag_list(struct db *db, const char *image_id, char ***ret, int64_t *ret_tagged,
                struct err *reterr)
{
    _cleanup_(strv_freep) char **v = NULL;
    sqlite3_stmt *st =
        image_id ? db_query(db, "SELECT name, tagged FROM tags WHERE image_id=? ORDER BY name", "s",
                            image_id)
                 : db_query(db, "SELECT name, tagged FROM tags ORDER BY name", NULL);
    int64_t tagged = 0;
    int r;

    while ((r = db_step(db, st, reterr)) > 0) {
        v = strv_append(v, (const char *)sqlite3_column_text(st, 0));
        if (sqlite3_column_int64(st, 1) > tagged)
            tagged = sqlite3_column_int64(st, 1);
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(v);
    if (ret_tagged)
        *ret_tagged = tagged;
    return 0;
}

int db_tags_of(struct db *db, const char *repository, char ***ret, struct err *reterr)
{
    /* A range over the primary key: ';' is the character behind ':'. */
    return column_list(db,
                       db_query(db,
                                "SELECT name FROM tags WHERE name > ?1 || ':' AND name < ?1 || ';'"
                                " ORDER BY name",
                                "s", repository),
                       ret, reterr);
}

/* ---- what containers hold ---- */

int db_container_layers_put(struct db *db, const char *container_id, const char *const *chain_ids,
                            size_t n_layers, struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < n_layers; i++)
        r = db_run(db,
                   db_query(db,
                            "INSERT INTO container_layers(container_id, position, chain_id)"
                            " VALUES(?,?,?)",
                            "sis", container_id, (int64_t)i, chain_ids[i]),
                   reterr);
    return r;
}

int db_container_layers_get(struct db *db, const char *container_id, char ***ret,
                            struct err *reterr)
{
    return column_list(
        db,
        db_query(db, "SELECT chain_id FROM container_layers WHERE container_id=? ORDER BY position",
                 "s", container_id),
        ret, reterr);
}
