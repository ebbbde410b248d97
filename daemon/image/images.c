#include "image_private.h"

#include <errno.h>

#include "blobs.h"
#include "fetch.h"
#include "image_job.h"
#include "image_pull.h"
#include "image_push.h"
#include "import_url.h"
#include "json.h"
#include "log.h"
#include "reference.h"
#include "registry.h"
#include "remote_query.h"
#include "save.h"

#define PARTIAL_MAX_AGE_NS (INT64_C(7) * 24 * 3600 * 1000000000)

/* ---- snapshots ---- */

struct image *image_ref(struct image *img)
{
    img->refs++;
    return img;
}

void image_unref(struct image *img)
{
    if (!img || --img->refs > 0)
        return;
    json_decref(img->config);
    strv_free(img->chain_ids);
    free(img);
}

json_t *json_sha256(const char *id)
{
    return json_sprintf(DIGEST_SHA256 "%s", id);
}

json_t *image_container_config(const struct image *img)
{
    json_t *v = json_get(img->config, "config");

    return json_is_object(v) ? v : NULL;
}

static int load_image(struct images *im, const char *id, struct image **ret, struct err *reterr)
{
    _cleanup_image_row_ struct image_row row = {0};
    _cleanup_(image_unrefp) struct image *img = NULL;
    int r = db_image_get(im->db, id, &row, reterr);

    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    img = xcalloc(1, sizeof(*img));
    img->refs = 1;
    memcpy(img->id, id, ID_LEN);
    img->size = row.size;
    img->created = row.created;
    img->config = json_loadb(row.config, row.config_len, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(img->config))
        return err_set(reterr, ERR_SYSTEM, EUCLEAN, "image %s: unreadable config", id);
    r = db_image_layers(im->db, id, &img->chain_ids, reterr);
    if (r < 0)
        return r;
    img->n_layers = strv_len(img->chain_ids);
    *ret = TAKE_PTR(img);
    return 0;
}

static void cache_front(struct images *im, size_t at, struct image *img)
{
    memmove(im->cache + 1, im->cache, at * sizeof(im->cache[0]));
    im->cache[0] = img;
}

int images_get(struct images *im, const char *id, struct image **ret, struct err *reterr)
{
    struct image *img = NULL;
    int r;

    for (size_t i = 0; i < IMAGE_CACHE_SIZE && im->cache[i]; i++) {
        img = im->cache[i];
        if (streq(img->id, id)) {
            cache_front(im, i, img);
            *ret = image_ref(img);
            return 0;
        }
    }
    r = load_image(im, id, &img, reterr);
    if (r < 0)
        return r;
    image_unref(im->cache[IMAGE_CACHE_SIZE - 1]);
    cache_front(im, IMAGE_CACHE_SIZE - 1, img);
    *ret = image_ref(img);
    return 0;
}

void images_forget(struct images *im, const char *id)
{
    for (size_t i = 0; i < IMAGE_CACHE_SIZE && im->cache[i]; i++) {
        if (streq(im->cache[i]->id, id)) {
            image_unref(im->cache[i]);
            memmove(im->cache + i, im->cache + i + 1,
                    (IMAGE_CACHE_SIZE - 1 - i) * sizeof(im->cache[0]));
            im->cache[IMAGE_CACHE_SIZE - 1] = NULL;
            return;
        }
    }
}

/* ---- opening and closing ---- */

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

/* Another way brought the blob meanwhile. */
static bool download_wanted(void *arg, const char *digest)
{
    return db_blob_get(arg, digest, NULL, NULL) <= 0;
}

/* What a daemon that was killed left: layers and blobs between rename and record, rows that were to
 * be collected after the last job, downloads that nobody came back for. */
static int remove_orphans(struct images *im, struct err *reterr)
{
    _cleanup_(strv_freep) char **layers = NULL, **blobs = NULL, **downloads = NULL;
    int64_t bytes = 0;
    int r;

    images_collect(im, NULL, NULL);
    r = storage_layer_orphans(im->storage, layer_known, im->db, &layers, reterr);
    for (size_t i = 0; r >= 0 && layers && layers[i]; i++)
        r = storage_layer_remove(im->storage, layers[i], NULL, reterr);
    if (r >= 0)
        r = blob_orphans(im->storage, blob_known, im->db, &blobs, reterr);
    for (size_t i = 0; r >= 0 && blobs && blobs[i]; i++)
        r = blob_remove(im->storage, blobs[i], NULL, reterr);
    if (r >= 0)
        r = blob_partial_orphans(im->storage, download_wanted, im->db, &downloads, reterr);
    for (size_t i = 0; r >= 0 && downloads && downloads[i]; i++)
        r = blob_partial_remove(im->storage, downloads[i], reterr);
    if (r >= 0)
        r = blob_partial_sweep(im->storage, PARTIAL_MAX_AGE_NS, NULL, NULL, &bytes, NULL, reterr);
    return r;
}

int images_open(const struct images_options *opt, struct images **ret, struct err *reterr)
{
    struct images *im = xcalloc(1, sizeof(*im));
    struct hosts *hosts;
    int r;

    im->db = opt->db;
    im->storage = opt->storage;
    im->loop = opt->loop;
    im->worker_path = xstrdup(opt->worker_path);
    im->hooks = opt->hooks;
    r = hosts_new(&opt->registries, &hosts, reterr);
    if (r < 0) {
        free(im->worker_path);
        free(im);
        return r;
    }
    im->registry = registry_new(opt->loop, hosts);
    images_begin(im); /* ended by images_close() */
    r = remove_orphans(im, reterr);
    if (r < 0) {
        images_close(im);
        return r;
    }
    *ret = im;
    return 0;
}

void images_close(struct images *im)
{
    im->closing = true;
    image_pulls_cancel(im);
    image_sends_cancel(im);
    image_pushes_cancel(im);
    image_downloads_cancel(im);
    registry_queries_cancel(im);
    for (struct image_job *job = im->jobs; job; job = job->next)
        image_job_cancel(job);
    registry_close(im->registry);
    images_done(im);
}

void images_begin(struct images *im)
{
    im->pending++;
}

void images_done(struct images *im)
{
    if (--im->pending > 0)
        return;
    for (size_t i = 0; i < IMAGE_CACHE_SIZE; i++)
        image_unref(im->cache[i]);
    free(im->worker_path);
    free(im);
}

void images_emit(struct images *im, const char *action, const struct image *img, const char *name)
{
    if (im->hooks.event)
        im->hooks.event(im->hooks.arg, action, img->id, name,
                        json_get(image_container_config(img), "Labels"));
}

/* ---- finding ---- */

static int not_found(const struct reference *ref, const char *name, struct err *reterr)
{
    _cleanup_free_ char *familiar = ref->path ? reference_familiar(ref) : xstrdup(name);

    return err_set(reterr, ERR_NOT_FOUND, ENOENT, "No such image: %s", familiar);
}

static int find_by_reference(struct images *im, struct reference *ref, char ret_id[ID_LEN + 1],
                             char **ret_name, struct err *reterr)
{
    _cleanup_free_ char *canonical = NULL;
    int r;

    /* With both, the digest decides. */
    if (ref->digest)
        free(TAKE_PTR(ref->tag));
    reference_tag_default(ref);
    canonical = reference_canonical(ref);
    if (ref->digest) {
        _cleanup_free_ char *repository = reference_repository(ref);

        r = db_repo_digest_get(im->db, repository, ref->digest + strlen(DIGEST_SHA256), ret_id,
                               reterr);
    } else {
        r = db_tag_get(im->db, canonical, ret_id, reterr);
    }
    if (r > 0 && ret_name)
        *ret_name = TAKE_PTR(canonical);
    return r;
}

int images_resolve(struct images *im, const char *name, char ret_id[ID_LEN + 1], char **ret_name,
                   struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    const char *id = reference_image_id(name);
    struct err parse_error;
    int r, parsed = -EINVAL;

    if (ret_name)
        *ret_name = NULL;
    if (str_empty(name))
        return err_set(reterr, ERR_INVALID, EINVAL, "image name cannot be blank");
    if (!id) {
        parsed = reference_parse(name, &ref, &parse_error);
        r = parsed < 0 ? 0 : find_by_reference(im, &ref, ret_id, ret_name, reterr);
        if (r != 0)
            return r < 0 ? r : 0;
        id = str_starts(name, DIGEST_SHA256) ? name + strlen(DIGEST_SHA256) : name;
    }
    r = db_image_find(im->db, id, ret_id, reterr);
    if (r > 0)
        return 0;
    /* A prefix of several is none, as under dockerd: an image "cafe" can be pulled all the same. */
    if (r < 0 && r != -ENOTUNIQ)
        return r;
    if (parsed < 0 && !reference_image_id(name)) {
        if (reterr)
            *reterr = parse_error;
        return parsed;
    }
    return not_found(&ref, name, reterr);
}

int images_lookup(struct images *im, const char *name, struct image **ret, struct err *reterr)
{
    char id[ID_LEN + 1];
    int r = images_resolve(im, name, id, NULL, reterr);

    return r < 0 ? r : images_get(im, id, ret, reterr);
}

int images_count(struct images *im)
{
    return db_image_count(im->db);
}

void image_names_done(struct image_names *names)
{
    strv_free(names->tags);
    strv_free(names->digests);
    *names = (struct image_names){0};
}

int image_names_load(struct images *im, const char *id, struct image_names *ret, struct err *reterr)
{
    int r = db_tag_list(im->db, id, &ret->tags, NULL, reterr);

    return r < 0 ? r : db_repo_digest_list(im->db, id, &ret->digests, reterr);
}

static char **familiar(char *const *canonical)
{
    char **out = NULL;

    for (size_t i = 0; canonical && canonical[i]; i++) {
        _cleanup_free_ char *name = reference_familiar_of(canonical[i]);

        out = strv_append(out, name);
    }
    return out;
}

char **images_tags(struct images *im, const char *image_id)
{
    _cleanup_(strv_freep) char **names = NULL;

    return db_tag_list(im->db, image_id, &names, NULL, NULL) < 0 ? NULL : familiar(names);
}

char **images_digests(struct images *im, const char *image_id)
{
    _cleanup_(strv_freep) char **names = NULL;

    return db_repo_digest_list(im->db, image_id, &names, NULL) < 0 ? NULL : familiar(names);
}

/* ---- what containers hold ---- */

int images_hold(struct images *im, const char *container_id, const struct image *img,
                struct err *reterr)
{
    return db_container_layers_put(im->db, container_id, (const char *const *)img->chain_ids,
                                   img->n_layers, reterr);
}

int images_held(struct images *im, const char *container_id, char ***ret, struct err *reterr)
{
    return db_container_layers_get(im->db, container_id, ret, reterr);
}

void images_released(struct images *im, const char *image_id)
{
    if (db_image_exists(im->db, image_id) == 0)
        images_collect(im, NULL, NULL);
}

/* ---- giving up layers ---- */

struct trash {
    uv_work_t work;
    struct images *im;
    char **names; /* owned, in tmp/ */
};

static void trash_empty(uv_work_t *work)
{
    struct trash *t = work->data;

    for (size_t i = 0; t->names[i]; i++)
        storage_trash_remove(t->im->storage, t->names[i]);
}

static void trash_emptied(uv_work_t *work, int status)
{
    struct trash *t = work->data;

    (void)status;
    images_done(t->im);
    strv_free(t->names);
    free(t);
}

void images_empty_trash(struct images *im, char **names)
{
    struct trash *t;

    if (!names)
        return;
    t = xcalloc(1, sizeof(*t));
    t->im = im;
    t->names = names;
    t->work.data = t;
    images_begin(im);
    uv_queue_work(im->loop, &t->work, trash_empty, trash_emptied);
}

static void remove_all(struct images *im, char *const *names,
                       int (*remove)(struct storage *st, const char *name, char **ret_trash,
                                     struct err *reterr),
                       char ***trash)
{
    for (size_t i = 0; names && names[i]; i++) {
        _cleanup_free_ char *name = NULL;
        struct err e;

        /* Renamed here and now: a load that starts next may bring the same again. */
        if (remove(im->storage, names[i], &name, &e) < 0)
            log_error("%s", e.message);
        else if (name)
            *trash = strv_append(*trash, name);
    }
}

void images_collect(struct images *im, json_t *deleted, int64_t *ret_bytes)
{
    _cleanup_(strv_freep) char **layers = NULL, **blobs = NULL;
    char **trash = NULL;
    int64_t blob_bytes = 0;
    struct err e = {0};

    if (ret_bytes)
        *ret_bytes = 0;
    /* A running load may have found a layer here and not unpacked its own copy; a push opens its
     * blobs one after the other. */
    im->collect_later = im->jobs || im->pushes;
    if (im->collect_later)
        return;
    if (db_layer_collect(im->db, &layers, ret_bytes, &e) < 0 ||
        db_blob_collect(im->db, &blobs, &blob_bytes, &e) < 0)
        log_error("collect layers: %s", e.message); /* what was collected is still removed */
    if (ret_bytes)
        *ret_bytes += blob_bytes;
    remove_all(im, layers, storage_layer_remove, &trash);
    remove_all(im, blobs, blob_remove, &trash);
    for (size_t i = 0; deleted && layers && layers[i]; i++)
        json_array_append_new(deleted, json_pack("{s:o}", "Deleted", json_sha256(layers[i])));
    images_empty_trash(im, trash);
}
