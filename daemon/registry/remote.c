/* One call: tries, endpoints, waits. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "remote_impl.h"

#define BACKOFF_MS 250

/* ---- life ---- */

static void timer_closed(uv_handle_t *handle)
{
    free(handle);
}

static void stop_timer(struct remote_call *c)
{
    if (c->timer)
        uv_close((uv_handle_t *)TAKE_PTR(c->timer), timer_closed);
}

static void call_free(struct remote_call *c)
{
    stop_timer(c);
    *c->prev_next = c->next;
    if (c->next)
        c->next->prev_next = c->prev_next;
    free(c->path);
    free(c->url);
    strv_free(c->headers);
    free(c->body);
    buf_done(&c->answer);
    remote_unref(c->remote);
    free(c);
}

static void finish(struct remote_call *c, const struct err *err)
{
    c->cb.done(c->cb.arg, c, err);
    call_free(c);
}

void remote_cancel(struct remote_call *c)
{
    if (c->rq)
        web_cancel(TAKE_PTR(c->rq));
    call_free(c);
}

void remote_resume(struct remote_call *c)
{
    if (c->rq)
        web_resume(c->rq);
}

/* ---- another try ---- */

static void on_timer(uv_timer_t *timer)
{
    struct remote_call *c = timer->data;

    stop_timer(c);
    call_try(c);
}

static void try_later(struct remote_call *c, uint64_t ms)
{
    c->timer = xcalloc(1, sizeof(*c->timer));
    uv_timer_init(c->remote->reg->loop, c->timer);
    c->timer->data = c;
    uv_timer_start(c->timer, on_timer, ms, 0);
}

/* Whether there is another try; then it is under way.  wait_s < 0: our own pace. */
static bool retry(struct remote_call *c, int64_t wait_s)
{
    bool read = c->delivered > 0, sent = c->body_size >= 0 && !c->body;

    if (c->delivered - c->progress >= REGISTRY_PROGRESS_MIN)
        c->tries = 0;
    if (c->once || sent || (read && !c->resume) || wait_s > REGISTRY_RETRY_AFTER_MAX_S ||
        ++c->tries >= REGISTRY_TRIES || ++c->tries_total >= REGISTRY_TRIES_TOTAL)
        return false;
    try_later(c, wait_s >= 0 ? (uint64_t)wait_s * 1000 : (uint64_t)BACKOFF_MS << c->tries);
    return true;
}

/* A mirror that fails in any way, or https where http may do. */
static bool next_endpoint(struct remote_call *c, bool answered)
{
    struct remote *r = c->remote;
    const struct remote_endpoint *e = &r->endpoints[c->endpoint];
    bool settled = r->confirmed && r->at == c->endpoint;

    if (c->endpoint + 1 >= r->n_endpoints || (!e->e.mirror && (answered || settled)))
        return false;
    if (e->e.mirror && c->delivered > 0 && !c->resume)
        return false;
    c->endpoint++;
    c->tries = c->rounds = 0;
    c->no_ranges = false;
    return true;
}

void call_failed(struct remote_call *c, const struct err *err)
{
    if (next_endpoint(c, true))
        call_try(c);
    else
        finish(c, err);
}

static bool is_transient(const struct err *err)
{
    return err->errnum == ECONNRESET || err->errnum == ETIMEDOUT;
}

static void transport_failed(struct remote_call *c, const struct err *err)
{
    const struct remote *r = c->remote;
    bool known = r->confirmed && r->at == c->endpoint;

    log_debug("registry: %s", err->message);
    if (c->range && c->no_ranges && retry(c, 0))
        return;
    if (next_endpoint(c, false)) {
        call_try(c);
        return;
    }
    if ((is_transient(err) || (known && err->errnum == ECONNREFUSED)) && retry(c, -1))
        return;
    finish(c, err);
}

/* ---- authentication ---- */

static void unauthorized(struct remote_call *c, const struct web_request *rq, const struct err *err)
{
    struct remote *r = c->remote;
    struct remote_endpoint *e = &r->endpoints[c->endpoint];
    bool sent = c->body_size >= 0 && !c->body && c->delivered > 0;
    struct err why;
    int ret = 0;

    if (e->login) {
        c->wants_token = true;
        return;
    }
    if (c->generation == e->generation) {
        token_forget(r, c->endpoint);
        /* The first refusal was of no token or of an old one. */
        if (++c->rounds > 1 || sent) {
            call_failed(c, err);
            return;
        }
        ret = token_fetch(r, c->endpoint, rq, &why);
    } else {
        ret = 1;
    }
    if (ret < 0)
        call_failed(c, &why);
    else if (ret > 0)
        try_later(c, 0);
    else
        c->wants_token = true;
}

static struct remote_call *waiting(struct remote *r, size_t endpoint)
{
    for (struct remote_call *c = r->calls; c; c = c->next) {
        if (c->wants_token && c->endpoint == endpoint)
            return c;
    }
    return NULL;
}

void remote_authorized(struct remote *r, size_t endpoint, const struct err *err)
{
    struct remote_call *c;

    /* Whoever is told that a call failed may cancel others: look for each anew. */
    while ((c = waiting(r, endpoint))) {
        c->wants_token = false;
        c->last = NULL;
        if (err)
            call_failed(c, err);
        else
            try_later(c, 0);
    }
}

/* ---- the answer ---- */

static void on_head(void *arg, struct web_request *rq)
{
    struct remote_call *c = arg;

    buf_consume(&c->answer, buf_size(&c->answer));
    c->skip = web_status(rq) == 206 ? 0 : c->offset + c->delivered;
    if (web_status(rq) < 300)
        c->rounds = 0; /* a token that expires later may be renewed */
}

static int on_data(void *arg, struct web_request *rq, const char *data, size_t len)
{
    struct remote_call *c = arg;
    size_t skip = c->skip < (int64_t)len ? (size_t)c->skip : len;
    int r = 1;

    if (web_status(rq) >= 300) {
        if (buf_size(&c->answer) < REGISTRY_ERROR_MAX)
            buf_append(&c->answer, data, len);
        return 1;
    }
    if (!c->cb.data) {
        if (buf_size(&c->answer) + len > c->limit)
            return -EFBIG;
        buf_append(&c->answer, data, len);
        return 1;
    }
    /* "206" to a request for a range must be that range; else all of it is asked for, and the
     * rest of that taken. */
    if (web_status(rq) == 206 &&
        content_range_start(web_header(rq, "Content-Range")) != (c->range ? c->range_start : 0)) {
        c->no_ranges = true;
        return -EPROTO;
    }
    if (len > skip)
        r = c->cb.data(c->cb.arg, data + skip, len - skip);
    if (r > 0) {
        c->skip -= (int64_t)skip;
        c->delivered += (int64_t)(len - skip);
    }
    return r;
}

static ssize_t on_produce(void *arg, struct web_request *rq, char *data, size_t len)
{
    struct remote_call *c = arg;
    ssize_t n = c->cb.produce(c->cb.arg, data, len);

    (void)rq;
    if (n > 0)
        c->delivered += n;
    return n;
}

static bool is_retried(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

static void answered(struct remote_call *c, struct web_request *rq)
{
    struct remote *r = c->remote;
    int status = web_status(rq);
    struct err e;

    if (status < 400) {
        if (!r->confirmed || r->at < c->endpoint) {
            /* A blob that a mirror lacks does not speak against the mirror. */
            r->at = r->confirmed && c->cb.data ? r->at : c->endpoint;
            r->confirmed = true;
        }
        finish(c, NULL);
        return;
    }
    c->no_ranges = c->no_ranges || status == 416;
    if (status == 416 && c->range && retry(c, 0))
        return;
    answer_error(status, buf_head(&c->answer), buf_size(&c->answer), rq, c->code, &e);
    if (status == 401)
        unauthorized(c, rq, &e);
    else if (!is_retried(status) || !retry(c, answer_retry_after(web_header(rq, "Retry-After"))))
        call_failed(c, &e);
}

static void on_done(void *arg, struct web_request *rq, const struct err *err)
{
    struct remote_call *c = arg;

    c->rq = NULL;
    c->last = err ? NULL : rq;
    if (err)
        transport_failed(c, err);
    else
        answered(c, rq);
}

/* ---- the request ---- */

static char *call_url(const struct remote_call *c)
{
    const struct remote *r = c->remote;
    const char *base = r->endpoints[c->endpoint].e.base;

    if (c->path)
        return xasprintf("%s/v2/%s/%s", base, r->path, c->path);
    return c->url[0] == '/' ? xasprintf("%s%s", base, c->url) : xstrdup(c->url);
}

static bool same_origin(struct web *web, const char *a, const char *b)
{
    _cleanup_free_ char *x = web_url_origin(web, a), *y = web_url_origin(web, b);

    return x && y && streq(x, y);
}

static char **call_headers(struct remote_call *c, const char *url)
{
    struct remote *r = c->remote;
    const struct remote_endpoint *e = &r->endpoints[c->endpoint];
    char **headers = NULL;
    const char *grant;

    for (char **h = c->headers; h && *h; h++)
        headers = strv_append(headers, *h);
    c->range_start = c->offset + c->delivered;
    c->range = c->resume && c->range_start > 0 && !c->no_ranges;
    if (c->range) {
        char text[64];

        snprintf(text, sizeof(text), "Range: bytes=%lld-", (long long)c->range_start);
        headers = strv_append(headers, text);
    }
    grant = same_origin(r->reg->web, url, e->e.base) ? token_find(r, c->endpoint) : NULL;
    c->generation = e->generation;
    if (grant) {
        char *text = xasprintf("Authorization: %s", grant);

        headers = strv_append(headers, text);
        explicit_bzero(text, strlen(text));
        free(text);
    }
    return headers;
}

static int send_request(struct remote_call *c, struct err *reterr)
{
    _cleanup_free_ char *url = call_url(c);
    char **headers = call_headers(c, url);
    struct web_options o = {.method = c->method,
                            .url = url,
                            .headers = headers,
                            .body = c->body,
                            .body_size = c->body_size};
    struct web_callbacks cb = {.arg = c,
                               .head = on_head,
                               .data = on_data,
                               .produce = c->cb.produce ? on_produce : NULL,
                               .done = on_done};
    int r;

    c->last = NULL;
    r = web_start(c->remote->reg->web, &o, &cb, &c->rq, reterr);
    c->progress = c->delivered;
    strv_free(headers);
    return r;
}

void call_try(struct remote_call *c)
{
    struct err e;

    if (send_request(c, &e) < 0)
        finish(c, &e);
}

int remote_start(struct remote *r, const struct remote_options *opt,
                 const struct remote_callbacks *cb, struct remote_call **ret, struct err *reterr)
{
    struct remote_call *c = xcalloc(1, sizeof(*c));
    int result;

    c->remote = remote_ref(r);
    c->cb = *cb;
    c->method = opt->method;
    c->path = xstrdup_null(opt->path);
    c->url = xstrdup_null(opt->url);
    for (size_t i = 0; opt->headers && opt->headers[i]; i++)
        c->headers = strv_append(c->headers, opt->headers[i]);
    c->limit = opt->limit;
    c->offset = opt->offset;
    c->resume = opt->resume;
    c->once = opt->once;
    c->body_size = opt->body_size;
    if (opt->body) {
        c->body = xmalloc((size_t)opt->body_size + 1);
        memcpy(c->body, opt->body, (size_t)opt->body_size);
    }
    c->endpoint = r->at;
    c->next = r->calls;
    c->prev_next = &r->calls;
    if (c->next)
        c->next->prev_next = &c->next;
    r->calls = c;
    result = send_request(c, reterr);
    if (result < 0)
        call_free(c);
    else
        *ret = c;
    return result;
}

/* ---- readers ---- */

int remote_status(const struct remote_call *c)
{
    return c->last ? web_status(c->last) : 0;
}

const char *remote_header(const struct remote_call *c, const char *name)
{
    return c->last ? web_header(c->last, name) : NULL;
}

const char *remote_body(const struct remote_call *c, size_t *ret_len)
{
    if (ret_len)
        *ret_len = buf_size(&c->answer);
    return buf_head(&c->answer);
}

const char *remote_code(const struct remote_call *c)
{
    return c->code;
}

char *remote_location(const struct remote_call *c)
{
    const char *location = remote_header(c, "Location");

    return location ? web_url_resolve(c->remote->reg->web, web_url(c->last), location) : NULL;
}

char *remote_next_page(const struct remote_call *c)
{
    _cleanup_free_ char *next = link_next(remote_header(c, "Link"));

    return next ? web_url_resolve(c->remote->reg->web, web_url(c->last), next) : NULL;
}
