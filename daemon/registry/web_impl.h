/* What the files of the HTTP client share. */
#pragma once

#include "buf.h"
#include "curl_api.h"
#include "web.h"

struct web {
    uv_loop_t *loop; /* borrowed */
    struct web_hooks hooks;
    struct curl_api curl;
    bool loaded;
    CURLM *multi;                 /* NULL while idle */
    uv_timer_t timer;             /* libcurl's: firing it early would lose its time */
    uv_timer_t kick;              /* something was resumed */
    uv_timer_t idle;              /* closes what is kept alive */
    struct web_request *requests; /* list */
    unsigned open;                /* uv handles whose close callback is still to come */
    unsigned depth;               /* inside libcurl: it must not be entered again */
    bool closing;
};

struct web_request {
    struct web *web; /* borrowed */
    struct web_request *next, **prev_next;
    struct web_callbacks cb;
    CURL *easy; /* NULL between redirects */
    const char *method;
    char *url;                /* owned */
    char **headers;           /* owned */
    struct curl_slist *slist; /* owned; of this exchange */
    struct web_tls tls;       /* owned; of this exchange */
    size_t limit;
    char *body; /* owned; to be sent */
    int64_t body_size, body_at;
    char **answer_headers; /* owned */
    size_t answer_size;
    struct buf answer;
    int status;
    int redirects;
    struct err err; /* why we ended it ourselves; kind ERR_NONE while there is nothing */
    bool no_follow, paused, cancelled;
    char curl_error[CURL_ERROR_SIZE];
};

int web_load(struct web *web, struct err *reterr); /* libcurl is there */

/* exchange.c: make the easy handle of rq->url. */
int exchange_begin(struct web_request *rq, struct err *reterr);
void exchange_end(struct web_request *rq);
bool exchange_redirects(const struct web_request *rq); /* the answer is to be followed */
/* Point the request at its Location. */
int exchange_follow(struct web_request *rq, struct err *reterr);
void exchange_error(struct web_request *rq, CURLcode code, struct err *ret);
