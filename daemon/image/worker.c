#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "layer_protocol.h"
#include "mem.h"

struct worker {
    uv_process_t process;
    uv_pipe_t pipe;
    unsigned open; /* handles whose close callback is still to come */
    struct worker_options opt;
    struct worker_result result;
    bool told;  /* "ok" or "error" was read */
    bool gone;  /* exit status is known */
    bool ended; /* end of the reports was read */
    int term_signal;
    size_t len;
    char line[4 * LAYER_LINE_MAX];
};

static void closed(uv_handle_t *handle)
{
    struct worker *w = handle->data;

    if (--w->open > 0)
        return;
    w->opt.done(w->opt.arg, &w->result);
    free(w);
}

static void finish(struct worker *w)
{
    if (!w->gone || !w->ended)
        return;
    if (!w->told)
        w->result.status = err_set(&w->result.err, ERR_SYSTEM, EPIPE,
                                   "the layer worker died (signal %d)", w->term_signal);
    uv_close((uv_handle_t *)&w->pipe, closed);
    uv_close((uv_handle_t *)&w->process, closed);
}

static void take_ok(struct worker *w, const char *args)
{
    long long bytes, length;
    char id[ID_LEN + 2], blob[ID_LEN + 2];

    if (sscanf(args, "%65s %lld %65s %lld", id, &bytes, blob, &length) != 4 || strlen(id) > ID_LEN)
        return;
    memcpy(w->result.diff_id, id, strlen(id) + 1);
    if (str_is_hex(blob, ID_LEN))
        memcpy(w->result.blob, blob, ID_LEN + 1);
    w->result.bytes = bytes;
    w->result.length = length;
    w->told = true;
}

static void take_error(struct worker *w, const char *text)
{
    w->result.status = err_set(&w->result.err, ERR_INVALID, EBADMSG, "%s", text);
    w->told = true;
}

static void take_refused(struct worker *w, const char *args)
{
    char *text;
    long kind = strtol(args, &text, 10);

    if (kind <= ERR_NONE || kind > ERR_SYSTEM || *text != ' ')
        return;
    w->result.status = err_set(&w->result.err, (enum err_kind)kind, EBADMSG, "%s", text + 1);
    w->told = true;
}

static void take_progress(struct worker *w, const char *args)
{
    if (w->opt.progress)
        w->opt.progress(w->opt.arg, strtoll(args, NULL, 10));
}

static void take_file(struct worker *w, const char *args)
{
    char *name;
    long long size = strtoll(args, &name, 10);

    if (w->opt.file && size > 0 && *name == ' ')
        w->opt.file(w->opt.arg, name + 1, size);
}

static void take_wrote(struct worker *w, const char *args)
{
    if (w->opt.wrote)
        w->opt.wrote(w->opt.arg, strtoll(args, NULL, 10));
}

static const struct {
    const char *word;
    void (*take)(struct worker *w, const char *args);
} reports[] = {{"progress ", take_progress}, {"wrote ", take_wrote},
               {"file ", take_file},         {"ok ", take_ok},
               {"error ", take_error},       {"refused ", take_refused}};

static void take_line(struct worker *w, const char *line)
{
    for (size_t i = 0; !w->told && i < ARRAY_SIZE(reports); i++) {
        if (str_starts(line, reports[i].word)) {
            reports[i].take(w, line + strlen(reports[i].word));
            return;
        }
    }
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct worker *w = handle->data;

    (void)suggested;
    *ret = uv_buf_init(w->line + w->len, (unsigned)(sizeof(w->line) - 1 - w->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct worker *w = stream->data;
    char *start = w->line, *nl;

    (void)buf;
    if (n < 0) {
        w->ended = true;
        uv_read_stop(stream);
        finish(w);
        return;
    }
    w->len += (size_t)n;
    w->line[w->len] = '\0';
    while ((nl = memchr(start, '\n', w->len - (size_t)(start - w->line)))) {
        *nl = '\0';
        take_line(w, start);
        start = nl + 1;
    }
    w->len -= (size_t)(start - w->line);
    memmove(w->line, start, w->len);
    if (w->len == sizeof(w->line) - 1)
        w->len = 0; /* no report is this long: whatever it is, it is not one */
}

static void on_exit_status(uv_process_t *process, int64_t status, int term_signal)
{
    struct worker *w = process->data;

    (void)status;
    w->gone = true;
    w->term_signal = term_signal;
    finish(w);
}

#define ARGS_MAX 48

static int make_args(const struct worker_options *opt, char *lowers, char *args[ARGS_MAX])
{
    size_t n = 0;

    args[n++] = (char *)opt->path;
    args[n++] = (char *)opt->command;
    if (opt->keep || opt->blob)
        args[n++] = (char *)(opt->keep ? "--keep" : "--blob");
    if (opt->follow)
        args[n++] = (char *)"--follow";
    if (opt->tell)
        args[n++] = (char *)"--tell";
    if (opt->tree)
        args[n++] = (char *)opt->tree;
    if (opt->tree && opt->parent_fd >= 0)
        args[n++] = (char *)"--parent";
    if (*lowers)
        args[n++] = lowers;
    for (size_t i = 0; opt->args && opt->args[i]; i++) {
        if (n == ARGS_MAX - 1)
            return -E2BIG;
        args[n++] = (char *)opt->args[i];
    }
    args[n] = NULL;
    return 0;
}

static uv_stdio_container_t inherit(int fd)
{
    if (fd < 0)
        return (uv_stdio_container_t){.flags = UV_IGNORE};
    return (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = fd};
}

/* The descriptors of layer_protocol.h; returns how many. */
static int make_stdio(struct worker *w, uv_stdio_container_t *ret)
{
    const struct worker_options *opt = &w->opt;
    bool writes = streq(opt->command, "pack") || streq(opt->command, "changes") ||
                  streq(opt->command, "archive");
    int n = LAYER_FD_DIR + 1;

    ret[STDIN_FILENO] = inherit(opt->in_fd);
    ret[STDOUT_FILENO] = inherit(writes ? opt->out_fd : -EBADF);
    ret[STDERR_FILENO] = inherit(STDERR_FILENO);
    ret[LAYER_FD_REPORT] =
        (uv_stdio_container_t){.flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE),
                               .data.stream = (uv_stream_t *)&w->pipe};
    ret[LAYER_FD_DIR] = inherit(opt->dir_fd);
    if (opt->keep || opt->follow)
        ret[n++] = inherit(opt->keep ? opt->keep_fd : opt->follow_fd);
    while (opt->tree && n < LAYER_FD_PARENT)
        ret[n++] = inherit(-EBADF);
    if (opt->tree)
        ret[n++] = inherit(opt->parent_fd);
    for (size_t i = 0; i < opt->n_lowers; i++)
        ret[n++] = inherit(opt->lower_fds[i]);
    return n;
}

static int spawn(struct worker *w)
{
    char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    uv_stdio_container_t stdio[LAYER_FD_LOWER + LAYER_LOWERS_MAX];
    char lowers[32] = "", *args[ARGS_MAX];
    uv_process_options_t options = {
        .file = w->opt.path, .args = args, .env = env, .stdio = stdio, .exit_cb = on_exit_status};
    int r;

    if (w->opt.n_lowers > LAYER_LOWERS_MAX ||
        (w->opt.n_lowers > 0 && (w->opt.keep || w->opt.follow || w->opt.tree)))
        return -E2BIG;
    if (w->opt.n_lowers > 0)
        snprintf(lowers, sizeof(lowers), "--lowers=%zu", w->opt.n_lowers);
    r = make_args(&w->opt, lowers, args);
    if (r < 0)
        return r;
    options.stdio_count = make_stdio(w, stdio);
    return uv_spawn(w->opt.loop, &w->process, &options);
}

static void discarded(uv_handle_t *handle)
{
    struct worker *w = handle->data;

    if (--w->open == 0)
        free(w);
}

int worker_start(const struct worker_options *opt, struct worker **ret, struct err *reterr)
{
    struct worker *w = xcalloc(1, sizeof(*w));
    int r;

    w->opt = *opt;
    w->open = 2;
    w->pipe.data = w;
    w->process.data = w;
    uv_pipe_init(opt->loop, &w->pipe, 0);
    r = spawn(w);
    if (r < 0) {
        uv_close((uv_handle_t *)&w->pipe, discarded);
        uv_close((uv_handle_t *)&w->process, discarded);
        return err_sys(reterr, -r, "start %s", opt->path);
    }
    r = uv_read_start((uv_stream_t *)&w->pipe, allocate, on_read);
    if (r < 0)
        w->ended = true;
    *ret = w;
    return 0;
}

void worker_kill(struct worker *w)
{
    if (!w->gone)
        uv_process_kill(&w->process, SIGKILL);
}
