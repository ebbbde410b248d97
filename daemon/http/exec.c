#include <stdlib.h>

#include "api.h"
#include "engine.h"
#include "json.h"
#include "params.h"
#include "reply_engine.h"
#include "routes.h"
#include "str.h"

void exec_create(struct http_req *req)
{
    json_t *result;
    struct err err;

    if (engine_exec_create(http_context(req), http_param(req), http_body(req), &result, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_json(req, 201, result);
}

struct exec_answer {
    struct engine *engine;
    char id[ID_LEN + 1];
    bool framed;
    uint16_t rows, columns;
};

static void on_hijacked(void *arg, int fd, const void *extra, size_t extra_len)
{
    struct exec_answer *a = arg;

    if (fd >= 0)
        engine_exec_start(a->engine, a->id, fd, extra, extra_len, a->framed, a->rows, a->columns,
                          NULL, NULL);
    free(a);
}

static void on_detached_start(void *arg, const struct err *err)
{
    if (err)
        http_reply_err(arg, err);
    else
        http_reply_empty(arg, 200);
}

static void console_size(const json_t *body, uint16_t *rows, uint16_t *columns)
{
    const json_t *size = json_get(body, "ConsoleSize");

    *rows = (uint16_t)json_integer_value(json_array_get(size, 0));
    *columns = (uint16_t)json_integer_value(json_array_get(size, 1));
}

void exec_start(struct http_req *req)
{
    struct engine *e = http_context(req);
    const json_t *body = http_body(req);
    bool detach = json_get_bool(body, "Detach", false), tty, mux;
    struct exec_answer *a;
    struct err err;

    if (engine_exec_start_check(e, http_param(req), detach, &tty, &err) < 0) {
        http_reply_err(req, &err);
        return;
    }
    if (detach) {
        engine_exec_start(e, http_param(req), -1, NULL, 0, false, 0, 0, on_detached_start, req);
        return;
    }
    a = xcalloc(1, sizeof(*a));
    a->engine = e;
    snprintf(a->id, sizeof(a->id), "%s", http_param(req));
    a->framed = !json_get_bool(body, "Tty", false);
    if (http_api_version(req) >= 142) /* before that the client said it by resizing */
        console_size(body, &a->rows, &a->columns);
    mux = a->framed && http_wants_upgrade(req) && http_api_version(req) >= 142;
    http_hijack(req, mux ? API_TYPE_MUX_STREAM : API_TYPE_RAW_STREAM, on_hijacked, a);
}

void exec_resize(struct http_req *req)
{
    uint16_t rows, columns;
    struct err err;

    if (param_size(req, &rows, &columns, &err) < 0 ||
        engine_exec_resize(http_context(req), http_param(req), rows, columns, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_empty(req, 200);
}

void exec_inspect(struct http_req *req)
{
    json_t *result;
    struct err err;

    if (engine_exec_inspect(http_context(req), http_param(req), &result, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_json(req, 200, result);
}
