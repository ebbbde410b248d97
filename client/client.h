/* The daemon as the commands see it: requests over a stream socket, replies as JSON, streams, or
 * upgraded connections.  One idle connection is kept for the next request.  No version is
 * negotiated beforehand: a daemon that finds ours too new says what it can do, and the request is
 * sent once more with that. */
#pragma once

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>

#include "buf.h"
#include "err.h"
#include "fd.h"
#include "http.h"
#include "transport.h"

#define API_VERSION "1.51"
/* A reply that is taken into memory whole may not be longer than this. */
#define REPLY_MAX ((size_t)256 << 20)

struct client {
    struct transport transport;
    char version[16]; /* API version that requests carry */
    int idle;         /* fd of a connection that can take a request, or -EBADF */
};

/* A connection with a reply on it. */
struct conn {
    int fd;
    bool reused; /* it had been idle: the daemon may have closed it meanwhile */
    struct buf in;
    struct http_head head;
    struct http_body body;
    char *path_stat; /* owned: X-Docker-Container-Path-Stat, or NULL */
};

#define CONN_INIT ((struct conn){.fd = -EBADF})
#define _cleanup_conn_ _cleanup_(conn_done)

struct request {
    const char *method;
    const char *path;   /* without version prefix */
    const json_t *json; /* body, or NULL */
    int body_fd;        /* > 0: the body is what this descriptor yields, chunked */
    bool upgrade;       /* ask for 101 */
    const char *header; /* one more header line without line end, or NULL */
};

/* Take the host from `host` (may be NULL), CTLC_HOST, DOCKER_HOST or the default, and the version
 * from CTLC_API_VERSION or DOCKER_API_VERSION.  Does not connect. */
int client_init(struct client *c, const char *host, struct err *reterr);
void client_done(struct client *c);

/* Send a request on a connection: the idle one, or a new one with `fresh`. */
int client_send(struct client *c, const struct request *req, bool fresh, struct conn *ret,
                struct err *reterr);
/* Wait for the head of the reply.  A status from 400 on is an error with the daemon's message,
 * prefixed as Docker does; err.kind tells the status, and the connection is done with. */
int client_receive(struct client *c, const struct request *req, struct conn *conn,
                   struct err *reterr);
/* Both, with one more try if the idle connection turns out dead or the version too new. */
int client_open(struct client *c, const struct request *req, struct conn *ret, struct err *reterr);
/* Request and whole reply: *ret_text (may be NULL) is the body, to be freed.  0 or -errno. */
int client_call_text(struct client *c, const struct request *req, char **ret_text,
                     struct err *reterr);
/* The same with the body decoded; *ret (may be NULL) is a new reference, JSON null if empty. */
int client_call(struct client *c, const struct request *req, json_t **ret, struct err *reterr);
/* Short forms: GET, and POST without or with a body. */
int client_get(struct client *c, const char *path, json_t **ret, struct err *reterr);
int client_post(struct client *c, const char *path, const json_t *body, json_t **ret,
                struct err *reterr);

/* More decoded body into out: 1 if something came, 0 at the end of the body, or -errno. */
int conn_read_body(struct conn *conn, struct buf *out, struct err *reterr);
/* The same of what has come already, without waiting: -EAGAIN if that is nothing. */
int conn_decode_body(struct conn *conn, struct buf *out, struct err *reterr);
/* The API version in force is at least this one ("1.42"). */
bool client_version_at_least(const struct client *c, const char *version);
/* Keep the connection for the next request if its reply was read to the end, else close it. */
void conn_release(struct client *c, struct conn *conn);
void conn_done(struct conn *conn);
