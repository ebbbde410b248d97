/* A build's insides, for build*.c only.
 *
 * Everything runs on the loop.  A step is a function that begins something and returns; what it
 * began ends in step_done() or step_failed(), from the loop, later or at once. */
#pragma once

#include "api.h"
#include "build.h"
#include "dockerfile.h"
#include "expand.h"
#include "private.h"
#include "worker.h"

#define SHORT_ID 12
#define BUILD_CONTEXT "context"       /* directory in the stage */
#define BUILD_EXPANDED_MAX (16 << 20) /* bytes of all words of a build, variables replaced */

struct build;
struct stage_run;

typedef void stage_fn(struct stage_run *s);

/* One stage on its way. */
struct stage_run {
    struct build *build;
    const struct build_stage *def;
    size_t index;
    bool needed, numbered, begun, done;
    unsigned step;    /* number of the last one that was told of */
    stage_fn *parked; /* how it goes on when the stage `awaits` is done; NULL: it runs */
    size_t awaits;
    json_t *held;     /* owned: output that is not shown yet */
    size_t held_size; /* bytes of it */

    char image[ID_LEN + 1];     /* so far; "": nothing, FROM scratch */
    json_t *config;             /* owned: the container part of its config as it is to be */
    json_t *env_at;             /* owned: places in Env by name; NULL: not known */
    json_t *args;               /* owned: declared by ARG; null: without a value */
    char *author;               /* owned; NULL: none */
    bool cmd_set;               /* CMD in this stage: ENTRYPOINT leaves it alone */
    bool missed;                /* a step was not in the cache: the later ones are not either */
    size_t at;                  /* instructions done */
    struct dockerfile triggers; /* of the base image's ONBUILD */
    size_t at_trigger;
    bool labelled;                 /* the request's labels have had their turn */
    const struct instruction *ins; /* now */

    /* Of the step that is under way. */
    char *created_by;                  /* owned: for the history */
    char key[ID_LEN + 1];              /* in the cache */
    struct worker *worker;             /* borrowed: frees itself */
    struct image_pull *pull;           /* borrowed likewise */
    stage_fn *pulled;                  /* how it goes on then */
    struct container *source, *target; /* references; removed at the step's end */
    bool target_held;                  /* container_release_view() is due */
    struct copy *copy;                 /* build_copy.h, owned */
    struct url_file *fetch;            /* what ADD fetches; frees itself */
    struct build_exec *exec;           /* build_run.c: frees itself */
};

struct build {
    struct engine *engine;
    struct build *next, **prev_next;
    struct build_callbacks cb;
    bool cancelled, ended; /* nobody listens any more; done() was called or is about to be */
    bool full;             /* the client reads slower than the build tells */
    struct err err;        /* kind ERR_NONE while there is none */
    int code;              /* of a RUN that failed, or 0 */
    unsigned pending;      /* callbacks that will still come */
    unsigned files;        /* made in the stage */

    json_t *opt; /* owned: build_options as JSON, see build.c */
    struct stage stage;
    struct stage trash; /* on its way out */
    int context_plan;   /* owned: a memfd; the context as a root */
    struct worker *worker;
    struct url_file *fetch; /* of the context; frees itself */
    int remote_fd;          /* owned: what came, if it is an archive */

    char *text; /* owned: of the Dockerfile */
    size_t text_len;
    struct dockerfile file;
    struct build_stages stages;
    struct stage_run *runs; /* owned: one a stage */
    json_t *meta;           /* owned: ARG before the first FROM */
    json_t *used;           /* owned: build args that an ARG declared */
    unsigned step, steps;   /* those before the first stage; all */
    size_t target;
    size_t front;       /* the stage whose output is shown */
    unsigned active;    /* stages that have begun, are not through and wait for no other */
    size_t expand_left; /* of BUILD_EXPANDED_MAX */
};

/* ---- build_say.c ---- */

void build_say(struct build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void build_output(struct build *b, json_t *obj); /* steals */
/* The same of a stage, at once or when it is its turn. */
void stage_say(struct stage_run *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void stage_say_bytes(struct stage_run *s, const char *before, const char *data, size_t len,
                     const char *after);
void stage_output(struct stage_run *s, json_t *obj);
/* It must say no more for now, until build_exec_resume(). */
bool stage_is_full(const struct stage_run *s);
/* What was kept is told. */
void stage_show(struct stage_run *s);

/* ---- build.c ---- */

bool build_option(const struct build *b, const char *name);
/* A callback that belongs to the build begins / has come.  false: the build is over, go no further.
 */
void build_hold(struct build *b);
bool build_release(struct build *b);
void build_fail(struct build *b, const struct err *err);
/* Unpack the context, then build_read(). */
int build_unpack(struct build *b, int in_fd, struct err *reterr);
/* The context is there: on with the Dockerfile. */
void build_read(struct build *b);
/* A new name in the stage; caller frees. */
char *build_file(struct build *b, const char *kind);

/* Make a directory of that name in the stage, and a plan of it as the root of a container: a memfd.
 */
int build_plan_dir(struct build *b, const char *name, struct err *reterr);

/* ---- build_remote.c ---- */

/* The context is what the URL gives. */
int build_remote(struct build *b, const char *url, struct err *reterr);

/* ---- build_order.c ---- */

void stages_begin(struct build *b);
void stage_run_done(struct stage_run *s);
/* The stage that FROM names by its name alone, among those before; -ENOENT. */
int stage_by_name(const struct build *b, size_t before, const char *name);
/* The base of a stage, variables replaced; caller frees. */
int base_name(struct build *b, size_t i, char **ret, struct err *reterr);
/* The platform that stage i is for, by its --platform or the build's; "": any; owned. */
int base_platform(struct build *b, size_t i, char **ret, struct err *reterr);
/* Stage i has to be made, too: a trigger of a base names it, and nothing in the Dockerfile does. */
int stage_need(struct build *b, size_t i, struct err *reterr);
/* Is that one, which is needed, done?  If not, then() comes later. */
bool stage_await(struct stage_run *s, size_t other, stage_fn *then);
void stage_ended(struct stage_run *s);

/* ---- build_base.c ---- */

void stage_begin(struct stage_run *s);
/* Pull an image, then then(). */
int stage_pull(struct stage_run *s, const char *name, const char *platform, stage_fn *then,
               struct err *reterr);

/* ---- build_stage.c ---- */

void stage_next(void *arg); /* an engine_defer() of it is a callback: build_hold() */
void step_done(struct stage_run *s);
void step_failed(struct stage_run *s, const struct err *err);

/* ---- build_cache.c ---- */

/* The step's image is there: the cache is told, and then step_done(). */
void step_made(struct stage_run *s, const char *image_id);
/* Look up the images of --cache-from, once. */
void cache_take_sources(struct build *b);
/* Prepare s->key for a step; more: of what else its result is made ("": nothing).  true: it was in
 * the cache, and s->image is that of it. */
bool step_probe(struct stage_run *s, const char *more);
/* An image with the layers so far and s->config. */
void step_derive(struct stage_run *s, const char *comment);
/* The base of a stage without one. */
int stage_need_image(struct stage_run *s, struct err *reterr);
/* `/bin/sh -c #(nop) text`. */
char *nop_text(const struct stage_run *s, const char *comment);

/* ---- build_vars.c ---- */

struct expander stage_expander(struct stage_run *s);
struct expander meta_expander(struct build *b);
/* ARG before the first FROM. */
int meta_take(struct build *b, const struct instruction *ins, bool say, struct err *reterr);
bool arg_is_builtin(const char *name);
const char *stage_env_get(struct stage_run *s, const char *name); /* NULL: none */
int stage_env_put(struct stage_run *s, const char *name, const char *value, struct err *reterr);
/* What stands for the value of the argument: given, declared or builtin; NULL: none. */
const char *stage_arg(struct stage_run *s, const char *name);

/* ---- build_config.c ---- */

/* Instructions that change the configuration; comment: what the history says (caller frees). */
int config_apply(struct stage_run *s, char **ret_comment, struct err *reterr);
/* May it stand behind ONBUILD? */
int trigger_check(const struct instruction *ins, struct err *reterr);
json_t *config_kept(const json_t *config);  /* a copy of what an image keeps */
json_t *config_shell(const json_t *config); /* borrowed, or the default: new reference */
json_t *config_member(json_t *config, const char *key, bool array); /* made if it is none */

/* ---- build_run.c ---- */

void run_step(struct stage_run *s);
void build_exec_cancel(struct stage_run *s);
/* Read on what the command says. */
void build_exec_resume(struct stage_run *s);

/* ---- build_copy.c ---- */

void copy_step(struct stage_run *s);
void workdir_step(struct stage_run *s);
void copy_done(struct stage_run *s);
/* What s->target has become is the step's image. */
void step_commit(struct stage_run *s, const json_t *ran);
/* Remove s->source and s->target. */
void step_drop_containers(struct stage_run *s);
