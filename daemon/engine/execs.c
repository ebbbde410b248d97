/* Additional processes in running containers. */
#include <errno.h>
#include <stdlib.h>

#include "fd.h"
#include "frame.h"
#include "log.h"
#include "private.h"

/* Finished ones are remembered so long for clients that ask for the exit code. */
#define EXEC_KEEP_NS (INT64_C(300) * 1000000000)
#define EXEC_PER_CONTAINER_MAX 256
#define EXIT_NOT_STARTED 126

struct exec {
    struct exec *next;
    struct container *container; /* borrowed: it owns this */
    char id[ID_LEN + 1];
    json_t *body; /* the create request, owned; NULL after a daemon restart */
    bool started, running, tty, detached;
    int pid;
    int exit_code; /* -1: none yet */
    int64_t finished_ns;
    engine_done_fn *done; /* who waits for the start; may be NULL */
    void *arg;
};

static void exec_free(struct exec *x)
{
    map_remove(&x->container->engine->execs, x->id);
    json_decref(x->body);
    free(x);
}

static void answer(struct exec *x, const struct err *err)
{
    engine_done_fn *done = x->done;

    x->done = NULL;
    if (done)
        done(x->arg, err);
}

/* The container has ended, or is being forgotten. */
void execs_container_gone(struct container *c)
{
    for (struct exec *x = c->execs, *next; x; x = next) {
        next = x->next;
        if (x->running || x->done) {
            struct err err;

            x->running = false;
            x->pid = 0;
            x->exit_code = x->exit_code < 0 ? 137 : x->exit_code;
            x->finished_ns = time_now_ns();
            err_set(&err, ERR_CONFLICT, ESRCH, "container %s is not running", c->id);
            answer(x, &err);
        }
        if (c->refs == 0)
            exec_free(x);
    }
    if (c->refs == 0)
        c->execs = NULL;
}

static void forget_old(struct container *c)
{
    int64_t now = time_now_ns();
    struct exec **p = &c->execs;

    while (*p) {
        struct exec *x = *p;

        if (x->finished_ns > 0 && now - x->finished_ns > EXEC_KEEP_NS) {
            *p = x->next;
            exec_free(x);
        } else {
            p = &x->next;
        }
    }
}

/* Beyond the limit the oldest that do not run are forgotten: finished or never started. */
static bool make_room(struct container *c)
{
    struct exec **idle = NULL, *x;
    size_t n = 0;

    for (struct exec **p = &c->execs; *p; p = &(*p)->next) {
        n++;
        if (!(*p)->running && !(*p)->done)
            idle = p; /* the newest come first */
    }
    if (n < EXEC_PER_CONTAINER_MAX)
        return true;
    if (!idle)
        return false;
    x = *idle;
    *idle = x->next;
    exec_free(x);
    return true;
}

json_t *execs_ids(const struct container *c)
{
    json_t *ids = NULL;

    for (const struct exec *x = c->execs; x; x = x->next) {
        if (!x->running)
            continue;
        if (!ids)
            ids = json_array();
        json_array_append_new(ids, json_string(x->id));
    }
    return ids ? ids : json_null();
}

/* "exec_create: sh -c true" */
static void exec_event(struct exec *x, const char *what, json_t *extra)
{
    const json_t *cmd = json_get(x->body, "Cmd"), *word;
    _cleanup_buf_ struct buf action = {0};
    _cleanup_free_ char *text = NULL;
    size_t i;

    buf_append_str(&action, what);
    if (!streq(what, "exec_die") && json_array_size(cmd) > 0) {
        buf_append_str(&action, ":");
        json_array_foreach (cmd, i, word)
            buf_printf(&action, " %s", json_string_value(word));
    }
    text = buf_take_str(&action);
    if (!extra)
        extra = json_object();
    json_object_set_new(extra, "execID", json_string(x->id));
    container_event(x->container, text, extra);
}

static int check_running(struct container *c, struct err *reterr)
{
    shim_sync(c);
    if (c->status == STATUS_PAUSED)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "Container %s is paused, unpause the container before exec", c->id);
    return container_is_up(c) ? 0 : container_not_running(c, reterr);
}

int engine_exec_create(struct engine *e, const char *ref, json_t *body, json_t **ret,
                       struct err *reterr)
{
    uint8_t keys[SHIM_DETACH_KEYS_MAX];
    struct container *c;
    struct exec *x;
    uint32_t n_keys;
    int r = validate_exec_types(body, reterr);

    if (r >= 0)
        r = registry_find(e, ref, &c, reterr);
    if (r >= 0)
        r = check_running(c, reterr);
    if (r >= 0)
        r = validate_exec(body, reterr);
    if (r >= 0)
        r = detach_keys_parse(json_get_str(body, "DetachKeys", ""), keys, &n_keys, reterr);
    if (r < 0)
        return r;
    forget_old(c);
    if (!make_room(c))
        return err_set(reterr, ERR_UNAVAILABLE, EAGAIN, "too many execs in container %s", c->id);
    x = xcalloc(1, sizeof(*x));
    id_generate(x->id);
    x->container = c;
    x->body = json_incref(body);
    x->tty = json_get_bool(body, "Tty", false);
    x->exit_code = -1;
    x->next = c->execs;
    c->execs = x;
    map_put(&e->execs, x->id, x);
    exec_event(x, "exec_create", NULL);
    *ret = json_pack("{s:s}", "Id", x->id);
    return 0;
}

static int find(struct engine *e, const char *id, struct exec **ret, struct err *reterr)
{
    *ret = map_get(&e->execs, id);
    if (!*ret)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "No such exec instance: %s", id);
    return 0;
}

int engine_exec_start_check(struct engine *e, const char *id, bool detach, bool *ret_tty,
                            struct err *reterr)
{
    struct exec *x;
    int r = find(e, id, &x, reterr);

    (void)detach;
    if (r >= 0)
        r = check_running(x->container, reterr);
    if (r < 0)
        return r;
    if (x->started)
        return err_set(reterr, ERR_CONFLICT, EALREADY, "exec command %s has already run", id);
    *ret_tty = x->tty;
    return 0;
}

static uint32_t attach_flags(const struct exec *x, bool framed)
{
    return (json_get_bool(x->body, "AttachStdin", false) ? SHIM_ATTACH_STDIN : 0u) |
           (json_get_bool(x->body, "AttachStdout", false) ? SHIM_ATTACH_STDOUT : 0u) |
           (json_get_bool(x->body, "AttachStderr", false) ? SHIM_ATTACH_STDERR : 0u) |
           (framed ? SHIM_ATTACH_FRAMED : 0u);
}

static void exec_message_init(const struct exec *x, struct shim_msg *m, bool framed,
                              const void *extra, size_t extra_len)
{
    memset(m, 0, sizeof(*m));
    m->type = SHIM_EXEC;
    memcpy(m->exec_id, x->id, sizeof(m->exec_id));
    m->attach.flags = attach_flags(x, framed);
    if (x->tty && detach_keys_parse(json_get_str(x->body, "DetachKeys", ""), m->attach.detach_keys,
                                    &m->attach.detach_len, NULL) < 0)
        m->attach.detach_len = 0;
    shim_attach_early(&m->attach, extra, extra_len);
}

static int plan_of(struct exec *x, uint16_t rows, uint16_t columns, int *ret_fd, struct err *reterr)
{
    struct container *c = x->container;
    struct runtime_exec_spec spec = {.id = c->id,
                                     .exec = x->body,
                                     .config = c->config,
                                     .host_config = c->host_config,
                                     .rows = rows,
                                     .columns = columns};
    _cleanup_json_ json_t *warnings = json_array();
    _cleanup_(plan_done) struct plan plan = {0};
    int r = runtime_exec_plan(c->engine->runtime, &spec, &plan, warnings, reterr);

    if (r < 0)
        return r;
    r = plan_memfd(&plan);
    if (r < 0)
        return err_sys(reterr, -r, "cannot store the plan");
    *ret_fd = r;
    return 0;
}

static int send_exec(struct exec *x, int fd, const void *extra, size_t extra_len, bool framed,
                     uint16_t rows, uint16_t columns, struct err *reterr)
{
    _cleanup_close_ int plan = -EBADF;
    struct shim_msg m;
    int fds[2], r;

    r = plan_of(x, rows, columns, &plan, reterr);
    if (r < 0)
        return r;
    exec_message_init(x, &m, framed, extra, extra_len);
    fds[0] = plan;
    fds[1] = fd;
    r = shim_post(x->container, &m, fds, fd >= 0 ? 2 : 1);
    return r < 0 ? shim_post_failed(x->container, r, "start a process in", reterr) : 0;
}

/* The answer's head has been sent: as dockerd, the words go into the stream. */
static void say_to_client(int fd, bool framed, const struct err *err)
{
    _cleanup_free_ char *text = xasprintf("%s\r\n", err->message);
    uint8_t head[FRAME_HEAD_LEN];
    struct iovec parts[] = {{head, framed ? sizeof(head) : 0}, {text, strlen(text)}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts)};

    frame_head_encode(head, FRAME_STDOUT, (uint32_t)strlen(text));
    (void)!sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Its client asks for the exit code next, and would take none for success. */
static void exec_not_started(struct exec *x)
{
    x->started = true;
    x->exit_code = EXIT_NOT_STARTED;
    x->finished_ns = time_now_ns();
}

void engine_exec_start(struct engine *e, const char *id, int fd, const void *extra,
                       size_t extra_len, bool framed, uint16_t rows, uint16_t columns,
                       engine_done_fn *done, void *arg)
{
    _cleanup_close_ int client = fd;
    struct exec *x;
    struct err err;
    bool tty, begun = false;
    int r = engine_exec_start_check(e, id, fd < 0, &tty, &err);

    if (r >= 0) {
        find(e, id, &x, &err);
        x->started = begun = true;
        x->detached = fd < 0;
        r = send_exec(x, client, extra, extra_len, framed, rows, columns, &err);
    }
    if (r < 0) {
        if (find(e, id, &x, NULL) >= 0 && (begun || (fd >= 0 && !x->started)))
            exec_not_started(x);
        if (fd >= 0)
            say_to_client(fd, framed, &err);
        if (done)
            done(arg, &err);
        return;
    }
    x->running = true;
    exec_event(x, "exec_start", NULL);
    if (fd < 0) {
        x->done = done;
        x->arg = arg;
    } else if (done) {
        done(arg, NULL);
    }
}

/* Execs that this daemon did not see begin are told by the shim after a restart. */
static struct exec *adopt(struct container *c, const char *id)
{
    struct exec *x = xcalloc(1, sizeof(*x));

    snprintf(x->id, sizeof(x->id), "%s", id);
    x->container = c;
    x->started = true;
    x->exit_code = -1;
    x->next = c->execs;
    c->execs = x;
    map_put(&c->engine->execs, x->id, x);
    return x;
}

static void exec_ended(struct exec *x, int code)
{
    char text[16];

    x->running = false;
    x->pid = 0;
    x->exit_code = code;
    x->finished_ns = time_now_ns();
    snprintf(text, sizeof(text), "%d", code);
    exec_event(x, "exec_die", json_pack("{s:s}", "exitCode", text));
}

static enum err_kind fail_kind(const struct shim_fail *f)
{
    if (f->errnum == ESRCH)
        return ERR_CONFLICT; /* the container ended meanwhile */
    return f->code == 128 ? ERR_SYSTEM : ERR_INVALID;
}

void exec_message(struct container *c, const struct shim_msg *m)
{
    struct exec *x = map_get(&c->engine->execs, m->exec_id);
    struct err err;

    if (!x)
        x = adopt(c, m->exec_id);
    if (m->type == SHIM_EXEC_FAILED) {
        err_set(&err, fail_kind(&m->fail), m->fail.errnum,
                "OCI runtime exec failed: exec failed: unable to start container process: %s: "
                "unknown",
                m->fail.message);
        exec_ended(x, m->fail.code);
        answer(x, &err);
    } else if (m->state.phase == SHIM_PHASE_EXITED) {
        exec_ended(x, m->state.code);
        answer(x, NULL);
    } else {
        x->running = true;
        x->pid = m->state.pid;
        answer(x, NULL);
    }
}

int engine_exec_resize(struct engine *e, const char *id, uint16_t rows, uint16_t columns,
                       struct err *reterr)
{
    struct shim_msg m = {.type = SHIM_RESIZE};
    struct exec *x;
    int r = find(e, id, &x, reterr);

    if (r < 0)
        return r;
    shim_sync(x->container);
    if (!x->running)
        return err_set(reterr, ERR_CONFLICT, ESRCH, "exec process is not running: %s", id);
    memcpy(m.exec_id, x->id, sizeof(m.exec_id));
    m.resize.rows = rows;
    m.resize.columns = columns;
    r = shim_post(x->container, &m, NULL, 0);
    return r < 0 ? shim_post_failed(x->container, r, "resize a terminal of", reterr) : 0;
}

static json_t *process_config(const struct exec *x)
{
    const json_t *cmd = json_get(x->body, "Cmd");
    json_t *out = json_object(), *args = json_array();

    json_object_set_new(out, "tty", json_boolean(x->tty));
    json_object_set_new(
        out, "entrypoint",
        json_string(json_array_size(cmd) > 0 ? json_string_value(json_array_get(cmd, 0)) : ""));
    for (size_t i = 1; i < json_array_size(cmd); i++)
        json_array_append(args, json_array_get(cmd, i));
    json_object_set_new(out, "arguments", args);
    json_object_set_new(out, "privileged",
                        json_boolean(json_get_bool(x->body, "Privileged", false)));
    if (*json_get_str(x->body, "User", ""))
        json_object_set_new(out, "user", json_string(json_get_str(x->body, "User", "")));
    return out;
}

int engine_exec_inspect(struct engine *e, const char *id, json_t **ret, struct err *reterr)
{
    struct exec *x;
    int r = find(e, id, &x, reterr);

    if (r < 0)
        return r;
    shim_sync(x->container);
    /* The container's end may have forgotten it meanwhile. */
    r = find(e, id, &x, reterr);
    if (r < 0)
        return r;
    *ret = json_pack("{s:s, s:b, s:o, s:o, s:b, s:b, s:b, s:b, s:s, s:s, s:i}", "ID", x->id,
                     "Running", x->running, "ExitCode",
                     x->exit_code < 0 ? json_null() : json_integer(x->exit_code), "ProcessConfig",
                     process_config(x), "OpenStdin", json_get_bool(x->body, "AttachStdin", false),
                     "OpenStderr", json_get_bool(x->body, "AttachStderr", false), "OpenStdout",
                     json_get_bool(x->body, "AttachStdout", false), "CanRemove", false,
                     "ContainerID", x->container->id, "DetachKeys", "", "Pid", x->pid);
    return 0;
}
