/* docker load: split the archive -> read its manifest -> unpack what is missing -> record. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int check_layer(struct image_job *job, const struct load_layer *l,
                       const struct worker_result *result, struct err *reterr)
{
    if (!streq(result->diff_id, l->diff_id))
        return err_set(reterr, ERR_INVALID, EBADMSG,
                       "invalid diffID for layer %zu: expected \"sha256:%s\", got \"sha256:%s\"",
                       job->layer, l->diff_id, result->diff_id);
    if (*l->kept.digest && !streq(result->blob, l->kept.digest))
        return err_set(reterr, ERR_INVALID, EBADMSG,
                       "invalid image archive: blob sha256:%s has the digest sha256:%s",
                       l->kept.digest, result->blob);
    return 0;
}

static void unpacked(struct image_job *job, const struct worker_result *result)
{
    struct load_layer *l = current(job);
    struct err e;

    if (check_layer(job, l, result, &e) < 0) {
        image_job_fail(job, &e);
        return;
    }
    l->size = result->bytes;
    memcpy(l->kept.digest, result->blob, sizeof(l->kept.digest));
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

/* The file under a name of its own in the stage, whatever the archive called it. */
static int keep_file(struct image_job *job, struct load_layer *l, int fd, int64_t size,
                     struct err *reterr)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    snprintf(l->kept.file, sizeof(l->kept.file), "b%zu", job->n_made);
    if (linkat(AT_FDCWD, path, job->stage.fd, l->kept.file, AT_SYMLINK_FOLLOW) < 0)
        return err_sys(reterr, errno, "link %s/%s", job->stage.path, l->kept.file);
    l->kept.size = size;
    if (!*l->kept.media_type)
        snprintf(l->kept.media_type, sizeof(l->kept.media_type), "%s", load_media_type(fd));
    return 0;
}

/* l<N>/diff, so that the finished directory is renamed as one. */
static int start_unpack(struct image_job *job, struct load_layer *l, struct err *reterr)
{
    _cleanup_free_ char *name = xasprintf(ARCHIVE_DIR "/%s", l->blob);
    _cleanup_close_ int fd =
        path_open_in_root(job->stage.fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct stat sb;
    int r;

    if (fd < 0 || fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode))
        return err_set(reterr, ERR_INVALID, ENOENT,
                       "invalid image archive: layer %.200s is missing", l->blob);
    job->input_size = sb.st_size;
    snprintf(l->dir, sizeof(l->dir), "l%zu", job->n_made);
    r = keep_file(job, l, fd, sb.st_size, reterr);
    if (r < 0)
        return r;
    return image_job_unpack(job, &(struct worker_options){.in_fd = fd, .blob = true}, l->dir,
                            job->layer > 0 ? l - 1 : NULL, unpacked, reterr);
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
    if (image_job_worker(job, &(struct worker_options){.command = "split", .in_fd = fd},
                         ARCHIVE_DIR, split, reterr) < 0) {
        image_job_cancel(job);
        image_job_finish(job);
        return NULL;
    }
    return job;
}
