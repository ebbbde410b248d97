/* What is in a container: a worker reads it (or, for a put, writes it), its output goes on as it
 * comes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fd.h"
#include "private.h"
#include "worker.h"

#define CONTENTS_MAX 32 /* at once: each holds a descriptor for every layer while it starts */
#define READ_SIZE (256 << 10)
#define PIPE_SIZE (1 << 20)

struct content {
    struct container *container; /* a reference */
    struct content *next, **prev_next;
    const char *command; /* of the worker */
    char **args;         /* owned: its arguments */
    int in_fd;           /* owned: its input, or -EBADF */
    const char *event;   /* emitted when it begins, or NULL */
    json_t *attributes;  /* of the event, owned, or NULL */
    char *ref;           /* owned: for messages, what the client called the container */
    int64_t started_ns;  /* which run it was in, */
    bool was_up;         /* if it ran */
    bool held;           /* container_release_view() is due */
    struct content_callbacks cb;
    bool deaf;             /* the reader lost interest: no more callbacks */
    struct worker *worker; /* running, borrowed: frees itself */
    uv_pipe_t pipe;        /* the worker's output, once has_pipe */
    bool has_pipe, ended, paused;
    struct err err; /* kind ERR_NONE while there is none */
    char data[READ_SIZE];
};

static void content_free(struct content *s)
{
    struct engine *e = s->container->engine;

    *s->prev_next = s->next;
    if (s->next)
        s->next->prev_next = s->prev_next;
    e->n_contents--;
    e->jobs--;
    if (s->held)
        container_release_view(s->container);
    container_unref(s->container);
    json_decref(s->attributes);
    strv_free(s->args);
    fd_close(s->in_fd);
    free(s->ref);
    free(s);
}

/* The file system of a run is taken apart at its end, below who reads or writes there. */
static void explain(struct content *s)
{
    const struct container *c = s->container;
    struct err why = s->err;

    if (s->err.kind == ERR_SYSTEM &&
        (s->was_up != container_is_up(c) || s->started_ns != c->started_ns))
        err_set(&s->err, ERR_CONFLICT, why.errnum,
                "container %s was started or stopped meanwhile: %s", c->id, why.message);
}

static void tell(struct content *s)
{
    if (s->container->engine->closing && !s->ended)
        err_set(&s->err, ERR_UNAVAILABLE, ESHUTDOWN, "the daemon is shutting down");
    /* What was deleted while it was read is not what it was, and what a worker then missed is not
     * the reason. */
    if (s->container->gone || (s->container->removing && s->err.kind == ERR_SYSTEM))
        err_set(&s->err, ERR_NOT_FOUND, ENOENT, "container %s was removed", s->container->id);
    explain(s);
    if (!s->deaf)
        s->cb.done(s->cb.arg, s->err.kind != ERR_NONE ? &s->err : NULL);
    content_free(s);
}

static void closed(uv_handle_t *handle)
{
    tell(handle->data);
}

static void finish(struct content *s)
{
    if (s->worker || !(s->ended || s->deaf || s->container->engine->closing))
        return;
    if (!s->has_pipe)
        tell(s);
    else if (!uv_is_closing((uv_handle_t *)&s->pipe))
        uv_close((uv_handle_t *)&s->pipe, closed);
}

static void worker_done(void *arg, const struct worker_result *result)
{
    struct content *s = arg;

    s->worker = NULL;
    if (result->status < 0) {
        s->err = result->err;
        /* With a whole root file system nothing that the client could have done better. */
        if (!streq(s->command, "archive"))
            s->err.kind = ERR_SYSTEM;
        else if (s->err.kind == ERR_NOT_FOUND)
            err_set(&s->err, ERR_NOT_FOUND, ENOENT, "%s %s", result->err.message, s->ref);
    }
    finish(s);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct content *s = handle->data;

    (void)suggested;
    *ret = uv_buf_init(s->data, sizeof(s->data));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct content *s = stream->data;

    if (n > 0 && !s->deaf && !s->cb.data(s->cb.arg, buf->base, (size_t)n)) {
        s->paused = true;
        uv_read_stop(stream);
    }
    if (n < 0) {
        s->ended = true;
        uv_read_stop(stream);
        finish(s);
    }
}

static int listen_to(struct content *s, int fd, struct err *reterr)
{
    int r;

    uv_pipe_init(s->container->engine->loop, &s->pipe, 0);
    s->pipe.data = s;
    s->has_pipe = true;
    r = uv_pipe_open(&s->pipe, fd);
    if (r < 0) {
        fd_close(fd);
        return err_sys(reterr, -r, "read from the layer worker");
    }
    r = uv_read_start((uv_stream_t *)&s->pipe, allocate, on_read);
    return r < 0 ? err_sys(reterr, -r, "read from the layer worker") : 0;
}

static int start(struct content *s, int dir_fd, const int *lowers, size_t n_lowers,
                 struct err *reterr)
{
    struct worker_options opt = {.loop = s->container->engine->loop,
                                 .path = s->container->engine->config.worker_path,
                                 .command = s->command,
                                 .in_fd = s->in_fd,
                                 .dir_fd = dir_fd,
                                 .lower_fds = lowers,
                                 .n_lowers = n_lowers,
                                 .args = (const char *const *)s->args,
                                 .arg = s,
                                 .done = worker_done};
    int ends[2], r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(reterr, errno, "pipe");
    fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE); /* more is faster, less works */
    opt.out_fd = ends[1];
    r = worker_start(&opt, &s->worker, reterr);
    fd_close(ends[1]);
    s->in_fd = fd_close(s->in_fd);
    if (r < 0) {
        fd_close(ends[0]);
        return r;
    }
    r = listen_to(s, ends[0], reterr);
    if (r < 0)
        worker_kill(s->worker);
    return r;
}

/* Is it still wanted? */
static bool goes_on(struct content *s, const struct err *err)
{
    if (err)
        s->err = *err;
    return !err && !s->deaf && !s->container->engine->closing;
}

static void begun(struct content *s, int r)
{
    if (r >= 0 && s->event)
        container_event(s->container, s->event, TAKE_PTR(s->attributes));
    s->ended = s->err.kind != ERR_NONE; /* nothing will come */
    finish(s);
}

static void opened(void *arg, struct rootfs_fds *fds, const struct err *err)
{
    struct content *s = arg;
    int r = -ECANCELED;

    if (goes_on(s, err)) {
        for (size_t i = 0; i < ARRAY_SIZE(fds->maps) && *fds->maps[i]; i++)
            s->args = strv_append(s->args, fds->maps[i]);
        r = start(s, fds->fds[0], fds->fds + 1, fds->n - 1, &s->err);
    }
    begun(s, r);
}

static void view_opened(void *arg, const struct view *view, const struct err *err)
{
    struct content *s = arg;
    int r = -ECANCELED;

    s->held = view && view->held;
    if (goes_on(s, err)) {
        if (view->plan)
            s->args = strv_append(s->args, "--plan");
        r = start(s, view->fd, NULL, 0, &s->err);
    }
    begun(s, r);
}

static int content_new(struct engine *e, const char *ref, const struct content_callbacks *cb,
                       struct content **ret, struct err *reterr)
{
    struct container *c;
    struct content *s;
    int r = registry_find(e, ref, &c, reterr);

    if (r < 0)
        return r;
    if (e->n_contents >= CONTENTS_MAX)
        return err_set(reterr, ERR_UNAVAILABLE, EBUSY, "too many containers are being read");
    s = xcalloc(1, sizeof(*s));
    s->in_fd = -EBADF;
    s->container = container_ref(c);
    s->started_ns = c->started_ns;
    s->was_up = container_is_up(c);
    s->cb = *cb;
    s->ref = xstrdup(ref);
    s->next = e->contents;
    s->prev_next = &e->contents;
    if (s->next)
        s->next->prev_next = &s->next;
    e->contents = s;
    e->n_contents++;
    e->jobs++;
    *ret = s;
    return 0;
}

int engine_content_open(struct engine *e, const char *ref, enum content_kind kind,
                        const struct content_callbacks *cb, struct content **ret,
                        struct err *reterr)
{
    struct content *s;
    int r = content_new(e, ref, cb, &s, reterr);

    if (r < 0)
        return r;
    s->command = kind == CONTENT_TAR ? "pack" : "changes";
    if (kind == CONTENT_TAR) {
        s->args = strv_append(s->args, "--tree");
        s->event = "export";
    }
    r = container_open_rootfs(s->container, kind == CONTENT_TAR ? ROOTFS_MERGED : ROOTFS_CHANGES,
                              opened, s, reterr);
    if (r < 0)
        content_free(s);
    else
        *ret = s;
    return r;
}

static void archive_args(struct content *s, const struct archive_request *req)
{
    static const char *const actions[] = {"stat", "get", "put"};
    const char *user = json_get_str(s->container->config, "User", "");

    s->args = strv_append(s->args, actions[req->action]);
    s->args = strv_append(s->args, req->path);
    if (req->keep_kind)
        s->args = strv_append(s->args, "--keep-kind");
    if (req->as_user && *user) {
        _cleanup_free_ char *owner = xasprintf("--owner=%s", user);

        s->args = strv_append(s->args, owner);
    }
}

int engine_archive_open(struct engine *e, const char *ref, const struct archive_request *req,
                        const struct content_callbacks *cb, struct content **ret,
                        struct err *reterr)
{
    static const char *const events[] = {NULL, "archive-path", "extract-to-dir"};
    struct content *s;
    int r = content_new(e, ref, cb, &s, reterr);

    if (r < 0)
        return r;
    s->command = "archive";
    s->event = events[req->action];
    s->attributes = json_pack("{s:s}", "path", req->path);
    archive_args(s, req);
    s->in_fd = req->in_fd < 0 ? -EBADF : fcntl(req->in_fd, F_DUPFD_CLOEXEC, 3);
    r = req->in_fd >= 0 && s->in_fd < 0
            ? err_sys(reterr, errno, "dup")
            : container_open_view(s->container, req->action == ARCHIVE_PUT, view_opened, s, reterr);
    if (r < 0)
        content_free(s);
    else
        *ret = s;
    return r;
}

void engine_content_resume(struct content *s)
{
    if (!s->paused)
        return;
    s->paused = false;
    if (uv_read_start((uv_stream_t *)&s->pipe, allocate, on_read) < 0)
        engine_content_close(s);
}

void engine_content_close(struct content *s)
{
    s->deaf = true;
    if (s->worker)
        worker_kill(s->worker);
    else if (s->has_pipe)
        finish(s);
}

void contents_cancel(struct engine *e)
{
    for (struct content *s = e->contents, *next; s; s = next) {
        next = s->next;
        if (s->worker)
            worker_kill(s->worker);
        else if (s->has_pipe)
            finish(s);
    }
}
