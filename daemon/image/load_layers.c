#include "load_layers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "path.h"
#include "unpack.h"

/* A file of the archive. */
struct file {
    struct load_layers *ll;
    int fd; /* owned; and while it is open, its inode number is nobody else's */
    dev_t dev;
    ino_t ino;
    int64_t size, valid; /* bytes that it will have; that are there */
    struct unpack_user *unpack;
    bool done, taken;
    bool shared;    /* unpack is a pull's, of the same layer */
    struct err err; /* of what is done; kind ERR_NONE: none */
};

struct load_layers {
    struct image_job *job; /* borrowed */
    const char *dir;       /* static */
    struct file **files;   /* owned; in the archive's order */
    size_t n_files, n_running;
    struct file *growing;           /* one of them or NULL */
    struct file *wanted;            /* by load_layers_get() */
    const struct load_layer *below; /* that it lies on; borrowed, NULL: none */
    void (*ready)(struct image_job *job, const struct err *err); /* NULL: nobody waits */
};

struct load_layers *load_layers_new(struct image_job *job, const char *dir)
{
    struct load_layers *ll = xcalloc(1, sizeof(*ll));

    ll->job = job;
    ll->dir = dir;
    return ll;
}

static void file_free(struct file *f)
{
    if (f->unpack)
        unpack_leave(f->unpack);
    fd_close(f->fd);
    free(f);
}

void load_layers_free(struct load_layers *ll)
{
    for (size_t i = 0; i < ll->n_files; i++)
        file_free(ll->files[i]);
    free(ll->files);
    free(ll);
}

/* ---- unpacking ---- */

static void on_progress(void *arg, int64_t bytes)
{
    struct file *f = arg;

    if (f->ll->ready && f->ll->wanted == f)
        image_job_loading(f->ll->job, bytes);
}

static void start_waiting(struct load_layers *ll);
static int start(struct file *f, const struct load_layer *below, struct err *reterr);

/* A pull's trouble is not ours: we have the bytes. */
static bool start_again(struct file *f)
{
    unpack_leave(TAKE_PTR(f->unpack));
    f->shared = false;
    return start(f, f->ll->below, NULL) >= 0;
}

static void on_done(void *arg, const struct err *err)
{
    struct file *f = arg;
    struct load_layers *ll = f->ll;
    void (*ready)(struct image_job * job, const struct err *err) = ll->ready;

    ll->n_running--;
    if (err && f->shared && start_again(f))
        return;
    f->done = true;
    if (err)
        f->err = *err;
    start_waiting(ll);
    if (!ready || ll->wanted != f)
        return;
    ll->ready = NULL;
    ready(ll->job, err);
}

static int start(struct file *f, const struct load_layer *below, struct err *reterr)
{
    struct unpack_callbacks cb = {.arg = f, .progress = on_progress, .done = on_done};
    int r = unpack_file(f->ll->job->im, f->fd, below, &cb, &f->unpack, reterr);

    if (r < 0)
        return r;
    f->ll->n_running++;
    unpack_file_grown(f->unpack, f->valid, f->valid == f->size);
    return 0;
}

/* A pull may have begun with the same layer meanwhile, or be through with it.  As
 * unpack_join_pull(). */
static int join(struct file *f, const struct load_layer *l)
{
    struct unpack_callbacks cb = {.arg = f, .progress = on_progress, .done = on_done};
    int r = unpack_join_pull(f->ll->job->im, l, &cb, &f->unpack);

    if (r < 0)
        return r;
    log_debug("layer sha256:%s: taken from a pull", l->chain_id);
    f->shared = true;
    f->done = r > 0;
    f->ll->n_running += !f->done;
    return r;
}

static void start_waiting(struct load_layers *ll)
{
    for (size_t i = 0; i < ll->n_files && ll->n_running < LOAD_PARALLEL; i++) {
        struct file *f = ll->files[i];

        if (!f->unpack && !f->done && start(f, NULL, &f->err) < 0)
            f->done = true;
    }
}

/* ---- while the archive comes ---- */

static int open_file(struct load_layers *ll, const char *name, struct stat *ret)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", ll->dir, name);
    _cleanup_close_ int fd =
        path_open_in_root(ll->job->stage.fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

    return fd < 0 || fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode) ? -ENOENT : TAKE_FD(fd);
}

/* Takes fd. */
static struct file *add(struct load_layers *ll, int fd, const struct stat *sb, int64_t size)
{
    struct file *f = xcalloc(1, sizeof(*f));

    f->ll = ll;
    f->fd = fd;
    f->dev = sb->st_dev;
    f->ino = sb->st_ino;
    f->size = size;
    ll->files = xrealloc(ll->files, (ll->n_files + 1) * sizeof(struct file *));
    ll->files[ll->n_files++] = f;
    return f;
}

/* Do we have what this name seems to be of?  OCI layouts call a blob by its digest, others a layer
 * by its diff id.  Whoever lies only makes us start later. */
static bool seems_known(struct images *im, const char *name)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    struct layer_blob *blobs;
    char id[ID_LEN + 1];
    int64_t size;
    size_t n;

    snprintf(id, sizeof(id), "%.*s", ID_LEN, base);
    if (!str_is_hex(id, ID_LEN) || (base[ID_LEN] && !streq(base + ID_LEN, ".tar")))
        return false;
    if (unpack_is_under_way(im, id) || db_blob_get(im->db, id, &size, NULL) > 0)
        return true;
    if (db_layer_blob_list(im->db, id, &blobs, &n, NULL) < 0)
        return false;
    layer_blobs_free(blobs, n);
    return n > 0;
}

void load_layers_file(struct load_layers *ll, const char *name, int64_t size)
{
    struct images *im = ll->job->im;
    struct stat sb;
    int fd;

    ll->growing = NULL;
    /* Layers that are made on top of each other must wait for the order in which they lie. */
    if (ll->job->cancelled || ll->n_files == IMAGE_LAYERS_MAX ||
        storage_layers_depend(im->storage) || seems_known(im, name))
        return;
    fd = open_file(ll, name, &sb);
    if (fd < 0)
        return;
    ll->growing = add(ll, fd, &sb, size);
    start_waiting(ll);
}

void load_layers_wrote(struct load_layers *ll, int64_t bytes)
{
    struct file *f = ll->growing;

    if (!f || bytes < f->valid || bytes > f->size)
        return;
    f->valid = bytes;
    if (bytes == f->size)
        ll->growing = NULL;
    if (f->unpack)
        unpack_file_grown(f->unpack, bytes, bytes == f->size);
}

/* ---- when it is known what they are ---- */

static struct file *find(struct load_layers *ll, const struct stat *sb)
{
    for (size_t i = 0; i < ll->n_files; i++) {
        struct file *f = ll->files[i];

        /* One file may be the layer of several images, on top of different others. */
        if (f->ino == sb->st_ino && f->dev == sb->st_dev && f->size == sb->st_size && !f->taken)
            return f;
    }
    return NULL;
}

/* Under a name of its own in the stage, whatever the archive called it. */
static int keep_file(struct image_job *job, struct load_layer *l, const struct file *f,
                     struct err *reterr)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
    snprintf(l->kept.file, sizeof(l->kept.file), "b%zu", job->n_made);
    if (linkat(AT_FDCWD, path, job->stage.fd, l->kept.file, AT_SYMLINK_FOLLOW) < 0)
        return err_sys(reterr, errno, "link %s/%s", job->stage.path, l->kept.file);
    l->kept.size = f->size;
    if (!*l->kept.media_type)
        snprintf(l->kept.media_type, sizeof(l->kept.media_type), "%s", load_media_type(f->fd));
    return 0;
}

int load_layers_get(struct load_layers *ll, struct load_layer *l, const struct load_layer *below,
                    void (*ready)(struct image_job *job, const struct err *err), struct err *reterr)
{
    struct stat sb;
    int fd = open_file(ll, l->blob, &sb), r;
    struct file *f;

    if (fd < 0)
        return err_set(reterr, ERR_INVALID, ENOENT,
                       "invalid image archive: layer %.200s is missing", l->blob);
    f = find(ll, &sb);
    if (f) {
        fd_close(fd);
    } else {
        f = add(ll, fd, &sb, sb.st_size);
        f->valid = f->size;
    }
    ll->wanted = f;
    ll->below = below;
    r = keep_file(ll->job, l, f, reterr);
    /* It does not wait for its turn: it has come. */
    if (r >= 0 && !f->unpack && !f->done && join(f, l) < 0)
        r = start(f, below, reterr);
    if (r < 0)
        return r;
    if (f->done && f->err.kind != ERR_NONE) {
        *reterr = f->err;
        return -EBADMSG;
    }
    if (!f->done)
        ll->ready = ready;
    return f->done;
}

static int check(const struct image_job *job, const struct load_layer *l, const char *diff_id,
                 const char *blob, struct err *reterr)
{
    if (!streq(diff_id, l->diff_id))
        return err_set(reterr, ERR_INVALID, EBADMSG,
                       "invalid diffID for layer %zu: expected \"sha256:%s\", got \"sha256:%s\"",
                       job->layer, l->diff_id, diff_id);
    if (*l->kept.digest && !streq(blob, l->kept.digest))
        return err_set(reterr, ERR_INVALID, EBADMSG,
                       "invalid image archive: blob sha256:%s has the digest sha256:%s",
                       l->kept.digest, blob);
    return 0;
}

static int take_file(struct image_job *job, struct load_layer *l, const struct file *f,
                     struct err *reterr)
{
    char diff_id[ID_LEN + 1], blob[ID_LEN + 1];
    int r;

    unpack_digests(f->unpack, diff_id, blob);
    r = check(job, l, diff_id, blob, reterr);
    if (r < 0)
        return r;
    memcpy(l->kept.digest, blob, sizeof(blob));
    unpack_file_is(f->unpack, l);
    return 0;
}

int load_layers_take(struct load_layers *ll, struct load_layer *l, struct err *reterr)
{
    struct image_job *job = ll->job;
    struct file *f = ll->wanted;

    f->taken = true;
    if (f->shared)
        unpack_blob(f->unpack, &l->kept);
    else if (take_file(job, l, f, reterr) < 0)
        return -EBADMSG;
    unpack_result(f->unpack, l);
    job->made = xrealloc(job->made, (job->n_made + 1) * sizeof(struct load_layer *));
    job->made[job->n_made++] = l;
    return 0;
}

bool load_layers_cancel(struct load_layers *ll)
{
    bool waits = ll->ready != NULL;

    ll->ready = NULL;
    return waits;
}
