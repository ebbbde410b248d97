/* What is in a container's root file system: a worker reads it, its output goes on as it comes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fd.h"
#include "private.h"
#include "worker.h"

#define CONTENTS_MAX 32 /* at once: each holds a descriptor for every layer while it starts */
#define READ_SIZE (64 << 10)

struct content {
    struct container *container; /* a reference */
    struct content *next, **prev_next;
    enum content_kind kind;
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
    container_unref(s->container);
    free(s);
}

static void tell(struct content *s)
{
    if (s->container->engine->closing && !s->ended)
        err_set(&s->err, ERR_UNAVAILABLE, ESHUTDOWN, "the daemon is shutting down");
    /* What was deleted while it was read is not what it was. */
    if (s->err.kind == ERR_NONE && s->container->gone)
        err_set(&s->err, ERR_NOT_FOUND, ENOENT, "container %s was removed", s->container->id);
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
        s->err.kind = ERR_SYSTEM; /* nothing that the client could have done better */
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

static int start(struct content *s, const struct rootfs_fds *fds, struct err *reterr)
{
    const char *args[4] = {0};
    struct worker_options opt = {.loop = s->container->engine->loop,
                                 .path = s->container->engine->config.worker_path,
                                 .command = s->kind == CONTENT_TAR ? "pack" : "changes",
                                 .in_fd = -EBADF,
                                 .dir_fd = fds->fds[0],
                                 .lower_fds = fds->fds + 1,
                                 .n_lowers = fds->n - 1,
                                 .args = args,
                                 .arg = s,
                                 .done = worker_done};
    size_t n = 0;
    int ends[2], r;

    if (s->kind == CONTENT_TAR)
        args[n++] = "--tree";
    for (size_t i = 0; i < ARRAY_SIZE(fds->maps) && *fds->maps[i]; i++)
        args[n++] = fds->maps[i];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(reterr, errno, "pipe");
    opt.out_fd = ends[1];
    r = worker_start(&opt, &s->worker, reterr);
    fd_close(ends[1]);
    if (r < 0) {
        fd_close(ends[0]);
        return r;
    }
    r = listen_to(s, ends[0], reterr);
    if (r < 0)
        worker_kill(s->worker);
    return r;
}

static void opened(void *arg, struct rootfs_fds *fds, const struct err *err)
{
    struct content *s = arg;

    if (err)
        s->err = *err;
    else if (!s->deaf && !s->container->engine->closing && start(s, fds, &s->err) >= 0 &&
             s->kind == CONTENT_TAR)
        container_event(s->container, "export", NULL);
    s->ended = s->err.kind != ERR_NONE; /* nothing will come */
    finish(s);
}

int engine_content_open(struct engine *e, const char *ref, enum content_kind kind,
                        const struct content_callbacks *cb, struct content **ret,
                        struct err *reterr)
{
    struct container *c;
    struct content *s;
    int r = registry_find(e, ref, &c, reterr);

    if (r < 0)
        return r;
    if (e->n_contents >= CONTENTS_MAX)
        return err_set(reterr, ERR_UNAVAILABLE, EBUSY, "too many containers are being read");
    s = xcalloc(1, sizeof(*s));
    r = container_open_rootfs(c, true, opened, s, reterr);
    if (r < 0) {
        free(s);
        return r;
    }
    s->container = container_ref(c);
    s->kind = kind;
    s->cb = *cb;
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
