/* RUN: a container like any other, whose output is the build's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "build_impl.h"
#include "fd.h"
#include "log.h"

#define FRAME_HEADER 8
#define READ_SIZE (64 << 10)

struct build_exec {
    struct stage_run *stage;
    json_t *argv; /* owned: what ran */
    json_t *ran;  /* owned: {"Cmd"} for the history */
    uv_pipe_t pipe;
    bool open, closed; /* the pipe */
    bool started, exited, cancelled;
    struct waiter *waiter; /* until it has fired */
    int code;
    struct err err;    /* of the start; kind ERR_NONE while there is none */
    struct buf frames; /* output that is not whole yet */
    char data[READ_SIZE];
};

/* ---- the command ---- */

/* What the shell is given: the line with its here-documents, or the only one alone. */
static char *shell_text(const struct instruction *ins)
{
    _cleanup_buf_ struct buf out = {0};
    const char *p = ins->args;

    if (ins->n_heredocs == 1 && str_starts(p, "<<")) {
        p += 2 + strspn(p + 2, "-'\"");
        if (str_starts(p, ins->heredocs[0].name)) {
            p += strlen(ins->heredocs[0].name);
            p += strspn(p, "'\" \t");
            if (!*p)
                return xstrdup(ins->heredocs[0].content);
        }
    }
    buf_append_str(&out, ins->args);
    for (size_t i = 0; i < ins->n_heredocs; i++)
        buf_printf(&out, "%s%s%s", "\n", ins->heredocs[i].content, ins->heredocs[i].name);
    return buf_take_str(&out);
}

static json_t *command(const struct stage_run *s)
{
    _cleanup_free_ char *text = NULL;
    json_t *shell, *v;

    if (s->ins->is_json)
        return json_from_strv(s->ins->json);
    text = shell_text(s->ins);
    shell = config_shell(s->config);
    v = json_deep_copy(shell);
    json_decref(shell);
    json_array_append_new(v, json_string(text));
    return v;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **add_arg(struct stage_run *s, char **list, const char *name)
{
    const char *value = stage_arg(s, name);
    _cleanup_free_ char *text = NULL;

    if (!value || stage_env_get(s, name))
        return list;
    text = xasprintf("%s=%s", name, value);
    return strv_append(list, text);
}

/* name=value of the arguments that the command has in its environment; shown: of those only that
 * are part of what the step is. */
static char **arguments(struct stage_run *s, bool shown)
{
    const json_t *given = json_get(s->build->opt, "args");
    char **list = NULL;
    const char *name;
    json_t *v;

    json_object_foreach (s->args, name, v)
        list = add_arg(s, list, name);
    json_object_foreach ((json_t *)given, name, v) {
        if (!shown && !json_object_get(s->args, name))
            list = add_arg(s, list, name); /* a builtin one */
    }
    if (list)
        qsort(list, strv_len(list), sizeof(*list), compare);
    return list;
}

static char *join(const json_t *words)
{
    _cleanup_buf_ struct buf out = {0};
    const json_t *w;
    size_t i;

    json_array_foreach (words, i, w)
        buf_printf(&out, "%s%s", i ? " " : "", json_is_string(w) ? json_string_value(w) : "");
    return buf_take_str(&out);
}

/* "|1 name=value" and the command: arguments are part of what the cache goes by. */
static json_t *history_command(struct stage_run *s, const json_t *argv)
{
    _cleanup_(strv_freep) char **args = arguments(s, true), **all = arguments(s, false);
    json_t *v = json_array();

    if (all)
        json_array_append_new(v, json_sprintf("|%zu", strv_len(args)));
    for (size_t i = 0; args && args[i]; i++)
        json_array_append_new(v, json_string(args[i]));
    json_array_extend(v, (json_t *)argv);
    return json_pack("{s:o}", "Cmd", v);
}

static json_t *request(struct stage_run *s, const json_t *argv)
{
    _cleanup_(strv_freep) char **env = arguments(s, false);
    json_t *host = json_deep_copy(json_get(s->build->opt, "host"));

    json_object_set_new(host, "LogConfig", json_pack("{s:s}", "Type", "none"));
    return json_pack("{s:o,s:O,s:[s],s:o,s:{s:[s]},s:b,s:b,s:o}", "Image",
                     json_sprintf("sha256:%s", s->image), "Cmd", argv, "Entrypoint", "", "Env",
                     json_from_strv(env), "Healthcheck", "Test", "NONE", "AttachStdout", 1,
                     "AttachStderr", 1, "HostConfig", host);
}

/* ---- the end ---- */

static void exec_ended(struct build_exec *x)
{
    struct stage_run *s = x->stage;
    struct build *b = s->build;
    _cleanup_json_ json_t *ran = TAKE_PTR(x->ran), *argv = TAKE_PTR(x->argv);
    struct err e = x->err;
    int code = x->code;

    s->exec = NULL;
    buf_done(&x->frames);
    free(x);
    if (b->cancelled || b->ended || b->engine->closing)
        step_drop_containers(s);
    if (!build_release(b))
        return;
    if (e.kind == ERR_NONE && code == 0) {
        step_commit(s, ran);
        return;
    }
    if (e.kind == ERR_NONE) {
        _cleanup_free_ char *line = join(argv);

        err_set(&e, ERR_SYSTEM, 0, "The command '%s' returned a non-zero code: %d", line, code);
        b->code = code;
    }
    step_failed(s, &e);
}

static void pipe_closed(uv_handle_t *handle)
{
    struct build_exec *x = handle->data;

    x->closed = true;
    exec_ended(x);
}

/* Started or not, ended, and all output read? */
static void exec_check(struct build_exec *x)
{
    bool failed = x->err.kind != ERR_NONE;

    if (!x->started || !(x->exited || failed) || (x->open && !failed && !x->cancelled))
        return;
    if (!uv_is_closing((uv_handle_t *)&x->pipe))
        uv_close((uv_handle_t *)&x->pipe, pipe_closed);
}

static void on_exit_code(void *arg, json_t *result, const struct err *err)
{
    struct build_exec *x = arg;

    x->waiter = NULL;
    x->exited = true;
    x->code = err ? -1 : (int)json_get_int(result, "StatusCode", -1);
    json_decref(result);
    exec_check(x);
}

static void ignore(void *arg, const struct err *err)
{
    (void)arg, (void)err; /* it has ended already */
}

static void on_start(void *arg, const struct err *err)
{
    struct build_exec *x = arg;
    struct container *c = x->stage->target;

    x->started = true;
    if (err) {
        x->err = *err;
        if (x->waiter)
            engine_wait_cancel(TAKE_PTR(x->waiter));
    } else if (x->cancelled) {
        engine_container_kill(c->engine, c->id, "KILL", ignore, NULL);
    }
    exec_check(x);
}

void build_exec_cancel(struct stage_run *s)
{
    struct build_exec *x = s->exec;

    x->cancelled = true;
    if (x->started && !x->exited)
        engine_container_kill(s->build->engine, s->target->id, "KILL", ignore, NULL);
    else
        exec_check(x); /* it has ended, and nobody will read the rest of what it said */
}

/* ---- output ---- */

static void say_frame(struct build_exec *x, int stream, const char *data, size_t len)
{
    bool red = stream == 2; /* as dockerd has it */

    stage_say_bytes(x->stage, red ? "\033[91m" : "", data, len, red ? "\033[0m" : "");
}

static void take_frames(struct build_exec *x)
{
    while (buf_size(&x->frames) >= FRAME_HEADER) {
        const uint8_t *h = (const uint8_t *)buf_head(&x->frames);
        size_t len = (size_t)h[4] << 24 | (size_t)h[5] << 16 | (size_t)h[6] << 8 | h[7];

        if (buf_size(&x->frames) < FRAME_HEADER + len)
            return;
        say_frame(x, h[0], (const char *)h + FRAME_HEADER, len);
        buf_consume(&x->frames, FRAME_HEADER + len);
    }
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct build_exec *x = handle->data;

    (void)suggested;
    *ret = uv_buf_init(x->data, sizeof(x->data));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct build_exec *x = stream->data;

    if (n > 0) {
        buf_append(&x->frames, buf->base, (size_t)n);
        take_frames(x);
        if (stage_is_full(x->stage))
            uv_read_stop(stream); /* the command waits, not our memory */
    } else if (n < 0) {
        uv_read_stop(stream);
        x->open = false;
        exec_check(x);
    }
}

void build_exec_resume(struct stage_run *s)
{
    struct build_exec *x = s->exec;

    if (x->open && !uv_is_closing((uv_handle_t *)&x->pipe) &&
        !uv_is_active((uv_handle_t *)&x->pipe))
        uv_read_start((uv_stream_t *)&x->pipe, allocate, on_read);
}

static int listen_to(struct build_exec *x, struct err *reterr)
{
    struct attach_options o = {.stdout_ = true, .stderr_ = true, .stream = true};
    struct container *c = x->stage->target;
    int ends[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return err_sys(reterr, errno, "socketpair");
    r = uv_pipe_open(&x->pipe, ends[0]);
    if (r < 0) {
        fd_close(ends[0]);
        fd_close(ends[1]);
        return err_sys(reterr, -r, "read the output");
    }
    x->open = true;
    engine_container_attach(c->engine, c->id, &o, ends[1], NULL, 0);
    r = uv_read_start((uv_stream_t *)&x->pipe, allocate, on_read);
    return r < 0 ? err_sys(reterr, -r, "read the output") : 0;
}

/* ---- the step ---- */

static void begin(struct stage_run *s, json_t *argv, json_t *ran)
{
    struct build *b = s->build;
    struct build_exec *x = xcalloc(1, sizeof(*x));
    int r;

    *x = (struct build_exec){.stage = s, .argv = argv, .ran = ran};
    s->exec = x;
    build_hold(b);
    uv_pipe_init(b->engine->loop, &x->pipe, 0);
    x->pipe.data = x;
    r = listen_to(x, &x->err);
    if (r >= 0)
        r = engine_container_wait(b->engine, s->target->id, "next-exit", on_exit_code, x,
                                  &x->waiter, &x->err);
    if (r < 0) {
        x->started = true;
        exec_check(x);
        return;
    }
    engine_container_start(b->engine, s->target->id, on_start, x);
}

static int create(struct stage_run *s, const json_t *argv, struct err *reterr)
{
    struct engine *e = s->build->engine;
    _cleanup_json_ json_t *body = NULL, *made = NULL;
    struct container *c;
    int r = stage_need_image(s, reterr);

    if (r < 0)
        return r;
    body = request(s, argv);
    r = engine_container_create(e, NULL, body, API_VERSION_MAX_NUM, &made, reterr);
    if (r >= 0)
        r = registry_find(e, json_get_str(made, "Id", ""), &c, reterr);
    if (r < 0)
        return r;
    s->target = container_ref(c);
    c->building = true;
    return record_save_config(c, reterr);
}

void run_step(struct stage_run *s)
{
    static const char *const flags[] = {NULL};
    _cleanup_free_ char *words = NULL;
    json_t *argv, *ran;
    struct err e;

    if (instruction_check_flags(s->ins, flags, &e) < 0) {
        step_failed(s, &e);
        return;
    }
    argv = command(s);
    ran = history_command(s, argv);
    free(s->created_by);
    s->created_by = join(json_get(ran, "Cmd"));
    words = json_dumps(ran, JSON_COMPACT); /* joined they do not tell where each ends */
    if (step_probe(s, words)) {
        step_done(s);
    } else if (create(s, argv, &e) < 0) {
        step_failed(s, &e);
    } else {
        stage_say(s, " ---> Running in %.*s\n", SHORT_ID, s->target->id);
        begin(s, argv, ran);
        return;
    }
    json_decref(argv);
    json_decref(ran);
}
