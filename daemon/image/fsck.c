/* Is the store what its database says?  Bytes are read in the pool, a piece at a time, so that the
 * job can be cancelled; rows on the loop.  While it runs nothing is collected, as with any job. */
#include "fsck.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "blobs.h"
#include "fd.h"
#include "json.h"

#define PIECE ((int64_t)16 << 20) /* of a blob, between two looks at the job */
#define BUFFER ((size_t)256 << 10)
#define PROGRESS_NS 100000000

void fsck_add(struct fsck *f, enum fsck_kind kind, const char *id)
{
    f->found = xrealloc(f->found, (f->n_found + 1) * sizeof(*f->found));
    f->found[f->n_found++] = (struct finding){.kind = kind, .id = xstrdup(id)};
}

bool fsck_has_found(const struct fsck *f, const char *id)
{
    for (size_t i = 0; i < f->n_found; i++) {
        if (streq(f->found[i].id, id))
            return true;
    }
    return false;
}

/* ---- blobs ---- */

static void say_progress(struct fsck *f)
{
    int64_t now = time_monotonic_ns();

    if (now - f->told < PROGRESS_NS)
        return;
    f->told = now;
    image_job_progress(f->job, json_pack("{s:s,s:s,s:{s:I,s:I}}", "status", "Reading", "id",
                                         "blobs", "progressDetail", "current", (json_int_t)f->done,
                                         "total", (json_int_t)f->total));
}

static void blob_end(struct fsck *f)
{
    uint8_t md[SHA256_DIGEST_SIZE];
    char hex[ID_LEN + 1];

    sha256_digest(&f->hash, sizeof(md), md);
    hex_encode(md, sizeof(md), hex);
    if (f->offset != f->blob_size || !streq(hex, f->blobs[f->blob]))
        fsck_add(f, FSCK_BLOB_CORRUPT, f->blobs[f->blob]);
    f->fd = fd_close(f->fd);
    f->blob++;
}

/* Until a piece is read or the blob ends. */
static void read_piece(struct fsck *f)
{
    _cleanup_free_ uint8_t *data = xmalloc(BUFFER);
    int64_t end = f->offset + PIECE;

    while (f->offset < end) {
        ssize_t n = pread(f->fd, data, BUFFER, f->offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) { /* what cannot be read is as good as wrong */
            blob_end(f);
            return;
        }
        sha256_update(&f->hash, (size_t)n, data);
        f->offset += n;
        f->done += n;
    }
}

static int read_blob(struct image_job *job, struct err *reterr)
{
    struct fsck *f = job->data;

    if (f->fd < 0) {
        f->fd = blob_open(job->im->storage, f->blobs[f->blob], NULL, reterr);
        if (f->fd == -ENOENT || f->fd == -ELOOP) {
            fsck_add(f, FSCK_BLOB_MISSING, f->blobs[f->blob++]);
            return 0;
        }
        if (f->fd < 0)
            return f->fd;
        sha256_init(&f->hash);
        f->offset = 0;
    }
    read_piece(f);
    return 0;
}

static void next_blob(struct fsck *f)
{
    if (f->fd < 0)
        db_blob_get(f->job->im->db, f->blobs[f->blob], &f->blob_size, NULL);
    image_job_pool(f->job, read_blob, fsck_go_on);
}

/* ---- images ---- */

static void image_done(struct fsck *f)
{
    image_row_done(&f->row);
    f->row = (struct image_row){0};
    strv_free(TAKE_PTR(f->chain_ids));
    manifest_rows_free(TAKE_PTR(f->manifests), f->n_manifests);
    f->n_manifests = 0;
}

/* Do the image's layers stack up to what its config says? */
static bool layers_fit(const struct fsck *f, const json_t *config)
{
    const json_t *diff_ids = json_get(json_get(config, "rootfs"), "diff_ids"), *v;
    const char *parent = NULL;
    char chain[ID_LEN + 1];
    size_t i;

    if (json_array_size(diff_ids) != strv_len(f->chain_ids))
        return false;
    json_array_foreach (diff_ids, i, v) {
        const char *diff = json_is_string(v) ? json_string_value(v) : "";

        if (!str_starts(diff, DIGEST_SHA256) || strlen(diff) != strlen(DIGEST_SHA256) + ID_LEN)
            return false;
        digest_chain_id(parent, diff + strlen(DIGEST_SHA256), chain);
        if (!streq(chain, f->chain_ids[i]))
            return false;
        parent = f->chain_ids[i];
    }
    return true;
}

static int look_at_image(struct image_job *job, struct err *reterr)
{
    struct fsck *f = job->data;
    _cleanup_json_ json_t *config =
        json_loadb(f->row.config, f->row.config_len, JSON_ALLOW_NUL, NULL);
    char digest[ID_LEN + 1];

    (void)reterr;
    digest_sha256(f->row.config, f->row.config_len, digest);
    if (!streq(digest, f->row.id))
        fsck_add(f, FSCK_IMAGE_CORRUPT, f->row.id);
    else if (!layers_fit(f, config))
        fsck_add(f, FSCK_IMAGE_INCONSISTENT, f->row.id);
    for (size_t i = 0; i < f->n_manifests; i++) {
        digest_sha256(f->manifests[i].body, f->manifests[i].len, digest);
        if (!streq(digest, f->manifests[i].digest))
            fsck_add(f, FSCK_MANIFEST_CORRUPT, f->manifests[i].digest);
    }
    image_done(f);
    return 0;
}

/* 1: it is being looked at; 0: it was removed meanwhile. */
static int next_image(struct fsck *f, struct err *reterr)
{
    struct db *db = f->job->im->db;
    const char *id = f->images[f->image++];
    int r = db_image_get(db, id, &f->row, reterr);

    if (r <= 0)
        return r;
    r = db_image_layers(db, id, &f->chain_ids, reterr);
    if (r >= 0)
        r = db_manifest_list(db, id, &f->manifests, &f->n_manifests, reterr);
    if (r < 0)
        return r;
    image_job_pool(f->job, look_at_image, fsck_go_on);
    return 1;
}

/* ---- one after the other ---- */

static void conclude(struct image_job *job)
{
    struct fsck *f = job->data;
    struct err e;
    int r = fsck_conclude(f, &e);

    if (r > 0)
        err_set(&e, ERR_SYSTEM, EUCLEAN, "%d problem%s left in the store", r,
                r == 1 ? " is" : "s are");
    if (r != 0)
        image_job_fail(job, &e);
    else
        image_job_finish(job);
}

void fsck_go_on(struct image_job *job)
{
    struct fsck *f = job->data;
    struct err e;
    int r = 0;

    say_progress(f);
    if (f->blobs && f->blobs[f->blob]) {
        next_blob(f);
        return;
    }
    if (!f->layers_done) {
        r = fsck_layers_next(f, &e);
        f->layers_done = r == 0;
    }
    while (r == 0 && f->images && f->images[f->image])
        r = next_image(f, &e);
    if (r < 0) {
        image_job_fail(job, &e);
    } else if (r == 0) {
        if (job->im->jobs != job || job->next)
            image_job_progress(job, json_pack("{s:s}", "status", "Waiting for other operations"));
        image_job_alone(job, conclude);
    }
}

/* ---- */

static void freed(struct image_job *job)
{
    struct fsck *f = job->data;

    image_done(f);
    fd_close(f->fd);
    strv_free(f->blobs);
    strv_free(f->images);
    if (f->layers)
        fsck_layers_free(f->layers);
    for (size_t i = 0; i < f->n_found; i++) {
        free(f->found[i].id);
        free(f->found[i].detail);
    }
    free(f->found);
    free(f);
}

static void cancelled(struct image_job *job)
{
    struct fsck *f = job->data;

    if (f->layers && fsck_layers_stop(f->layers))
        image_job_finish(job);
}

static void begin(struct image_job *job)
{
    struct fsck *f = job->data;
    struct db *db = job->im->db;
    struct err e;
    struct layer_row *layers = NULL;
    size_t n = 0;
    int r = db_blob_usage(db, &(int64_t){0}, &f->total, &e);

    if (r >= 0)
        r = db_blob_list(db, &f->blobs, &e);
    if (r >= 0)
        r = db_layer_list(db, &layers, &n, &e);
    if (r >= 0)
        f->layers = fsck_layers_new(layers, n);
    if (r >= 0)
        r = db_image_ids(db, &f->images, &e);
    if (r < 0)
        image_job_fail(job, &e);
    else
        fsck_go_on(job);
}

static int nothing(struct image_job *job, struct err *reterr)
{
    (void)job, (void)reterr;
    return 0;
}

struct image_job *images_fsck(struct images *im, bool repair, const struct image_job_callbacks *cb,
                              struct err *reterr)
{
    struct image_job *job;
    struct fsck *f;

    for (job = im->jobs; job; job = job->next) {
        if (job->on_free == freed) {
            err_set(reterr, ERR_CONFLICT, EBUSY, "the store is being examined already");
            return NULL;
        }
    }
    if (image_job_new(im, cb, &job, reterr) < 0)
        return NULL;
    f = xcalloc(1, sizeof(*f));
    *f = (struct fsck){.job = job, .repair = repair, .fd = -EBADF};
    job->data = f;
    job->on_cancel = cancelled;
    job->on_free = freed;
    image_job_pool(job, nothing, begin); /* nothing is told before this returns */
    return job;
}
