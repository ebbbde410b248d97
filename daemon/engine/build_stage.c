/* A stage on its way: its instructions one after the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build_impl.h"
#include "weburl.h"

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
    stage_say(s, "Step %u/%u : %s\n", ++s->step, s->build->steps, comment);
    step_derive(s, comment);
    return true;
}

/* What is told is kept in the logs of those who build. */
static void say_step(struct stage_run *s)
{
    bool urls = s->ins->kind == INS_ADD || s->ins->kind == INS_ONBUILD;
    _cleanup_free_ char *text = urls ? weburl_redact(s->ins->original) : xstrdup(s->ins->original);

    stage_say(s, "Step %u/%u : %s\n", ++s->step, s->build->steps, text);
}

void stage_next(void *arg)
{
    struct stage_run *s = arg;
    struct build *b = s->build;

    if (!build_release(b))
        return;
    if (s->at_trigger < s->triggers.n) {
        s->ins = &s->triggers.list[s->at_trigger++];
    } else if (s->at < s->def->n) {
        s->ins = &s->def->first[s->at++];
        say_step(s);
    } else {
        if (!label_step(s))
            stage_ended(s);
        return;
    }
    steps[s->ins->kind](s);
}

void step_done(struct stage_run *s)
{
    stage_say(s, " ---> %.*s\n", SHORT_ID, s->image);
    free(TAKE_PTR(s->created_by));
    build_hold(s->build);
    engine_defer(s->build->engine, stage_next, s);
}

void step_failed(struct stage_run *s, const struct err *err)
{
    stage_show(s); /* whoever is at the front: this is what the error is about */
    build_fail(s->build, err);
}
