/* A build from its first byte to its last: the context, the Dockerfile, the end. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build_impl.h"
#include "fd.h"
#include "ignore.h"
#include "log.h"
#include "reference.h"
#include "url_file.h"

#define IGNORE_MAX (1 << 20)

bool build_option(const struct build *b, const char *name)
{
    return json_get_bool(b->opt, name, false);
}

char *build_file(struct build *b, const char *kind)
{
    return xasprintf("%s-%u", kind, b->files++);
}

/* ---- the end ---- */

static void build_free(struct build *b)
{
    struct engine *e = b->engine;

    *b->prev_next = b->next;
    if (b->next)
        b->next->prev_next = b->prev_next;
    e->n_builds--;
    e->jobs--;
    for (size_t i = 0; b->runs && i < b->stages.n; i++)
        stage_run_done(&b->runs[i]);
    free(b->runs);
    build_stages_done(&b->stages);
    dockerfile_done(&b->file);
    free(b->text);
    json_decref(b->opt);
    json_decref(b->meta);
    json_decref(b->used);
    fd_close(b->context_plan);
    fd_close(b->remote_fd);
    free(b);
}

static void discard_run(void *arg)
{
    struct build *b = arg;

    storage_stage_discard(b->engine->storage, &b->trash);
}

static void after_discard(void *arg)
{
    struct build *b = arg;

    if (!b->cancelled)
        b->cb.done(b->cb.arg, b->err.kind != ERR_NONE ? &b->err : NULL, b->code);
    build_free(b);
}

/* The last callback has come: nothing of the build is under way any more. */
static void finish(struct build *b)
{
    b->trash = b->stage;
    b->stage = STAGE_NONE;
    job_run(b->engine, discard_run, after_discard, b);
}

void build_hold(struct build *b)
{
    b->pending++;
}

bool build_release(struct build *b)
{
    bool over = b->cancelled || b->ended || b->engine->closing;

    if (--b->pending > 0 || !over)
        return !over;
    finish(b);
    return false;
}

/* Stop what is under way; its callbacks end the build. */
static void stop(struct build *b)
{
    b->pending++;
    if (b->worker)
        worker_kill(b->worker);
    if (b->fetch) {
        url_file_cancel(TAKE_PTR(b->fetch)); /* no callback: its hold is ours */
        b->pending--;
    }
    for (size_t i = 0; b->runs && i < b->stages.n; i++) {
        struct stage_run *s = &b->runs[i];

        if (s->worker)
            worker_kill(s->worker);
        if (s->pull) {
            image_pull_cancel(TAKE_PTR(s->pull)); /* no callback: its hold is ours */
            b->pending--;
        }
        if (s->fetch) {
            url_file_cancel(TAKE_PTR(s->fetch)); /* likewise */
            b->pending--;
        }
        if (s->exec)
            build_exec_cancel(s);
        else if (!s->worker)
            step_drop_containers(s);
    }
    build_release(b);
}

void build_fail(struct build *b, const struct err *err)
{
    if (b->ended || b->cancelled)
        return;
    b->err = *err;
    b->ended = true;
    stop(b);
}

void engine_build_cancel(struct build *b)
{
    b->cancelled = true;
    if (!b->ended)
        stop(b);
}

bool builds_have_image(void *arg, const char *image_id)
{
    const struct engine *e = arg;

    for (const struct build *b = e->builds; b; b = b->next) {
        for (size_t i = 0; b->runs && i < b->stages.n; i++) {
            if (streq(b->runs[i].image, image_id))
                return true;
        }
    }
    return false;
}

void builds_cancel(struct engine *e)
{
    struct err err;

    err_set(&err, ERR_UNAVAILABLE, ESHUTDOWN, "the daemon is shutting down");
    for (struct build *b = e->builds, *next; b; b = next) {
        next = b->next;
        build_fail(b, &err);
    }
}

/* ---- the Dockerfile ---- */

static const char *dockerfile_name(const struct build *b)
{
    return json_get_str(b->opt, "dockerfile", "Dockerfile");
}

static int read_below(int root, const char *name, size_t max, char **ret)
{
    /* A device is not even opened. */
    _cleanup_close_ int fd = path_open_in_root(root, name, O_PATH, 0);
    char path[64];
    struct stat sb;
    ssize_t n;

    if (fd < 0)
        return fd;
    if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode))
        return -EINVAL;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = file_read(AT_FDCWD, path, max, ret);
    return n < 0 ? (int)n : (int)n;
}

/* Of a file in the context: neither the Dockerfile nor the list itself is copied if the list says
 * so. */
static void remove_ignored(struct build *b, int root)
{
    const char *const names[] = {".dockerignore", dockerfile_name(b)};
    _cleanup_(ignore_done) struct ignore ig = {0};
    _cleanup_free_ char *text = NULL;

    if (read_below(root, ".dockerignore", IGNORE_MAX, &text) < 0 || ignore_parse(text, &ig) < 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *rooted = xasprintf("/%s", names[i]), *clean = path_clean(rooted);
        _cleanup_free_ char *dir = xstrdup(clean);
        char *slash = strrchr(dir, '/');
        _cleanup_close_ int parent = -EBADF;

        *slash = '\0';
        if (!ignore_match(&ig, clean + 1))
            continue;
        parent = path_open_in_root(root, *dir ? dir : "/", O_PATH | O_DIRECTORY, 0);
        if (parent >= 0)
            unlinkat(parent, slash + 1, 0);
    }
}

/* What is no UTF-8 has no place in the JSON of an image, where it would be missing: "USER" of such
 * a name must not be nobody's. */
static void clean_text(struct build *b)
{
    char *clean = str_to_utf8(b->text);

    free(b->text);
    b->text = clean;
    b->text_len = strlen(clean);
}

static void read_run(void *arg)
{
    struct build *b = arg;
    _cleanup_close_ int root =
        openat(b->stage.fd, BUILD_CONTEXT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = root < 0 ? -errno : read_below(root, dockerfile_name(b), DOCKERFILE_MAX, &b->text);

    if (r == -EFBIG)
        err_set(&b->err, ERR_INVALID, EFBIG, "the Dockerfile is larger than %d bytes",
                DOCKERFILE_MAX);
    else if (r < 0)
        err_set(&b->err, ERR_SYSTEM, ENOENT, "Cannot locate specified Dockerfile: %s",
                dockerfile_name(b));
    else
        remove_ignored(b, root);
    b->text_len = r < 0 ? 0 : (size_t)r;
    if (r >= 0 && !memchr(b->text, '\0', b->text_len))
        clean_text(b);
}

static int choose_target(struct build *b, struct err *reterr)
{
    const char *name = json_get_str(b->opt, "target", "");
    int i;

    b->target = b->stages.n - 1;
    if (!*name)
        return 0;
    i = build_stages_index(&b->stages, b->stages.n, name);
    if (i < 0)
        return err_set(reterr, ERR_INVALID, ENOENT, "failed to reach build target %s in Dockerfile",
                       name);
    b->target = (size_t)i;
    return 0;
}

static void after_read(void *arg)
{
    struct build *b = arg;
    struct err e = b->err;
    int r = e.kind != ERR_NONE ? -EINVAL : 0;

    if (!build_release(b))
        return;
    b->err.kind = ERR_NONE;
    if (r >= 0 && b->text_len == 0)
        r = err_set(&e, ERR_INVALID, EINVAL, "the Dockerfile (%s) cannot be empty",
                    dockerfile_name(b));
    if (r >= 0)
        r = dockerfile_parse(b->text, b->text_len, &b->file, &e);
    if (r >= 0)
        r = build_stages_find(&b->file, &b->stages, &e);
    if (r >= 0)
        r = choose_target(b, &e);
    if (r < 0)
        build_fail(b, &e);
    else
        stages_begin(b);
}

void build_read(struct build *b)
{
    build_hold(b);
    job_run(b->engine, read_run, after_read, b);
}

/* ---- the context ---- */

static void unpacked(void *arg, const struct worker_result *result)
{
    struct build *b = arg;

    b->worker = NULL;
    if (!build_release(b))
        return;
    if (result->status < 0) {
        struct err e = result->err;

        err_wrap(&e, "Error processing tar file");
        build_fail(b, &e);
        return;
    }
    build_read(b);
}

int build_plan_dir(struct build *b, const char *name, struct err *reterr)
{
    _cleanup_free_ char *dir = path_join(b->stage.path, name);
    _cleanup_json_ json_t *config = json_object(), *host = json_object();
    struct runtime_spec spec = {
        .id = "context", .config = config, .host_config = host, .upper = dir, .work = dir};
    struct plan plan = {0};
    int fd, r = mkdirat(b->stage.fd, name, 0755) < 0 ? -errno : 0;

    if (r < 0)
        return err_sys(reterr, -r, "mkdir %s", dir);
    r = runtime_view_plan(b->engine->runtime, &spec, &plan, reterr);
    fd = r < 0 ? r : plan_memfd(&plan);
    plan_done(&plan);
    return r >= 0 && fd < 0 ? err_sys(reterr, -fd, "cannot store the plan") : fd;
}

int build_unpack(struct build *b, int in_fd, struct err *reterr)
{
    static const char *const args[] = {"put", "/", "--plan", NULL};
    _cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct worker_options opt = {.loop = b->engine->loop,
                                 .path = b->engine->config.worker_path,
                                 .command = "archive",
                                 .in_fd = in_fd,
                                 .out_fd = null,
                                 .dir_fd = b->context_plan,
                                 .args = args,
                                 .arg = b,
                                 .done = unpacked};

    int r = null < 0 ? err_sys(reterr, errno, "/dev/null") : worker_start(&opt, &b->worker, reterr);

    if (r >= 0)
        build_hold(b);
    return r;
}

/* ---- the calls ---- */

static json_t *keep_options(const struct build_options *o)
{
    const struct {
        const char *name, *value;
    } texts[] = {{"dockerfile", o->dockerfile}, {"target", o->target}, {"platform", o->platform}};
    const struct {
        const char *name;
        bool value;
    } flags[] = {{"nocache", o->nocache},
                 {"pull", o->pull},
                 {"rm", o->rm},
                 {"forcerm", o->forcerm},
                 {"quiet", o->quiet}};
    const struct {
        const char *name;
        const json_t *value;
    } objects[] = {{"args", o->args},
                   {"labels", o->labels},
                   {"host", o->host_config},
                   {"auths", o->auths},
                   {"cachefrom", o->cache_from}};
    json_t *out = json_object(), *tags = json_array();

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (!str_empty(texts[i].value))
            json_object_set_new(out, texts[i].name, json_string(texts[i].value));
    }
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        json_object_set_new(out, flags[i].name, json_boolean(flags[i].value));
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        json_object_set_new(out, objects[i].name,
                            objects[i].value ? json_deep_copy(objects[i].value) : json_object());
    for (size_t i = 0; o->tags && o->tags[i]; i++)
        json_array_append_new(tags, json_string(o->tags[i]));
    json_object_set_new(out, "tags", tags);
    return out;
}

static int check_tags(const struct build_options *o, struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && o->tags && o->tags[i]; i++) {
        _cleanup_reference_ struct reference ref = {0};

        r = reference_parse_repo_tag(o->tags[i], NULL, &ref, reterr);
    }
    return r;
}

int engine_build_open(struct engine *e, int in_fd, const struct build_options *options,
                      const struct build_callbacks *cb, struct build **ret, struct err *reterr)
{
    struct build *b;
    int r = check_tags(options, reterr);

    if (r < 0)
        return r;
    if (e->closing || e->n_builds >= BUILDS_MAX)
        return err_set(reterr, ERR_UNAVAILABLE, EBUSY, "too many builds are running");
    b = xcalloc(1, sizeof(*b));
    *b = (struct build){.engine = e,
                        .cb = *cb,
                        .opt = keep_options(options),
                        .meta = json_object(),
                        .used = json_object(),
                        .stage = STAGE_NONE,
                        .trash = STAGE_NONE,
                        .context_plan = -EBADF,
                        .remote_fd = -EBADF,
                        .expand_left = BUILD_EXPANDED_MAX,
                        .prev_next = &e->builds,
                        .next = e->builds};
    if (b->next)
        b->next->prev_next = &b->next;
    e->builds = b;
    e->n_builds++;
    e->jobs++;
    r = storage_stage_new(e->storage, &b->stage, reterr);
    if (r >= 0)
        r = b->context_plan = build_plan_dir(b, BUILD_CONTEXT, reterr);
    if (r >= 0)
        r = options->remote ? build_remote(b, options->remote, reterr)
                            : build_unpack(b, in_fd, reterr);
    if (r < 0) {
        storage_stage_discard(e->storage, &b->stage);
        build_free(b);
        return r;
    }
    *ret = b;
    return 0;
}
