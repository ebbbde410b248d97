/* HTTP/1.1 replies: head parser and body decoder, no I/O.  RFC 9112, as much as the Engine API
 * uses: Content-Length, chunked and read-until-close bodies, 101 upgrades. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define HTTP_HEAD_MAX 32768
#define HTTP_CHUNK_LINE_MAX 1024

struct http_head {
    int status;
    bool chunked;
    bool close;             /* Connection: close, or HTTP/1.0 */
    int64_t content_length; /* -1: not given */
    char content_type[96];  /* without parameters, lower case; cut if longer */
};

/* Parse the head at data.  Returns its length, 0 if it is not complete yet, -EBADMSG if it is none
 * or -EMSGSIZE if it exceeds HTTP_HEAD_MAX. */
int http_head_parse(const char *data, size_t len, struct http_head *ret);

/* The value of one header in a whole head; the caller frees, NULL if it is absent. */
char *http_head_value(const char *data, size_t len, const char *name);

enum http_body_state {
    BODY_DATA,        /* `left` bytes of a Content-Length body or of a chunk */
    BODY_UNTIL_CLOSE, /* whatever comes */
    BODY_CHUNK_SIZE,
    BODY_CHUNK_END, /* the line end after a chunk's data */
    BODY_TRAILER,
    BODY_DONE,
};

struct http_body {
    enum http_body_state state;
    bool chunked;
    uint64_t left;
};

/* How the body after this head is delimited; `no_body` for the answer to a HEAD request. */
void http_body_init(struct http_body *b, const struct http_head *head, bool no_body);
/* Move decoded bytes from in to out: 1 if the body is complete, 0 if more input is needed,
 * -EBADMSG if it is malformed. */
int http_body_decode(struct http_body *b, struct buf *in, struct buf *out);
/* The peer closed: 0 if the body may end so, -EPIPE if it is cut. */
int http_body_eof(const struct http_body *b);
