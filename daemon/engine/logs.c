/* Reading logs: pool jobs turn a piece of the file into what the client gets, the loop passes it
 * on; following waits for inotify or the container's end. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "logline.h"
#include "private.h"

#define READ_CHUNK (256 * 1024)
/* A line of the file holds 16 KiB of text, escaped at most sixfold, and its fixed parts. */
#define LINE_MAX_BYTES (128 * 1024)
#define TAIL_BLOCK (64 * 1024)

struct log_stream {
    struct log_stream *next;     /* in container->followers */
    struct container *container; /* a reference */
    struct log_options options;
    bool framed;
    engine_log_fn *fn; /* NULL: closed by the reader */
    void *arg;
    uv_fs_event_t *watch; /* owned until its close callback; NULL when not following */

    bool busy;    /* a job is on the pool */
    bool paused;  /* the reader wants no more now */
    bool changed; /* the file grew while a job was running */
    bool ended;   /* the container has ended: what the file holds now is all */

    /* The job's; not touched by the loop while busy. */
    int fd; /* owned, -EBADF when there is no file */
    char *path;
    bool positioned, eof, past_until;
    int64_t offset;
    struct buf in, out;
};

char *container_log_path(const struct container *c)
{
    const json_t *lc = json_get(c->host_config, "LogConfig");
    _cleanup_free_ char *leaf = NULL;

    if (!streq(json_get_str(lc, "Type", "json-file"), "json-file"))
        return NULL;
    leaf = xasprintf("%s-json.log", c->id);
    return container_dir(c, leaf);
}

/* ---- on the pool ---- */

/* Offset behind the newline that precedes the last n lines. */
static int64_t find_tail(int fd, int64_t size, int64_t n)
{
    _cleanup_free_ char *block = xmalloc(TAIL_BLOCK);
    int64_t end = size, lines = 0;

    if (n == 0)
        return size;
    while (end > 0) {
        int64_t start = end > TAIL_BLOCK ? end - TAIL_BLOCK : 0;
        ssize_t got = pread(fd, block, (size_t)(end - start), start);

        if (got <= 0)
            break;
        for (ssize_t i = got; i-- > 0;) {
            if (block[i] != '\n' || start + i + 1 == size)
                continue;
            if (++lines == n)
                return start + i + 1;
        }
        end = start;
    }
    return 0;
}

static void emit(struct log_stream *s, const struct log_line *l)
{
    size_t head = s->out.len;

    if (s->framed)
        buf_append(&s->out, "\0\0\0\0\0\0\0\0", 8);
    if (s->options.timestamps) {
        log_line_timestamp(l, &s->out);
        buf_append(&s->out, " ", 1);
    }
    log_line_text(l, &s->out);
    if (s->framed) {
        uint32_t n = (uint32_t)(s->out.len - head - 8);
        uint8_t frame[8] = {
            l->is_stderr ? 2 : 1, 0,         0, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
            (uint8_t)(n >> 8),    (uint8_t)n};

        memcpy(s->out.data + head, frame, sizeof(frame));
    }
}

static void take_line(struct log_stream *s, const char *line, size_t len)
{
    struct log_line l;

    if (log_line_parse(line, len, &l) < 0)
        return;
    if (!(l.is_stderr ? s->options.stderr_ : s->options.stdout_))
        return;
    if (s->options.since_ns > 0 || s->options.until_ns > 0) {
        int64_t t = log_line_time(&l);

        if (t < s->options.since_ns)
            return;
        if (s->options.until_ns > 0 && t > s->options.until_ns) {
            s->past_until = true;
            return;
        }
    }
    emit(s, &l);
}

static void take_lines(struct log_stream *s)
{
    const char *p = buf_head(&s->in), *end = p + buf_size(&s->in), *nl;

    /* out is filled from the start: nothing is consumed from it until it is handed over. */
    while (p < end && !s->past_until && (nl = memchr(p, '\n', (size_t)(end - p)))) {
        take_line(s, p, (size_t)(nl - p));
        p = nl + 1;
    }
    buf_consume(&s->in, (size_t)(p - buf_head(&s->in)));
    if (buf_size(&s->in) > LINE_MAX_BYTES)
        buf_consume(&s->in, buf_size(&s->in)); /* not a line of ours */
}

static bool open_file(struct log_stream *s)
{
    struct stat st;

    if (s->fd < 0)
        s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (s->fd < 0)
        return false;
    if (!s->positioned) {
        s->positioned = true;
        if (s->options.tail >= 0 && fstat(s->fd, &st) == 0)
            s->offset = find_tail(s->fd, st.st_size, s->options.tail);
    }
    return true;
}

static void read_run(void *arg)
{
    struct log_stream *s = arg;

    s->eof = !open_file(s);
    while (!s->eof && !s->past_until && s->out.len < READ_CHUNK) {
        ssize_t n = pread(s->fd, buf_reserve(&s->in, READ_CHUNK), READ_CHUNK, s->offset);

        if (n <= 0) {
            s->eof = true;
            break;
        }
        s->in.len += (size_t)n;
        s->offset += n;
        take_lines(s);
    }
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
    fd_close(s->fd);
    buf_done(&s->in);
    buf_done(&s->out);
    free(s->path);
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
    if (s->fn && s->out.len > 0)
        s->paused = !s->fn(s->arg, s->out.data, s->out.len);
    s->busy = false;
    if (!s->fn) {
        stream_free(s);
        return;
    }
    s->out.len = 0;
    at_end = s->eof && !s->changed;
    s->changed = false;
    if (s->past_until || (at_end && (!s->options.follow || s->ended)))
        finish(s);
    else if (!at_end && !s->paused)
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

static void begin_watch(struct log_stream *s)
{
    s->watch = xcalloc(1, sizeof(*s->watch));
    uv_fs_event_init(s->container->engine->loop, s->watch);
    s->watch->data = s;
    /* The file is made by the shim at start: watch the directory if it is not there yet. */
    if (uv_fs_event_start(s->watch, on_watch, s->path, 0) < 0) {
        _cleanup_free_ char *dir = container_dir(s->container, NULL);

        if (uv_fs_event_start(s->watch, on_watch, dir, 0) < 0)
            log_warn("container %s: cannot watch its log", s->container->id);
    }
}

void logs_container_exited(struct container *c)
{
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
                             .options = *options,
                             .framed = !c->tty,
                             .fn = fn,
                             .arg = arg,
                             .fd = -EBADF,
                             .path = path};
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
