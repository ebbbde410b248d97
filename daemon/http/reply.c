/* Answers of known length, sent by libmicrohttpd if it still has the connection. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "api.h"
#include "json.h"
#include "req.h"
#include "status.h"
#include "str.h"

void http_add_header(struct http_req *req, const char *name, const char *value)
{
    if (req->n_headers == REQ_MAX_HEADERS || strpbrk(value, "\r\n"))
        return;
    req->headers[req->n_headers++] = (struct req_header){name, xstrdup(value)};
}

static void reply(struct http_req *req, unsigned status, const char *content_type, void *data,
                  size_t len, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response;

    if (req->raw || raw_refuse(req)) {
        raw_reply(req, status, content_type, data, len);
        if (mode == MHD_RESPMEM_MUST_FREE)
            free(data);
        return;
    }
    response = MHD_create_response_from_buffer(len, data, mode);
    if (!response)
        abort();
    head_decorate(response, req);
    if (content_type)
        MHD_add_response_header(response, "Content-Type", content_type);
    req->status = status;
    req->response = response;
    req_answered(req, ANSWER_RESPONSE);
}

void http_reply_data(struct http_req *req, unsigned status, const char *content_type, char *data,
                     size_t len)
{
    reply(req, status, content_type, data, len, MHD_RESPMEM_MUST_FREE);
}

void http_reply_text(struct http_req *req, unsigned status, const char *content_type,
                     const char *text)
{
    reply(req, status, content_type, (void *)text, strlen(text), MHD_RESPMEM_MUST_COPY);
}

void http_reply_empty(struct http_req *req, unsigned status)
{
    reply(req, status, NULL, NULL, 0, MHD_RESPMEM_PERSISTENT);
}

static int append(const char *data, size_t len, void *out)
{
    buf_append(out, data, len);
    return 0;
}

void http_reply_json(struct http_req *req, unsigned status, json_t *body)
{
    struct buf out = {0};
    size_t len;

    assert(body);
    json_dump_callback(body, append, &out, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(body);
    buf_append(&out, "\n", 1);
    len = buf_size(&out);
    http_reply_data(req, status, API_TYPE_JSON, buf_take_str(&out), len);
}

static void reply_message(struct http_req *req, unsigned status, const char *message)
{
    json_t *text = json_string(message);

    /* A message may quote a client's bytes that are no UTF-8. */
    if (!text)
        text = json_string("invalid request");
    http_reply_json(req, status, json_pack("{s:o}", "message", text));
}

void http_reply_err(struct http_req *req, const struct err *err)
{
    unsigned status = http_status_of(err);

    if (status == 304)
        http_reply_empty(req, status);
    else
        reply_message(req, status, err->message);
}

void http_reply_error(struct http_req *req, unsigned status, const char *fmt, ...)
{
    char message[ERR_MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    reply_message(req, status, message);
}
