/* COPY and ADD: what is named is made one tar (`archive pick`), which goes into a container that is
 * then committed (`archive put`).  WORKDIR is the same with nothing in it. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build_copy.h"
#include "fd.h"
#include "log.h"

void copy_done(struct stage_run *s)
{
    struct copy *c = TAKE_PTR(s->copy);

    if (!c)
        return;
    strv_free(c->sources);
    free(c->dest);
    free(c->shown);
    free(c->owner);
    free(c->mode);
    free(c->file);
    free(c->dir);
    fd_close(c->plan);
    free(c);
}

/* ---- containers of a step ---- */

static void removed(void *arg, const struct err *err)
{
    struct build *b = arg;

    if (err && err->kind != ERR_NOT_FOUND)
        log_warn("a build's container: %s", err->message);
    build_release(b);
}

static void drop(struct stage_run *s, struct container **p)
{
    struct container *c = TAKE_PTR(*p);

    if (!c)
        return;
    build_hold(s->build);
    engine_container_remove(c->engine, c->id, true, true, removed, s->build);
    container_unref(c);
}

static void release_view(struct stage_run *s)
{
    if (s->target_held && s->target)
        container_release_view(s->target);
    s->target_held = false;
}

void step_drop_containers(struct stage_run *s)
{
    release_view(s);
    drop(s, &s->source);
    drop(s, &s->target);
}

static bool is_over(const struct build *b)
{
    return b->cancelled || b->ended || b->engine->closing;
}

/* A callback of the step's has come: true if it goes on. */
static bool resume(struct stage_run *s)
{
    if (is_over(s->build))
        step_drop_containers(s);
    return build_release(s->build);
}

static int make_target(struct stage_run *s, const char *image, struct container **ret,
                       struct err *reterr)
{
    struct container *c;
    int r = container_create_bare(s->build->engine, image, &c, reterr);

    if (r >= 0)
        *ret = container_ref(c);
    return r;
}

/* ---- commit ---- */

static void committed(void *arg, json_t *result, const struct err *err)
{
    struct stage_run *s = arg;
    _cleanup_json_ json_t *id = result;
    bool ran = s->exec == NULL && s->ins->kind == INS_RUN;

    if (ran && s->target && !is_over(s->build))
        stage_say(s, "Removing intermediate container %.*s\n", SHORT_ID, s->target->id);
    step_drop_containers(s);
    copy_done(s);
    if (!build_release(s->build))
        return;
    if (err)
        step_failed(s, err);
    else
        step_made(s, json_get_str(id, "Id", "sha256:") + strlen("sha256:"));
}

void step_commit(struct stage_run *s, const json_t *ran)
{
    struct commit_options o = {.author = s->author, .step = ran};

    build_hold(s->build);
    engine_container_commit(s->build->engine, s->target->id, &o, s->config, committed, s);
}

/* ---- the second half: into the image ---- */

static void put_done(void *arg, const struct worker_result *result)
{
    struct stage_run *s = arg;
    _cleanup_json_ json_t *ran = NULL;

    s->worker = NULL;
    release_view(s);
    if (!resume(s))
        return;
    if (result->status < 0) {
        struct err e = result->err;

        err_wrap(&e, "%s failed", s->ins->keyword);
        step_failed(s, &e);
        return;
    }
    ran = json_pack("{s:[s]}", "Cmd", s->created_by);
    step_commit(s, ran);
}

static int start_worker(struct stage_run *s, char **args, int in_fd, int out_fd, int dir_fd,
                        void (*done)(void *arg, const struct worker_result *result),
                        struct err *reterr)
{
    struct engine *e = s->build->engine;
    struct worker_options opt = {.loop = e->loop,
                                 .path = e->config.worker_path,
                                 .command = "archive",
                                 .in_fd = in_fd,
                                 .out_fd = out_fd,
                                 .dir_fd = dir_fd,
                                 .args = (const char *const *)args,
                                 .arg = s,
                                 .done = done};
    int r = worker_start(&opt, &s->worker, reterr);

    if (r >= 0)
        build_hold(s->build);
    return r;
}

static char **put_args(const struct copy *c)
{
    char **args = strv_append(strv_append(NULL, "put"), c->dest);

    args = strv_append(strv_append(args, "--plan"), "--make");
    if (c->single && !str_ends(c->dest, "/"))
        args = strv_append(args, "--name");
    if (c->owner) {
        _cleanup_free_ char *text = xasprintf("--owner=%s", c->owner);

        args = strv_append(args, text);
    }
    if (c->mode) {
        _cleanup_free_ char *text = xasprintf("--mode=%s", c->mode);

        args = strv_append(args, text);
    }
    return args;
}

static void target_opened(void *arg, const struct view *view, const struct err *err)
{
    struct stage_run *s = arg;
    struct copy *c = s->copy;
    _cleanup_(strv_freep) char **args = NULL;
    _cleanup_close_ int in = -EBADF, out = -EBADF;
    struct err e;
    int r;

    s->target_held = view && view->held;
    if (!resume(s))
        return;
    if (err) {
        step_failed(s, err);
        return;
    }
    args = put_args(c);
    in = c->file ? openat(s->build->stage.fd, c->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
                 : open("/dev/null", O_RDONLY | O_CLOEXEC);
    out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    r = in < 0 || out < 0 ? err_sys(&e, errno, "open the archive")
                          : start_worker(s, args, in, out, view->fd, put_done, &e);
    if (r < 0)
        step_failed(s, &e);
}

static void put(struct stage_run *s)
{
    struct err e;
    int r = stage_need_image(s, &e);

    if (r >= 0)
        r = make_target(s, s->image, &s->target, &e);
    if (r >= 0) {
        build_hold(s->build);
        r = container_open_view(s->target, true, target_opened, s, &e);
        if (r < 0)
            s->build->pending--;
    }
    if (r < 0)
        step_failed(s, &e);
}

/* ---- the first half: what is to be copied ---- */

static void describe(struct stage_run *s, int64_t sources)
{
    struct copy *c = s->copy;
    const char *kind = sources > 1 ? "multi" : c->single ? "file" : "dir";
    _cleanup_free_ char *owner = c->owner ? xasprintf("--chown=%s ", c->owner) : xstrdup("");
    _cleanup_free_ char *mode = c->mode ? xasprintf("--chmod=%s ", c->mode) : xstrdup("");
    _cleanup_free_ char *text =
        xasprintf(" %s %s%s%s:%s in %s ", s->ins->keyword, owner, mode, kind, c->digest, c->shown);

    free(s->created_by);
    s->created_by = nop_text(s, text + 1);
}

static void picked(void *arg, const struct worker_result *result)
{
    struct stage_run *s = arg;
    struct copy *c = s->copy;
    struct err e = result->err;

    s->worker = NULL;
    if (!resume(s))
        return;
    drop(s, &s->source);
    if (result->status < 0) {
        if (e.kind == ERR_NOT_FOUND && !c->from)
            err_wrap(&e, "file not found in build context or excluded by .dockerignore");
        err_wrap(&e, "%s failed", s->ins->keyword);
        step_failed(s, &e);
        return;
    }
    if (result->bytes > 1 && !str_ends(c->dest, "/")) {
        err_set(&e, ERR_INVALID, EINVAL,
                "When using %s with more than one source file, the destination must be a directory "
                "and end with a /",
                s->ins->keyword);
        step_failed(s, &e);
        return;
    }
    c->single = result->bytes == 1 && result->length == 1;
    memcpy(c->digest, result->diff_id, sizeof(c->digest));
    describe(s, result->bytes);
    if (!step_probe(s, "")) {
        put(s);
        return;
    }
    copy_done(s);
    step_done(s);
}

int copy_pick(struct stage_run *s, int plan_fd, struct err *reterr)
{
    struct copy *c = s->copy;
    _cleanup_(strv_freep) char **args = strv_append(strv_append(NULL, "pick"), "/");
    _cleanup_close_ int in = open("/dev/null", O_RDONLY | O_CLOEXEC), out = -EBADF;

    args = strv_append(args, "--plan");
    if (s->ins->kind == INS_ADD && !c->urls)
        args = strv_append(args, "--extract");
    for (size_t i = 0; c->sources[i]; i++) {
        _cleanup_free_ char *text = xasprintf("--source=%s", c->sources[i]);

        args = strv_append(args, text);
    }
    c->file = build_file(s->build, "copy");
    out = openat(s->build->stage.fd, c->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (in < 0 || out < 0)
        return err_sys(reterr, errno, "create %s", c->file);
    return start_worker(s, args, in, out, plan_fd, picked, reterr);
}

static void source_opened(void *arg, const struct view *view, const struct err *err)
{
    struct stage_run *s = arg;
    struct err e;

    if (!resume(s))
        return;
    if (err || copy_pick(s, view->fd, &e) < 0)
        step_failed(s, err ? err : &e);
}

int copy_pick_image(struct stage_run *s, const char *image, struct err *reterr)
{
    int r = make_target(s, image, &s->source, reterr);

    if (r < 0)
        return r;
    build_hold(s->build);
    r = container_open_view(s->source, false, source_opened, s, reterr);
    if (r < 0)
        s->build->pending--;
    return r;
}

/* ---- WORKDIR ---- */

void workdir_step(struct stage_run *s)
{
    struct expander x = stage_expander(s);
    _cleanup_free_ char *word = NULL, *path = NULL, *text = NULL;
    struct err e;

    if (expand_word(&x, s->ins->args, &word, &e) < 0) {
        step_failed(s, &e);
        return;
    }
    path = copy_dest_path(s, word);
    if (strlen(path) > 1 && str_ends(path, "/"))
        path[strlen(path) - 1] = '\0';
    json_object_set_new(s->config, "WorkingDir", json_string(path));
    text = xasprintf("WORKDIR %s", path);
    free(s->created_by);
    s->created_by = nop_text(s, text);
    if (step_probe(s, "")) {
        step_done(s);
        return;
    }
    copy_done(s);
    s->copy = xcalloc(1, sizeof(*s->copy));
    s->copy->plan = -EBADF;
    s->copy->dest = xstrdup(path);
    put(s);
}
