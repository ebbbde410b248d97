/* Files in and out of a container: HEAD, GET and PUT /containers/{id}/archive. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api.h"
#include "base64.h"
#include "buf.h"
#include "engine.h"
#include "fd.h"
#include "json.h"
#include "routes.h"
#include "str.h"

#define STAT_HEADER "X-Docker-Container-Path-Stat"
#define RECORD_MAX 16384 /* of what the path is: two names */
#define RECORD_FIELDS 3

struct archive_answer {
    struct http_req *req;       /* NULL once answered */
    struct http_stream *stream; /* GET: NULL before the record is whole */
    struct content *content;    /* NULL once it has ended */
    struct buf record;
    bool told;      /* the header is set */
    bool uploading; /* PUT: the body is still read */
    bool answered;  /* PUT */
    struct err err; /* PUT: of the content */
};

static void answer_free(struct archive_answer *a)
{
    buf_done(&a->record);
    free(a);
}

static bool has_path(struct http_req *req)
{
    if (!str_empty(http_query(req, "path")))
        return true;
    http_reply_error(req, 400, "bad parameter: 'path' cannot be empty");
    return false;
}

/* ---- what the path is ---- */

/* Go's os.FileMode. */
static uint32_t go_mode(unsigned mode)
{
    static const struct {
        unsigned type;
        uint32_t bits;
    } types[] = {{S_IFDIR, 1U << 31}, {S_IFLNK, 1U << 27},
                 {S_IFBLK, 1U << 26}, {S_IFCHR, 1U << 26 | 1U << 21},
                 {S_IFIFO, 1U << 25}, {S_IFSOCK, 1U << 24}};
    uint32_t out = mode & 0777;

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if ((mode & S_IFMT) == types[i].type)
            out |= types[i].bits;
    }
    return out | (mode & S_ISUID ? 1U << 23 : 0) | (mode & S_ISGID ? 1U << 22 : 0) |
           (mode & S_ISVTX ? 1U << 20 : 0);
}

/* Bytes of the record with its last NUL, or 0 if it is not whole yet. */
static size_t record_length(const struct buf *b)
{
    const char *data = buf_head(b);
    unsigned fields = 0;

    for (size_t i = 0; i < buf_size(b); i++) {
        if (!data[i] && ++fields == RECORD_FIELDS)
            return i + 1;
    }
    return 0;
}

/* A file's time may be any: what is beyond the years 1677 to 2262 is shown as the last of them. */
static int64_t to_ns(long long seconds, long nanoseconds)
{
    int64_t ns;

    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &ns) ||
        __builtin_add_overflow(ns, nanoseconds, &ns))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

/* The record begins with numbers as in layer_protocol.h. */
static void add_stat(struct archive_answer *a)
{
    const char *numbers = buf_head(&a->record), *name = numbers + strlen(numbers) + 1;
    const char *target = name + strlen(name) + 1;
    _cleanup_free_ char *name8 = str_to_utf8(name), *target8 = str_to_utf8(target);
    _cleanup_free_ char *text = NULL, *encoded = NULL;
    _cleanup_json_ json_t *stat = NULL;
    unsigned mode = 0;
    long long size = 0, seconds = 0;
    long nanoseconds = 0;
    char when[TIME_STR_MAX];

    if (sscanf(numbers, "%u %lld %lld %ld", &mode, &size, &seconds, &nanoseconds) != 4)
        return;
    time_format_nano(to_ns(seconds, nanoseconds), when);
    stat = json_pack("{s:s,s:I,s:I,s:s,s:s}", "name", name8, "size", (json_int_t)size, "mode",
                     (json_int_t)go_mode(mode), "mtime", when, "linkTarget", target8);
    text = json_to_str(stat);
    encoded = base64_encode(text, strlen(text));
    http_add_header(a->req, STAT_HEADER, encoded);
    a->told = true;
}

/* ---- HEAD and GET ---- */

static void on_closed(void *arg)
{
    struct archive_answer *a = arg;

    if (a->content)
        engine_content_close(a->content);
    answer_free(a);
}

static void on_drain(void *arg)
{
    struct archive_answer *a = arg;

    if (a->content)
        engine_content_resume(a->content);
}

static const struct http_stream_ops stream_ops = {.on_close = on_closed, .on_drain = on_drain};

/* The client went away before there was anything for it. */
static void on_abort(void *arg)
{
    struct archive_answer *a = arg;

    engine_content_close(a->content);
    http_reply_error(a->req, 499, "the client went away");
    answer_free(a);
}

static bool on_data(void *arg, const void *data, size_t len)
{
    struct archive_answer *a = arg;
    struct http_req *req = a->req;
    size_t n;

    if (a->stream) {
        http_stream_write(a->stream, data, len);
        return http_stream_queued(a->stream) < HTTP_STREAM_HIGH_WATER;
    }
    if (a->told)
        return true; /* HEAD: nothing more is wanted */
    buf_append(&a->record, data, len);
    n = record_length(&a->record);
    if (n == 0)
        return buf_size(&a->record) < RECORD_MAX;
    add_stat(a);
    buf_consume(&a->record, n);
    if (http_is_head(req))
        return true;
    a->req = NULL;
    http_on_abort(req, NULL, NULL);
    a->stream = http_stream_open(req, 200, API_TYPE_TAR, &stream_ops, a);
    http_stream_pace(a->stream);
    http_stream_write(a->stream, buf_head(&a->record), buf_size(&a->record));
    return true;
}

static void on_done(void *arg, const struct err *err)
{
    struct archive_answer *a = arg;

    a->content = NULL;
    if (a->stream && err)
        http_stream_fail(a->stream, err); /* its client must not take it for the whole */
    else if (a->stream)
        http_stream_end(a->stream);
    if (a->stream)
        return;
    http_on_abort(a->req, NULL, NULL);
    if (err)
        http_reply_err(a->req, err);
    else if (a->told)
        http_reply_empty(a->req, 200);
    else
        http_reply_error(a->req, 500, "the worker said nothing");
    answer_free(a);
}

void archive_read(struct http_req *req)
{
    struct archive_request r = {.action = http_is_head(req) ? ARCHIVE_STAT : ARCHIVE_GET,
                                .path = http_query(req, "path"),
                                .in_fd = -EBADF};
    struct archive_answer *a;
    struct content_callbacks cb = {.data = on_data, .done = on_done};
    struct err err;

    if (!has_path(req))
        return;
    a = xcalloc(1, sizeof(*a));
    a->req = req;
    cb.arg = a;
    if (engine_archive_open(http_context(req), http_param(req), &r, &cb, &a->content, &err) < 0) {
        answer_free(a);
        http_reply_err(req, &err);
        return;
    }
    http_on_abort(req, on_abort, a);
}

/* ---- PUT ---- */

/* Where the worker has failed nobody needs the rest of the body. */
static void finish_put(struct archive_answer *a)
{
    bool uploading = a->uploading;

    if (a->content || (uploading && a->err.kind == ERR_NONE))
        return;
    if (!a->answered) {
        a->answered = true;
        if (a->err.kind != ERR_NONE)
            http_reply_err(a->req, &a->err); /* this may tell on_uploaded(), which frees it */
        else
            http_reply_empty(a->req, 200);
    }
    if (!uploading)
        answer_free(a);
}

static bool on_put_data(void *arg, const void *data, size_t len)
{
    (void)arg, (void)data, (void)len;
    return true;
}

static void on_put_done(void *arg, const struct err *err)
{
    struct archive_answer *a = arg;

    a->content = NULL;
    if (err)
        a->err = *err;
    finish_put(a);
}

static void on_uploaded(void *arg, int result)
{
    struct archive_answer *a = arg;

    a->uploading = false;
    if (a->content && (result == -ECONNRESET || result == -ETIMEDOUT)) {
        engine_content_close(TAKE_PTR(a->content));
        if (result == -ETIMEDOUT)
            err_set(&a->err, ERR_INVALID, ETIMEDOUT,
                    "the archive came too slowly: less than %d bytes in %d s", HTTP_PACE_BYTES,
                    HTTP_PACE_S);
        else
            err_set(&a->err, ERR_SYSTEM, ECONNRESET, "the client went away");
    }
    finish_put(a);
}

void archive_write(struct http_req *req)
{
    struct archive_request r = {.action = ARCHIVE_PUT,
                                .path = http_query(req, "path"),
                                .keep_kind = http_query_bool(req, "noOverwriteDirNonDir", false),
                                .as_user = http_query_bool(req, "copyUIDGID", false)};
    struct content_callbacks cb = {.data = on_put_data, .done = on_put_done};
    struct archive_answer *a;
    struct err err;
    int fds[2];

    if (!has_path(req))
        return;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        err_sys(&err, errno, "pipe");
        http_reply_err(req, &err);
        return;
    }
    fcntl(fds[1], F_SETPIPE_SZ, 1 << 20); /* more is faster, less works */
    a = xcalloc(1, sizeof(*a));
    a->req = req;
    a->uploading = true;
    cb.arg = a;
    r.in_fd = fds[0];
    if (engine_archive_open(http_context(req), http_param(req), &r, &cb, &a->content, &err) < 0) {
        fd_close(fds[1]);
        answer_free(a);
        http_reply_err(req, &err);
    } else {
        http_body_to_fd(req, fds[1], on_uploaded, a);
    }
    fd_close(fds[0]);
}
