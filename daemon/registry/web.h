/* An HTTP client on the loop: libcurl's multi interface over uv handles.  HTTP/1.1 only: a paused
 * HTTP/2 stream makes libcurl buffer up to 32 MiB.
 *
 * Loop thread.  Redirects of GET and HEAD are followed here: the Authorization header and the TLS
 * settings belong to an origin and never go to another one; https is not left for http unless the
 * new host is known as insecure.  Proxies come from the environment as libcurl and Go read it
 * (http_proxy, HTTP_PROXY, https_proxy, HTTPS_PROXY, no_proxy, NO_PROXY), never for loopback.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "err.h"
#include "mem.h"

#define WEB_REDIRECTS_MAX 10
#define WEB_HEADERS_MAX ((size_t)128 << 10)
#define WEB_CONNECT_TIMEOUT_S 30
#define WEB_STALL_TIMEOUT_S 60 /* no byte for this long ends a request (not while it is paused) */
#define WEB_IDLE_MS 50         /* after this long without a request connections are closed */

struct web;
struct web_request;

/* How to talk to one host ("registry.example:5000"); strings owned. */
struct web_tls {
    char *ca_file;   /* instead of the system's authorities; NULL: those */
    char *cert_file; /* client certificate and its key (PEM), or NULL */
    char *key_file;
    bool insecure; /* any certificate will do, and so will plain http */
};

void web_tls_done(struct web_tls *tls);

struct web_hooks {
    void *arg;
    void (*tls)(void *arg, const char *host, struct web_tls *ret); /* *ret is zeroed before */
};

/* Costs nothing before the first request. */
struct web *web_new(uv_loop_t *loop, const struct web_hooks *hooks);
/* Cancels every request (no callbacks).  The loop must run afterwards for uv's close callbacks. */
void web_close(struct web *web);

struct web_callbacks {
    void *arg;
    /* Status and headers of the final answer.  May be NULL.  Here and in data() only
     * web_cancel() and the readers below may be called. */
    void (*head)(void *arg, struct web_request *rq);
    /* Bytes of the body: 1 taken, 0 none taken (nothing comes until web_resume(), then the same
     * bytes again), -errno to end the request with that.  NULL: the body is collected for
     * web_body(), at most `limit` bytes (-EFBIG beyond). */
    int (*data)(void *arg, struct web_request *rq, const char *data, size_t len);
    /* Bytes to send, when body_size >= 0: up to len into data; returns the number, 0 for "none
     * now, wait for web_resume()", or -errno to give up. */
    ssize_t (*produce)(void *arg, struct web_request *rq, char *data, size_t len);
    /* Exactly once, never from inside web_start(); the request is gone afterwards.  err NULL: there
     * was an answer, of any status.  Transport errors are ERR_UNAVAILABLE or ERR_SYSTEM with errnum
     * ECONNREFUSED, ECONNRESET (cut), ETIMEDOUT, EHOSTUNREACH (name), EPROTO (TLS, HTTP),
     * EKEYREJECTED (certificate), EFBIG; the message begins with `Get "URL": `, the URL as
     * weburl_show() has it. */
    void (*done)(void *arg, struct web_request *rq, const struct err *err);
};

struct web_options {
    const char *method; /* borrowed, a literal */
    const char *url;
    char *const *headers; /* NULL-terminated "Name: value"; copied; may be NULL */
    size_t limit;         /* of a collected body */
    const char *body;     /* copied; NULL: none, or produce() */
    int64_t body_size;    /* of body, or what produce() will deliver; -1: no body */
    bool no_follow;       /* hand redirects over as answers */
};

/* -ENOENT if there is no libcurl, -EINVAL for a URL that is none.  *ret lives until done(). */
int web_start(struct web *web, const struct web_options *opt, const struct web_callbacks *cb,
              struct web_request **ret, struct err *reterr);
/* No callback afterwards. */
void web_cancel(struct web_request *rq);
void web_resume(struct web_request *rq);

/* ---- in the callbacks; results borrowed until done() returns ---- */

int web_status(const struct web_request *rq); /* 0 before head() */
/* The first of this name; NULL if absent. */
const char *web_header(const struct web_request *rq, const char *name);
const char *web_header_nth(const struct web_request *rq, const char *name, size_t n);
const char *web_body(const struct web_request *rq, size_t *ret_len); /* NUL-terminated */
const char *web_url(const struct web_request *rq);                   /* after redirects */

/* ---- URLs; results owned ---- */

/* location, resolved against base; NULL if it is none of http or https. */
char *web_url_resolve(struct web *web, const char *base, const char *location);
/* "https://host:port" in lower case with the port always there; NULL if it is no such URL. */
char *web_url_origin(struct web *web, const char *url);
/* Percent-encoded as a query value. */
char *web_url_escape(const char *text);
