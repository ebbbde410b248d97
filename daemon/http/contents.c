/* What is in a container: export and changes.  The answer begins with the first bytes; what fails
 * before is its status. */
#include "api.h"
#include "buf.h"
#include "engine.h"
#include "json.h"
#include "routes.h"
#include "str.h"

struct contents_answer {
    struct http_req *req;       /* NULL once answered */
    struct http_stream *stream; /* NULL before the first bytes */
    struct content *content;    /* NULL once it has ended */
    const char *type;
    bool changes;
    size_t n;          /* changes that were told */
    struct buf record; /* the beginning of a change whose end is to come */
};

static void answer_free(struct contents_answer *a)
{
    buf_done(&a->record);
    free(a);
}

static void on_closed(void *arg)
{
    struct contents_answer *a = arg;

    if (a->content)
        engine_content_close(a->content);
    answer_free(a);
}

static void on_drain(void *arg)
{
    struct contents_answer *a = arg;

    if (a->content)
        engine_content_resume(a->content);
}

static const struct http_stream_ops stream_ops = {.on_close = on_closed, .on_drain = on_drain};

/* The client went away before there was anything for it. */
static void on_abort(void *arg)
{
    struct contents_answer *a = arg;

    engine_content_close(a->content);
    http_reply_error(a->req, 499, "the client went away");
    answer_free(a);
}

static void open_stream(struct contents_answer *a)
{
    struct http_req *req = TAKE_PTR(a->req);

    http_on_abort(req, NULL, NULL);
    a->stream = http_stream_open(req, 200, a->type, &stream_ops, a);
    http_stream_pace(a->stream);
    if (a->changes)
        http_stream_write(a->stream, "[", 1);
}

/* ---- changes ---- */

static void write_change(struct contents_answer *a, const char *record)
{
    static const char kinds[] = "CAD"; /* Docker's numbers */
    const char *kind = strchr(kinds, *record);
    _cleanup_free_ char *path = str_to_utf8(record + 1), *text = NULL;
    _cleanup_json_ json_t *change =
        json_pack("{s:s,s:i}", "Path", path, "Kind", kind ? (int)(kind - kinds) : 0);

    text = json_to_str(change);
    if (a->n++ > 0)
        http_stream_write(a->stream, ",", 1);
    http_stream_write(a->stream, text, strlen(text));
}

static void write_changes(struct contents_answer *a, const char *data, size_t len)
{
    const char *nul;

    while ((nul = memchr(data, '\0', len))) {
        size_t n = (size_t)(nul - data) + 1;

        buf_append(&a->record, data, n);
        write_change(a, buf_head(&a->record));
        buf_consume(&a->record, buf_size(&a->record));
        data += n;
        len -= n;
    }
    buf_append(&a->record, data, len);
}

/* ---- both ---- */

static bool on_data(void *arg, const void *data, size_t len)
{
    struct contents_answer *a = arg;

    if (!a->stream)
        open_stream(a);
    if (a->changes)
        write_changes(a, data, len);
    else
        http_stream_write(a->stream, data, len);
    return http_stream_queued(a->stream) < HTTP_STREAM_HIGH_WATER;
}

static void on_done(void *arg, const struct err *err)
{
    struct contents_answer *a = arg;

    a->content = NULL;
    if (!a->stream && err) {
        http_on_abort(a->req, NULL, NULL);
        http_reply_err(a->req, err);
        answer_free(a);
        return;
    }
    if (!a->stream)
        open_stream(a);
    if (err) {
        http_stream_fail(a->stream, err); /* its client must not take it for the whole */
        return;
    }
    if (a->changes)
        http_stream_write(a->stream, "]\n", 2);
    http_stream_end(a->stream);
}

static void answer(struct http_req *req, enum content_kind kind, const char *type)
{
    struct contents_answer *a = xcalloc(1, sizeof(*a));
    struct content_callbacks cb = {.arg = a, .data = on_data, .done = on_done};
    struct err err;

    *a = (struct contents_answer){.req = req, .type = type, .changes = kind == CONTENT_CHANGES};
    if (engine_content_open(http_context(req), http_param(req), kind, &cb, &a->content, &err) < 0) {
        answer_free(a);
        http_reply_err(req, &err);
        return;
    }
    http_on_abort(req, on_abort, a);
}

void contents_export(struct http_req *req)
{
    answer(req, CONTENT_TAR, API_TYPE_TAR);
}

void contents_changes(struct http_req *req)
{
    answer(req, CONTENT_CHANGES, API_TYPE_JSON);
}
