#include "fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blobs.h"
#include "fd.h"
#include "log.h"

struct fetch_user {
    struct fetch *fetch;
    struct fetch_user *next, **prev_next;
    struct fetch_callbacks cb;
    struct remote *remote; /* referenced */
    struct err err;        /* of the registry it came with; kind ERR_NONE: none, or not asked */
    uint64_t round;        /* of the last say() that it heard */
    bool told;
};

struct fetch {
    struct images *im;
    struct fetch *next, **prev_next; /* in im->fetches, until it has failed */
    struct descriptor d;
    struct remote *remote;    /* referenced; a user's, the one that is asked */
    struct remote_call *call; /* NULL when none is under way */
    struct fetch_user *users; /* list */
    int fd;                   /* owned; the partial file */
    struct sha256_ctx hash;   /* of the first `written` bytes; the pool's while it works */
    int64_t received, written;
    int64_t told;             /* of those written: the loop's */
    char *filling, *flushing; /* owned; FETCH_CHUNK each */
    size_t n_filling, n_flushing;
    bool paused; /* filling is full, and flushing is with the pool */
    bool ended;
    bool left;      /* was without users while it worked */
    bool useless;   /* whoever left last has no use for the bytes */
    uint64_t round; /* of say() */
    unsigned restarts;
    struct err err, call_err; /* kind ERR_NONE: none */
    uv_work_t work;
    bool working;
    int (*pool)(struct fetch *f, struct err *reterr);
    void (*then)(struct fetch *f);
};

static void fetch_go_on(struct fetch *f);

/* ---- life ---- */

static void unlink_fetch(struct fetch *f)
{
    if (!f->prev_next)
        return;
    *f->prev_next = f->next;
    if (f->next)
        f->next->prev_next = f->prev_next;
    f->prev_next = NULL;
}

static void drop_partial(struct images *im, const char *digest)
{
    char **v = NULL, *trash = NULL;
    struct err e;

    if (blob_partial_trash(im->storage, digest, &trash, &e) < 0)
        log_error("%s", e.message);
    if (trash)
        v = strv_append(NULL, trash);
    free(trash);
    images_empty_trash(im, v);
}

static void fetch_free(struct fetch *f)
{
    struct images *im = f->im;

    unlink_fetch(f);
    if ((f->useless || f->written == 0) && !fetch_is_under_way(im, f->d.digest))
        drop_partial(im, f->d.digest);
    fetch_forget(im, f->d.digest);
    fd_close(f->fd);
    remote_unref(f->remote);
    free(f->filling);
    free(f->flushing);
    free(f);
    images_done(im);
}

static void stop_call(struct fetch *f)
{
    if (f->call)
        remote_cancel(TAKE_PTR(f->call));
}

/* Without users.  While the pool works on the file it stays in the list: two must never write to
 * one file, so whoever wants the blob now takes this one up again. */
static void abandon(struct fetch *f)
{
    stop_call(f);
    f->left = true;
    if (!f->working)
        fetch_free(f);
}

static struct fetch_user *untold(struct fetch *f)
{
    for (struct fetch_user *u = f->users; u; u = u->next) {
        if (!u->told)
            return u;
    }
    return NULL;
}

static void end(struct fetch *f, const struct err *err)
{
    struct fetch_user *u;

    f->ended = true;
    free(TAKE_PTR(f->filling)); /* an image's worth of fetches may wait for the last one */
    free(TAKE_PTR(f->flushing));
    if (err) {
        f->err = *err;
        unlink_fetch(f); /* whoever comes next tries anew */
    }
    f->working = true; /* the last user may leave in its callback */
    while ((u = untold(f))) {
        struct err why = u->err.kind != ERR_NONE ? u->err : f->err; /* it may leave in there */

        u->told = true;
        u->cb.done(u->cb.arg, f->err.kind != ERR_NONE ? &why : NULL);
    }
    f->working = false;
    if (!f->users)
        fetch_free(f);
}

/* ---- whom to ask ---- */

static void ask(struct fetch *f, struct remote *remote)
{
    remote_ref(remote);
    remote_unref(f->remote);
    f->remote = remote;
    f->restarts = 0;
}

static bool is_asked(const struct fetch *f, const struct remote *remote)
{
    return streq(remote_domain(f->remote), remote_domain(remote)) &&
           streq(remote_path(f->remote), remote_path(remote));
}

/* One registry's trouble is not that of a user who came with another; false: all have failed. */
static bool ask_another(struct fetch *f, const struct err *err)
{
    struct fetch_user *next = NULL;

    for (struct fetch_user *u = f->users; u; u = u->next) {
        if (is_asked(f, u->remote))
            u->err = *err;
        if (u->err.kind == ERR_NONE)
            next = u;
    }
    if (!next)
        return false;
    log_debug("blob sha256:%.12s: asking another registry: %s", f->d.digest, err->message);
    ask(f, next->remote);
    return true;
}

/* ---- work in the pool ---- */

static void take_up(struct fetch *f);

static void pool_run(uv_work_t *work)
{
    struct fetch *f = work->data;
    struct err e = {0};

    if (f->pool(f, &e) < 0)
        f->err = e;
}

static void pool_ran(uv_work_t *work, int status)
{
    struct fetch *f = work->data;
    struct err e = f->err;

    (void)status;
    f->working = false;
    if (!f->users) {
        fetch_free(f);
    } else if (f->left && !f->ended) {
        take_up(f);
    } else if (e.kind != ERR_NONE) {
        stop_call(f);
        for (struct fetch_user *u = f->users; u; u = u->next)
            u->err = e; /* the disk's trouble is everybody's */
        end(f, &e);
    } else {
        f->then(f);
    }
}

static void in_pool(struct fetch *f, int (*pool)(struct fetch *f, struct err *reterr),
                    void (*then)(struct fetch *f))
{
    f->pool = pool;
    f->then = then;
    f->working = true;
    f->work.data = f;
    uv_queue_work(f->im->loop, &f->work, pool_run, pool_ran);
}

static int write_chunk(struct fetch *f, struct err *reterr)
{
    size_t done = 0;

    sha256_update(&f->hash, f->n_flushing, (const uint8_t *)f->flushing);
    while (done < f->n_flushing) {
        ssize_t n = pwrite(f->fd, f->flushing + done, f->n_flushing - done,
                           (off_t)(f->written + (int64_t)done));

        if (n < 0 && errno != EINTR)
            return err_sys(reterr, errno, "%s: write blob sha256:%.12s",
                           storage_root(f->im->storage), f->d.digest);
        done += n > 0 ? (size_t)n : 0;
    }
    f->written += (int64_t)done;
    return 0;
}

/* What an earlier try left. */
static int scan_partial(struct fetch *f, struct err *reterr)
{
    _cleanup_free_ char *data = xmalloc(FETCH_CHUNK);
    struct stat sb;
    ssize_t n;

    sha256_init(&f->hash);
    f->written = 0;
    if (fstat(f->fd, &sb) < 0 || (sb.st_size > f->d.size && ftruncate(f->fd, 0) < 0))
        return err_sys(reterr, errno, "partial blob");
    while ((n = pread(f->fd, data, FETCH_CHUNK, (off_t)f->written)) > 0) {
        sha256_update(&f->hash, (size_t)n, (const uint8_t *)data);
        f->written += n;
    }
    return n < 0 ? err_sys(reterr, errno, "read partial blob") : 0;
}

static int start_over(struct fetch *f, struct err *reterr)
{
    if (ftruncate(f->fd, 0) < 0)
        return err_sys(reterr, errno, "partial blob");
    sha256_init(&f->hash);
    f->written = 0;
    return 0;
}

/* ---- the end of the bytes ---- */

static struct fetch_user *behind(struct fetch *f)
{
    for (struct fetch_user *u = f->users; u; u = u->next) {
        if (u->round != f->round)
            return u;
    }
    return NULL;
}

/* Tell all users, who may leave and join meanwhile.  False: the last one left, and what follows is
 * taken care of. */
static bool say(struct fetch *f, void (*say_one)(struct fetch_user *u))
{
    struct fetch_user *u;

    f->round++;
    f->working = true;
    while ((u = behind(f))) {
        u->round = f->round;
        say_one(u);
    }
    f->working = false;
    if (!f->users)
        fetch_free(f);
    else if (f->left)
        take_up(f);
    else
        return true;
    return false;
}

static void say_progress(struct fetch_user *u)
{
    u->fetch->told = u->fetch->written;
    u->cb.progress(u->cb.arg, u->fetch->written);
}

static void say_verifying(struct fetch_user *u)
{
    if (u->cb.verifying)
        u->cb.verifying(u->cb.arg);
}

static void say_restarted(struct fetch_user *u)
{
    u->fetch->told = 0;
    if (u->cb.restarted)
        u->cb.restarted(u->cb.arg);
}

static void begin_call(struct fetch *f);

static void restart(struct fetch *f)
{
    f->n_filling = f->n_flushing = 0;
    if (say(f, say_restarted))
        begin_call(f);
}

static void verify(struct fetch *f)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    char hex[ID_LEN + 1];
    struct err e;

    if (!say(f, say_verifying))
        return;
    sha256_digest(&f->hash, sizeof(digest), digest);
    hex_encode(digest, sizeof(digest), hex);
    if (f->written == f->d.size && streq(hex, f->d.digest)) {
        end(f, NULL);
    } else if (f->restarts++ < FETCH_RESTARTS) {
        log_warn("blob sha256:%s came with wrong bytes: fetched again", f->d.digest);
        in_pool(f, start_over, restart);
    } else {
        err_set(&e, ERR_SYSTEM, EBADMSG,
                "filesystem layer verification failed for digest sha256:%s", f->d.digest);
        if (ask_another(f, &e)) {
            in_pool(f, start_over, restart);
            return;
        }
        blob_partial_remove(f->im->storage, f->d.digest, NULL); /* nobody shall resume from these */
        end(f, &e);
    }
}

/* ---- bytes from the network ---- */

static void fail_call(struct fetch *f, const struct err *err)
{
    if (ask_another(f, err))
        begin_call(f);
    else
        end(f, err);
}

static void flushed(struct fetch *f)
{
    f->n_flushing = 0;
    if (say(f, say_progress))
        fetch_go_on(f);
}

static void flush(struct fetch *f)
{
    char *full = f->filling;

    f->filling = f->flushing;
    f->flushing = full;
    f->n_flushing = f->n_filling;
    f->n_filling = 0;
    in_pool(f, write_chunk, flushed);
    if (f->paused && f->call) {
        f->paused = false;
        remote_resume(f->call);
    }
}

/* Give the pool what there is, or finish. */
static void fetch_go_on(struct fetch *f)
{
    if (f->working || f->ended)
        return;
    if (f->n_filling >= FETCH_FLUSH || (!f->call && f->n_filling > 0))
        flush(f);
    else if (!f->call && f->call_err.kind != ERR_NONE)
        fail_call(f, &f->call_err);
    else if (!f->call)
        verify(f);
}

static int on_data(void *arg, const char *data, size_t len)
{
    struct fetch *f = arg;

    if (f->received + (int64_t)len > f->d.size)
        return -EMSGSIZE;
    if (len > FETCH_CHUNK - f->n_filling) {
        f->paused = true; /* until the pool gives its buffer back */
        return 0;
    }
    memcpy(f->filling + f->n_filling, data, len);
    f->n_filling += len;
    f->received += (int64_t)len;
    fetch_go_on(f);
    return 1;
}

static void on_call_done(void *arg, struct remote_call *c, const struct err *err)
{
    struct fetch *f = arg;

    (void)c;
    f->call = NULL;
    if (err && err->errnum == EMSGSIZE)
        err_set(&f->call_err, ERR_SYSTEM, EBADMSG,
                "blob sha256:%s is longer than its descriptor says", f->d.digest);
    else if (err)
        f->call_err = *err;
    fetch_go_on(f); /* what came is written before the end is told: the next try resumes there */
}

static void begin_call(struct fetch *f)
{
    struct remote_callbacks cb = {.arg = f, .data = on_data, .done = on_call_done};
    char path[ID_LEN + 32];
    struct remote_options o = {
        .method = "GET", .path = path, .offset = f->written, .resume = true, .body_size = -1};
    struct err e;

    f->received = f->written;
    f->paused = false;
    f->call_err = (struct err){0};
    if (f->written == f->d.size) {
        verify(f);
        return;
    }
    snprintf(path, sizeof(path), "blobs/" DIGEST_SHA256 "%s", f->d.digest);
    if (remote_start(f->remote, &o, &cb, &f->call, &e) < 0)
        fail_call(f, &e);
}

static void scanned(struct fetch *f)
{
    if (f->written == 0 || say(f, say_progress))
        begin_call(f);
}

/* Somebody came after the call had ended: begin anew with what is in the file. */
static void take_up(struct fetch *f)
{
    f->left = false;
    f->err = (struct err){0};
    f->n_filling = f->n_flushing = 0;
    ask(f, f->users->remote);
    in_pool(f, scan_partial, scanned);
}

/* ---- users ---- */

static int nothing(struct fetch *f, struct err *reterr)
{
    (void)f, (void)reterr;
    return 0;
}

static void tell(struct fetch *f)
{
    end(f, NULL);
}

static struct fetch *find(struct images *im, const char *digest)
{
    for (struct fetch *f = im->fetches; f; f = f->next) {
        if (streq(f->d.digest, digest))
            return f;
    }
    return NULL;
}

bool fetch_is_under_way(void *arg, const char *digest)
{
    return find(arg, digest) != NULL;
}

void fetch_forget(struct images *im, const char *digest)
{
    if (!fetch_is_under_way(im, digest) && blob_size(im->storage, digest) >= 0)
        drop_partial(im, digest);
}

static int fetch_new(struct images *im, struct remote *remote, const struct descriptor *d,
                     struct fetch **ret, struct err *reterr)
{
    int fd = blob_partial_open(im->storage, d->digest, NULL, reterr);
    struct fetch *f;

    if (fd < 0)
        return fd;
    f = xcalloc(1, sizeof(*f));
    f->im = im;
    f->d = *d;
    f->remote = remote_ref(remote);
    f->fd = fd;
    f->filling = xmalloc(FETCH_CHUNK);
    f->flushing = xmalloc(FETCH_CHUNK);
    f->next = im->fetches;
    f->prev_next = &im->fetches;
    if (f->next)
        f->next->prev_next = &f->next;
    im->fetches = f;
    images_begin(im);
    in_pool(f, scan_partial, scanned);
    *ret = f;
    return 0;
}

int fetch_join(struct images *im, struct remote *remote, const struct descriptor *d,
               const struct fetch_callbacks *cb, struct fetch_user **ret, struct err *reterr)
{
    struct fetch *f = find(im, d->digest);
    struct fetch_user *u;
    int r = f && f->d.size != d->size
                ? err_set(reterr, ERR_INVALID, EBADMSG,
                          "manifests differ about the size of blob sha256:%s", d->digest)
                : 0;

    if (r >= 0 && !f)
        r = fetch_new(im, remote, d, &f, reterr);
    if (r < 0)
        return r;
    u = xcalloc(1, sizeof(*u));
    u->fetch = f;
    u->cb = *cb;
    u->remote = remote_ref(remote);
    u->next = f->users;
    u->prev_next = &f->users;
    if (u->next)
        u->next->prev_next = &u->next;
    f->users = u;
    f->useless = false;
    if (f->ended && !f->working)
        in_pool(f, nothing, tell);
    *ret = u;
    return 0;
}

void fetch_leave(struct fetch_user *u)
{
    struct fetch *f = u->fetch;

    *u->prev_next = u->next;
    if (u->next)
        u->next->prev_next = u->prev_next;
    remote_unref(u->remote);
    free(u);
    if (!f->users)
        abandon(f);
}

void fetch_discard(struct fetch_user *u)
{
    if (u->fetch->users == u && !u->next)
        u->fetch->useless = true;
    fetch_leave(u);
}

int64_t fetch_bytes(const struct fetch_user *u)
{
    return u->fetch->ended ? 0 : u->fetch->told;
}

int fetch_open(const struct fetch_user *u, struct err *reterr)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", u->fetch->fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_sys(reterr, errno, "open blob") : fd;
}
