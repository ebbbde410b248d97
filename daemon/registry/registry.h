/* Registries (OCI distribution specification 1.1, Docker Registry HTTP API V2): where a repository
 * is served, who we are there, and requests that survive what networks do.
 *
 * Loop thread.  A `remote` is one repository with one set of credentials; a call is one request
 * to it, with everything that may lie in between: mirrors, the choice of https or http, a token,
 * redirects, "429 Too Many Requests", servers that fail for a moment, connections that break in the
 * middle of a blob.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "auth.h"
#include "err.h"
#include "hosts.h"
#include "web.h"

#define REGISTRY_TRIES 5              /* of one request that makes no progress */
#define REGISTRY_TRIES_TOTAL 200      /* of one request at all */
#define REGISTRY_PROGRESS_MIN 65536   /* bytes that make up for a failed try */
#define REGISTRY_RETRY_AFTER_MAX_S 60 /* a server that wants more is given up */
#define REGISTRY_ERROR_MAX 16384      /* bytes of an error's body that are looked at */

struct registry;
struct remote;
struct remote_call;

/* Takes over hosts. */
struct registry *registry_new(uv_loop_t *loop, struct hosts *hosts);
/* All calls must have been cancelled.  Remotes may be unreferenced later. */
void registry_close(struct registry *reg);
/* For requests that concern no registry; they end before registry_close(). */
struct web *registry_web(struct registry *reg);
const struct hosts *registry_hosts(const struct registry *reg);

/* domain, path: as in a reference ("docker.io", "library/busybox"); actions: "pull" or "pull,push".
 * auth is copied; NULL: anonymous.  Mirrors never see credentials. */
struct remote *remote_new(struct registry *reg, const char *domain, const char *path,
                          const char *actions, const struct registry_auth *auth);
/* The token also allows this ("repository:other:pull"), for a mount of another's blob. */
void remote_add_scope(struct remote *r, const char *scope);
struct remote *remote_ref(struct remote *r);
void remote_unref(struct remote *r);
DEFINE_FREEP(struct remote *, remote_unref)
/* What is asked concerns the registry itself. */
void remote_no_mirrors(struct remote *r);
/* For a login: ask token servers for a refresh token; remote_identity() is it, borrowed, or NULL.
 */
void remote_want_identity(struct remote *r);
const char *remote_identity(const struct remote *r);
const char *remote_domain(const struct remote *r);
const char *remote_path(const struct remote *r);

struct remote_callbacks {
    void *arg;
    /* Body bytes of a success; see web.h.  NULL: collected for remote_body(). */
    int (*data)(void *arg, const char *data, size_t len);
    ssize_t (*produce)(void *arg, char *data, size_t len);
    /* Exactly once, never from inside remote_start(); the call is gone afterwards.  err NULL: a
     * status below 400.  Otherwise the kind tells: ERR_UNAUTHORIZED 401, ERR_FORBIDDEN 403,
     * ERR_NOT_FOUND 404, ERR_INVALID other 4xx, ERR_UNAVAILABLE for servers and networks; the text
     * is "denied: requested access to the resource is denied" in Docker's manner. */
    void (*done)(void *arg, struct remote_call *c, const struct err *err);
};

struct remote_options {
    const char *method;   /* a literal */
    const char *path;     /* below /v2/<name>/ ("manifests/latest"); NULL with url */
    const char *url;      /* absolute or relative to the endpoint ("/v2/"); NULL with path */
    char *const *headers; /* copied; may be NULL */
    size_t limit;         /* of a collected body */
    int64_t offset;       /* GET of a blob: give data() what follows */
    bool resume;          /* a GET for data(): go on where it broke */
    const char *body;     /* copied; NULL: none, or produce() */
    int64_t body_size;    /* -1: no body */
    bool once;            /* no second try of its own */
};

int remote_start(struct remote *r, const struct remote_options *opt,
                 const struct remote_callbacks *cb, struct remote_call **ret, struct err *reterr);
void remote_cancel(struct remote_call *c);
void remote_resume(struct remote_call *c); /* after data() or produce() paused */

/* ---- in done(); borrowed ---- */

int remote_status(const struct remote_call *c);
const char *remote_header(const struct remote_call *c, const char *name);
const char *remote_body(const struct remote_call *c, size_t *ret_len);
/* The registry's own word for what is wrong: "MANIFEST_UNKNOWN", "" if there is none. */
const char *remote_code(const struct remote_call *c);
/* Location or Link of the answer as absolute URL; owned; NULL if there is none. */
char *remote_location(const struct remote_call *c);
char *remote_next_page(const struct remote_call *c);
