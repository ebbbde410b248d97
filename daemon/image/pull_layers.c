/* From a plan to layers in the store: blobs are fetched in parallel, each is unpacked by a worker
 * of its own, and all is recorded at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "blobs.h"
#include "fd.h"
#include "pull_impl.h"

static void go_on(struct pull_one *p);

/* ---- the end ---- */

static void leave_fetches(struct pull_one *p)
{
    for (size_t i = 0; i < p->n_layers; i++) {
        if (p->layers[i].fetch)
            fetch_leave(TAKE_PTR(p->layers[i].fetch));
    }
}

/* Failed or cancelled: when the last worker is gone, so is the reason to keep the stage. */
static void stopped(struct pull_one *p)
{
    if (p->n_workers > 0 || p->committing || p->finished)
        return;
    p->finished = true;
    if (p->job->cancelled)
        image_job_finish(p->job);
    else
        image_job_fail(p->job, &p->err);
}

void pull_layers_stop(struct pull_one *p)
{
    if (p->call)
        remote_cancel(TAKE_PTR(p->call));
    if (!p->committing)
        leave_fetches(p);
    for (size_t i = 0; i < p->n_layers; i++) {
        if (p->layers[i].worker)
            worker_kill(p->layers[i].worker);
    }
    stopped(p);
}

static bool is_over(const struct pull_one *p)
{
    return p->failed || p->job->cancelled;
}

/* ---- unpacking ---- */

static void unpack_progress(void *arg, int64_t bytes)
{
    struct pull_layer *l = arg;
    int64_t now = time_monotonic_ns();

    if (now - l->told < PULL_PROGRESS_NS || is_over(l->pull))
        return;
    l->told = now;
    pull_say_layer(l, "Extracting", bytes, l->d.size);
}

static int check_layer(struct pull_layer *l, const struct worker_result *result, struct err *reterr)
{
    if (result->status < 0) {
        *reterr = result->err;
        return err_wrap(reterr, "failed to register layer sha256:%.12s", l->d.digest);
    }
    if (!streq(result->diff_id, l->layer->diff_id))
        return err_set(reterr, ERR_SYSTEM, EBADMSG,
                       "layer sha256:%.12s unpacks to sha256:%s, its image says sha256:%s",
                       l->d.digest, result->diff_id, l->layer->diff_id);
    return 0;
}

static void unpacked(void *arg, const struct worker_result *result)
{
    struct pull_layer *l = arg;
    struct pull_one *p = l->pull;
    struct image_job *job = p->job;
    struct err e;

    l->worker = NULL;
    p->n_workers--;
    if (is_over(p)) {
        stopped(p);
        return;
    }
    if (check_layer(l, result, &e) < 0) {
        pull_one_fail(p, &e);
        return;
    }
    l->unpacked = true;
    l->layer->size = result->bytes;
    p->n_unpacked++;
    job->made = xrealloc(job->made, (job->n_made + 1) * sizeof(struct load_layer *));
    job->made[job->n_made++] = l->layer;
    pull_say_layer(l, "Extracting", l->d.size, l->d.size);
    pull_say_layer(l, "Pull complete", 0, 0);
    go_on(p);
}

/* l<N>/diff, so that the finished directory is renamed as one. */
static int start_unpack(struct pull_layer *l, struct err *reterr)
{
    struct pull_one *p = l->pull;
    _cleanup_close_ int in = l->fetch ? fetch_open(l->fetch, reterr)
                                      : blob_open(p->im->storage, l->d.digest, NULL, reterr);
    _cleanup_close_ int dir = -EBADF;
    char diff[sizeof(l->layer->dir) + 8];
    int r;

    if (in < 0)
        return in;
    snprintf(l->layer->dir, sizeof(l->layer->dir), "l%zu", (size_t)(l - p->layers));
    if (mkdirat(p->job->stage.fd, l->layer->dir, 0700) < 0)
        return err_sys(reterr, errno, "mkdir %s/%s", p->job->stage.path, l->layer->dir);
    snprintf(diff, sizeof(diff), "%s/diff", l->layer->dir);
    dir = image_job_dir(p->job, diff, reterr);
    if (dir < 0)
        return dir;
    r = worker_start(&(struct worker_options){.loop = p->im->loop,
                                              .path = p->im->worker_path,
                                              .command = "unpack",
                                              .in_fd = in,
                                              .dir_fd = dir,
                                              .arg = l,
                                              .progress = unpack_progress,
                                              .done = unpacked},
                     &l->worker, reterr);
    l->started = r >= 0;
    p->n_workers += l->started;
    return r;
}

/* ---- fetching ---- */

static void fetch_progress(void *arg, int64_t bytes)
{
    struct pull_layer *l = arg;
    int64_t now = time_monotonic_ns();

    if (now - l->told < PULL_PROGRESS_NS || is_over(l->pull))
        return;
    l->told = now;
    pull_say_layer(l, "Downloading", bytes, l->d.size);
}

static void fetch_verifying(void *arg)
{
    pull_say_layer(arg, "Verifying Checksum", 0, 0);
}

static void fetched(void *arg, const struct err *err)
{
    struct pull_layer *l = arg;
    struct pull_one *p = l->pull;

    if (err) {
        pull_one_fail(p, err);
        return;
    }
    l->fetched = true;
    p->n_fetching--;
    pull_say_layer(l, "Download complete", 0, 0);
    go_on(p);
}

static int start_fetch(struct pull_layer *l, struct err *reterr)
{
    struct fetch_callbacks cb = {
        .arg = l, .progress = fetch_progress, .verifying = fetch_verifying, .done = fetched};

    l->pull->n_fetching++;
    return fetch_join(l->pull->im, l->pull->remote, &l->d, &cb, &l->fetch, reterr);
}

/* ---- the record ---- */

static void recorded(struct image_job *job)
{
    struct pull_one *p = job->data;

    p->committing = false;
    p->finished = true;
}

/* Start whatever may start now. */
static void go_on(struct pull_one *p)
{
    size_t done = 0;
    struct err e;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < p->n_layers; i++) {
        struct pull_layer *l = &p->layers[i];

        if (l->here || l->unpacked)
            done++;
        else if (l->fetched && !l->started && p->n_workers < PULL_PARALLEL)
            r = start_unpack(l, &e);
        else if (!l->fetched && !l->fetch && p->n_fetching < PULL_PARALLEL)
            r = start_fetch(l, &e);
    }
    if (r < 0) {
        pull_one_fail(p, &e);
    } else if (done == p->n_layers) {
        p->committing = true;
        image_job_commit(p->job, recorded);
    }
}

/* ---- the beginning ---- */

static void keep_blob(struct pull_layer *l)
{
    struct load_blob *b = &l->layer->kept;

    memcpy(b->digest, l->d.digest, sizeof(b->digest));
    memcpy(b->media_type, l->d.media_type, sizeof(b->media_type));
    b->size = l->d.size;
}

static int find_here(struct pull_layer *l, struct err *reterr)
{
    struct images *im = l->pull->im;
    int64_t size;
    int r = images_has_layer(im, l->layer, reterr);

    l->here = r > 0;
    if (r != 0)
        return r;
    keep_blob(l);
    /* The same bytes on top of other layers: nothing is to be fetched. */
    r = db_blob_get(im->db, l->d.digest, &size, reterr);
    l->fetched = r > 0 && size == l->d.size && blob_size(im->storage, l->d.digest) == size;
    return r;
}

static void announce(struct pull_one *p)
{
    size_t missing = 0;

    for (size_t i = 0; i < p->n_layers; i++)
        pull_say_layer(&p->layers[i], p->layers[i].here ? "Already exists" : "Pulling fs layer", 0,
                       0);
    for (size_t i = 0; i < p->n_layers; i++) {
        if (!p->layers[i].here && missing++ >= PULL_PARALLEL)
            pull_say_layer(&p->layers[i], "Waiting", 0, 0);
    }
}

void pull_layers_done(struct pull_one *p)
{
    leave_fetches(p);
    free(p->layers);
}

void pull_layers_begin(struct pull_one *p)
{
    struct load_image *img = &p->job->plan.images[0];
    struct err e;
    int r = 0;

    p->layers = xcalloc(img->n_layers + 1, sizeof(*p->layers));
    for (size_t i = 0; r >= 0 && i < img->n_layers; i++) {
        struct pull_layer *l = &p->layers[i];

        *l = (struct pull_layer){.pull = p, .layer = &img->layers[i], .d = p->manifest.layers[i]};
        p->n_layers = i + 1;
        r = find_here(l, &e);
    }
    if (r < 0) {
        pull_one_fail(p, &e);
        return;
    }
    announce(p);
    go_on(p);
}
