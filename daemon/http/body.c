/* JSON bodies: collected up to a limit, checked, decoded. */
#include <errno.h>
#include <strings.h>

#include "api.h"
#include "json.h"
#include "req.h"
#include "str.h"

#define JSON_FLAGS (HTTP_BODY_JSON | HTTP_BODY_JSON_OPTIONAL)

/* An unwanted body is read on, because a client that is still writing would not look at the answer
 * before; but not for ever. */
static ssize_t discard(struct http_req *req, size_t len)
{
    req->discarded += len;
    return req->discarded > HTTP_MAX_DISCARD ? -1 : (ssize_t)len;
}

ssize_t body_feed(struct http_req *req, const char *data, size_t len)
{
    if (req->gone)
        return -1;
    if (req->route && req->route->flags & HTTP_BODY_STREAM)
        return upload_feed(req, data, len);
    if (req->answer != ANSWER_NONE || !(req->route->flags & JSON_FLAGS))
        return discard(req, len);
    if (buf_size(&req->body) + len > HTTP_MAX_JSON_BODY) {
        http_reply_error(req, 413, "request body is larger than %u bytes", HTTP_MAX_JSON_BODY);
        return discard(req, len);
    }
    buf_append(&req->body, data, len);
    return (ssize_t)len;
}

static int check_content_type(const struct http_req *req, struct err *reterr)
{
    const char *type = http_header(req, "Content-Type");
    size_t len = type ? strcspn(type, "; \t") : 0;

    if (len == strlen(API_TYPE_JSON) && strncasecmp(type, API_TYPE_JSON, len) == 0)
        return 0;
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "unsupported Content-Type header (%.128s): must be 'application/json'",
                   type ? type : "");
}

static int decode(struct http_req *req, struct err *reterr)
{
    const char *text = buf_head(&req->body);
    size_t len = buf_size(&req->body);
    json_error_t error;

    req->json = json_loadb(text, len, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &error);
    if (!req->json)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid JSON: %s", error.text);
    for (size_t i = (size_t)error.position; i < len; i++) {
        if (!strchr(" \t\r\n", text[i]))
            return err_set(reterr, ERR_INVALID, EINVAL, "unexpected content after JSON");
    }
    if (json_is_null(req->json)) {
        json_decref(req->json);
        req->json = json_object();
    }
    if (!json_is_object(req->json))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid JSON: an object is expected");
    return 0;
}

int body_finish(struct http_req *req, struct err *reterr)
{
    int r;

    if (!(req->route->flags & JSON_FLAGS))
        return 0;
    if (buf_size(&req->body) == 0) {
        if (req->route->flags & HTTP_BODY_JSON)
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "invalid JSON: got EOF while reading request body");
        req->json = json_object();
        return 0;
    }
    r = check_content_type(req, reterr);
    if (r == 0)
        r = decode(req, reterr);
    buf_done(&req->body);
    return r;
}
