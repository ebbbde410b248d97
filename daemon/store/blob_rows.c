#include "blob_rows.h"

#include <errno.h>
#include <string.h>

#include "column.h"

/* ---- blobs ---- */

int db_blob_put(struct db *db, const char *digest, int64_t size, struct err *reterr)
{
    return db_run(db,
                  db_query(db, "INSERT INTO blobs(digest, size) VALUES(?,?) ON CONFLICT DO NOTHING",
                           "si", digest, size),
                  reterr);
}

int db_blob_get(struct db *db, const char *digest, int64_t *ret_size, struct err *reterr)
{
    sqlite3_stmt *st = db_query(db, "SELECT size FROM blobs WHERE digest=?", "s", digest);
    int r = db_step(db, st, reterr);

    if (r > 0) {
        if (ret_size)
            *ret_size = sqlite3_column_int64(st, 0);
        sqlite3_reset(st);
    }
    return r;
}

int db_blob_list(struct db *db, char ***ret, struct err *reterr)
{
    return column_list(db, db_query(db, "SELECT digest FROM blobs ORDER BY digest", NULL), ret,
                       reterr);
}

int db_blob_usage(struct db *db, int64_t *ret_count, int64_t *ret_bytes, struct err *reterr)
{
    sqlite3_stmt *st = db_query(db, "SELECT count(*), coalesce(sum(size), 0) FROM blobs", NULL);
    int r = db_step(db, st, reterr);

    if (r <= 0)
        return r;
    *ret_count = sqlite3_column_int64(st, 0);
    *ret_bytes = sqlite3_column_int64(st, 1);
    sqlite3_reset(st);
    return 0;
}

#define HELD "SELECT chain_id FROM container_layers"

int db_store_usage(struct db *db, struct store_usage *ret, struct err *reterr)
{
    sqlite3_stmt *st =
        db_query(db,
                 "SELECT (SELECT coalesce(sum(size), 0) FROM layers),"
                 " (SELECT coalesce(sum(size), 0) FROM layers WHERE chain_id IN (" HELD ")),"
                 " (SELECT coalesce(sum(size), 0) FROM blobs),"
                 " (SELECT coalesce(sum(size), 0) FROM blobs WHERE digest IN"
                 " (SELECT digest FROM layer_blobs JOIN layers USING(diff_id)"
                 " WHERE chain_id IN (" HELD ")))",
                 NULL);
    int r = db_step(db, st, reterr);

    if (r < 0)
        return r;
    *ret = (struct store_usage){.layers = sqlite3_column_int64(st, 0),
                                .layers_held = sqlite3_column_int64(st, 1),
                                .blobs = sqlite3_column_int64(st, 2),
                                .blobs_held = sqlite3_column_int64(st, 3)};
    sqlite3_reset(st);
    return 0;
}

int db_blob_delete(struct db *db, const char *digest, struct err *reterr)
{
    int r = db_begin(db, reterr);

    if (r < 0)
        return r;
    r = db_run(db, db_query(db, "DELETE FROM layer_blobs WHERE digest=?", "s", digest), reterr);
    if (r >= 0)
        r = db_run(db, db_query(db, "DELETE FROM blobs WHERE digest=?", "s", digest), reterr);
    if (r >= 0)
        r = db_commit(db, reterr);
    if (r < 0)
        db_rollback(db);
    return r;
}

static int delete_unreferenced(struct db *db, char ***ret, int64_t *ret_bytes, struct err *reterr)
{
    _cleanup_(strv_freep) char **v = NULL;
    int64_t bytes = 0;
    sqlite3_stmt *st;
    int r = db_run(db,
                   db_query(db,
                            "DELETE FROM layer_blobs WHERE NOT EXISTS (SELECT 1 FROM layers l"
                            " WHERE l.diff_id=layer_blobs.diff_id)",
                            NULL),
                   reterr);

    if (r < 0)
        return r;
    st = db_query(db,
                  "DELETE FROM blobs WHERE NOT EXISTS (SELECT 1 FROM layer_blobs b"
                  " WHERE b.digest=blobs.digest) RETURNING digest, size",
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

int db_blob_collect(struct db *db, char ***ret, int64_t *ret_bytes, struct err *reterr)
{
    _cleanup_(strv_freep) char **v = NULL;
    int r = db_begin(db, reterr);

    if (r < 0)
        return r;
    r = delete_unreferenced(db, &v, ret_bytes, reterr);
    if (r >= 0)
        r = db_commit(db, reterr);
    if (r < 0) {
        db_rollback(db);
        return r;
    }
    *ret = TAKE_PTR(v);
    return 0;
}

/* ---- layers as they came ---- */

void layer_blobs_free(struct layer_blob *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i].media_type);
    free(v);
}

int db_layer_blob_put(struct db *db, const char *diff_id, const char *digest,
                      const char *media_type, struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO layer_blobs(diff_id, digest, media_type) VALUES(?,?,?)"
                           " ON CONFLICT DO NOTHING",
                           "sss", diff_id, digest, media_type),
                  reterr);
}

int db_layer_blob_list(struct db *db, const char *diff_id, struct layer_blob **ret, size_t *ret_n,
                       struct err *reterr)
{
    struct layer_blob *v = NULL;
    size_t n = 0;
    sqlite3_stmt *st = db_query(db,
                                "SELECT digest, media_type, size FROM layer_blobs JOIN blobs"
                                " USING(digest) WHERE diff_id=? ORDER BY digest",
                                "s", diff_id);
    int r;

    while ((r = db_step(db, st, reterr)) > 0) {
        v = xrealloc(v, (n + 1) * sizeof(*v));
        v[n] = (struct layer_blob){.media_type = db_column_dup(st, 1),
                                   .size = sqlite3_column_int64(st, 2)};
        column_copy_id(st, 0, v[n++].digest);
    }
    if (r < 0) {
        layer_blobs_free(v, n);
        return r;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

int db_layer_blob_exists(struct db *db, const char *diff_id, const char *digest)
{
    sqlite3_stmt *st = db_query(db, "SELECT 1 FROM layer_blobs WHERE diff_id=? AND digest=?", "ss",
                                diff_id, digest);
    int r = db_step(db, st, NULL);

    sqlite3_reset(st);
    return r;
}

/* ---- manifests ---- */

void manifest_rows_free(struct manifest_row *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].media_type);
        free(v[i].body);
    }
    free(v);
}

int db_manifest_put(struct db *db, const char *image_id, const char *digest, const char *media_type,
                    const char *body, size_t len, struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO image_manifests(image_id, digest, media_type, body)"
                           " VALUES(?,?,?,?) ON CONFLICT DO NOTHING",
                           "sssb", image_id, digest, media_type, body, len),
                  reterr);
}

int db_manifest_list(struct db *db, const char *image_id, struct manifest_row **ret, size_t *ret_n,
                     struct err *reterr)
{
    struct manifest_row *v = NULL;
    size_t n = 0;
    sqlite3_stmt *st = db_query(db,
                                "SELECT digest, media_type, body FROM image_manifests"
                                " WHERE image_id=? ORDER BY rowid",
                                "s", image_id);
    int r;

    while ((r = db_step(db, st, reterr)) > 0) {
        size_t len = (size_t)sqlite3_column_bytes(st, 2);

        v = xrealloc(v, (n + 1) * sizeof(*v));
        v[n] = (struct manifest_row){
            .media_type = db_column_dup(st, 1), .body = xmalloc(len + 1), .len = len};
        if (len)
            memcpy(v[n].body, sqlite3_column_blob(st, 2), len);
        v[n].body[len] = '\0';
        column_copy_id(st, 0, v[n++].digest);
    }
    if (r < 0) {
        manifest_rows_free(v, n);
        return r;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

/* ---- what repositories know an image by ---- */

int db_repo_digest_put(struct db *db, const char *repository, const char *digest,
                       const char *image_id, struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO repo_digests(repository, digest, image_id) VALUES(?,?,?)"
                           " ON CONFLICT DO UPDATE SET image_id=excluded.image_id",
                           "sss", repository, digest, image_id),
                  reterr);
}

int db_repo_digest_get(struct db *db, const char *repository, const char *digest,
                       char ret_id[ID_LEN + 1], struct err *reterr)
{
    return column_id(db,
                     db_query(db,
                              "SELECT image_id FROM repo_digests WHERE repository=? AND digest=?",
                              "ss", repository, digest),
                     ret_id, reterr);
}

int db_repo_digest_list(struct db *db, const char *image_id, char ***ret, struct err *reterr)
{
    return column_list(db,
                       db_query(db,
                                "SELECT repository || '@sha256:' || digest FROM repo_digests"
                                " WHERE image_id=? ORDER BY 1",
                                "s", image_id),
                       ret, reterr);
}

int db_repo_digest_delete(struct db *db, const char *image_id, const char *repository,
                          const char *digest, struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "DELETE FROM repo_digests WHERE image_id=?1 AND (?2 IS NULL OR"
                           " repository=?2) AND (?3 IS NULL OR digest=?3)",
                           "sss", image_id, repository, digest),
                  reterr);
}

/* ---- where blobs are ---- */

int db_blob_source_put(struct db *db, const char *digest, const char *repository,
                       struct err *reterr)
{
    return db_run(db,
                  db_query(db,
                           "INSERT INTO blob_sources(digest, repository) VALUES(?,?)"
                           " ON CONFLICT DO NOTHING",
                           "ss", digest, repository),
                  reterr);
}

int db_blob_source_list(struct db *db, const char *digest, char ***ret, struct err *reterr)
{
    return column_list(
        db,
        db_query(db, "SELECT repository FROM blob_sources WHERE digest=? ORDER BY repository", "s",
                 digest),
        ret, reterr);
}
