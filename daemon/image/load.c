/* docker load: split the archive -> read its manifest -> unpack what is missing -> record. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fd.h"
#include "image_job.h"
#include "path.h"
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

static void unpacked(struct image_job *job, const struct worker_result *result)
{
    struct load_layer *l = current(job);

    if (!streq(result->diff_id, l->diff_id)) {
        struct err e;

        err_set(&e, ERR_INVALID, EBADMSG,
                "invalid diffID for layer %zu: expected \"sha256:%s\", got \"sha256:%s\"",
                job->layer, l->diff_id, result->diff_id);
        image_job_fail(job, &e);
        return;
    }
    l->size = result->bytes;
    job->made = xrealloc(job->made, (job->n_made + 1) * sizeof(struct load_layer *));
    job->made[job->n_made++] = l;
    step(job);
    unpack_next(job);
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
    return db_layer_get(job->im->db, l->chain_id, &l->size, NULL) > 0;
}

/* l<N>/diff, so that the finished directory is renamed as one. */
static int start_unpack(struct image_job *job, struct load_layer *l, struct err *reterr)
{
    _cleanup_free_ char *name = xasprintf(ARCHIVE_DIR "/%s", l->blob);
    _cleanup_close_ int fd =
        path_open_in_root(job->stage.fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    char diff[sizeof(l->dir) + 8];
    struct stat sb;

    if (fd < 0 || fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode))
        return err_set(reterr, ERR_INVALID, ENOENT,
                       "invalid image archive: layer %.200s is missing", l->blob);
    job->input_size = sb.st_size;
    snprintf(l->dir, sizeof(l->dir), "l%zu", job->n_made);
    if (mkdirat(job->stage.fd, l->dir, 0700) < 0)
        return err_sys(reterr, errno, "mkdir %s/%s", job->stage.path, l->dir);
    snprintf(diff, sizeof(diff), "%s/diff", l->dir);
    return image_job_worker(job, "unpack", fd, diff, unpacked, reterr);
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

    while (job->image < job->plan.n_images) {
        if (job->plan.images[job->image].n_layers == 0) {
            job->image++;
        } else if (is_here(job, current(job))) {
            step(job);
        } else {
            if (start_unpack(job, current(job), &e) < 0)
                image_job_fail(job, &e);
            return;
        }
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

struct image_job *images_load(struct images *im, int in_fd, bool quiet,
                              const struct image_job_callbacks *cb, struct err *reterr)
{
    _cleanup_close_ int fd = in_fd;
    struct image_job *job;

    if (image_job_new(im, cb, &job, reterr) < 0)
        return NULL;
    job->quiet = quiet;
    job->event = "load";
    if (image_job_worker(job, "split", fd, ARCHIVE_DIR, split, reterr) < 0) {
        image_job_cancel(job);
        image_job_finish(job);
        return NULL;
    }
    return job;
}
