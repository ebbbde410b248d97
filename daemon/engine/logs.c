/* Reading logs: pool jobs turn a piece of the file into what the client gets, the loop passes it
 * on; following waits for inotify or the container's end. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fd.h"
#include "log.h"
#include "logconf.h"
#include "logread.h"
#include "logrotated.h"
#include "logsend.h"
#include "logset.h"
#include "private.h"

struct log_stream {
    struct log_stream *next;     /* in container->followers */
    struct container *container; /* a reference */
    engine_log_fn *fn;           /* NULL: closed by the reader */
    void *arg;
    uv_fs_event_t *watch; /* owned until its close callback; NULL when not following */

    bool busy;    /* a job is on the pool */
    bool paused;  /* the reader wants no more now */
    bool changed; /* the file grew while a job was running */
    bool ended;   /* the container has ended: what the file holds now is all */

    struct log_reader reader; /* the job's; not touched by the loop while busy */
};

static const char *log_driver(const struct container *c)
{
    return json_get_str(json_get(c->host_config, "LogConfig"), "Type", LOG_DRIVER_DEFAULT);
}

static bool is_numbered(const struct container *c)
{
    return streq(log_driver(c), LOG_DRIVER_LOCAL);
}

char *container_log_path(const struct container *c)
{
    bool numbered = is_numbered(c);
    _cleanup_free_ char *leaf = NULL;

    if (!numbered && !streq(log_driver(c), LOG_DRIVER_DEFAULT))
        return NULL;
    leaf = xasprintf("%s-%s.log", c->id, numbered ? "local" : "json");
    return container_dir(c, leaf);
}

char *container_log_shown(const struct container *c)
{
    return is_numbered(c) ? NULL : container_log_path(c);
}

uint64_t container_log_number(const struct container *c)
{
    _cleanup_free_ char *path = is_numbered(c) ? container_log_path(c) : NULL;
    uint64_t first, last;

    if (!path)
        return 0;
    return log_set_numbers(path, &first, &last) < 0 ? 1 : last;
}

/* ---- packing ---- */

struct settle_job {
    struct container *container; /* a reference */
    char *path;
    uint64_t files;
    bool numbered;
};

static void settle_run(void *arg)
{
    struct settle_job *j = arg;

    if (j->numbered)
        log_set_settle(j->path, j->files);
    else
        log_rotated_settle(j->path, j->files);
}

static void after_settle(void *arg)
{
    struct settle_job *j = arg;
    struct container *c = j->container;
    bool again = c->log_settling > 1 && !c->gone;

    c->log_settling = 0;
    if (again)
        logs_settle(c);
    container_unref(c);
    free(j->path);
    free(j);
}

void logs_settle(struct container *c)
{
    struct log_limits limits;
    struct settle_job *j;

    _cleanup_free_ char *path = container_log_path(c);

    if (!path || log_limits_parse(json_get(c->host_config, "LogConfig"), &limits, NULL) < 0 ||
        !limits.compress)
        return;
    if (c->log_settling > 0) {
        c->log_settling = 2;
        return;
    }
    c->log_settling = 1;
    j = xcalloc(1, sizeof(*j));
    *j = (struct settle_job){container_ref(c), TAKE_PTR(path), limits.files, is_numbered(c)};
    job_run(c->engine, settle_run, after_settle, j);
}

void log_dropped_read(const char *run_dir, int64_t *ret_lines, int64_t *ret_bytes)
{
    _cleanup_free_ char *path = path_join(run_dir, SHIM_DROPPED_FILE), *text = NULL;
    char *end;

    *ret_lines = *ret_bytes = 0;
    if (file_read(AT_FDCWD, path, 128, &text) < 0)
        return;
    *ret_lines = strtoll(text, &end, 10);
    *ret_bytes = strtoll(end, NULL, 10);
}

static void read_run(void *arg)
{
    struct log_stream *s = arg;

    log_reader_run(&s->reader);
}

/* ---- on the loop ---- */

static void on_watch_closed(uv_handle_t *h)
{
    free(h);
}

static void stream_free(struct log_stream *s)
{
    struct log_stream **p = &s->container->followers;

    while (*p && *p != s)
        p = &(*p)->next;
    if (*p)
        *p = s->next;
    if (s->watch) {
        s->watch->data = NULL;
        uv_close((uv_handle_t *)s->watch, on_watch_closed);
    }
    log_reader_done(&s->reader);
    container_unref(s->container);
    free(s);
}

static void read_more(struct log_stream *s);

static void finish(struct log_stream *s)
{
    engine_log_fn *fn = s->fn;
    void *arg = s->arg;

    s->fn = NULL;
    stream_free(s);
    fn(arg, NULL, 0);
}

static void after_read(void *arg)
{
    struct log_stream *s = arg;
    bool at_end;

    /* Still busy while the reader is called: it may close the stream from inside. */
    if (s->fn && s->reader.out.len > 0)
        s->paused = !s->fn(s->arg, s->reader.out.data, s->reader.out.len);
    s->busy = false;
    if (!s->fn) {
        stream_free(s);
        return;
    }
    s->reader.out.len = 0;
    at_end = s->reader.eof && !s->changed;
    s->changed = false;
    if (s->reader.past_until)
        finish(s);
    else if (s->paused)
        return; /* and what is written until it goes on belongs to the log, too */
    else if (at_end && (!s->reader.options.follow || s->ended))
        finish(s);
    else if (!at_end)
        read_more(s);
}

static void read_more(struct log_stream *s)
{
    s->busy = true;
    job_run(s->container->engine, read_run, after_read, s);
}

static void file_changed(struct log_stream *s)
{
    s->changed = true;
    if (!s->busy && !s->paused)
        read_more(s);
}

static void on_watch(uv_fs_event_t *h, const char *name, int events, int status)
{
    (void)name;
    (void)events;
    (void)status;
    if (h->data)
        file_changed(h->data);
}

/* The directory: the file is made by the shim at start, and renamed when it is full. */
static void begin_watch(struct log_stream *s)
{
    _cleanup_free_ char *dir = container_dir(s->container, NULL);

    s->watch = xcalloc(1, sizeof(*s->watch));
    uv_fs_event_init(s->container->engine->loop, s->watch);
    s->watch->data = s;
    if (uv_fs_event_start(s->watch, on_watch, dir, 0) < 0)
        log_warn("container %s: cannot watch its log", s->container->id);
}

void logs_container_exited(struct container *c)
{
    logs_settle(c);
    for (struct log_stream *s = c->followers, *next; s; s = next) {
        next = s->next;
        s->ended = true;
        file_changed(s);
    }
}

int engine_logs_open(struct engine *e, const char *ref, const struct log_options *options,
                     engine_log_fn *fn, void *arg, bool *ret_tty, struct log_stream **ret,
                     struct err *reterr)
{
    struct container *c;
    struct log_stream *s;
    char *path;
    int r = registry_find(e, ref, &c, reterr);

    if (r < 0)
        return r;
    if (!options->stdout_ && !options->stderr_)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "Bad parameters: you must choose at least one stream");
    path = container_log_path(c);
    if (!path)
        return err_set(reterr, ERR_NOT_IMPLEMENTED, ENOTSUP,
                       "configured logging driver does not support reading");
    shim_sync(c);
    s = xcalloc(1, sizeof(*s));
    *s = (struct log_stream){.container = container_ref(c),
                             .reader = {.options = *options,
                                        .framed = !c->tty && !options->raw,
                                        .file = LOG_FILE_INIT,
                                        .path = path,
                                        .details = options->details ? log_details(c) : NULL,
                                        .numbered = is_numbered(c)},
                             .fn = fn,
                             .arg = arg};
    s->ended = !container_is_up(c) && !c->starting && !c->exiting;
    s->next = c->followers;
    c->followers = s;
    if (options->follow && !s->ended)
        begin_watch(s);
    *ret_tty = c->tty;
    *ret = s;
    read_more(s);
    return 0;
}

void log_stream_resume(struct log_stream *s)
{
    if (!s->paused)
        return;
    s->paused = false;
    if (!s->busy)
        read_more(s);
}

void log_stream_close(struct log_stream *s)
{
    s->fn = NULL;
    if (!s->busy)
        stream_free(s);
}
