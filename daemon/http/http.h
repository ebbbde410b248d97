/* What a handler of one API request sees: the request's parts, the ways to answer, streams, hijack
 * and uploads.  Everything here runs on the loop thread.
 *
 * Each request is answered exactly once, by one of http_reply_*(), http_stream_open() or
 * http_hijack(), at once or at any later time: until then the client waits and the request stays
 * valid, even if the client is long gone or the server has stopped (the answer then goes nowhere).
 * After the answer the request must not be touched any more.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "err.h"

struct http_req;
struct http_stream;

/* ---- routes ---- */

enum http_route_flags {
    HTTP_BODY_IGNORED = 0,            /* a body is read and thrown away */
    HTTP_BODY_JSON = 1 << 0,          /* a JSON object is required: http_body() */
    HTTP_BODY_JSON_OPTIONAL = 1 << 1, /* as before, but an empty body gives {} */
    HTTP_BODY_STREAM = 1 << 2,        /* called when the head is read; http_body_to_fd() */
    HTTP_BODY_RAW = 1 << 3,           /* with it, for large ones: no http_on_abort(), answered by
                                         http_reply_*() only */
    HTTP_BODY_PACED = 1 << 4,         /* with that: a client that sends less than HTTP_PACE_BYTES in
                                         HTTP_PACE_S, and did not have to wait, has given up */
};
#define HTTP_PACE_S 1800 /* whoever makes an archive may have to think */
#define HTTP_PACE_BYTES 16384

typedef void (*http_handler)(struct http_req *req);

/* pattern: fixed text with at most one "{name}", which matches one or more characters, '/'
 * included ("/images/{name}/json").  The path is matched percent-decoded, without its version
 * prefix; the first route that fits wins, so fixed paths stand before patterns that swallow them.
 */
struct http_route {
    const char *method; /* "*": any */
    const char *pattern;
    http_handler handler;
    unsigned flags;
};

/* ---- the request; borrowed results live until the answer ---- */

void *http_context(const struct http_req *req); /* what http_server_new() was given */
const char *http_method(const struct http_req *req);
const char *http_path(const struct http_req *req); /* decoded, without the version */
bool http_is_head(const struct http_req *req);
const char *http_param(const struct http_req *req); /* what "{name}" matched; NULL if none */
int http_api_version(const struct http_req *req);   /* API_VERSION_NUM(); see api.h */
const char *http_header(const struct http_req *req, const char *name); /* NULL if absent */
bool http_wants_upgrade(const struct http_req *req);          /* "Upgrade: tcp" or the like */
int http_peer(const struct http_req *req, struct ucred *ret); /* SO_PEERCRED; 0 or -errno */

/* Decoded query values; NULL if absent, "" for "?name" and "?name=". */
const char *http_query(const struct http_req *req, const char *name);
/* The i-th value of a repeated name; NULL at the end. */
const char *http_query_nth(const struct http_req *req, const char *name, size_t i);
/* Docker's rule: absent -> def; "", 0, no, false, none -> false; all else true. */
bool http_query_bool(const struct http_req *req, const char *name, bool def);
/* Absent or empty -> def; not a number within [min, max] -> -EINVAL with reterr filled. */
int http_query_int(const struct http_req *req, const char *name, int64_t min, int64_t max,
                   int64_t def, int64_t *ret, struct err *reterr);

/* The JSON body, always an object ({} if there was none), for HTTP_BODY_JSON* routes only. */
json_t *http_body(const struct http_req *req);

/* The query parameter "filters" as {"key": ["value", ...], ...} (new reference, {} if absent),
 * decoded from both wire forms.  A key that is not in the NULL-terminated `allowed` (NULL: all
 * are) fails with "invalid filter 'key'". */
int http_filters(const struct http_req *req, const char *const *allowed, json_t **ret,
                 struct err *reterr);

/* Told once, from the loop, if the client goes away before the answer; the request still must be
 * answered.  At most one callback a request; NULL takes it back. */
void http_on_abort(struct http_req *req, void (*cb)(void *arg), void *arg);

/* ---- plain answers ---- */

/* One more header for the answer; before http_reply_*() or http_stream_open(). */
void http_add_header(struct http_req *req, const char *name, const char *value);

void http_reply_json(struct http_req *req, unsigned status, json_t *body); /* steals body */
void http_reply_text(struct http_req *req, unsigned status, const char *content_type,
                     const char *text);
/* Takes over `data`, which is free()d. */
void http_reply_data(struct http_req *req, unsigned status, const char *content_type, char *data,
                     size_t len);
void http_reply_empty(struct http_req *req, unsigned status);
/* {"message": ...} with the status that belongs to the error's kind (status.h). */
void http_reply_err(struct http_req *req, const struct err *err);
void http_reply_error(struct http_req *req, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- streams: chunked answers that grow ---- */

/* Producers should pause when http_stream_write() returns more than this, until on_drain. */
#define HTTP_STREAM_HIGH_WATER (1024 * 1024)
#define HTTP_STREAM_LOW_WATER (256 * 1024)
#define HTTP_STREAM_LINGER_MS 10000

struct http_stream_ops {
    /* The stream is over and its pointer dead: all was sent after http_stream_end(), or the client
     * went away, or the server stops.  Called exactly once, and never from inside a call of
     * http_stream_*().  Required. */
    void (*on_close)(void *arg);
    /* The queue fell below the low-water mark after it had been above.  May be NULL. */
    void (*on_drain)(void *arg);
};

/* Answer with a head, sent at once, and a body that follows.  Never fails: where no stream can be
 * made, on_close comes soon.  A client that only shuts down its writing side stays connected. */
struct http_stream *http_stream_open(struct http_req *req, unsigned status,
                                     const char *content_type, const struct http_stream_ops *ops,
                                     void *arg);
/* Send or queue a copy; returns the bytes now queued.  len 0 does nothing. */
size_t http_stream_write(struct http_stream *s, const void *data, size_t len);
size_t http_stream_queued(const struct http_stream *s);
/* From now on a client that takes less than HTTP_PACE_BYTES in HTTP_PACE_S of what is there for it
 * is cut off: for answers whose producer holds something that others want. */
void http_stream_pace(struct http_stream *s);
/* One JSON value followed by "\r\n" (ndjson as Docker does); steals v. */
size_t http_stream_write_json(struct http_stream *s, json_t *v);
/* No more data: on_close follows when the queue is sent. */
void http_stream_end(struct http_stream *s);
/* The same for a client that is too slow: what is queued is still sent, for HTTP_STREAM_LINGER_MS,
 * but the end is missing. */
void http_stream_cut(struct http_stream *s);
/* Give up: the connection is cut without a proper end, so that the client sees the failure. */
void http_stream_abort(struct http_stream *s);
/* The same for a reason that only the log can still tell. */
void http_stream_fail(struct http_stream *s, const struct err *err);

/* ---- hijack: the client's socket itself ---- */

/* fd: the socket, owned by the callee, non-blocking, O_CLOEXEC, its head sent; or -errno.  extra:
 * bytes that the client sent early, borrowed for the call: they come before whatever fd holds. */
typedef void (*http_hijack_fn)(void *arg, int fd, const void *extra, size_t extra_len);

/* Answer "101 UPGRADED" if the client asked for an upgrade, else "200 OK", and hand the raw socket
 * over from the loop, after the request's body is read.  The head is alone in its write(2).
 * content_type NULL: raw-stream.  cb is called exactly once. */
void http_hijack(struct http_req *req, const char *content_type, http_hijack_fn cb, void *arg);
/* The same for a body that is written to the socket by somebody else: "200 OK" with Content-Length,
 * or, length < 0, with chunked encoding, which is the callee's to make (a client of HTTP/1.0 gets
 * an error instead, and cb -EPROTO).  "Connection: close" in both cases. */
void http_hijack_body(struct http_req *req, const char *content_type, int64_t length,
                      http_hijack_fn cb, void *arg);
/* The error form that clients of a hijacking route expect: a text after a bare head,
 * then the connection is closed. */
void http_hijack_error(struct http_req *req, const struct err *err);

/* ---- websockets ---- */

/* Does the request open one as RFC 6455 wants it, and is there room?  -EINVAL, -EBUSY. */
int http_websocket_check(const struct http_req *req, struct err *reterr);
/* After a check that was passed: answer "101 Switching Protocols" and hand out one end of a socket
 * pair, whose bytes are the client's messages one after the other.  text: what is written to it
 * goes out in text frames instead of binary ones.  cb as of http_hijack(), without extra bytes.
 * End of file there ends the session, as the client's close frame does. */
void http_websocket(struct http_req *req, bool text, http_hijack_fn cb, void *arg);

/* ---- uploads ---- */

/* For HTTP_BODY_STREAM routes: pump the body into fd (owned from now on, made non-blocking, closed
 * at the body's end).  The upload waits when the reader is slow; if the reader is gone, the rest is
 * thrown away.  done comes from the loop, exactly once, before any answer can reach the client:
 * 0 at the body's end, -EPIPE if the reader left early, -ECONNRESET if the client did, -ETIMEDOUT
 * if that is too slow. The answer may be given at any time; it is sent when the body has been read.
 * That of an HTTP_BODY_RAW route is sent at once; if the body is not over then, done is told -EPIPE
 * from inside the answer, and the connection ends. */
typedef void (*http_upload_fn)(void *arg, int result);
void http_body_to_fd(struct http_req *req, int fd, http_upload_fn done, void *arg);
