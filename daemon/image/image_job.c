#include "image_job.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "blobs.h"
#include "build_rows.h"
#include "fd.h"
#include "fetch.h"
#include "log.h"
#include "reference.h"

int image_job_new(struct images *im, const struct image_job_callbacks *cb, struct image_job **ret,
                  struct err *reterr)
{
    struct image_job *job;
    int r;

    if (im->closing)
        return err_set(reterr, ERR_UNAVAILABLE, ESHUTDOWN, "the daemon is shutting down");
    job = xcalloc(1, sizeof(*job));
    job->stage = STAGE_NONE;
    r = storage_stage_new(im->storage, &job->stage, reterr);
    if (r < 0) {
        free(job);
        return r;
    }
    job->im = im;
    job->cb = *cb;
    job->work.data = job;
    job->next = im->jobs;
    job->prev_next = &im->jobs;
    if (job->next)
        job->next->prev_next = &job->next;
    im->jobs = job;
    images_begin(im);
    *ret = job;
    return 0;
}

static void leave(struct image_job *job)
{
    *job->prev_next = job->next;
    if (job->next)
        job->next->prev_next = job->prev_next;
}

void image_job_progress(struct image_job *job, json_t *obj)
{
    if (!job->cancelled && job->cb.progress)
        job->cb.progress(job->cb.arg, obj);
    json_decref(obj);
}

/* ---- steps in the pool ---- */

static int commit_layers(struct image_job *job, struct err *reterr);

static void pool_run(uv_work_t *work)
{
    struct image_job *job = work->data;
    struct err e = {0};

    if (job->pool(job, &e) < 0)
        job->err = e;
}

static void pool_ran(uv_work_t *work, int status)
{
    struct image_job *job = work->data;

    (void)status;
    /* Renamed layers want their rows: past that point a cancelled job completes, silently. */
    if (job->err.kind != ERR_NONE || (job->cancelled && job->pool != commit_layers))
        image_job_finish(job);
    else
        job->then(job);
}

void image_job_pool(struct image_job *job, int (*pool)(struct image_job *job, struct err *reterr),
                    void (*then)(struct image_job *job))
{
    job->pool = pool;
    job->then = then;
    uv_queue_work(job->im->loop, &job->work, pool_run, pool_ran);
}

/* ---- steps in a worker ---- */

struct run {
    struct image_job *job;
    void (*done)(struct image_job *job, const struct worker_result *result);
};

void image_job_loading(struct image_job *job, int64_t bytes)
{
    const struct load_layer *l;

    if (job->quiet || job->image >= job->plan.n_images)
        return;
    l = &job->plan.images[job->image].layers[job->layer];
    image_job_progress(job, json_pack("{s:s,s:{s:I,s:I},s:s%}", "status", "Loading layer",
                                      "progressDetail", "current", (json_int_t)bytes, "total",
                                      (json_int_t)job->input_size, "id", l->diff_id, (size_t)12));
}

static void worker_progress(void *arg, int64_t bytes)
{
    image_job_loading(((struct run *)arg)->job, bytes);
}

static void worker_file(void *arg, const char *name, int64_t size)
{
    struct image_job *job = ((struct run *)arg)->job;

    job->on_file(job, name, size);
}

static void worker_wrote(void *arg, int64_t bytes)
{
    struct image_job *job = ((struct run *)arg)->job;

    job->on_wrote(job, bytes);
}

void images_name_disk(const char *path, struct err *e)
{
    static const int troubles[] = {ENOSPC, EDQUOT, EROFS, EIO};

    for (size_t i = 0; i < ARRAY_SIZE(troubles); i++) {
        if (!str_ends(e->message, err_text(troubles[i])))
            continue;
        e->kind = ERR_SYSTEM;
        e->errnum = troubles[i];
        err_wrap(e, "%s", path);
        return;
    }
}

void image_job_name_disk(const struct image_job *job, struct err *e)
{
    images_name_disk(job->stage.path, e);
}

static void worker_done(void *arg, const struct worker_result *result)
{
    struct run *run = arg;
    struct image_job *job = run->job;

    job->worker = NULL;
    if (job->cancelled) {
        image_job_finish(job);
    } else if (result->status < 0) {
        struct err e = result->err;

        image_job_name_disk(job, &e);
        image_job_fail(job, &e);
    } else {
        worker_progress(run, job->input_size);
        run->done(job, result);
    }
    free(run);
}

int image_job_dir(struct image_job *job, const char *dir, struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;

    if (mkdirat(job->stage.fd, dir, 0755) < 0)
        return err_sys(reterr, errno, "mkdir %s/%s", job->stage.path, dir);
    fd = openat(job->stage.fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    /* The root of a layer whose archive does not mention it: 0755 whatever the umask. */
    if (fd < 0 || fchmod(fd, 0755) < 0)
        return err_sys(reterr, errno, "open %s/%s", job->stage.path, dir);
    return TAKE_FD(fd);
}

int image_job_worker(struct image_job *job, const struct worker_options *opt, const char *dir,
                     void (*done)(struct image_job *job, const struct worker_result *result),
                     struct err *reterr)
{
    _cleanup_close_ int dir_fd = image_job_dir(job, dir, reterr);
    struct worker_options o = *opt;

    if (dir_fd < 0)
        return dir_fd;
    o.dir_fd = dir_fd;
    return image_job_run(job, &o, done, reterr);
}

int image_job_run(struct image_job *job, const struct worker_options *opt,
                  void (*done)(struct image_job *job, const struct worker_result *result),
                  struct err *reterr)
{
    struct worker_options o = *opt;
    struct run *run;
    int r;

    run = xcalloc(1, sizeof(*run));
    *run = (struct run){job, done};
    o.loop = job->im->loop;
    o.path = job->im->worker_path;
    o.arg = run;
    o.progress = worker_progress;
    o.file = job->on_file ? worker_file : NULL;
    o.wrote = job->on_wrote ? worker_wrote : NULL;
    o.done = worker_done;
    r = worker_start(&o, &job->worker, reterr);
    if (r < 0)
        free(run);
    return r;
}

int image_job_kept(struct image_job *job, const char *file, const char *digest,
                   struct load_blob *ret, struct err *reterr)
{
    _cleanup_close_ int fd = openat(job->stage.fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat sb;

    if (fd < 0 || fstat(fd, &sb) < 0)
        return err_sys(reterr, errno, "%s/%s", job->stage.path, file);
    memcpy(ret->digest, digest, sizeof(ret->digest));
    snprintf(ret->file, sizeof(ret->file), "%s", file);
    snprintf(ret->media_type, sizeof(ret->media_type), "%s", load_media_type(fd));
    ret->size = sb.st_size;
    return 0;
}

/* The directory of the layer below, wherever it is by now. */
static int open_below(struct image_job *job, const struct load_layer *below, struct err *reterr)
{
    const struct stage *stage = NULL;
    const char *dir = NULL;

    /* One image of an archive may have the layers of another, made for that. */
    for (size_t i = 0; i < job->n_made; i++) {
        if (streq(job->made[i]->chain_id, below->chain_id)) {
            stage = job->made[i]->stage ? job->made[i]->stage : &job->stage;
            dir = job->made[i]->dir;
        }
    }
    return storage_layer_open(job->im->storage, stage, dir, below->chain_id, reterr);
}

int image_job_unpack(struct image_job *job, const struct worker_options *opt, const char *dir,
                     const struct load_layer *below,
                     void (*done)(struct image_job *job, const struct worker_result *result),
                     struct err *reterr)
{
    struct storage *st = job->im->storage;
    _cleanup_close_ int fd = -EBADF, parent = -EBADF;
    struct worker_options o = *opt;

    if (below && storage_layers_depend(st)) {
        parent = open_below(job, below, reterr);
        if (parent < 0)
            return parent;
    }
    fd = storage_layer_begin(st, &job->stage, dir, &o.tree, reterr);
    if (fd < 0)
        return fd;
    o.command = "unpack";
    o.dir_fd = fd;
    o.parent_fd = parent;
    return image_job_run(job, &o, done, reterr);
}

/* ---- the end ---- */

void image_job_fail(struct image_job *job, const struct err *err)
{
    job->err = *err;
    image_job_finish(job);
}

static void discard(uv_work_t *work)
{
    struct image_job *job = work->data;

    storage_stage_discard(job->im->storage, &job->stage);
}

static void discarded(uv_work_t *work, int status)
{
    struct image_job *job = work->data;
    struct images *im = job->im;

    (void)status;
    leave(job);
    if (!job->cancelled && job->cb.done)
        job->cb.done(job->cb.arg, job->err.kind != ERR_NONE ? &job->err : NULL);
    if (job->on_free)
        job->on_free(job);
    load_plan_done(&job->plan);
    free(job->made);
    free(job->import_name);
    json_decref(job->import_config);
    free(job);
    if (im->alone && !im->alone->next && im->jobs == im->alone) {
        struct image_job *last = TAKE_PTR(im->alone);

        last->then(last);
    }
    if (im->collect_later && !im->closing)
        images_collect(im, NULL, NULL);
    images_done(im);
}

void image_job_finish(struct image_job *job)
{
    uv_queue_work(job->im->loop, &job->work, discard, discarded);
}

void image_job_alone(struct image_job *job, void (*then)(struct image_job *job))
{
    struct images *im = job->im;

    job->then = then;
    if (im->jobs == job && !job->next)
        then(job);
    else
        im->alone = job;
}

void image_job_cancel(struct image_job *job)
{
    job->cancelled = true;
    if (job->im->alone == job) {
        job->im->alone = NULL;
        image_job_finish(job);
    }
    if (job->worker)
        worker_kill(job->worker);
    if (job->on_cancel)
        job->on_cancel(job);
}

/* ---- recording ---- */

int images_has_layer(struct images *im, struct load_layer *l, struct err *reterr)
{
    struct layer_blob *blobs;
    size_t n;
    int r = db_layer_get(im->db, l->chain_id, &l->size, reterr);

    if (r <= 0)
        return r;
    if (!storage_layer_exists(im->storage, l->chain_id))
        return 0; /* somebody removed it: it comes again */
    r = db_layer_blob_list(im->db, l->diff_id, &blobs, &n, reterr);
    if (r < 0)
        return r;
    layer_blobs_free(blobs, n);
    return n > 0;
}

static int commit_blob(struct image_job *job, const struct load_blob *b, struct err *reterr)
{
    struct storage *st = job->im->storage;

    if (!*b->digest)
        return 0;
    if (!*b->file)
        return blob_partial_commit(st, b->digest, b->size, reterr);
    /* One file may be the layer of several images, or twice of one. */
    return blob_size(st, b->digest) >= 0
               ? 0
               : blob_commit(st, job->stage.fd, b->file, b->digest, b->size, reterr);
}

static int commit_layers(struct image_job *job, struct err *reterr)
{
    struct storage *st = job->im->storage;
    int r;

    if (job->n_made == 0)
        return 0;
    r = storage_sync(st, reterr);
    for (size_t i = 0; r >= 0 && i < job->n_made; i++)
        r = commit_blob(job, &job->made[i]->kept, reterr);
    for (size_t i = 0; r >= 0 && i < job->n_made; i++) {
        struct load_layer *l = job->made[i];

        r = storage_layer_commit(st, l->stage ? l->stage : &job->stage, l->dir, l->chain_id,
                                 reterr);
    }
    if (r >= 0)
        r = blobs_fsync(st, reterr);
    return r < 0 ? r : storage_layers_fsync(st, reterr);
}

static int record_blob(struct db *db, const struct load_image *img, const struct load_layer *l,
                       struct err *reterr)
{
    const struct load_blob *b = &l->kept;
    int r = db_blob_put(db, b->digest, b->size, reterr);

    if (r >= 0)
        r = db_layer_blob_put(db, l->diff_id, b->digest, b->media_type, reterr);
    if (r >= 0 && img->repository)
        r = db_blob_source_put(db, b->digest, img->repository, reterr);
    return r;
}

static int record_layers(struct db *db, struct load_image *img, const char **chain_ids,
                         int64_t *ret_size, struct err *reterr)
{
    int64_t sum = 0;

    for (size_t i = 0; i < img->n_layers; i++) {
        struct load_layer *l = &img->layers[i];
        int r = db_layer_get(db, l->chain_id, &l->size, reterr);

        if (r == 0)
            r = db_layer_put(db, l->chain_id, l->diff_id,
                             i > 0 ? img->layers[i - 1].chain_id : NULL, l->size, reterr);
        if (r >= 0 && *l->dir && *l->kept.digest)
            r = record_blob(db, img, l, reterr);
        if (r < 0)
            return r;
        chain_ids[i] = l->chain_id;
        sum += l->size;
    }
    *ret_size = sum;
    return 0;
}

static int record_names(struct db *db, const struct load_image *img, struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < img->n_manifests; i++) {
        const struct manifest_row *m = &img->manifests[i];

        r = db_manifest_put(db, img->id, m->digest, m->media_type, m->body, m->len, reterr);
    }
    if (r >= 0 && img->repository)
        r = db_repo_digest_put(db, img->repository, img->digest, img->id, reterr);
    return r;
}

static int record_image(struct image_job *job, struct load_image *img, struct err *reterr)
{
    struct db *db = job->im->db;
    const char *chain_ids[IMAGE_LAYERS_MAX];
    struct image_row row = {.id = img->id,
                            .config = img->config,
                            .config_len = img->config_len,
                            .created = img->created,
                            .loaded = time_now_ns()};
    int r = record_layers(db, img, chain_ids, &row.size, reterr);

    if (r >= 0)
        r = db_image_put(db, &row, chain_ids, img->n_layers, reterr);
    if (r >= 0)
        r = record_names(db, img, reterr);
    if (r >= 0 && *job->parent)
        r = db_parent_put(db, img->id, job->parent, job->step, reterr);
    for (size_t i = 0; r >= 0 && img->tags && img->tags[i]; i++) {
        char old[ID_LEN + 1];

        r = db_tag_put(db, img->tags[i], img->id, row.loaded, old, reterr);
        if (r >= 0 && *old && !streq(old, img->id)) {
            _cleanup_free_ char *name = reference_familiar_of(img->tags[i]);
            json_t *text = json_sprintf("The image %s already exists, renaming the old one with "
                                        "ID sha256:%s to empty string\n",
                                        name, old);

            image_job_progress(job, json_pack("{s:o}", "stream", text));
        }
    }
    return r;
}

static int record_plan(struct image_job *job, struct err *reterr)
{
    struct db *db = job->im->db;
    int r = db_begin(db, reterr);

    for (size_t i = 0; r >= 0 && i < job->plan.n_images; i++)
        r = record_image(job, &job->plan.images[i], reterr);
    if (r >= 0)
        r = db_commit(db, reterr);
    if (r < 0)
        db_rollback(db);
    return r;
}

static void layers_committed(struct image_job *job)
{
    struct err e = {0};

    if (record_plan(job, &e) < 0) {
        /* The renamed directories have no row: the next start removes them. */
        image_job_fail(job, &e);
        return;
    }
    for (size_t i = 0; i < job->plan.n_images; i++) {
        _cleanup_(image_unrefp) struct image *img = NULL;
        struct load_image *l = &job->plan.images[i];
        _cleanup_free_ char *name =
            l->tags ? reference_familiar_of(l->tags[0]) : xasprintf(DIGEST_SHA256 "%s", l->id);

        if (images_get(job->im, l->id, &img, NULL) >= 0)
            images_emit(job->im, job->event, img, name);
    }
    for (size_t i = 0; i < job->n_made; i++) {
        if (*job->made[i]->kept.digest)
            fetch_forget(job->im, job->made[i]->kept.digest);
    }
    job->recorded(job);
    image_job_finish(job);
}

void image_job_commit(struct image_job *job, void (*recorded)(struct image_job *job))
{
    job->recorded = recorded;
    image_job_pool(job, commit_layers, layers_committed);
}
