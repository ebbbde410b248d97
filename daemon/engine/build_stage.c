/* Stages: which are needed, what they begin with, their instructions one after the other, the
 * cache. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth.h"
#include "build_impl.h"
#include "digest.h"
#include "image.h"
#include "reference.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void stage_next(void *arg);
static void stage_begin(struct stage_run *s);

/* ---- variables ---- */

static bool is_builtin(const char *name)
{
    static const char *const names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
                                        "FTP_PROXY",  "ftp_proxy",  "NO_PROXY",    "no_proxy",
                                        "ALL_PROXY",  "all_proxy"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(names[i], name))
            return true;
    }
    return false;
}

const char *stage_arg(struct stage_run *s, const char *name)
{
    const json_t *declared = json_object_get(s->args, name);
    const json_t *given = json_object_get(json_get(s->build->opt, "args"), name);

    if (!declared && !is_builtin(name))
        return NULL;
    if (json_is_string(given))
        return json_string_value(given);
    return declared ? json_string_value(declared) : NULL;
}

static const char *lookup(void *arg, const char *name)
{
    struct stage_run *s = arg;
    const char *value = config_env_get(s->config, name);

    return value ? value : stage_arg(s, name);
}

struct expander stage_expander(struct stage_run *s)
{
    return (struct expander){.escape = s->build->file.escape,
                             .lookup = lookup,
                             .arg = s,
                             .left = &s->build->expand_left};
}

/* ---- before the first FROM ---- */

static const char *lookup_meta(void *arg, const char *name)
{
    struct build *b = arg;
    const json_t *v = json_object_get(b->meta, name);

    return json_string_value(v);
}

static struct expander meta_expander(struct build *b)
{
    return (struct expander){
        .escape = b->file.escape, .lookup = lookup_meta, .arg = b, .left = &b->expand_left};
}

static int take_meta(struct build *b, const struct instruction *ins, bool say, struct err *reterr)
{
    struct expander x = meta_expander(b);
    _cleanup_(strv_freep) char **words = NULL;
    int r = words_split(ins->args, x.escape, &words, reterr);

    for (size_t i = 0; r >= 0 && words && words[i]; i++) {
        _cleanup_free_ char *word = NULL;
        const json_t *given;
        char *eq;

        r = expand_word(&x, words[i], &word, reterr);
        if (r < 0)
            break;
        eq = strchr(word, '=');
        if (eq)
            *eq = '\0';
        given = json_object_get(json_get(b->opt, "args"), word);
        json_object_set_new(b->used, word, json_true());
        if (json_is_string(given))
            json_object_set(b->meta, word, (json_t *)given);
        else if (eq)
            json_object_set_new(b->meta, word, json_string(eq + 1));
    }
    if (r >= 0 && say)
        build_say(b, "Step %u/%u : %s\n", ++b->step, b->steps, ins->original);
    return r;
}

/* ---- which stages ---- */

/* The stage that --from or FROM names, or -ENOENT. */
static int stage_of(const struct build *b, size_t before, const char *name)
{
    return build_stages_index(&b->stages, before, name);
}

/* FROM goes by names only. */
static int stage_by_name(const struct build *b, size_t before, const char *name)
{
    int i = stage_of(b, before, name);

    return i >= 0 && b->stages.list[i].name && strcasecmp(b->stages.list[i].name, name) == 0
               ? i
               : -ENOENT;
}

static int base_name(struct build *b, size_t i, char **ret, struct err *reterr)
{
    struct expander x = meta_expander(b);
    int r = expand_word(&x, b->stages.list[i].base, ret, reterr);

    if (r >= 0 && !**ret)
        return err_set(reterr, ERR_INVALID, EINVAL, "base name (%s) should not be blank",
                       b->stages.list[i].base);
    return r;
}

static int mark_needed(struct build *b, size_t i, struct err *reterr)
{
    const struct build_stage *def = &b->stages.list[i];
    _cleanup_free_ char *base = NULL;
    int r, other;

    if (b->runs[i].needed)
        return 0;
    b->runs[i].needed = true;
    b->steps += 1 + (unsigned)def->n;
    r = base_name(b, i, &base, reterr);
    if (r < 0)
        return r;
    other = stage_by_name(b, i, base);
    if (other >= 0)
        r = mark_needed(b, (size_t)other, reterr);
    for (size_t k = 0; r >= 0 && k < def->n; k++) {
        const char *from = instruction_flag(&def->first[k], "from");

        other = from ? stage_of(b, i, from) : -ENOENT;
        if (other >= 0)
            r = mark_needed(b, (size_t)other, reterr);
    }
    return r;
}

static void run_next_stage(struct build *b);

void stages_begin(struct build *b)
{
    struct err e;
    int r = 0;

    b->runs = xcalloc(b->stages.n, sizeof(*b->runs));
    for (size_t i = 0; i < b->stages.n; i++) {
        b->runs[i] = (struct stage_run){.build = b,
                                        .def = &b->stages.list[i],
                                        .index = i,
                                        .config = json_object(),
                                        .args = json_object()};
    }
    b->steps = (unsigned)b->stages.n_args;
    if (json_object_size(json_get(b->opt, "labels")) > 0)
        b->steps++;
    /* Their values first: a base's name may have variables in it.  The number of steps is not known
     * before, so nothing is said. */
    for (size_t i = 0; r >= 0 && i < b->stages.n_args; i++)
        r = take_meta(b, &b->stages.args[i], false, &e);
    if (r >= 0)
        r = mark_needed(b, b->target, &e);
    for (size_t i = 0; r >= 0 && i < b->stages.n_args; i++)
        r = take_meta(b, &b->stages.args[i], true, &e);
    if (r < 0)
        build_fail(b, &e);
    else
        run_next_stage(b);
}

void stage_run_done(struct stage_run *s)
{
    json_decref(s->config);
    json_decref(s->args);
    free(s->author);
    free(s->created_by);
    dockerfile_done(&s->triggers);
    copy_done(s);
}

/* ---- the end ---- */

static void warn_unused(struct build *b)
{
    const json_t *args = json_get(b->opt, "args");
    _cleanup_buf_ struct buf names = {0};
    _cleanup_free_ char *text = NULL;
    const char *name;
    json_t *v;

    json_object_foreach ((json_t *)args, name, v) {
        if (!json_object_get(b->used, name) && !is_builtin(name))
            buf_printf(&names, "%s%s", buf_size(&names) ? " " : "", name);
    }
    text = buf_take_str(&names);
    if (*text)
        build_say(b, "[Warning] One or more build-args [%s] were not consumed\n", text);
}

static int tag_all(struct build *b, const char *id, struct err *reterr)
{
    const json_t *item;
    size_t i;
    int r = 0;

    json_array_foreach (json_get(b->opt, "tags"), i, item) {
        _cleanup_reference_ struct reference ref = {0};
        _cleanup_free_ char *shown = NULL;

        if (r >= 0)
            r = reference_parse_repo_tag(json_string_value(item), NULL, &ref, reterr);
        if (r >= 0)
            r = images_tag(b->engine->images, id, json_string_value(item), NULL, reterr);
        if (r < 0)
            break;
        shown = reference_familiar(&ref);
        build_say(b, "Successfully tagged %s\n", shown);
    }
    return r;
}

static void build_succeeded(struct build *b)
{
    struct stage_run *s = &b->runs[b->target];
    struct err e;

    if (!*s->image) {
        err_set(&e, ERR_INVALID, EINVAL, "No image was generated. Is your Dockerfile empty?");
        build_fail(b, &e);
        return;
    }
    images_build_done(b->engine->images, s->image);
    warn_unused(b);
    build_output(b, json_pack("{s:{s:o}}", "aux", "ID", json_sprintf("sha256:%s", s->image)));
    build_say(b, "Successfully built %.*s\n", SHORT_ID, s->image);
    if (tag_all(b, s->image, &e) < 0) {
        build_fail(b, &e);
        return;
    }
    if (build_option(b, "quiet"))
        build_output(b, json_pack("{s:o}", "stream", json_sprintf("sha256:%s\n", s->image)));
    build_hold(b);
    b->ended = true;
    build_release(b);
}

static void run_next_stage(struct build *b)
{
    for (size_t i = 0; i <= b->target; i++) {
        if (b->runs[i].needed && !b->runs[i].begun) {
            stage_begin(&b->runs[i]);
            return;
        }
    }
    build_succeeded(b);
}

/* ---- the base ---- */

static int take_triggers(struct stage_run *s, struct err *reterr)
{
    json_t *list = json_get(s->config, "OnBuild"), *item;
    _cleanup_buf_ struct buf text = {0};
    size_t n = json_array_size(list), i;
    int r = 0;

    if (n == 0)
        return 0;
    build_say(s->build, "# Executing %zu build trigger%s\n", n, n == 1 ? "" : "s");
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
    }
    if (!config_env_get(s->config, "PATH"))
        config_env_put(s->config, "PATH", PATH_DEFAULT);
    if (*s->image)
        build_say(s->build, " ---> %.*s\n", SHORT_ID, s->image);
    else
        build_say(s->build, " ---> \n");
    if (take_triggers(s, &e) < 0) {
        build_fail(s->build, &e);
        return;
    }
    build_hold(s->build);
    engine_defer(s->build->engine, stage_next, s);
}

static int find_base(struct stage_run *s, const char *name, struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    int r = images_lookup(s->build->engine->images, name, &img, reterr);

    if (r >= 0)
        base_found(s, img);
    return r;
}

static void pull_progress(void *arg, json_t *obj)
{
    struct stage_run *s = arg;

    if (!build_option(s->build, "quiet"))
        build_output(s->build, json_incref(obj));
}

static void pull_done(void *arg, const struct err *err)
{
    struct stage_run *s = arg;
    _cleanup_free_ char *name = NULL;
    struct err e;

    s->pull = NULL;
    if (!build_release(s->build))
        return;
    if (err || base_name(s->build, s->index, &name, &e) < 0 || find_base(s, name, &e) < 0)
        build_fail(s->build, err ? err : &e);
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

static int pull_base(struct stage_run *s, const char *name, struct err *reterr)
{
    struct build *b = s->build;
    _cleanup_registry_auth_ struct registry_auth auth = {0};
    _cleanup_reference_ struct reference ref = {0};
    struct image_job_callbacks cb = {.arg = s, .progress = pull_progress, .done = pull_done};
    const char *platform =
        s->def->platform ? s->def->platform : json_get_str(b->opt, "platform", NULL);
    struct image_pull_options o = {.name = name, .platform = platform, .auth = &auth};
    int r = reference_parse(name, &ref, reterr);

    if (r < 0)
        return r;
    find_auth(b, name, &auth);
    o.tag = ref.tag || ref.digest ? NULL : "latest";
    build_hold(b);
    s->pull = images_pull(b->engine->images, &o, &cb, reterr);
    if (s->pull)
        return 0;
    b->pending--;
    return -EINVAL;
}

static void stage_begin(struct stage_run *s)
{
    struct build *b = s->build;
    _cleanup_free_ char *name = NULL;
    struct err e;
    int r, other;

    s->begun = true;
    build_say(b, "Step %u/%u : %s\n", ++b->step, b->steps, s->def->from->original);
    r = base_name(b, s->index, &name, &e);
    if (r < 0) {
        build_fail(b, &e);
        return;
    }
    other = stage_by_name(b, s->index, name);
    if (streq(name, "scratch")) {
        base_found(s, NULL);
    } else if (other >= 0) {
        r = *b->runs[other].image ? find_base(s, b->runs[other].image, &e) : 0;
        if (r >= 0 && !*b->runs[other].image)
            base_found(s, NULL);
    } else {
        r = build_option(b, "pull") ? -ENOENT : find_base(s, name, &e);
        if (r == -ENOENT)
            r = pull_base(s, name, &e);
    }
    if (r < 0)
        build_fail(b, &e);
}

/* ---- one instruction after the other ---- */

static void config_step(struct stage_run *s)
{
    _cleanup_free_ char *comment = NULL;
    struct err e;

    if (config_apply(s, &comment, &e) < 0)
        step_failed(s, &e);
    else
        step_derive(s, comment);
}

static void (*const steps[])(struct stage_run *s) = {
    [INS_ADD] = copy_step,
    [INS_ARG] = config_step,
    [INS_CMD] = config_step,
    [INS_COPY] = copy_step,
    [INS_ENTRYPOINT] = config_step,
    [INS_ENV] = config_step,
    [INS_EXPOSE] = config_step,
    [INS_FROM] = NULL,
    [INS_HEALTHCHECK] = config_step,
    [INS_LABEL] = config_step,
    [INS_MAINTAINER] = config_step,
    [INS_ONBUILD] = config_step,
    [INS_RUN] = run_step,
    [INS_SHELL] = config_step,
    [INS_STOPSIGNAL] = config_step,
    [INS_USER] = config_step,
    [INS_VOLUME] = config_step,
    [INS_WORKDIR] = workdir_step,
};

static void stage_ended(struct stage_run *s)
{
    s->done = true;
    run_next_stage(s->build);
}

/* The request's labels are one more step of the last stage. */
static bool label_step(struct stage_run *s)
{
    const json_t *labels = json_get(s->build->opt, "labels");
    _cleanup_buf_ struct buf text = {0};
    _cleanup_free_ char *comment = NULL;
    json_t *mine, *v;
    const char *name;

    if (s->labelled || s->index != s->build->target || json_object_size(labels) == 0)
        return false;
    s->labelled = true;
    mine = json_object_get(s->config, "Labels");
    if (!json_is_object(mine)) {
        mine = json_object();
        json_object_set_new(s->config, "Labels", mine);
    }
    buf_append_str(&text, "LABEL");
    json_object_foreach ((json_t *)labels, name, v) {
        json_object_set_new(mine, name, json_string(json_is_string(v) ? json_string_value(v) : ""));
        buf_printf(&text, " %s=%s", name, json_get_str(labels, name, ""));
    }
    comment = buf_take_str(&text);
    build_say(s->build, "Step %u/%u : %s\n", ++s->build->step, s->build->steps, comment);
    step_derive(s, comment);
    return true;
}

static void stage_next(void *arg)
{
    struct stage_run *s = arg;
    struct build *b = s->build;

    if (!build_release(b))
        return;
    if (s->at_trigger < s->triggers.n) {
        s->ins = &s->triggers.list[s->at_trigger++];
    } else if (s->at < s->def->n) {
        s->ins = &s->def->first[s->at++];
        build_say(b, "Step %u/%u : %s\n", ++b->step, b->steps, s->ins->original);
    } else {
        if (!label_step(s))
            stage_ended(s);
        return;
    }
    steps[s->ins->kind](s);
}

void step_done(struct stage_run *s)
{
    build_say(s->build, " ---> %.*s\n", SHORT_ID, s->image);
    free(TAKE_PTR(s->created_by));
    build_hold(s->build);
    engine_defer(s->build->engine, stage_next, s);
}

void step_failed(struct stage_run *s, const struct err *err)
{
    build_fail(s->build, err);
}

/* ---- the cache ---- */

char *nop_text(const struct stage_run *s, const char *comment)
{
    json_t *shell = config_shell(s->config), *item;
    _cleanup_buf_ struct buf out = {0};
    size_t i;

    json_array_foreach (shell, i, item)
        buf_printf(&out, "%s ", json_is_string(item) ? json_string_value(item) : "");
    buf_printf(&out, "#(nop) %s", comment);
    json_decref(shell);
    return buf_take_str(&out);
}

bool step_probe(struct stage_run *s, const char *more)
{
    struct build *b = s->build;
    _cleanup_free_ char *config = json_dumps(s->config, JSON_COMPACT | JSON_SORT_KEYS);
    _cleanup_free_ char *text = xasprintf("%s\n%s\n%s\n%s\n%s", s->image, s->created_by, more,
                                          config, s->author ? s->author : "");
    char found[ID_LEN + 1];

    digest_sha256(text, strlen(text), s->key);
    if (s->missed || build_option(b, "nocache") ||
        !images_step_find(b->engine->images, s->key, found)) {
        s->missed = true;
        return false;
    }
    build_say(b, " ---> Using cache\n");
    memcpy(s->image, found, sizeof(s->image));
    return true;
}

void step_made(struct stage_run *s, const char *image_id)
{
    images_step_done(s->build->engine->images, image_id, NULL, s->key);
    memcpy(s->image, image_id, sizeof(s->image));
    step_done(s);
}

void step_derive(struct stage_run *s, const char *comment)
{
    _cleanup_free_ char *text = xasprintf(" %s", comment);
    struct image_derive o = {.parent = s->image, .config = s->config, .author = s->author};
    char id[ID_LEN + 1];
    struct err e;

    free(s->created_by);
    s->created_by = nop_text(s, text);
    o.created_by = s->created_by;
    if (step_probe(s, ""))
        step_done(s);
    else if (images_derive(s->build->engine->images, &o, id, &e) < 0)
        step_failed(s, &e);
    else
        step_made(s, id);
}

int stage_need_image(struct stage_run *s, struct err *reterr)
{
    struct image_derive o = {.config = s->config};

    return *s->image ? 0 : images_derive(s->build->engine->images, &o, s->image, reterr);
}
