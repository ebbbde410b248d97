/* The end of an examination: orphans, repairs, the report.  No other job runs meanwhile, so what is
 * on disk without a row is nobody's. */
#include "blobs.h"
#include "fetch.h"
#include "fsck.h"
#include "json.h"
#include "log.h"

/* ---- repairs: 1 done, 0 there is none, or -errno ---- */

static int remove_layer(struct images *im, const char *id, char **ret_trash, struct err *reterr)
{
    int r = storage_layer_remove(im->storage, id, ret_trash, reterr);

    return r < 0 ? r : 1;
}

/* What is left of its directory must not be taken for the layer when that comes again. */
static int clear_layer(struct images *im, const char *id, char **ret_trash, struct err *reterr)
{
    return storage_layer_remove(im->storage, id, ret_trash, reterr);
}

static int remove_blob(struct images *im, const char *digest, char **ret_trash, struct err *reterr)
{
    int r = blob_remove(im->storage, digest, ret_trash, reterr);

    return r < 0 ? r : 1;
}

/* Without its row the layer counts as incomplete: the next pull or load brings the blob again. */
static int forget_blob(struct images *im, const char *digest, char **ret_trash, struct err *reterr)
{
    int r = db_blob_delete(im->db, digest, reterr);

    return r < 0 ? r : remove_blob(im, digest, ret_trash, reterr);
}

static int remove_download(struct images *im, const char *name, char **ret_trash,
                           struct err *reterr)
{
    int r = blob_partial_remove(im->storage, name, reterr);

    (void)ret_trash;
    return r < 0 ? r : 1;
}

static int remove_container(struct images *im, const char *id, char **ret_trash, struct err *reterr)
{
    int r = storage_container_remove(im->storage, id, ret_trash, reterr);

    return r < 0 ? r : 1;
}

static const struct {
    const char *noun, *problem, *text,
        *repaired; /* repaired NULL: what the user can do is in text */
    int (*repair)(struct images *im, const char *id, char **ret_trash, struct err *reterr);
} kinds[] = {
    [FSCK_BLOB_MISSING] = {"blob", "missing", "its bytes are gone",
                           "forgotten, the next pull brings it again", forget_blob},
    [FSCK_BLOB_CORRUPT] = {"blob", "corrupt", "its bytes are not what its digest says",
                           "removed, the next pull brings it again", forget_blob},
    [FSCK_LAYER_MISSING] = {"layer", "missing",
                            "its directory is gone; pull or load its image again", "unpacked again",
                            clear_layer},
    [FSCK_LAYER_CORRUPT] = {"layer", "corrupt", "its files are not those of its blob",
                            "unpacked again", NULL},
    [FSCK_LAYER_INCONSISTENT] = {"layer", "inconsistent",
                                 "its id does not follow from what it is made of", NULL, NULL},
    [FSCK_IMAGE_CORRUPT] = {"image", "corrupt",
                            "its config is not what its id says; remove it and pull it again", NULL,
                            NULL},
    [FSCK_IMAGE_INCONSISTENT] = {"image", "inconsistent",
                                 "its layers are not those of its config; remove it and pull it "
                                 "again",
                                 NULL, NULL},
    [FSCK_MANIFEST_CORRUPT] = {"manifest", "corrupt",
                               "it is not what its digest says; remove its image and pull it again",
                               NULL, NULL},
    [FSCK_LAYER_ORPHAN] = {"layer", "orphan", "no image has it", "removed", remove_layer},
    [FSCK_BLOB_ORPHAN] = {"blob", "orphan", "no layer came from it", "removed", remove_blob},
    [FSCK_DOWNLOAD_ORPHAN] = {"download", "orphan", "the blob is here already", "removed",
                              remove_download},
    [FSCK_CONTAINER_ORPHAN] = {"container", "orphan", "a directory without a container", "removed",
                               remove_container},
};

/* ---- what nobody knows ---- */

static bool layer_known(void *arg, const char *chain_id)
{
    int64_t size;

    /* A database that cannot answer must not cost a layer. */
    return db_layer_get(arg, chain_id, &size, NULL) != 0;
}

static bool blob_known(void *arg, const char *digest)
{
    return db_blob_get(arg, digest, NULL, NULL) != 0;
}

/* A download that was broken off is not an orphan: the next pull goes on with it. */
static bool download_wanted(void *arg, const char *digest)
{
    struct images *im = arg;

    return fetch_is_under_way(im, digest) || db_blob_get(im->db, digest, NULL, NULL) <= 0;
}

static bool container_known(void *arg, const char *id)
{
    const struct images *im = arg;

    return !im->hooks.container_exists || im->hooks.container_exists(im->hooks.arg, id);
}

static int find_orphans(struct fsck *f, struct err *reterr)
{
    struct images *im = f->job->im;
    const struct {
        enum fsck_kind kind;
        int (*list)(struct storage *st, bool (*known)(void *arg, const char *id), void *arg,
                    char ***ret, struct err *reterr);
        bool (*known)(void *arg, const char *id);
        void *arg;
    } sources[] = {
        {FSCK_LAYER_ORPHAN, storage_layer_orphans, layer_known, im->db},
        {FSCK_BLOB_ORPHAN, blob_orphans, blob_known, im->db},
        {FSCK_DOWNLOAD_ORPHAN, blob_partial_orphans, download_wanted, im},
        {FSCK_CONTAINER_ORPHAN, storage_container_orphans, container_known, im},
    };

    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        _cleanup_(strv_freep) char **v = NULL;
        int r = sources[i].list(im->storage, sources[i].known, sources[i].arg, &v, reterr);

        if (r < 0)
            return r;
        for (size_t k = 0; v && v[k]; k++)
            fsck_add(f, sources[i].kind, v[k]);
    }
    return 0;
}

/* ---- the report ---- */

static bool repair(struct fsck *f, const struct finding *p, char ***trash)
{
    _cleanup_free_ char *name = NULL;
    struct err e;
    int r;

    if (p->repaired)
        return true;
    if (!f->repair || !kinds[p->kind].repair)
        return false;
    r = kinds[p->kind].repair(f->job->im, p->id, &name, &e);
    if (r < 0)
        log_error("%s", e.message);
    if (name)
        *trash = strv_append(*trash, name);
    return r > 0;
}

/* Names in images may be anything, and this goes to a terminal. */
static char *printable(const char *s)
{
    char *copy = str_to_utf8(s);

    for (char *p = copy; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    }
    return copy;
}

static void report(struct fsck *f, const struct finding *p, bool repaired)
{
    bool digest = p->kind != FSCK_CONTAINER_ORPHAN;
    _cleanup_free_ char *id = xasprintf("%s%s", digest ? DIGEST_SHA256 : "", p->id);
    _cleanup_free_ char *detail = printable(p->detail ?: "");
    json_t *text =
        json_sprintf("%s %s: %s: %s%s%s%s%s\n", kinds[p->kind].noun, id, kinds[p->kind].problem,
                     kinds[p->kind].text, p->detail ? ": " : "", detail, repaired ? ": " : "",
                     repaired ? kinds[p->kind].repaired : "");

    image_job_progress(f->job, json_pack("{s:o,s:{s:s,s:s,s:s,s:b}}", "stream", text, "aux", "Kind",
                                         kinds[p->kind].noun, "Id", id, "Problem",
                                         kinds[p->kind].problem, "Repaired", repaired));
}

static void report_sums(struct fsck *f, size_t repaired)
{
    size_t images = strv_len(f->images), blobs = strv_len(f->blobs);
    json_t *text = json_sprintf("%zu images, %zu layers, %zu blobs: %zu problems, %zu repaired\n",
                                images, fsck_layers_count(f->layers), blobs, f->n_found, repaired);

    image_job_progress(
        f->job, json_pack("{s:o,s:{s:I,s:I,s:I,s:I,s:I,s:I}}", "stream", text, "aux", "Images",
                          (json_int_t)images, "Layers", (json_int_t)fsck_layers_count(f->layers),
                          "Blobs", (json_int_t)blobs, "Bytes", (json_int_t)f->done, "Problems",
                          (json_int_t)f->n_found, "Repaired", (json_int_t)repaired));
}

int fsck_conclude(struct fsck *f, struct err *reterr)
{
    char **trash = NULL;
    size_t repaired = 0;
    int r = find_orphans(f, reterr);

    if (r < 0)
        return r;
    for (size_t i = 0; i < f->n_found; i++) {
        bool done = repair(f, &f->found[i], &trash);

        report(f, &f->found[i], done);
        repaired += done;
    }
    images_empty_trash(f->job->im, trash);
    report_sums(f, repaired);
    return (int)(f->n_found - repaired);
}
