/* What the files of the registry client share. */
#pragma once

#include "buf.h"
#include "challenge.h"
#include "registry.h"
#include "str.h"

#define TOKENS_MAX 32
#define TOKEN_LIFE_MIN_S 60 /* as the specification has it where a server says nothing or less */
#define TOKEN_MARGIN_S 10
#define TOKEN_ANSWER_MAX ((size_t)1 << 20)

/* An Authorization header's value; secret. */
struct grant {
    char *value;     /* owned; NULL: none */
    int64_t expires; /* CLOCK_MONOTONIC, ns */
};

void grant_done(struct grant *g);

struct registry {
    uv_loop_t *loop;
    struct web *web;
    struct hosts *hosts; /* owned */
    struct {
        char *key; /* owned */
        struct grant grant;
    } tokens[TOKENS_MAX];   /* most recently used first */
    struct remote *remotes; /* list */
    bool closing;
};

struct remote_endpoint {
    struct host_endpoint e;
    struct grant grant;
    unsigned generation; /* counts grants, so that a refused call sees that there is a newer one */
    struct web_request *login; /* a token is being fetched */
    void *login_arg;           /* owned; what its callback gets */
};

struct remote {
    struct registry *reg;
    struct remote *next, **prev_next;
    unsigned refs;
    char *domain, *path, *actions; /* owned */
    char **scopes;                 /* owned; besides the repository's own */
    struct registry_auth auth;
    bool offline;         /* ask for a refresh token, too */
    char *identity_token; /* owned; what the server gave then */
    struct remote_endpoint endpoints[HOSTS_ENDPOINTS_MAX];
    size_t n_endpoints, at;    /* where calls begin */
    bool confirmed;            /* endpoints[at] has answered: no other scheme is tried */
    struct remote_call *calls; /* list */
};

struct remote_call {
    struct remote *remote; /* referenced */
    struct remote_call *next, **prev_next;
    struct remote_callbacks cb;
    const char *method;
    char *path, *url; /* owned; one of them */
    char **headers;   /* owned */
    size_t limit;
    int64_t offset, delivered, skip;
    int64_t progress; /* delivered when the last try began */
    char *body;       /* owned */
    int64_t body_size;
    bool resume, once, wants_token, range;
    bool no_ranges; /* this server's are not what was asked for */
    size_t endpoint;
    unsigned generation; /* of the grant this try went with */
    unsigned rounds;     /* of authentication */
    unsigned tries, tries_total;
    struct web_request *rq;         /* NULL between tries */
    const struct web_request *last; /* answered: readable inside done() only */
    int64_t range_start;
    uv_timer_t *timer; /* of the next try; closes itself */
    struct buf answer;
    char code[64]; /* the registry's */
};

void call_try(struct remote_call *c);
/* The end, or the next endpoint. */
void call_failed(struct remote_call *c, const struct err *err);

/* token.c: get a grant for the endpoint from the answer of a refused request; afterwards
 * remote_authorized() is called.  -errno if there is nothing to try. */
int token_fetch(struct remote *r, size_t endpoint, const struct web_request *refused,
                struct err *reterr);
void token_cancel(struct remote_endpoint *e);
/* err NULL: go on. */
void remote_authorized(struct remote *r, size_t endpoint, const struct err *err);
/* The grant for this endpoint if there is one that is valid, also from the cache. */
const char *token_find(struct remote *r, size_t endpoint);
void token_forget(struct remote *r, size_t endpoint);

/* answers.c: the error that an answer of status >= 400 means; code: room for 64. */
void answer_error(int status, const char *body, size_t len, const struct web_request *rq,
                  char *ret_code, struct err *ret);
/* Seconds that Retry-After asks for (a number or an HTTP date), -1 if absent or unreadable. */
int64_t answer_retry_after(const char *value);
/* The URL of rel="next" in a Link header (RFC 8288); owned, NULL if there is none. */
char *link_next(const char *value);
/* The first byte that "bytes 5-9/10" names, -1 if it is none. */
int64_t content_range_start(const char *value);
