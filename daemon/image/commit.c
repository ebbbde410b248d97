/* docker commit: what a container wrote becomes a layer on top of its image's.  The worker packs it
 * into the stage, while another one unpacks and hashes what is there already as it would any
 * layer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "changes.h"
#include "digest.h"
#include "fd.h"
#include "image_job.h"
#include "json.h"
#include "reference.h"
#include "unpack.h"

#define BLOB_FILE "b0"
#define EMPTY_TAR "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

struct commit {
    int (*packed)(void *arg, struct err *reterr);
    json_t *entry;              /* of the history; borrowed from the job's config */
    struct unpack_user *unpack; /* NULL before */
    bool waiting;               /* the tar is whole, but not yet unpacked */
};

/* ---- the config ---- */

static const char *const kept_keys[] = {
    "User",    "ExposedPorts", "Env",     "Cmd",    "Entrypoint", "Healthcheck", "ArgsEscaped",
    "Volumes", "WorkingDir",   "OnBuild", "Labels", "StopSignal", "StopTimeout", "Shell"};

static bool says_something(const json_t *v)
{
    return v && !json_is_null(v) && !(json_is_array(v) && json_array_size(v) == 0) &&
           !(json_is_object(v) && json_object_size(v) == 0) &&
           !(json_is_string(v) && !*json_string_value(v)) && !json_is_false(v);
}

json_t *image_config_kept(const json_t *config)
{
    json_t *out = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(kept_keys); i++) {
        json_t *v = json_get(config, kept_keys[i]);

        if (says_something(v))
            json_object_set_new(out, kept_keys[i], json_deep_copy(v));
    }
    return out;
}

static int make_config(const struct image_commit *o, json_t **ret, struct err *reterr)
{
    _cleanup_json_ json_t *config = image_config_kept(o->config);
    int r = 0;

    for (size_t i = 0; r >= 0 && o->changes && o->changes[i]; i++)
        r = changes_apply(config, o->changes[i], reterr);
    if (r >= 0)
        *ret = TAKE_PTR(config);
    return r;
}

static int make_name(const struct image_commit *o, char **ret, struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    int r;

    *ret = NULL;
    if (str_empty(o->repo))
        return 0;
    r = reference_parse_repo_tag(o->repo, o->tag, &ref, reterr);
    if (r >= 0)
        *ret = reference_canonical(&ref);
    return r;
}

int images_commit_check(const struct image_commit *o, struct err *reterr)
{
    _cleanup_json_ json_t *config = NULL;
    _cleanup_free_ char *name = NULL;
    int r = make_name(o, &name, reterr);

    return r < 0 ? r : make_config(o, &config, reterr);
}

/* "sh -c 'x'" of what ran. */
static json_t *command_line(const json_t *config)
{
    _cleanup_free_ char *line = xstrdup("");
    const json_t *word;
    size_t i;

    json_array_foreach (json_get(config, "Cmd"), i, word) {
        char *next = xasprintf("%s%s%s", line, i > 0 ? " " : "",
                               json_is_string(word) ? json_string_value(word) : "");

        free(line);
        line = next;
    }
    return json_string(line);
}

static json_t *history_entry(const struct image_commit *o, const char *now)
{
    json_t *entry =
        json_pack("{s:s,s:o}", "created", now, "created_by", command_line(o->container_config));

    if (!str_empty(o->author))
        json_object_set_new(entry, "author", json_string(o->author));
    if (!str_empty(o->comment))
        json_object_set_new(entry, "comment", json_string(o->comment));
    return entry;
}

/* All but the new layer's part. */
static int make_document(const struct image_commit *o, const struct image *parent, json_t **ret,
                         json_t **ret_entry, struct err *reterr)
{
    static const char *const inherited[] = {"architecture", "variant",     "os",
                                            "os.version",   "os.features", "rootfs"};
    _cleanup_json_ json_t *doc = json_object(), *config = NULL;
    json_t *history = json_deep_copy(json_get(parent->config, "history"));
    char now[TIME_STR_MAX];
    int r = make_config(o, &config, reterr);

    if (!json_is_array(history)) {
        json_decref(history);
        history = json_array();
    }
    time_format_nano(time_now_ns(), now);
    *ret_entry = history_entry(o, now);
    json_array_append_new(history, *ret_entry);
    json_object_set_new(doc, "history", history);
    json_object_set_new(doc, "created", json_string(now));
    json_object_set_new(doc, "container", json_string(o->container_id));
    json_object_set(doc, "config", config);
    if (!str_empty(o->author))
        json_object_set_new(doc, "author", json_string(o->author));
    for (size_t i = 0; i < ARRAY_SIZE(inherited); i++) {
        json_t *v = json_get(parent->config, inherited[i]);

        if (v)
            json_object_set_new(doc, inherited[i], json_deep_copy(v));
    }
    if (r >= 0)
        *ret = TAKE_PTR(doc);
    return r;
}

/* ---- the job ---- */

static void say_committed(struct image_job *job)
{
    struct load_image *l = &job->plan.images[0];
    _cleanup_(image_unrefp) struct image *img = NULL;

    if (l->tags && images_get(job->im, l->id, &img, NULL) >= 0) {
        _cleanup_free_ char *name = reference_familiar_of(l->tags[0]);

        images_emit(job->im, "tag", img, name);
    }
    image_job_progress(job, json_pack("{s:o}", "Id", json_sha256(l->id)));
}

static int plan_image(struct image_job *job, struct load_image **ret, struct err *reterr)
{
    struct load_image *img = load_plan_add(&job->plan);
    const json_t *diff_ids = json_get(json_get(job->import_config, "rootfs"), "diff_ids");
    char *config = json_to_str(job->import_config);
    int r = load_image_set_config(img, config, strlen(config), json_array_size(diff_ids), reterr);

    if (r >= 0 && job->import_name)
        img->tags = strv_append(NULL, job->import_name);
    *ret = img;
    return r;
}

/* Nothing was written: an image with the same layers, as Docker makes it. */
static void commit_empty(struct image_job *job)
{
    struct commit *c = job->data;
    struct load_image *img;
    struct err e;

    json_object_set_new(c->entry, "empty_layer", json_true());
    if (plan_image(job, &img, &e) < 0)
        image_job_fail(job, &e);
    else
        image_job_commit(job, say_committed);
}

static int take_layer(struct image_job *job, const char *diff_id, struct err *reterr)
{
    struct commit *c = job->data;
    struct load_layer *top;
    struct load_image *img;
    int r = plan_image(job, &img, reterr);

    if (r < 0)
        return r;
    top = &img->layers[img->n_layers - 1];
    unpack_result(c->unpack, top);
    job->made = xcalloc(1, sizeof(struct load_layer *));
    job->made[job->n_made++] = top;
    return image_job_kept(job, BLOB_FILE, diff_id, &top->kept, reterr);
}

static void unpacked(void *arg, const struct err *err)
{
    struct image_job *job = arg;
    struct commit *c = job->data;
    json_t *diff_ids = json_get(json_get(job->import_config, "rootfs"), "diff_ids");
    char diff_id[ID_LEN + 1], blob[ID_LEN + 1];
    struct err e;

    if (!c->waiting)
        return; /* the job has ended otherwise */
    c->waiting = false;
    if (err) {
        e = *err;
        image_job_name_disk(job, &e);
        image_job_fail(job, &e);
        return;
    }
    unpack_digests(c->unpack, diff_id, blob);
    if (streq(diff_id, EMPTY_TAR) && json_array_size(diff_ids) > 0) {
        commit_empty(job);
        return;
    }
    json_array_append_new(diff_ids, json_sha256(diff_id));
    if (take_layer(job, diff_id, &e) < 0)
        image_job_fail(job, &e);
    else
        image_job_commit(job, say_committed);
}

/* The top layer of the image that the container is of; false: it has none. */
static bool find_below(const struct image_job *job, struct load_layer *ret)
{
    const json_t *diff_ids = json_get(json_get(job->import_config, "rootfs"), "diff_ids");
    size_t n = json_array_size(diff_ids);

    for (size_t i = 0; i < n; i++) {
        const char *id = json_string_value(json_array_get(diff_ids, i));
        char parent[ID_LEN + 1];

        memcpy(parent, ret->chain_id, sizeof(parent));
        digest_chain_id(i > 0 ? parent : NULL, id + strlen("sha256:"), ret->chain_id);
    }
    return n > 0;
}

static void on_progress(void *arg, int64_t bytes)
{
    (void)arg, (void)bytes; /* nobody is shown any */
}

static int unpack(struct image_job *job, struct err *reterr)
{
    struct commit *c = job->data;
    struct unpack_callbacks cb = {.arg = job, .progress = on_progress, .done = unpacked};
    struct load_layer below = {0};
    _cleanup_close_ int fd = openat(job->stage.fd, BLOB_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return err_sys(reterr, errno, "%s/" BLOB_FILE, job->stage.path);
    return unpack_file(job->im, fd, find_below(job, &below) ? &below : NULL, &cb, &c->unpack,
                       reterr);
}

static void on_wrote(struct image_job *job, int64_t bytes)
{
    struct commit *c = job->data;

    unpack_file_grown(c->unpack, bytes, false);
}

static void packed(struct image_job *job, const struct worker_result *result)
{
    struct commit *c = job->data;
    struct err e;

    if (c->packed && c->packed(job->cb.arg, &e) < 0) {
        image_job_fail(job, &e);
        return;
    }
    c->waiting = true;
    unpack_file_grown(c->unpack, result->length, true);
}

static int pack(struct image_job *job, const struct image_commit *o, struct err *reterr)
{
    _cleanup_close_ int fd = openat(job->stage.fd, BLOB_FILE,
                                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_sys(reterr, errno, "create %s/" BLOB_FILE, job->stage.path);
    if (unpack(job, reterr) < 0)
        return -EIO;
    return image_job_run(job,
                         &(struct worker_options){.command = "pack",
                                                  .tell = true,
                                                  .in_fd = -EBADF,
                                                  .out_fd = fd,
                                                  .dir_fd = o->dir_fd,
                                                  .lower_fds = o->lower_fds,
                                                  .n_lowers = o->n_lowers,
                                                  .args = o->args},
                         packed, reterr);
}

static void on_cancel(struct image_job *job)
{
    struct commit *c = job->data;

    if (c->waiting)
        image_job_finish(job);
    c->waiting = false;
}

static void on_free(struct image_job *job)
{
    struct commit *c = job->data;

    if (c->unpack)
        unpack_leave(c->unpack);
    free(c);
}

struct image_job *images_commit(struct images *im, const struct image_commit *o,
                                const struct image_job_callbacks *cb, struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *parent = NULL;
    _cleanup_json_ json_t *doc = NULL;
    _cleanup_free_ char *name = NULL;
    struct image_job *job;
    struct commit *c;
    json_t *entry;
    int r = images_get(im, o->image_id, &parent, reterr);

    if (r < 0) {
        if (r == -ENOENT)
            err_set(reterr, ERR_NOT_FOUND, ENOENT,
                    "the container's image sha256:%s is not here any more", o->image_id);
        return NULL;
    }
    if (make_name(o, &name, reterr) < 0 || make_document(o, parent, &doc, &entry, reterr) < 0 ||
        image_job_new(im, cb, &job, reterr) < 0)
        return NULL;
    c = xcalloc(1, sizeof(*c));
    *c = (struct commit){.packed = o->packed, .entry = entry};
    job->data = c;
    job->on_wrote = on_wrote;
    job->on_cancel = on_cancel;
    job->on_free = on_free;
    job->quiet = true;
    job->event = "create";
    job->import_config = TAKE_PTR(doc);
    job->import_name = TAKE_PTR(name);
    memcpy(job->parent, parent->id, sizeof(job->parent));
    job->step = o->step;
    if (pack(job, o, reterr) < 0) {
        image_job_cancel(job);
        image_job_finish(job);
        return NULL;
    }
    return job;
}
