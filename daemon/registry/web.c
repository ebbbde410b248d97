#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "str.h"
#include "web_impl.h"

void web_tls_done(struct web_tls *tls)
{
    free(tls->ca_file);
    free(tls->cert_file);
    free(tls->key_file);
    *tls = (struct web_tls){0};
}

/* ---- requests ---- */

static void request_free(struct web_request *rq)
{
    exchange_end(rq);
    *rq->prev_next = rq->next;
    if (rq->next)
        rq->next->prev_next = rq->prev_next;
    if (!rq->web->requests && !rq->web->closing)
        uv_timer_again(&rq->web->idle);
    free(rq->url);
    strv_free(rq->headers);
    strv_free(rq->answer_headers);
    buf_done(&rq->answer);
    free(rq->body);
    free(rq);
}

static void request_done(struct web_request *rq, const struct err *err)
{
    exchange_end(rq);
    if (!rq->cancelled)
        rq->cb.done(rq->cb.arg, rq, err);
    request_free(rq);
}

/* libcurl is through with this exchange: the end, or the next one of a redirect. */
static void request_completed(struct web_request *rq, CURLcode code)
{
    struct err e = rq->err;

    if (rq->cancelled) {
        request_free(rq);
        return;
    }
    if (e.kind == ERR_NONE && code != CURLE_OK)
        exchange_error(rq, code, &e);
    if (e.kind == ERR_NONE && exchange_redirects(rq) && exchange_follow(rq, &e) >= 0 &&
        exchange_begin(rq, &e) >= 0)
        return;
    request_done(rq, e.kind != ERR_NONE ? &e : NULL);
}

static void sweep_cancelled(struct web *web)
{
    struct web_request *next;

    for (struct web_request *rq = web->requests; rq; rq = next) {
        next = rq->next;
        if (rq->cancelled)
            request_free(rq);
    }
}

/* ---- libcurl's events ---- */

static void take_messages(struct web *web)
{
    CURLMsg *m;
    int left;

    while (web->multi && !web->closing && (m = web->curl.multi_info_read(web->multi, &left))) {
        struct web_request *rq = NULL;

        if (m->msg != CURLMSG_DONE)
            continue;
        web->curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &rq);
        request_completed(rq, m->data.result);
    }
}

static void act(struct web *web, curl_socket_t fd, int events)
{
    int running;

    if (!web->multi)
        return;
    web->depth++;
    web->curl.multi_socket_action(web->multi, fd, events, &running);
    web->depth--;
    take_messages(web);
    if (!web->closing)
        sweep_cancelled(web);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    struct web *web = arg;

    (void)multi;
    if (ms < 0)
        uv_timer_stop(&web->timer);
    else
        uv_timer_start(&web->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

struct web_socket {
    uv_poll_t poll;
    struct web *web;
    curl_socket_t fd;
};

static void handle_closed(struct web *web)
{
    if (--web->open == 0)
        free(web);
}

static void socket_closed(uv_handle_t *handle)
{
    struct web_socket *s = handle->data;

    handle_closed(s->web);
    free(s);
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct web_socket *s = poll->data;
    int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
                (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0) | (status < 0 ? CURL_CSELECT_ERR : 0);

    act(s->web, s->fd, flags);
}

static struct web_socket *watch_socket(struct web *web, curl_socket_t fd)
{
    struct web_socket *s = xcalloc(1, sizeof(*s));

    s->web = web;
    s->fd = fd;
    if (uv_poll_init(web->loop, &s->poll, fd) < 0) {
        free(s);
        return NULL;
    }
    s->poll.data = s;
    web->open++;
    web->curl.multi_assign(web->multi, fd, s);
    return s;
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
    struct web *web = arg;
    struct web_socket *s = socket;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            uv_poll_stop(&s->poll);
            uv_close((uv_handle_t *)&s->poll, socket_closed);
            web->curl.multi_assign(web->multi, fd, NULL);
        }
        return 0;
    }
    if (!s)
        s = watch_socket(web, fd);
    if (s)
        uv_poll_start(&s->poll, events, on_socket);
    return s ? 0 : -1;
}

/* ---- opening and closing ---- */

static void close_multi(struct web *web)
{
    if (!web->multi)
        return;
    web->curl.multi_cleanup(web->multi);
    web->multi = NULL;
    uv_timer_stop(&web->timer);
}

/* Kept connections, their sessions and what they allocated would outlive a pull for long. */
static void on_idle(uv_timer_t *timer)
{
    struct web *web = timer->data;

    uv_timer_stop(timer);
    if (web->requests)
        return;
    close_multi(web);
    malloc_trim(0);
}

int web_load(struct web *web, struct err *reterr)
{
    int r = web->loaded ? 0 : curl_api_load(&web->curl, reterr);

    web->loaded = r >= 0;
    return r;
}

static int open_multi(struct web *web, struct err *reterr)
{
    const struct curl_api *c = &web->curl;
    int r;

    if (web->multi)
        return 0;
    r = web_load(web, reterr);
    if (r < 0)
        return r;
    web->multi = c->multi_init();
    if (!web->multi)
        return err_set(reterr, ERR_SYSTEM, ENOMEM, "libcurl cannot be initialised");
    c->multi_setopt(web->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    c->multi_setopt(web->multi, CURLMOPT_SOCKETDATA, web);
    c->multi_setopt(web->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    c->multi_setopt(web->multi, CURLMOPT_TIMERDATA, web);
    return 0;
}

struct web *web_new(uv_loop_t *loop, const struct web_hooks *hooks)
{
    struct web *web = xcalloc(1, sizeof(*web));

    web->loop = loop;
    web->hooks = *hooks;
    uv_timer_init(loop, &web->timer);
    uv_timer_init(loop, &web->kick);
    uv_timer_init(loop, &web->idle);
    web->timer.data = web->kick.data = web->idle.data = web;
    uv_timer_start(&web->idle, on_idle, WEB_IDLE_MS, WEB_IDLE_MS);
    uv_timer_stop(&web->idle); /* knows its interval now, for uv_timer_again() */
    web->open = 3;
    return web;
}

static void timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

void web_close(struct web *web)
{
    web->closing = true;
    while (web->requests)
        request_free(web->requests);
    close_multi(web);
    uv_close((uv_handle_t *)&web->timer, timer_closed);
    uv_close((uv_handle_t *)&web->kick, timer_closed);
    uv_close((uv_handle_t *)&web->idle, timer_closed);
}

int web_start(struct web *web, const struct web_options *opt, const struct web_callbacks *cb,
              struct web_request **ret, struct err *reterr)
{
    struct web_request *rq;
    int r = open_multi(web, reterr);

    if (r < 0)
        return r;
    rq = xcalloc(1, sizeof(*rq));
    rq->web = web;
    rq->cb = *cb;
    rq->method = opt->method;
    rq->url = xstrdup(opt->url);
    for (size_t i = 0; opt->headers && opt->headers[i]; i++)
        rq->headers = strv_append(rq->headers, opt->headers[i]);
    rq->limit = opt->limit;
    rq->body_size = opt->body_size;
    if (opt->body) {
        rq->body = xmalloc((size_t)opt->body_size + 1);
        memcpy(rq->body, opt->body, (size_t)opt->body_size);
    }
    rq->no_follow = opt->no_follow;
    rq->next = web->requests;
    rq->prev_next = &web->requests;
    if (rq->next)
        rq->next->prev_next = &rq->next;
    web->requests = rq;
    uv_timer_stop(&web->idle);
    r = exchange_begin(rq, reterr);
    if (r < 0) {
        request_free(rq);
        return r;
    }
    *ret = rq;
    return 0;
}

void web_cancel(struct web_request *rq)
{
    rq->cancelled = true;
    if (rq->web->depth == 0)
        request_free(rq);
}

void web_resume(struct web_request *rq)
{
    struct web *web = rq->web;

    if (!rq->paused || rq->cancelled || !rq->easy)
        return;
    rq->paused = false;
    /* Delivers what libcurl holds from inside the call. */
    web->depth++;
    web->curl.easy_pause(rq->easy, CURLPAUSE_CONT);
    web->depth--;
    /* Whatever that led to is told by the timer: a caller must not lose its request here. */
    uv_timer_start(&web->kick, on_timer, 0, 0);
}

/* ---- readers ---- */

int web_status(const struct web_request *rq)
{
    return rq->status;
}

const char *web_header_nth(const struct web_request *rq, const char *name, size_t n)
{
    size_t len = strlen(name);

    for (char **h = rq->answer_headers; h && *h; h++) {
        if (strncasecmp(*h, name, len) == 0 && (*h)[len] == ':' && n-- == 0)
            return *h + len + 1 + strspn(*h + len + 1, " \t");
    }
    return NULL;
}

const char *web_header(const struct web_request *rq, const char *name)
{
    return web_header_nth(rq, name, 0);
}

const char *web_body(const struct web_request *rq, size_t *ret_len)
{
    if (ret_len)
        *ret_len = buf_size(&rq->answer);
    return buf_head(&rq->answer);
}

const char *web_url(const struct web_request *rq)
{
    return rq->url;
}
