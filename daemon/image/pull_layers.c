/* From a plan to layers in the store: blobs are fetched in parallel, each is unpacked by a worker
 * of its own while it comes, and all is recorded at once.  Pulls at the same moment share both. */

#include <errno.h>

#include "blobs.h"
#include "pull_impl.h"

static void go_on(struct pull_one *p);

/* ---- the end ---- */

/* What is here may be resumed, but not on a disk that is full of it. */
static void leave_shared(struct pull_one *p)
{
    bool full = p->err.errnum == ENOSPC || p->err.errnum == EDQUOT;

    for (size_t i = 0; i < p->n_layers; i++) {
        struct pull_layer *l = &p->layers[i];

        /* It holds the fetch too: whoever is last says what the bytes are worth. */
        if (l->unpack)
            unpack_leave(TAKE_PTR(l->unpack));
        if (l->fetch && full)
            fetch_discard(TAKE_PTR(l->fetch));
        else if (l->fetch)
            fetch_leave(TAKE_PTR(l->fetch));
    }
}

void pull_layers_stop(struct pull_one *p)
{
    if (p->call)
        remote_cancel(TAKE_PTR(p->call));
    if (p->committing || p->finished)
        return;
    leave_shared(p);
    p->finished = true;
    if (p->job->cancelled)
        image_job_finish(p->job);
    else
        image_job_fail(p->job, &p->err);
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

    /* Clients show one bar: first of the download, which unpacking cannot be ahead of. */
    if (!l->fetched || now - l->told < PULL_PROGRESS_NS || is_over(l->pull))
        return;
    l->told = now;
    pull_say_layer(l, "Extracting", bytes, l->d.size);
}

static void take_layer(struct pull_layer *l)
{
    struct image_job *job = l->pull->job;

    l->unpacked = true;
    unpack_result(l->unpack, l->layer);
    job->made = xrealloc(job->made, (job->n_made + 1) * sizeof(struct load_layer *));
    job->made[job->n_made++] = l->layer;
    pull_say_layer(l, "Extracting", l->d.size, l->d.size);
    pull_say_layer(l, "Pull complete", 0, 0);
}

static void unpacked(void *arg, const struct err *err)
{
    struct pull_layer *l = arg;
    struct pull_one *p = l->pull;

    p->n_unpacking--;
    if (err) {
        pull_one_fail(p, err);
        return;
    }
    take_layer(l);
    go_on(p);
}

static const struct pull_layer *below_of(const struct pull_layer *l)
{
    return l > l->pull->layers ? l - 1 : NULL;
}

static int start_unpack(struct pull_layer *l, struct err *reterr)
{
    struct unpack_callbacks cb = {.arg = l, .progress = unpack_progress, .done = unpacked};
    struct remote *remote = l->fetch ? l->pull->remote : NULL;
    const struct pull_layer *below = below_of(l);
    int r = unpack_join(l->pull->im, remote, l->layer, below ? below->layer : NULL, &l->d, &cb,
                        &l->unpack, reterr);

    if (r > 0)
        take_layer(l);
    else if (r == 0)
        l->pull->n_unpacking++;
    return r;
}

/* ---- fetching ---- */

static void fetch_progress(void *arg, int64_t bytes)
{
    struct pull_layer *l = arg;
    int64_t now = time_monotonic_ns();

    if (is_over(l->pull))
        return;
    if (now - l->told >= PULL_PROGRESS_NS) {
        l->told = now;
        pull_say_layer(l, "Downloading", bytes, l->d.size);
    }
    if (!l->receiving) {
        l->receiving = true;
        go_on(l->pull);
    }
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

    int r = fetch_join(l->pull->im, l->pull->remote, &l->d, &cb, &l->fetch, reterr);

    if (r < 0)
        return r;
    l->pull->n_fetching++;
    l->receiving = fetch_bytes(l->fetch) > 0;
    return 0;
}

/* ---- the record ---- */

static void recorded(struct image_job *job)
{
    struct pull_one *p = job->data;

    p->committing = false;
    p->finished = true;
}

/* ---- what is here ---- */

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
    if (r > 0 && size == l->d.size && blob_size(im->storage, l->d.digest) == size)
        l->fetched = true;
    return r;
}

static void is_here_now(struct pull_layer *l)
{
    pull_say_layer(l, "Already exists", 0, 0);
    if (l->fetch && !l->fetched)
        l->pull->n_fetching--;
    if (l->fetch)
        fetch_discard(TAKE_PTR(l->fetch));
}

static bool may_fetch(const struct pull_layer *l)
{
    return !l->fetched && !l->fetch && l->pull->n_fetching < PULL_PARALLEL;
}

static bool may_unpack(const struct pull_layer *l)
{
    const struct pull_layer *below = below_of(l);

    if (below && !below->here && !below->unpacked && storage_layers_depend(l->pull->im->storage))
        return false;
    return (l->fetched || l->receiving) && !l->unpack && l->pull->n_unpacking < PULL_PARALLEL;
}

/* The next steps of a layer, if there are any now. */
static int advance(struct pull_layer *l, struct err *reterr)
{
    int r;

    if (l->here || l->unpacked || (!may_unpack(l) && !may_fetch(l)))
        return 0;
    /* While it waited for its turn another pull may have brought it. */
    r = find_here(l, reterr);
    if (r >= 0 && l->here) {
        is_here_now(l);
        return 0;
    }
    if (r >= 0 && may_fetch(l))
        r = start_fetch(l, reterr);
    return r >= 0 && may_unpack(l) ? start_unpack(l, reterr) : r;
}

/* A layer may have been unpacked from a file, by a load, while its blob still comes: what is recorded
 * is the blob. */
static bool is_done(const struct pull_layer *l)
{
    return l->here || (l->unpacked && l->fetched);
}

/* Start whatever may start now. */
static void go_on(struct pull_one *p)
{
    size_t done = 0;
    struct err e;
    int r = 0;

    if (p->committing || p->finished)
        return;
    for (size_t i = 0; r >= 0 && i < p->n_layers; i++) {
        r = advance(&p->layers[i], &e);
        done += is_done(&p->layers[i]);
    }
    if (r < 0) {
        pull_one_fail(p, &e);
    } else if (done == p->n_layers) {
        p->committing = true;
        image_job_commit(p->job, recorded);
    }
}

/* ---- the beginning ---- */

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
    leave_shared(p);
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
