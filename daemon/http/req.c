#include "req.h"

#include <assert.h>
#include <errno.h>
#include <strings.h>

#include "api.h"
#include "fd.h"
#include "filters.h"
#include "mem.h"
#include "router.h"
#include "status.h"
#include "str.h"

struct http_req *req_new(struct listener *l, struct MHD_Connection *conn, const char *uri)
{
    struct http_req *req = xcalloc(1, sizeof(*req));

    req->server = l->server;
    server_ref(req->server);
    req->listener = l;
    req->conn = conn;
    req->uri = xstrdup(uri);
    req->client_fd = req->dummy_fd = -EBADF;
    req->next = l->server->requests;
    if (req->next)
        req->next->prev = req;
    l->server->requests = req;
    return req;
}

static void req_free(struct http_req *req)
{
    if (req->response)
        MHD_destroy_response(req->response);
    for (size_t i = 0; i < req->n_headers; i++)
        free(req->headers[i].value);
    free(req->uri);
    free(req->path);
    free(req->method);
    free(req->param);
    query_done(&req->query);
    buf_done(&req->body);
    json_decref(req->json);
    server_unref(req->server);
    free(req);
}

static void req_unlink(struct http_req *req)
{
    if (req->prev)
        req->prev->next = req->next;
    else
        req->server->requests = req->next;
    if (req->next)
        req->next->prev = req->prev;
}

int req_fd(const struct http_req *req)
{
    return MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

/* ---- waiting for the handler ---- */

static void on_watch(uv_poll_t *p, int status, int events)
{
    (void)status, (void)events;
    req_abort(p->data);
}

void req_suspend_blind(struct http_req *req)
{
    watch_free(TAKE_PTR(req->watch));
    if (!req->suspended)
        MHD_suspend_connection(req->conn);
    req->suspended = true;
}

/* libmicrohttpd polls no suspended socket.  UV_PRIORITIZED never comes on AF_UNIX, so that what
 * comes is the hang-up or error that epoll always tells; unlike UV_DISCONNECT it does not come for
 * a client that merely shut down its writing side. */
void req_suspend(struct http_req *req)
{
    if (req->suspended)
        return;
    req_suspend_blind(req);
    req->watch = watch_new(req->server, req_fd(req), req);
    if (req->watch)
        uv_poll_start(&req->watch->poll, UV_PRIORITIZED, on_watch);
}

void req_resume(struct http_req *req)
{
    watch_free(TAKE_PTR(req->watch));
    if (!req->suspended)
        return;
    req->suspended = false;
    MHD_resume_connection(req->conn);
    server_kick(req->listener);
}

static void tell_abort(struct http_req *req)
{
    if (req->answer != ANSWER_NONE || req->stream || !req->on_abort)
        return;
    TAKE_PTR(req->on_abort)(req->abort_arg);
}

void req_abort(struct http_req *req)
{
    req->gone = true;
    if (req->raw && !req->conn) {
        raw_break(req); /* may free it */
        return;
    }
    tell_abort(req);
    req_resume(req);
}

static void maybe_free(struct http_req *req)
{
    if (!req->conn && req->answer != ANSWER_NONE)
        req_free(req);
}

void req_raw_ended(struct http_req *req)
{
    if (req->conn)
        return; /* libmicrohttpd has not yet told that it let go: req_detach() does the rest */
    req_unlink(req);
    maybe_free(req);
}

void req_detach(struct http_req *req)
{
    watch_free(TAKE_PTR(req->watch));
    if (req->raw) {
        req->conn = NULL;
        raw_detach(req);
        return;
    }
    req_unlink(req);
    req->gone = true;
    if (req->upload)
        upload_finish(req, -ECONNRESET);
    if (req->takeover)
        takeover_finish(req, NULL, 0);
    if (req->stream) {
        stream_detach(req);
        req->answer = ANSWER_TAKEOVER;
    }
    if (!req->handled && req->answer == ANSWER_NONE)
        req->answer = ANSWER_RESPONSE; /* the body never was complete: nobody else knows of it */
    tell_abort(req);
    req->conn = NULL;
    maybe_free(req);
}

void req_drop(struct http_req *req)
{
    req_detach(req);
}

void req_answered(struct http_req *req, enum req_answer answer)
{
    assert(req->answer == ANSWER_NONE);
    req->answer = answer;
    if (!req->conn)
        maybe_free(req);
    else
        req_resume(req);
}

static void run_handler(struct http_req *req)
{
    req->handled = true;
    req->route->handler(req);
}

/* ---- the head ---- */

static int parse_uri(struct http_req *req, struct err *reterr)
{
    const char *uri = req->uri, *scheme = strstr(uri, "://");
    size_t len;

    /* The absolute form, as clients send it through proxies. */
    if (scheme && uri[0] != '/')
        uri = strchrnul(scheme + 3, '/');
    len = strcspn(uri, "?#");
    req->path = percent_decode(uri, len, false);
    if (!req->path)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid escape in path");
    if (uri[len] == '?' && query_parse(uri + len + 1, &req->query) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid query string");
    return 0;
}

static void parse_connection(struct http_req *req, const char *version)
{
    const char *connection = http_header(req, "Connection");

    req->http10 = !streq(version, "HTTP/1.1");
    req->keep_alive = !req->http10 && (!connection || !strcasestr(connection, "close"));
}

static enum MHD_Result count_length(void *cls, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    (void)kind, (void)value;
    *(unsigned *)cls += strcasecmp(key, "Content-Length") == 0;
    return MHD_YES;
}

/* Who reads only one of them sees other requests than we do (RFC 9112, 6.3). */
static bool length_is_ambiguous(const struct http_req *req)
{
    unsigned n = 0;

    MHD_get_connection_values(req->conn, MHD_HEADER_KIND, count_length, &n);
    return n > 1 || (n == 1 && http_header(req, "Transfer-Encoding"));
}

static void reply_version_error(struct http_req *req, const struct err *err)
{
    _cleanup_free_ char *text = NULL;

    if (req->version >= API_VERSION_MIN_NUM) {
        http_reply_err(req, err);
        return;
    }
    /* Clients that old do not expect JSON here. */
    text = xasprintf("%s\n", err->message);
    http_reply_text(req, http_status_of(err), API_TYPE_TEXT, text);
}

void req_begin(struct http_req *req, const char *method, const char *version)
{
    struct err err;

    req->method = xstrdup(method);
    req->version = API_VERSION_MAX_NUM;
    parse_connection(req, version);
    if (parse_uri(req, &err) < 0) {
        http_reply_err(req, &err);
        return;
    }
    if (length_is_ambiguous(req)) {
        /* Where the next request starts is as unknown. */
        http_add_header(req, "Connection", "close");
        http_reply_error(req, 400, "the length of the body is given more than once");
        return;
    }
    router_split_version(req->path, &req->rest, &req->version);
    if (streq(method, "OPTIONS")) {
        http_reply_empty(req, 200);
        return;
    }
    req->route = router_find(req->server->routes, method, req->rest, &req->param);
    if (!req->route) {
        req->plain = true;
        http_reply_error(req, 404, "page not found");
    } else if (router_check_version(req->path, req->version, &err) < 0) {
        reply_version_error(req, &err);
    } else if (req->route->flags & HTTP_BODY_STREAM) {
        run_handler(req);
    }
}

void req_complete(struct http_req *req)
{
    struct err err;

    if (req->upload)
        upload_finish(req, 0);
    if (req->stream)
        stream_attach(req);
    if (req->answer != ANSWER_NONE || req->route->flags & HTTP_BODY_STREAM)
        return;
    if (body_finish(req, &err) < 0)
        http_reply_err(req, &err);
    else
        run_handler(req);
}

/* ---- what handlers ask ---- */

void *http_context(const struct http_req *req)
{
    return req->server->context;
}

const char *http_method(const struct http_req *req)
{
    return req->method;
}

const char *http_path(const struct http_req *req)
{
    return req->rest;
}

bool http_is_head(const struct http_req *req)
{
    return streq(req->method, "HEAD");
}

const char *http_param(const struct http_req *req)
{
    return req->param;
}

int http_api_version(const struct http_req *req)
{
    return req->version;
}

const char *http_header(const struct http_req *req, const char *name)
{
    return req->conn ? MHD_lookup_connection_value(req->conn, MHD_HEADER_KIND, name) : NULL;
}

bool http_wants_upgrade(const struct http_req *req)
{
    const char *connection = http_header(req, "Connection");

    return !req->http10 && http_header(req, "Upgrade") && connection &&
           strcasestr(connection, "upgrade");
}

int http_peer(const struct http_req *req, struct ucred *ret)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (!req->conn)
        return -ENOTCONN;
    if (getsockopt(req_fd(req), SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return -errno;
    *ret = peer;
    return 0;
}

const char *http_query(const struct http_req *req, const char *name)
{
    return query_nth(&req->query, name, 0);
}

const char *http_query_nth(const struct http_req *req, const char *name, size_t i)
{
    return query_nth(&req->query, name, i);
}

bool http_query_bool(const struct http_req *req, const char *name, bool def)
{
    const char *v = http_query(req, name);

    return v ? query_is_true(v) : def;
}

int http_query_int(const struct http_req *req, const char *name, int64_t min, int64_t max,
                   int64_t def, int64_t *ret, struct err *reterr)
{
    const char *v = http_query(req, name);

    if (str_empty(v)) {
        *ret = def;
        return 0;
    }
    if (str_parse_i64(v, min, max, ret) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid value \"%.64s\" for parameter %s", v,
                       name);
    return 0;
}

json_t *http_body(const struct http_req *req)
{
    return req->json;
}

int http_filters(const struct http_req *req, const char *const *allowed, json_t **ret,
                 struct err *reterr)
{
    return filters_parse(http_query(req, "filters"), allowed, ret, reterr);
}

void http_on_abort(struct http_req *req, void (*cb)(void *arg), void *arg)
{
    req->on_abort = cb;
    req->abort_arg = arg;
}
