/* docker import: a root file system tar becomes a one-layer image. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "changes.h"
#include "fd.h"
#include "image_job.h"
#include "json.h"
#include "platform.h"
#include "reference.h"

#define LAYER_DIR "l0"
#define BLOB_FILE "b0"

static json_t *history(const char *created, const char *message)
{
    return json_pack("[{s:s,s:s}]", "created", created, "comment",
                     str_empty(message) ? "Imported from -" : message);
}

static int parse_platform(const char *platform, json_t *config, struct err *reterr)
{
    _cleanup_free_ char *os = xstrdup(str_empty(platform) ? "linux" : platform);
    char *arch = strchr(os, '/');
    char *variant = NULL;

    if (arch) {
        *arch++ = '\0';
        variant = strchr(arch, '/');
        if (variant)
            *variant++ = '\0';
    }
    if (!streq(os, "linux") || (arch && !*arch))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "unsupported platform \"%s\": only linux images run here", platform);
    json_object_set_new(config, "os", json_string(os));
    json_object_set_new(config, "architecture", json_string(arch ? arch : platform_arch()));
    if (variant)
        json_object_set_new(config, "variant", json_string(variant));
    return 0;
}

static int make_config(const struct image_import *opt, json_t **ret, struct err *reterr)
{
    _cleanup_json_ json_t *doc = json_object();
    json_t *config = json_object();
    char now[TIME_STR_MAX];
    int r;

    time_format_nano(time_now_ns(), now);
    json_object_set_new(doc, "created", json_string(now));
    json_object_set_new(doc, "config", config);
    json_object_set_new(doc, "comment",
                        json_string(str_empty(opt->message) ? "Imported from -" : opt->message));
    json_object_set_new(doc, "history", history(now, opt->message));
    r = parse_platform(opt->platform, doc, reterr);
    for (size_t i = 0; r >= 0 && opt->changes && opt->changes[i]; i++)
        r = changes_apply(config, opt->changes[i], reterr);
    if (r >= 0)
        *ret = TAKE_PTR(doc);
    return r;
}

static int make_name(const struct image_import *opt, char **ret, struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    int r;

    if (str_empty(opt->repo))
        return 0;
    r = reference_parse_repo_tag(opt->repo, opt->tag, &ref, reterr);
    if (r >= 0)
        *ret = reference_canonical(&ref);
    return r;
}

static void say_imported(struct image_job *job)
{
    image_job_progress(job, json_pack("{s:o}", "status", json_sha256(job->plan.images[0].id)));
}

static void unpacked(struct image_job *job, const struct worker_result *result)
{
    struct load_image *img = load_plan_add(&job->plan);
    char *config;
    struct err e;

    json_object_set_new(
        job->import_config, "rootfs",
        json_pack("{s:s,s:[o]}", "type", "layers", "diff_ids", json_sha256(result->diff_id)));
    config = json_to_str(job->import_config);
    if (load_image_set_config(img, config, strlen(config), 1, &e) < 0) {
        image_job_fail(job, &e);
        return;
    }
    if (job->import_name)
        img->tags = strv_append(NULL, job->import_name);
    img->layers[0].size = result->bytes;
    if (image_job_kept(job, BLOB_FILE, result->blob, &img->layers[0].kept, &e) < 0) {
        image_job_fail(job, &e);
        return;
    }
    memcpy(img->layers[0].dir, LAYER_DIR, sizeof(LAYER_DIR));
    job->made = xcalloc(1, sizeof(struct load_layer *));
    job->made[job->n_made++] = &img->layers[0];
    image_job_commit(job, say_imported);
}

static int start(struct image_job *job, int fd, struct err *reterr)
{
    _cleanup_close_ int blob = openat(job->stage.fd, BLOB_FILE,
                                      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (blob < 0)
        return err_sys(reterr, errno, "create %s/" BLOB_FILE, job->stage.path);
    return image_job_unpack(job,
                            &(struct worker_options){.in_fd = fd, .keep = true, .keep_fd = blob},
                            LAYER_DIR, NULL, unpacked, reterr);
}

int images_import_check(const struct image_import *opt, struct err *reterr)
{
    _cleanup_json_ json_t *config = NULL;
    _cleanup_free_ char *name = NULL;
    int r = make_config(opt, &config, reterr);

    return r < 0 ? r : make_name(opt, &name, reterr);
}

struct image_job *images_import(struct images *im, int in_fd, const struct image_import *opt,
                                const struct image_job_callbacks *cb, struct err *reterr)
{
    _cleanup_close_ int fd = in_fd;
    _cleanup_json_ json_t *config = NULL;
    _cleanup_free_ char *name = NULL;
    struct image_job *job;

    if (make_config(opt, &config, reterr) < 0 || make_name(opt, &name, reterr) < 0 ||
        image_job_new(im, cb, &job, reterr) < 0)
        return NULL;
    job->quiet = true;
    job->event = "import";
    job->import_config = TAKE_PTR(config);
    job->import_name = TAKE_PTR(name);
    if (start(job, fd, reterr) < 0) {
        image_job_cancel(job);
        image_job_finish(job);
        return NULL;
    }
    return job;
}
