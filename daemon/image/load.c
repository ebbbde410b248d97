/* docker load: split the archive -> read its manifest -> unpack what is missing -> record. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fd.h"
#include "image_job.h"
#include "load_layers.h"
#include "reference.h"

#define ARCHIVE_DIR "in"

static void unpack_next(struct image_job *job);

static struct load_layer *current(struct image_job *job)
{
    return &job->plan.images[job->image].layers[job->layer];
}

static void step(struct image_job *job)
{
    if (++job->layer >= job->plan.images[job->image].n_layers) {
        job->layer = 0;
        job->image++;
    }
}

/* In the store, or unpacked a moment ago for another image of this archive. */
static bool is_here(struct image_job *job, struct load_layer *l)
{
    for (size_t i = 0; i < job->n_made; i++) {
        if (streq(job->made[i]->chain_id, l->chain_id)) {
            l->size = job->made[i]->size;
            return true;
        }
    }
    return images_has_layer(job->im, l, NULL) > 0;
}

/* By its first bytes, for archives that do not tell.  xz and bzip2 have no registered type. */
const char *load_media_type(int fd)
{
    static const struct {
        const char *magic, *type;
    } kinds[] = {
        {"\x1f\x8b", MEDIA_LAYER "+gzip"},
        {"\x28\xb5\x2f\xfd", MEDIA_LAYER "+zstd"},
        {"\xfd"
         "7zXZ",
         MEDIA_LAYER "+xz"},
        {"BZh", MEDIA_LAYER "+bzip2"},
    };
    char head[8] = "";
    ssize_t n = pread(fd, head, sizeof(head), 0);

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t len = strlen(kinds[i].magic);

        if (n >= (ssize_t)len && memcmp(head, kinds[i].magic, len) == 0)
            return kinds[i].type;
    }
    return MEDIA_LAYER;
}

static void unpacked(struct image_job *job, const struct err *err)
{
    struct err e;

    if (err) {
        e = *err;
        image_job_name_disk(job, &e);
        image_job_fail(job, &e);
    } else if (load_layers_take(job->data, current(job), &e) < 0) {
        image_job_fail(job, &e);
    } else {
        step(job);
        unpack_next(job);
    }
}

/* As load_layers_get(). */
static int get_layer(struct image_job *job, struct load_layer *l, struct err *reterr)
{
    const struct load_layer *below = job->layer > 0 ? l - 1 : NULL;
    int r;

    /* One image of an archive may have the layers of another, made for that. */
    for (size_t i = 0; below && i < job->n_made; i++) {
        if (streq(job->made[i]->chain_id, below->chain_id))
            below = job->made[i];
    }
    r = load_layers_get(job->data, l, below, unpacked, reterr);
    if (r > 0)
        r = load_layers_take(job->data, l, reterr) < 0 ? -EBADMSG : 1;
    return r;
}

static void say_loaded(struct image_job *job)
{
    for (size_t i = 0; i < job->plan.n_images; i++) {
        struct load_image *img = &job->plan.images[i];
        json_t *text;

        for (size_t k = 0; img->tags && img->tags[k]; k++) {
            _cleanup_free_ char *name = reference_familiar_of(img->tags[k]);

            text = json_sprintf("Loaded image: %s\n", name);
            image_job_progress(job, json_pack("{s:o}", "stream", text));
        }
        if (!img->tags) {
            text = json_sprintf("Loaded image ID: sha256:%s\n", img->id);
            image_job_progress(job, json_pack("{s:o}", "stream", text));
        }
    }
}

static void unpack_next(struct image_job *job)
{
    struct err e;
    int r;

    while (job->image < job->plan.n_images) {
        if (job->plan.images[job->image].n_layers == 0) {
            job->image++;
            continue;
        }
        r = is_here(job, current(job)) ? 1 : get_layer(job, current(job), &e);
        if (r < 0) {
            image_job_name_disk(job, &e);
            image_job_fail(job, &e);
        }
        if (r <= 0)
            return;
        step(job);
    }
    image_job_commit(job, say_loaded);
}

static int read_plan(struct image_job *job, struct err *reterr)
{
    _cleanup_close_ int fd =
        openat(job->stage.fd, ARCHIVE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return err_sys(reterr, errno, "open stage");
    return load_plan_read(fd, &job->plan, reterr);
}

static void split(struct image_job *job, const struct worker_result *result)
{
    (void)result;
    image_job_pool(job, read_plan, unpack_next);
}

static void on_file(struct image_job *job, const char *name, int64_t size)
{
    load_layers_file(job->data, name, size);
}

static void on_wrote(struct image_job *job, int64_t bytes)
{
    load_layers_wrote(job->data, bytes);
}

static void on_cancel(struct image_job *job)
{
    if (load_layers_cancel(job->data))
        image_job_finish(job);
}

static void on_free(struct image_job *job)
{
    load_layers_free(job->data);
}

struct image_job *images_load(struct images *im, int in_fd, bool quiet,
                              const struct image_job_callbacks *cb, struct err *reterr)
{
    _cleanup_close_ int fd = in_fd;
    struct image_job *job;

    if (image_job_new(im, cb, &job, reterr) < 0)
        return NULL;
    job->quiet = quiet;
    job->event = "load";
    job->data = load_layers_new(job, ARCHIVE_DIR);
    job->on_file = on_file;
    job->on_wrote = on_wrote;
    job->on_cancel = on_cancel;
    job->on_free = on_free;
    if (image_job_worker(job, &(struct worker_options){.command = "split", .in_fd = fd},
                         ARCHIVE_DIR, split, reterr) < 0) {
        image_job_cancel(job);
        image_job_finish(job);
        return NULL;
    }
    return job;
}
