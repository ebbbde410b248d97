/* The HTTP server: libmicrohttpd on its own epoll descriptor inside the libuv loop. */
#pragma once

#include <stddef.h>
#include <uv.h>

#include "err.h"
#include "http.h"

#define HTTP_MAX_CONNECTIONS 4096     /* per listener, idle and busy ones */
#define HTTP_IDLE_TIMEOUT_S 3600      /* keep-alive without a request, stalled bodies */
#define HTTP_HEAD_TIMEOUT_S 30        /* from a head's first byte to its last; answered 408 */
#define HTTP_CONNECTION_MEMORY 131072 /* bounds the request's head; a body is read by halves */
#define HTTP_MAX_JSON_BODY (4u << 20) /* larger ones are answered 413 */
#define HTTP_MAX_DISCARD (64u << 20)  /* of an unwanted body; beyond it the connection is cut */

#define HTTP_MAX_STREAMS 4096 /* open at once; more are answered 503 */

struct http_server;

/* Serve the listening AF_UNIX sockets fds[0..n) (owned from now on, closed at the end; also on
 * failure).  routes ends with an entry whose method is NULL; it and context outlive the server.
 * The process must ignore SIGPIPE.  0 or -errno. */
int http_server_new(uv_loop_t *loop, const int *fds, size_t n, const struct http_route *routes,
                    void *context, struct http_server **ret, struct err *reterr);

/* In place of HTTP_HEAD_TIMEOUT_S. */
void http_server_set_head_timeout(struct http_server *s, unsigned ms);

/* Answers say that dockerd's experimental operations are there. */
void http_server_set_experimental(struct http_server *s);

/* Another time than HTTP_PACE_S; for tests. */
void http_server_set_pace(struct http_server *s, unsigned ms);

/* Stop accepting, abort what is still pending (on_abort, on_close and hijack callbacks run during
 * the call) and close everything.  The server is freed by itself, done (may be NULL) runs from the
 * loop when no handle is left.  Requests not yet answered may be answered later, to nobody. */
void http_server_stop(struct http_server *s, void (*done)(void *arg), void *arg);
