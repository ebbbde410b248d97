/* The files of the layers: each layer is unpacked once more from its blob, and compared with what
 * is in the store.  That needs room for the largest one, and costs what pulling all of them again
 * does without the network; nothing has to be recorded for it when images come.  With repair, the
 * new directory takes the other's place. */
#include "fsck.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "json.h"
#include "map.h"
#include "unpack.h"

enum seen {
    SEEN_NOT,
    SEEN_GOOD,
    SEEN_BAD,
};

struct fsck_layers {
    struct layer_row *rows; /* owned */
    enum seen *seen;        /* owned; of each */
    struct map by_id;       /* the rows */
    size_t n, first;        /* all before first were seen */
    struct layer_row *at;
    struct unpack_user *unpack; /* of it */
    struct load_layer fresh;    /* where that is */
    bool waiting;               /* for it */
    atomic_bool stop;           /* for the pool */
    int same;                   /* 1, 0, -ENOENT: no directory is there */
    char *path;                 /* owned: what is not */
};

struct fsck_layers *fsck_layers_new(struct layer_row *rows, size_t n)
{
    struct fsck_layers *l = xcalloc(1, sizeof(*l));

    l->rows = rows;
    l->n = n;
    l->seen = xcalloc(n + 1, sizeof(*l->seen));
    for (size_t i = 0; i < n; i++)
        map_put(&l->by_id, rows[i].chain_id, &rows[i]);
    return l;
}

size_t fsck_layers_count(const struct fsck_layers *l)
{
    return l->n;
}

void fsck_layers_free(struct fsck_layers *l)
{
    if (l->unpack)
        unpack_leave(l->unpack);
    map_done(&l->by_id);
    free(l->path);
    free(l->seen);
    free(l->rows);
    free(l);
}

bool fsck_layers_stop(struct fsck_layers *l)
{
    bool waited = l->waiting;

    atomic_store(&l->stop, true);
    l->waiting = false;
    if (waited)
        unpack_leave(TAKE_PTR(l->unpack)); /* its end must not find a job that is ending */
    return waited;
}

static struct layer_row *parent_of(const struct fsck_layers *l, const struct layer_row *row)
{
    return *row->parent ? map_get(&l->by_id, row->parent) : NULL;
}

static enum seen *seen_of(struct fsck_layers *l, const struct layer_row *row)
{
    return &l->seen[row - l->rows];
}

/* Parents first; NULL: all are through.  Rows that lie might go round in circles. */
static struct layer_row *next_row(struct fsck_layers *l)
{
    struct layer_row *row, *below;

    while (l->first < l->n && l->seen[l->first] != SEEN_NOT)
        l->first++;
    if (l->first == l->n)
        return NULL;
    row = &l->rows[l->first];
    for (unsigned i = 0; i < IMAGE_LAYERS_MAX && (below = parent_of(l, row)); i++) {
        if (*seen_of(l, below) != SEEN_NOT)
            break;
        row = below;
    }
    return row;
}

/* ---- one layer ---- */

static void end_layer(struct fsck *f, enum seen seen)
{
    struct fsck_layers *l = f->layers;

    if (l->unpack)
        unpack_leave(TAKE_PTR(l->unpack));
    free(TAKE_PTR(l->path));
    *seen_of(l, l->at) = seen;
    l->at = NULL;
}

/* What a running container's overlay is made of cannot go from under it. */
static bool in_use(struct fsck *f)
{
    struct images *im = f->job->im;

    return !storage_layers_depend(im->storage) && im->hooks.layer_in_use &&
           im->hooks.layer_in_use(im->hooks.arg, f->layers->at->chain_id);
}

static int make_durable(struct image_job *job, struct err *reterr)
{
    return storage_layers_fsync(job->im->storage, reterr);
}

static int sync_fresh(struct image_job *job, struct err *reterr)
{
    return storage_sync(job->im->storage, reterr);
}

/* On the loop, after a look whether it is in use. */
static void replace(struct image_job *job)
{
    struct fsck *f = job->data;
    struct fsck_layers *l = f->layers;
    struct finding *p = &f->found[f->n_found - 1];
    struct err e;

    if (in_use(f)) {
        p->detail = xasprintf("%s%swhat runs uses it, and must stop first", l->path ?: "",
                              l->path ? "; " : "");
        end_layer(f, SEEN_BAD);
        fsck_go_on(job);
    } else if (storage_layer_replace(job->im->storage, l->fresh.stage, l->fresh.dir,
                                     l->at->chain_id, &e) < 0) {
        image_job_fail(job, &e);
    } else {
        p->repaired = true;
        p->detail = TAKE_PTR(l->path);
        end_layer(f, SEEN_GOOD);
        image_job_pool(job, make_durable, fsck_go_on);
    }
}

static void compared(struct image_job *job)
{
    struct fsck *f = job->data;
    struct fsck_layers *l = f->layers;

    if (l->same > 0) {
        end_layer(f, SEEN_GOOD);
        fsck_go_on(job);
        return;
    }
    fsck_add(f, l->same < 0 ? FSCK_LAYER_MISSING : FSCK_LAYER_CORRUPT, l->at->chain_id);
    if (f->repair) {
        image_job_pool(job, sync_fresh, replace);
        return;
    }
    f->found[f->n_found - 1].detail = TAKE_PTR(l->path);
    end_layer(f, SEEN_BAD);
    fsck_go_on(job);
}

static int compare(struct image_job *job, struct err *reterr)
{
    struct fsck *f = job->data;
    struct fsck_layers *l = f->layers;

    l->same = storage_layer_compare(job->im->storage, l->fresh.stage, l->fresh.dir, l->at->chain_id,
                                    &l->stop, &l->path, reterr);
    return l->same == -ENOENT ? 0 : l->same;
}

static void on_progress(void *arg, int64_t bytes)
{
    (void)arg, (void)bytes;
}

static void unpacked(void *arg, const struct err *err)
{
    struct image_job *job = arg;
    struct fsck *f = job->data;
    struct fsck_layers *l = f->layers;

    l->waiting = false;
    if (err && err->errnum == EBADMSG) { /* the blob is another layer's */
        fsck_add(f, FSCK_LAYER_INCONSISTENT, l->at->chain_id);
        end_layer(f, SEEN_BAD);
        fsck_go_on(job);
    } else if (err) {
        image_job_fail(job, err);
    } else {
        unpack_result(l->unpack, &l->fresh);
        image_job_pool(job, compare, compared);
    }
}

/* A form of it that is whole: 1; 0: none is. */
static int find_blob(struct fsck *f, const struct layer_row *row, struct descriptor *ret,
                     struct err *reterr)
{
    struct layer_blob *v;
    size_t n;
    int r = db_layer_blob_list(f->job->im->db, row->diff_id, &v, &n, reterr);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n && r == 0; i++) {
        if (fsck_has_found(f, v[i].digest))
            continue;
        *ret = (struct descriptor){.size = v[i].size};
        memcpy(ret->digest, v[i].digest, sizeof(ret->digest));
        snprintf(ret->media_type, sizeof(ret->media_type), "%s", v[i].media_type);
        r = 1;
    }
    layer_blobs_free(v, n);
    return r;
}

/* 1: done() follows or the pool is at it; 0: there is nothing to compare it with. */
static int begin(struct fsck *f, struct err *reterr)
{
    struct fsck_layers *l = f->layers;
    struct unpack_callbacks cb = {.arg = f->job, .progress = on_progress, .done = unpacked};
    struct load_layer below = {0};
    struct descriptor blob;
    int r = find_blob(f, l->at, &blob, reterr);

    if (r <= 0)
        return r;
    l->fresh = (struct load_layer){0};
    memcpy(l->fresh.diff_id, l->at->diff_id, sizeof(l->fresh.diff_id));
    memcpy(l->fresh.chain_id, l->at->chain_id, sizeof(l->fresh.chain_id));
    memcpy(below.chain_id, l->at->parent, sizeof(below.chain_id));
    r = unpack_join(f->job->im, NULL, &l->fresh, *l->at->parent ? &below : NULL, &blob, &cb,
                    &l->unpack, reterr);
    if (r < 0)
        return r;
    l->waiting = r == 0;
    if (r > 0)
        unpacked(f->job, NULL);
    return 1;
}

static bool is_consistent(const struct layer_row *row)
{
    char chain[ID_LEN + 1];

    digest_chain_id(*row->parent ? row->parent : NULL, row->diff_id, chain);
    return streq(chain, row->chain_id);
}

/* Without a blob, or on top of what is wrong: only whether it is there. */
static void look_only(struct fsck *f)
{
    const struct layer_row *row = f->layers->at;
    bool whole = storage_layer_is_whole(f->job->im->storage, row->chain_id);

    if (!whole)
        fsck_add(f, FSCK_LAYER_MISSING, row->chain_id);
    end_layer(f, whole ? SEEN_GOOD : SEEN_BAD);
}

/* 1: it goes on by itself; 0: at once. */
static int look_at(struct fsck *f, struct err *reterr)
{
    struct fsck_layers *l = f->layers;
    const struct layer_row *below = parent_of(l, l->at);
    int r;

    if (!is_consistent(l->at)) {
        fsck_add(f, FSCK_LAYER_INCONSISTENT, l->at->chain_id);
        end_layer(f, SEEN_BAD);
        return 0;
    }
    if (below && *seen_of(l, below) == SEEN_BAD && storage_layers_depend(f->job->im->storage)) {
        look_only(f);
        return 0;
    }
    r = begin(f, reterr);
    if (r == 0)
        look_only(f);
    return r;
}

int fsck_layers_next(struct fsck *f, struct err *reterr)
{
    struct fsck_layers *l = f->layers;
    int r = 0;

    while (r == 0 && (l->at = next_row(l)))
        r = look_at(f, reterr);
    return r;
}
