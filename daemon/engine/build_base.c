/* FROM: what a stage begins with, and images that are pulled because a step names them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "build_impl.h"
#include "image.h"
#include "reference.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static stage_fn stage_from;

/* ---- what it is ---- */

static int take_triggers(struct stage_run *s, struct err *reterr)
{
    json_t *list = json_get(s->config, "OnBuild"), *item;
    _cleanup_buf_ struct buf text = {0};
    size_t n = json_array_size(list), i;
    int r = 0;

    if (n == 0)
        return 0;
    stage_say(s, "# Executing %zu build trigger%s\n", n, n == 1 ? "" : "s");
    json_array_foreach (list, i, item)
        buf_printf(&text, "%s\n", json_is_string(item) ? json_string_value(item) : "");
    r = dockerfile_parse(buf_head(&text), buf_size(&text), &s->triggers, reterr);
    json_object_del(s->config, "OnBuild");
    /* They are whatever the image says, which need not have been built here. */
    for (i = 0; r >= 0 && i < s->triggers.n; i++)
        r = trigger_check(&s->triggers.list[i], reterr);
    return r;
}

static void base_found(struct stage_run *s, const struct image *img)
{
    struct err e;

    if (img) {
        memcpy(s->image, img->id, sizeof(s->image));
        json_decref(s->config);
        s->config = config_kept(json_get(img->config, "config"));
        json_decref(TAKE_PTR(s->env_at));
    }
    if (!stage_env_get(s, "PATH") && stage_env_put(s, "PATH", PATH_DEFAULT, &e) < 0) {
        step_failed(s, &e);
        return;
    }
    if (*s->image && json_array_size(json_get(s->config, "OnBuild")) > 0)
        ; /* take_triggers() says what follows */
    else if (*s->image)
        stage_say(s, " ---> %.*s\n", SHORT_ID, s->image);
    else
        stage_say(s, " ---> \n");
    if (take_triggers(s, &e) < 0) {
        step_failed(s, &e);
        return;
    }
    build_hold(s->build);
    engine_defer(s->build->engine, stage_next, s);
}

/* ---- pulling ---- */

static void pull_progress(void *arg, json_t *obj)
{
    struct stage_run *s = arg;

    if (!build_option(s->build, "quiet"))
        stage_output(s, json_incref(obj));
}

static void pull_done(void *arg, const struct err *err)
{
    struct stage_run *s = arg;
    stage_fn *then = TAKE_PTR(s->pulled);

    s->pull = NULL;
    if (!build_release(s->build))
        return;
    if (err)
        step_failed(s, err);
    else
        then(s);
}

/* The credentials for the registry of that name. */
static void find_auth(struct build *b, const char *name, struct registry_auth *ret)
{
    _cleanup_reference_ struct reference ref = {0};
    const json_t *auths = json_get(b->opt, "auths"), *v;

    if (reference_parse(name, &ref, NULL) < 0)
        return;
    v = json_object_get(auths, streq(ref.domain, "docker.io") ? "https://index.docker.io/v1/"
                                                              : ref.domain);
    if (v)
        registry_auth_from_json(v, ret);
}

int stage_pull(struct stage_run *s, const char *name, const char *platform, stage_fn *then,
               struct err *reterr)
{
    struct build *b = s->build;
    _cleanup_registry_auth_ struct registry_auth auth = {0};
    _cleanup_reference_ struct reference ref = {0};
    struct image_job_callbacks cb = {.arg = s, .progress = pull_progress, .done = pull_done};
    struct image_pull_options o = {.name = name, .auth = &auth};
    int r = reference_parse(name, &ref, reterr);

    if (r < 0)
        return r;
    find_auth(b, name, &auth);
    o.platform = str_empty(platform) ? json_get_str(b->opt, "platform", NULL) : platform;
    o.tag = ref.tag || ref.digest ? NULL : "latest";
    build_hold(b);
    s->pulled = then;
    s->pull = images_pull(b->engine->images, &o, &cb, reterr);
    if (s->pull)
        return 0;
    b->pending--;
    return -EINVAL;
}

/* ---- FROM ---- */

static int find_base(struct stage_run *s, const char *name, struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    int r = images_lookup(s->build->engine->images, name, &img, reterr);

    if (r >= 0)
        base_found(s, img);
    return r;
}

static void base_pulled(struct stage_run *s)
{
    _cleanup_free_ char *name = NULL;
    struct err e;

    if (base_name(s->build, s->index, &name, &e) < 0 || find_base(s, name, &e) < 0)
        step_failed(s, &e);
}

/* What the stage before has become; nothing, if it is FROM scratch and has no instructions. */
static int take_stage(struct stage_run *s, size_t other, struct err *reterr)
{
    const char *image = s->build->runs[other].image;

    if (*image)
        return find_base(s, image, reterr);
    base_found(s, NULL);
    return 0;
}

static int find_from(struct stage_run *s, struct err *reterr)
{
    struct build *b = s->build;
    _cleanup_free_ char *name = NULL, *platform = NULL;
    int r = base_name(b, s->index, &name, reterr), other;

    if (r >= 0)
        r = base_platform(b, s->index, &platform, reterr);
    if (r < 0)
        return r;
    other = stage_by_name(b, s->index, name);
    if (streq(name, "scratch")) {
        base_found(s, NULL);
        return 0;
    }
    if (other >= 0)
        return stage_await(s, (size_t)other, stage_from) ? take_stage(s, (size_t)other, reterr) : 0;
    /* One of another platform is as good as none: the registry may have the right one. */
    r = build_option(b, "pull") ? -ENOENT
                                : images_check_platform(b->engine->images, name, platform, reterr);
    if (r >= 0)
        r = find_base(s, name, reterr);
    return r == -ENOENT ? stage_pull(s, name, platform, base_pulled, reterr) : r;
}

static void stage_from(struct stage_run *s)
{
    struct err e;

    if (find_from(s, &e) < 0)
        step_failed(s, &e);
}

void stage_begin(struct stage_run *s)
{
    stage_say(s, "Step %u/%u : %s\n", ++s->step, s->build->steps, s->def->from->original);
    stage_from(s);
}
