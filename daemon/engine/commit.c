/* An image of what a container has become.  It is frozen while that is read, if it runs and the
 * client does not mind. */
#include <errno.h>
#include <stdlib.h>

#include "log.h"
#include "private.h"
#include "reference.h"
#include "validate.h"

struct commit {
    struct container *container; /* a reference */
    struct commit *next, **prev_next;
    struct commit_options options; /* strings owned */
    json_t *config;                /* owned */
    struct image_job *job;         /* NULL before and after */
    bool pausing;                  /* the pause is on its way, or done by us */
    int64_t started_ns;            /* which run was paused */
    bool cancelled;                /* before the job */
    char *id;                      /* owned: "sha256:..." once it is there */
    engine_json_fn *done;
    void *arg;
};

static char **copy_strv(const char *const *v)
{
    char **out = NULL;

    for (; v && *v; v++)
        out = strv_append(out, *v);
    return out;
}

static void options_copy(struct commit_options *to, const struct commit_options *from)
{
    *to = *from;
    to->repo = xstrdup_null(from->repo);
    to->tag = xstrdup_null(from->tag);
    to->author = xstrdup_null(from->author);
    to->comment = xstrdup_null(from->comment);
    to->changes = (const char *const *)copy_strv(from->changes);
    json_incref((json_t *)to->step);
}

static void options_done(struct commit_options *o)
{
    free((char *)o->repo);
    free((char *)o->tag);
    free((char *)o->author);
    free((char *)o->comment);
    strv_free((char **)o->changes);
    json_decref((json_t *)o->step);
}

static void thawed(void *arg, const struct err *err)
{
    (void)arg, (void)err; /* it has ended, or somebody else was faster */
}

/* Is this run of the container frozen for a commit, or about to be? */
static bool is_held(const struct container *c)
{
    for (const struct commit *k = c->engine->commits; k; k = k->next) {
        if (k->container == c && k->pausing && k->started_ns == c->started_ns)
            return true;
    }
    return false;
}

/* The last of those that hold it lets go. */
static void thaw(struct commit *k)
{
    struct container *c = k->container;

    if (!k->pausing)
        return;
    k->pausing = false;
    if (c->started_ns != k->started_ns || is_held(c))
        return;
    c->frozen_for_us = false; /* before the record that says it runs */
    if (c->status == STATUS_PAUSED)
        engine_container_unpause(c->engine, c->id, thawed, NULL);
}

static void finish(struct commit *k, const struct err *err)
{
    struct engine *e = k->container->engine;

    thaw(k);
    k->done(k->arg, err ? NULL : json_pack("{s:s}", "Id", k->id), err);
    *k->prev_next = k->next;
    if (k->next)
        k->next->prev_next = k->prev_next;
    e->jobs--;
    options_done(&k->options);
    json_decref(k->config);
    free(k->id);
    container_unref(k->container);
    free(k);
}

/* ---- the image ---- */

static int on_packed(void *arg, struct err *reterr)
{
    struct commit *k = arg;

    thaw(k);
    /* What was deleted while it was read is not what it was. */
    if (k->container->gone)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "container %s was removed", k->container->id);
    return 0;
}

static void on_progress(void *arg, json_t *obj)
{
    struct commit *k = arg;
    const char *id = json_get_str(obj, "Id", NULL);

    if (id && !k->id)
        k->id = xstrdup(id);
}

static void commit_event(struct commit *k)
{
    const struct commit_options *o = &k->options;
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_free_ char *name = NULL;

    if (!str_empty(o->repo) && reference_parse_repo_tag(o->repo, o->tag, &ref, NULL) >= 0)
        name = reference_familiar(&ref);
    container_event(k->container, "commit",
                    json_pack("{s:s,s:s,s:s}", "comment", o->comment ? o->comment : "", "imageID",
                              k->id, "imageRef", name ? name : ""));
}

static void on_done(void *arg, const struct err *err)
{
    struct commit *k = arg;

    k->job = NULL;
    if (!err)
        commit_event(k);
    finish(k, err);
}

static struct image_commit describe(struct commit *k)
{
    const struct container *c = k->container;

    return (struct image_commit){.image_id = c->image_id,
                                 .container_id = c->id,
                                 .container_config = k->options.step ? k->options.step : c->config,
                                 .step = k->options.step != NULL,
                                 .config = k->config,
                                 .changes = k->options.changes,
                                 .author = k->options.author,
                                 .comment = k->options.comment,
                                 .repo = k->options.repo,
                                 .tag = k->options.tag,
                                 .dir_fd = -EBADF,
                                 .packed = on_packed};
}

static void opened(void *arg, struct rootfs_fds *fds, const struct err *err)
{
    struct commit *k = arg;
    struct engine *e = k->container->engine;
    struct image_job_callbacks cb = {.arg = k, .progress = on_progress, .done = on_done};
    struct image_commit o = describe(k);
    const char *args[3] = {0};
    struct err e2;

    if (err) {
        finish(k, err);
        return;
    }
    o.dir_fd = fds->fds[0];
    o.lower_fds = fds->fds + 1;
    o.n_lowers = fds->n - 1;
    for (size_t i = 0; i < ARRAY_SIZE(fds->maps) && *fds->maps[i]; i++)
        args[i] = fds->maps[i];
    o.args = args;
    if (e->closing)
        err_set(&e2, ERR_UNAVAILABLE, ESHUTDOWN, "the daemon is shutting down");
    else if (k->cancelled)
        err_set(&e2, ERR_UNAVAILABLE, ECANCELED, "the commit was cancelled");
    else
        k->job = images_commit(e->images, &o, &cb, &e2);
    if (!k->job)
        finish(k, &e2);
}

static int read_it(struct commit *k)
{
    struct err err;
    int r = container_open_rootfs(k->container, ROOTFS_LAYER, opened, k, &err);

    if (r < 0)
        finish(k, &err);
    return r;
}

static void paused(void *arg, const struct err *err)
{
    struct commit *k = arg;

    if (err) { /* it has ended meanwhile, or a client is pausing it */
        k->pausing = false;
        k->container->frozen_for_us = is_held(k->container);
    }
    read_it(k);
}

/* ---- the call ---- */

static int make_config(const struct container *c, const struct commit_options *o,
                       const json_t *body, json_t **ret, struct err *reterr)
{
    bool given = json_object_size(body) > 0;
    _cleanup_json_ json_t *config = json_deep_copy(given || o->step ? body : c->config);
    int r = given && !o->step ? runtime_merge_image(config, c->config, reterr) : 0;

    if (r >= 0)
        *ret = TAKE_PTR(config);
    return r;
}

static int check(struct container *c, const struct commit_options *o, const json_t *body,
                 json_t **ret_config, struct err *reterr)
{
    int r;

    if (c->removing)
        return err_set(reterr, ERR_CONFLICT, EBUSY, "container %s is being removed", c->id);
    r = o->step ? 0 : validate_create_types(body, reterr);
    if (r >= 0)
        r = make_config(c, o, body, ret_config, reterr);
    if (r < 0)
        return r;
    return images_commit_check(
        &(struct image_commit){
            .config = *ret_config, .changes = o->changes, .repo = o->repo, .tag = o->tag},
        reterr);
}

struct commit *engine_container_commit(struct engine *e, const char *ref,
                                       const struct commit_options *o, const json_t *body,
                                       engine_json_fn *done, void *arg)
{
    _cleanup_json_ json_t *config = NULL;
    struct container *c;
    struct commit *k;
    struct err err;
    bool held;

    if (registry_find(e, ref, &c, &err) < 0 || check(c, o, body, &config, &err) < 0) {
        done(arg, NULL, &err);
        return NULL;
    }
    shim_sync(c);
    k = xcalloc(1, sizeof(*k));
    k->container = container_ref(c);
    k->config = TAKE_PTR(config);
    k->done = done;
    k->arg = arg;
    options_copy(&k->options, o);
    held = is_held(c);
    k->next = e->commits;
    k->prev_next = &e->commits;
    if (k->next)
        k->next->prev_next = &k->next;
    e->commits = k;
    e->jobs++;
    k->started_ns = c->started_ns;
    k->pausing = o->pause && (held || c->status == STATUS_RUNNING);
    if (held || !k->pausing)
        return read_it(k) < 0 ? NULL : k;
    /* Recorded first: a daemon that dies meanwhile leaves nothing frozen for good. */
    c->frozen_for_us = true;
    if (record_save_state(c, &err) < 0)
        log_error("container %s: %s", c->id, err.message);
    engine_container_pause(e, c->id, paused, k);
    return k;
}

void engine_commit_cancel(struct commit *k)
{
    struct err err;

    err_set(&err, ERR_UNAVAILABLE, ECANCELED, "the commit was cancelled");
    k->cancelled = true; /* without a job: its next step ends it */
    if (!k->job)
        return;
    image_job_cancel(TAKE_PTR(k->job));
    finish(k, &err);
}

void commits_cancel(struct engine *e)
{
    struct err err;

    err_set(&err, ERR_UNAVAILABLE, ESHUTDOWN, "the daemon is shutting down");
    for (struct commit *k = e->commits, *next; k; k = next) {
        next = k->next;
        if (!k->job)
            continue; /* its next step sees that it is the last one */
        image_job_cancel(TAKE_PTR(k->job));
        finish(k, &err);
    }
}
