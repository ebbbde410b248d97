/* The stages of a build: which are needed, which run at the same time, whose output is shown, the
 * end of the last one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "build_impl.h"
#include "image.h"
#include "reference.h"

#define STAGES_MAX 1000
#define STAGES_AT_ONCE 4 /* that do something; those that wait for another do not count */

static void begin_stages(struct build *b);

/* ---- which stages ---- */

/* The stage that --from or FROM names, or -ENOENT. */
static int stage_of(const struct build *b, size_t before, const char *name)
{
    return build_stages_index(&b->stages, before, name);
}

/* FROM goes by names only. */
int stage_by_name(const struct build *b, size_t before, const char *name)
{
    int i = stage_of(b, before, name);

    return i >= 0 && b->stages.list[i].name && strcasecmp(b->stages.list[i].name, name) == 0
               ? i
               : -ENOENT;
}

int base_name(struct build *b, size_t i, char **ret, struct err *reterr)
{
    struct expander x = meta_expander(b);
    int r = expand_word(&x, b->stages.list[i].base, ret, reterr);

    if (r >= 0 && !**ret)
        return err_set(reterr, ERR_INVALID, EINVAL, "base name (%s) should not be blank",
                       b->stages.list[i].base);
    return r;
}

int base_platform(struct build *b, size_t i, char **ret, struct err *reterr)
{
    const char *own = b->stages.list[i].platform;
    struct expander x = meta_expander(b);
    int r = expand_word(&x, own ? own : "", ret, reterr);

    if (r >= 0 && !**ret) {
        free(*ret);
        *ret = xstrdup(json_get_str(b->opt, "platform", ""));
    }
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

/* Each stage's steps have the numbers that they would have one after the other, behind n. */
static void number_steps(struct build *b, unsigned n)
{
    for (size_t i = 0; i <= b->target; i++) {
        if (!b->runs[i].needed || b->runs[i].numbered)
            continue;
        b->runs[i].numbered = true;
        b->runs[i].step = n;
        n += 1 + (unsigned)b->stages.list[i].n;
        if (i < b->front)
            b->front = i;
    }
}

void stages_begin(struct build *b)
{
    struct err e;
    int r = 0;

    if (b->stages.n > STAGES_MAX) {
        err_set(&e, ERR_INVALID, E2BIG, "more than %d stages", STAGES_MAX);
        build_fail(b, &e);
        return;
    }
    b->runs = xcalloc(b->stages.n, sizeof(*b->runs));
    for (size_t i = 0; i < b->stages.n; i++) {
        b->runs[i] = (struct stage_run){.build = b,
                                        .def = &b->stages.list[i],
                                        .index = i,
                                        .config = json_object(),
                                        .args = json_object(),
                                        .held = json_array()};
    }
    b->steps = (unsigned)b->stages.n_args;
    if (json_object_size(json_get(b->opt, "labels")) > 0)
        b->steps++;
    /* Their values first: a base's name may have variables in it.  The number of steps is not known
     * before, so nothing is said. */
    for (size_t i = 0; r >= 0 && i < b->stages.n_args; i++)
        r = meta_take(b, &b->stages.args[i], false, &e);
    if (r >= 0)
        r = mark_needed(b, b->target, &e);
    for (size_t i = 0; r >= 0 && i < b->stages.n_args; i++)
        r = meta_take(b, &b->stages.args[i], true, &e);
    if (r < 0) {
        build_fail(b, &e);
        return;
    }
    number_steps(b, (unsigned)b->stages.n_args);
    cache_take_sources(b);
    begin_stages(b);
}

void stage_run_done(struct stage_run *s)
{
    json_decref(s->config);
    json_decref(s->env_at);
    json_decref(s->args);
    json_decref(s->held);
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
        if (!json_object_get(b->used, name) && !arg_is_builtin(name))
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

/* ---- side by side ---- */

/* Those before are through: their output is out, and this one's follows. */
static void move_front(struct build *b)
{
    while (b->front <= b->target) {
        struct stage_run *s = &b->runs[b->front];

        stage_show(s);
        if (s->needed && !s->done) {
            if (s->exec)
                build_exec_resume(s);
            return;
        }
        b->front++;
    }
}

/* Where the stage is to begin or to go on, if it may. */
static stage_fn *next_of(struct stage_run *s)
{
    if (!s->needed || s->done)
        return NULL;
    if (!s->begun)
        return stage_begin;
    return s->parked && s->build->runs[s->awaits].done ? s->parked : NULL;
}

/* In their order: whoever waits, waits for one before it, so that the first can always go on. */
static void begin_stages(struct build *b)
{
    move_front(b);
    for (size_t i = b->front; i <= b->target && b->active < STAGES_AT_ONCE && !b->ended; i++) {
        struct stage_run *s = &b->runs[i];
        stage_fn *fn = next_of(s);

        if (!fn)
            continue;
        s->begun = true;
        s->parked = NULL;
        b->active++;
        fn(s);
    }
}

int stage_need(struct build *b, size_t i, struct err *reterr)
{
    unsigned steps = b->steps;
    int r = mark_needed(b, i, reterr);

    if (r >= 0)
        number_steps(b, steps);
    return r;
}

bool stage_await(struct stage_run *s, size_t other, stage_fn *then)
{
    if (s->build->runs[other].done)
        return true;
    s->awaits = other;
    s->parked = then;
    s->build->active--;
    begin_stages(s->build);
    return false;
}

void stage_ended(struct stage_run *s)
{
    struct build *b = s->build;

    s->done = true;
    b->active--;
    begin_stages(b);
    if (b->front > b->target)
        build_succeeded(b);
}
