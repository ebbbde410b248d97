#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blobs.h"
#include "fd.h"
#include "fetch.h"
#include "layer_protocol.h"
#include "log.h"
#include "worker.h"

#define LAYER_DIR "l" /* in the stage: renamed as one, with what is in it */

struct unpack_user {
    struct unpack *unpack;
    struct unpack_user *next, **prev_next;
    struct unpack_callbacks cb;
    bool told;
};

struct unpack {
    struct images *im;
    struct unpack *next, **prev_next; /* in im->unpacks, until it is abandoned or has failed */
    char chain_id[ID_LEN + 1], diff_id[ID_LEN + 1];
    struct descriptor blob;
    struct unpack_user *users; /* list */
    struct stage stage;
    struct worker *worker; /* frees itself */
    int parent_fd;         /* owned; the layer below, -EBADF: none is needed */
    /* Where its bytes come from, and may be coming yet: a fetch, a file of an archive, or with
     * neither the store. */
    struct fetch_user *fetch; /* NULL: none */
    int file_fd;              /* owned; -EBADF: none */
    int follow_fd;            /* owned; the worker's eventfd */
    int64_t valid, fed;       /* bytes that are there; and that the worker knows of */
    bool fetching;            /* not all are there and, of a fetch, verified */
    bool rewinding, clearing; /* a killed worker is to begin again; the pool empties the stage */
    int64_t size;
    bool ended, telling;
    struct err err; /* kind ERR_NONE: none */
    uv_work_t work;
};

/* ---- life ---- */

static void unlink_unpack(struct unpack *w)
{
    if (!w->prev_next)
        return;
    *w->prev_next = w->next;
    if (w->next)
        w->next->prev_next = w->prev_next;
    w->prev_next = NULL;
}

static void release(struct unpack *w)
{
    fd_close(w->follow_fd);
    fd_close(w->file_fd);
    fd_close(w->parent_fd);
    free(w);
}

static void discard(uv_work_t *work)
{
    struct unpack *w = work->data;

    storage_stage_discard(w->im->storage, &w->stage);
}

static void discarded(uv_work_t *work, int status)
{
    struct unpack *w = work->data;
    struct images *im = w->im;

    (void)status;
    release(w);
    images_done(im);
}

/* Nobody wants it.  The stage goes when the worker is gone. */
static void abandon(struct unpack *w)
{
    unlink_unpack(w);
    if (w->fetch)
        fetch_leave(TAKE_PTR(w->fetch));
    if (w->worker)
        worker_kill(w->worker);
    else if (!w->telling && !w->clearing)
        uv_queue_work(w->im->loop, &w->work, discard, discarded);
}

static struct unpack_user *untold(struct unpack *w)
{
    for (struct unpack_user *u = w->users; u; u = u->next) {
        if (!u->told)
            return u;
    }
    return NULL;
}

static void tell(struct unpack *w)
{
    struct unpack_user *u;

    w->ended = true;
    if (w->err.kind != ERR_NONE)
        unlink_unpack(w); /* whoever comes next tries anew */
    w->telling = true;    /* the last user may leave in its callback */
    while ((u = untold(w))) {
        u->told = true;
        u->cb.done(u->cb.arg, w->err.kind != ERR_NONE ? &w->err : NULL);
    }
    w->telling = false;
    if (!w->users)
        abandon(w);
}

/* ---- the worker ---- */

static void on_progress(void *arg, int64_t bytes)
{
    struct unpack *w = arg;

    for (struct unpack_user *u = w->users; u; u = u->next)
        u->cb.progress(u->cb.arg, bytes);
}

static int check(struct unpack *w, const struct worker_result *result, struct err *reterr)
{
    if (result->status < 0) {
        *reterr = result->err;
        if (w->file_fd >= 0)
            return result->status;
        images_name_disk(w->stage.path, reterr);
        return err_wrap(reterr, "failed to register layer sha256:%.12s", w->blob.digest);
    }
    w->size = result->bytes;
    if (w->file_fd >= 0) {
        memcpy(w->diff_id, result->diff_id, sizeof(w->diff_id));
        memcpy(w->blob.digest, result->blob, sizeof(w->blob.digest));
        return 0;
    }
    if (!streq(result->diff_id, w->diff_id))
        return err_set(reterr, ERR_SYSTEM, EBADMSG,
                       "layer sha256:%.12s unpacks to sha256:%s, its image says sha256:%s",
                       w->blob.digest, result->diff_id, w->diff_id);
    return 0;
}

/* When worker and fetch are both through: what the worker found may come from wrong bytes, and its
 * success counts only if they were right. */
static void settle(struct unpack *w)
{
    if (w->worker || w->clearing)
        return;
    if (!w->users)
        abandon(w);
    else if (!w->fetching)
        tell(w);
}

static void begin_again(struct unpack *w);

static void on_done(void *arg, const struct worker_result *result)
{
    struct unpack *w = arg;
    struct err e;

    w->worker = NULL;
    if (w->rewinding && w->users) {
        begin_again(w);
        return;
    }
    if (w->err.kind == ERR_NONE && check(w, result, &e) < 0)
        w->err = e;
    settle(w);
}

static bool follows(const struct unpack *w)
{
    return w->fetch || w->file_fd >= 0;
}

/* Tell the worker how much of its input is there. */
static void feed(struct unpack *w)
{
    uint64_t more = (uint64_t)(w->valid - w->fed);

    if (!follows(w) || !w->worker || w->rewinding)
        return;
    w->fed = w->valid;
    if (!w->fetching)
        more |= LAYER_FOLLOW_END;
    if (more > 0 && eventfd_write(w->follow_fd, more) < 0)
        worker_kill(w->worker); /* never: the counter is far from full */
}

/* In a new stage. */
static int open_directory(struct unpack *w, const char **ret_tree, struct err *reterr)
{
    int r = storage_stage_new(w->im->storage, &w->stage, reterr);

    return r < 0 ? r : storage_layer_begin(w->im->storage, &w->stage, LAYER_DIR, ret_tree, reterr);
}

static int open_input(struct unpack *w, struct err *reterr)
{
    int fd;

    if (!follows(w))
        return blob_open(w->im->storage, w->blob.digest, NULL, reterr);
    fd_close(w->follow_fd);
    w->fed = 0;
    w->follow_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->follow_fd < 0)
        return err_sys(reterr, errno, "eventfd");
    if (w->fetch)
        return fetch_open(w->fetch, reterr);
    fd = fcntl(w->file_fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? err_sys(reterr, errno, "dup") : fd;
}

static int start(struct unpack *w, struct err *reterr)
{
    _cleanup_close_ int in = open_input(w, reterr);
    const char *tree = NULL;
    _cleanup_close_ int dir = in < 0 ? -EBADF : open_directory(w, &tree, reterr);
    int r;

    if (in < 0 || dir < 0)
        return in < 0 ? in : dir;
    if (w->file_fd < 0)
        log_debug("layer sha256:%s: unpack blob sha256:%.12s", w->chain_id, w->blob.digest);
    r = worker_start(&(struct worker_options){.loop = w->im->loop,
                                              .path = w->im->worker_path,
                                              .command = "unpack",
                                              .in_fd = in,
                                              .dir_fd = dir,
                                              .tree = tree,
                                              .parent_fd = w->parent_fd,
                                              .blob = w->file_fd >= 0,
                                              .follow = follows(w),
                                              .follow_fd = w->follow_fd,
                                              .arg = w,
                                              .progress = on_progress,
                                              .done = on_done},
                     &w->worker, reterr);
    if (r >= 0)
        feed(w);
    return r;
}

/* ---- the fetch ---- */

static void on_bytes(void *arg, int64_t bytes)
{
    struct unpack *w = arg;

    w->valid = bytes;
    feed(w);
}

static void on_fetched(void *arg, const struct err *err)
{
    struct unpack *w = arg;

    w->fetching = false;
    if (err) {
        w->err = *err;
        if (w->worker)
            worker_kill(w->worker);
    } else {
        w->valid = w->blob.size;
        feed(w);
    }
    settle(w);
}

static void cleared(uv_work_t *work, int status)
{
    struct unpack *w = work->data;
    struct err e;

    (void)status;
    w->clearing = false;
    if (w->users && w->err.kind == ERR_NONE && start(w, &e) < 0)
        w->err = e;
    settle(w);
}

static void begin_again(struct unpack *w)
{
    w->rewinding = false;
    w->clearing = true;
    uv_queue_work(w->im->loop, &w->work, discard, cleared);
}

/* All that was unpacked is of wrong bytes. */
static void on_restarted(void *arg)
{
    struct unpack *w = arg;

    w->valid = 0;
    w->err = (struct err){0};
    w->rewinding = w->worker != NULL;
    if (w->worker)
        worker_kill(w->worker);
    else if (!w->clearing)
        begin_again(w);
}

/* ---- the file ---- */

void unpack_file_grown(struct unpack_user *u, int64_t bytes, bool whole)
{
    struct unpack *w = u->unpack;

    if (!w->fetching)
        return;
    w->valid = bytes;
    w->fetching = !whole;
    feed(w);
    if (whole)
        settle(w);
}

/* ---- users ---- */

/* The same layer from other bytes is another matter: it must not fail with these. */
static struct unpack *find(struct images *im, const struct load_layer *layer,
                           const struct descriptor *blob)
{
    for (struct unpack *w = im->unpacks; w; w = w->next) {
        if (streq(w->chain_id, layer->chain_id) && streq(w->blob.digest, blob->digest))
            return w;
    }
    return NULL;
}

static int begin(struct unpack *w, struct remote *remote, const struct load_layer *below,
                 struct err *reterr)
{
    struct fetch_callbacks cb = {
        .arg = w, .progress = on_bytes, .restarted = on_restarted, .done = on_fetched};
    int r = 0;

    if (below && storage_layers_depend(w->im->storage))
        r = w->parent_fd =
            storage_layer_open(w->im->storage, below->stage, below->dir, below->chain_id, reterr);
    if (r >= 0)
        r = remote ? fetch_join(w->im, remote, &w->blob, &cb, &w->fetch, reterr) : 0;
    if (w->fetch) {
        w->fetching = true;
        w->valid = fetch_bytes(w->fetch);
    }
    return r < 0 ? r : start(w, reterr);
}

/* Under way, or everything is as if it had never been; takes w. */
static int launch(struct unpack *w, struct remote *remote, const struct load_layer *below,
                  struct err *reterr)
{
    int r = begin(w, remote, below, reterr);

    if (r >= 0) {
        images_begin(w->im);
        return 0;
    }
    if (w->fetch)
        fetch_leave(w->fetch);
    storage_stage_discard(w->im->storage, &w->stage); /* two empty directories */
    release(w);
    return r;
}

static struct unpack *unpack_new(struct images *im)
{
    struct unpack *w = xcalloc(1, sizeof(*w));

    w->im = im;
    w->stage = STAGE_NONE;
    w->follow_fd = w->file_fd = w->parent_fd = -EBADF;
    w->work.data = w;
    return w;
}

/* Others may join from now on. */
static void link_unpack(struct unpack *w, const char *chain_id)
{
    struct images *im = w->im;

    memcpy(w->chain_id, chain_id, sizeof(w->chain_id));
    w->next = im->unpacks;
    w->prev_next = &im->unpacks;
    if (w->next)
        w->next->prev_next = &w->next;
    im->unpacks = w;
}

static int unpack_new_blob(struct images *im, struct remote *remote, const struct load_layer *layer,
                           const struct load_layer *below, const struct descriptor *blob,
                           struct unpack **ret, struct err *reterr)
{
    struct unpack *w = unpack_new(im);
    int r;

    memcpy(w->diff_id, layer->diff_id, sizeof(w->diff_id));
    w->blob = *blob;
    memcpy(w->chain_id, layer->chain_id, sizeof(w->chain_id));
    r = launch(w, remote, below, reterr);
    if (r < 0)
        return r;
    link_unpack(w, layer->chain_id);
    *ret = w;
    return 0;
}

static struct unpack_user *add_user(struct unpack *w, const struct unpack_callbacks *cb)
{
    struct unpack_user *u = xcalloc(1, sizeof(*u));

    u->unpack = w;
    u->cb = *cb;
    u->told = w->ended;
    u->next = w->users;
    u->prev_next = &w->users;
    if (u->next)
        u->next->prev_next = &u->next;
    w->users = u;
    return u;
}

int unpack_join(struct images *im, struct remote *remote, const struct load_layer *layer,
                const struct load_layer *below, const struct descriptor *blob,
                const struct unpack_callbacks *cb, struct unpack_user **ret, struct err *reterr)
{
    struct unpack *w = find(im, layer, blob);
    int r = w ? 0 : unpack_new_blob(im, remote, layer, below, blob, &w, reterr);

    if (r < 0)
        return r;
    *ret = add_user(w, cb);
    return (*ret)->told;
}

int unpack_file(struct images *im, int fd, const struct load_layer *below,
                const struct unpack_callbacks *cb, struct unpack_user **ret, struct err *reterr)
{
    struct unpack *w = unpack_new(im);
    int r;

    w->fetching = true;
    w->file_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (w->file_fd < 0) {
        r = err_sys(reterr, errno, "dup");
        release(w);
        return r;
    }
    r = launch(w, NULL, below, reterr);
    if (r >= 0)
        *ret = add_user(w, cb);
    return r;
}

bool unpack_is_under_way(struct images *im, const char *id)
{
    for (struct unpack *w = im->unpacks; w; w = w->next) {
        if (w->file_fd < 0 && (streq(w->blob.digest, id) || streq(w->diff_id, id)))
            return true;
    }
    return false;
}

int unpack_join_pull(struct images *im, const struct load_layer *layer,
                     const struct unpack_callbacks *cb, struct unpack_user **ret)
{
    for (struct unpack *w = im->unpacks; w; w = w->next) {
        if (w->file_fd >= 0 || w->fetching || !streq(w->chain_id, layer->chain_id))
            continue;
        *ret = add_user(w, cb);
        return (*ret)->told;
    }
    return -ENOENT;
}

void unpack_blob(const struct unpack_user *u, struct load_blob *ret)
{
    const struct descriptor *d = &u->unpack->blob;

    *ret = (struct load_blob){.size = d->size};
    memcpy(ret->digest, d->digest, sizeof(ret->digest));
    memcpy(ret->media_type, d->media_type, sizeof(ret->media_type));
}

void unpack_file_is(struct unpack_user *u, const struct load_layer *layer)
{
    struct unpack *w = u->unpack;

    if (!w->prev_next)
        link_unpack(w, layer->chain_id);
}

void unpack_leave(struct unpack_user *u)
{
    struct unpack *w = u->unpack;

    *u->prev_next = u->next;
    if (u->next)
        u->next->prev_next = u->prev_next;
    free(u);
    if (!w->users)
        abandon(w);
}

void unpack_result(const struct unpack_user *u, struct load_layer *layer)
{
    layer->stage = &u->unpack->stage;
    layer->size = u->unpack->size;
    memcpy(layer->dir, LAYER_DIR, sizeof(LAYER_DIR));
}

void unpack_digests(const struct unpack_user *u, char ret_diff_id[ID_LEN + 1],
                    char ret_blob[ID_LEN + 1])
{
    memcpy(ret_diff_id, u->unpack->diff_id, ID_LEN + 1);
    memcpy(ret_blob, u->unpack->blob.digest, ID_LEN + 1);
}
