#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "fd.h"
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
    free(w);
    images_done(im);
}

/* Nobody wants it.  The stage goes when the worker is gone. */
static void abandon(struct unpack *w)
{
    unlink_unpack(w);
    if (w->worker)
        worker_kill(w->worker);
    else if (!w->telling)
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
        return err_wrap(reterr, "failed to register layer sha256:%.12s", w->blob.digest);
    }
    if (!streq(result->diff_id, w->diff_id))
        return err_set(reterr, ERR_SYSTEM, EBADMSG,
                       "layer sha256:%.12s unpacks to sha256:%s, its image says sha256:%s",
                       w->blob.digest, result->diff_id, w->diff_id);
    w->size = result->bytes;
    return 0;
}

static void on_done(void *arg, const struct worker_result *result)
{
    struct unpack *w = arg;
    struct err e;

    w->worker = NULL;
    if (check(w, result, &e) < 0)
        w->err = e;
    if (w->users)
        tell(w);
    else
        abandon(w);
}

/* l/diff in a new stage. */
static int open_directory(struct unpack *w, struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    int r = storage_stage_new(w->im->storage, &w->stage, reterr);

    if (r < 0)
        return r;
    if (mkdirat(w->stage.fd, LAYER_DIR, 0700) < 0 ||
        mkdirat(w->stage.fd, LAYER_DIR "/diff", 0755) < 0)
        return err_sys(reterr, errno, "mkdir %s/" LAYER_DIR, w->stage.path);
    fd = openat(w->stage.fd, LAYER_DIR "/diff", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    /* The root of a layer whose archive does not mention it: 0755 whatever the umask. */
    if (fd < 0 || fchmod(fd, 0755) < 0)
        return err_sys(reterr, errno, "open %s/" LAYER_DIR, w->stage.path);
    return TAKE_FD(fd);
}

static int start(struct unpack *w, int in_fd, struct err *reterr)
{
    _cleanup_close_ int in = in_fd;
    _cleanup_close_ int dir = open_directory(w, reterr);

    if (dir < 0)
        return dir;
    log_debug("layer sha256:%s: unpack blob sha256:%.12s", w->chain_id, w->blob.digest);
    return worker_start(&(struct worker_options){.loop = w->im->loop,
                                                 .path = w->im->worker_path,
                                                 .command = "unpack",
                                                 .in_fd = in,
                                                 .dir_fd = dir,
                                                 .arg = w,
                                                 .progress = on_progress,
                                                 .done = on_done},
                        &w->worker, reterr);
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

static int unpack_new(struct images *im, const struct load_layer *layer,
                      const struct descriptor *blob, int in_fd, struct unpack **ret,
                      struct err *reterr)
{
    struct unpack *w = xcalloc(1, sizeof(*w));
    int r;

    w->im = im;
    memcpy(w->chain_id, layer->chain_id, sizeof(w->chain_id));
    memcpy(w->diff_id, layer->diff_id, sizeof(w->diff_id));
    w->blob = *blob;
    w->stage = STAGE_NONE;
    w->work.data = w;
    r = start(w, in_fd, reterr);
    if (r < 0) {
        storage_stage_discard(im->storage, &w->stage); /* two empty directories */
        free(w);
        return r;
    }
    w->next = im->unpacks;
    w->prev_next = &im->unpacks;
    if (w->next)
        w->next->prev_next = &w->next;
    im->unpacks = w;
    images_begin(im);
    *ret = w;
    return 0;
}

int unpack_join(struct images *im, const struct load_layer *layer, const struct descriptor *blob,
                const struct unpack_callbacks *cb, int (*open_blob)(void *arg, struct err *reterr),
                struct unpack_user **ret, struct err *reterr)
{
    struct unpack *w = find(im, layer, blob);
    struct unpack_user *u;
    int r = 0;

    if (!w) {
        int fd = open_blob(cb->arg, reterr);

        r = fd < 0 ? fd : unpack_new(im, layer, blob, fd, &w, reterr);
    }
    if (r < 0)
        return r;
    u = xcalloc(1, sizeof(*u));
    u->unpack = w;
    u->cb = *cb;
    u->told = w->ended;
    u->next = w->users;
    u->prev_next = &w->users;
    if (u->next)
        u->next->prev_next = &u->next;
    w->users = u;
    *ret = u;
    return u->told;
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
