/* One request and its answer as libcurl sees them. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "hosts.h"
#include "str.h"
#include "web_impl.h"
#include "weburl.h"

#define RECEIVE_BUFFER (128L << 10)
#define SYSTEM_CA_DIR "/etc/ssl/certs"

/* ---- callbacks ---- */

bool exchange_redirects(const struct web_request *rq)
{
    static const int codes[] = {301, 302, 303, 307, 308};

    if (rq->no_follow || (!streq(rq->method, "GET") && !streq(rq->method, "HEAD")))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        if (rq->status == codes[i])
            return web_header(rq, "Location") != NULL;
    }
    return false;
}

static int parse_status(const char *line, size_t len)
{
    int status = 0;
    char text[64];

    snprintf(text, sizeof(text), "%.*s", (int)(len < 63 ? len : 63), line);
    return sscanf(text, "HTTP/%*s %d", &status) == 1 ? status : 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct web_request *rq = arg;
    size_t len = size * n, text = len;
    char *line;

    if (rq->cancelled)
        return 0;
    if (len > 5 && strncasecmp(data, "HTTP/", 5) == 0) {
        strv_free(rq->answer_headers);
        rq->answer_headers = NULL;
        rq->answer_size = 0;
        rq->status = parse_status(data, len);
        return len;
    }
    while (text > 0 && strchr("\r\n \t", data[text - 1]))
        text--;
    if (text == 0) {
        if (rq->status >= 200 && !exchange_redirects(rq) && rq->cb.head)
            rq->cb.head(rq->cb.arg, rq);
        return rq->cancelled ? 0 : len;
    }
    rq->answer_size += len;
    if (rq->answer_size > WEB_HEADERS_MAX) {
        err_set(&rq->err, ERR_UNAVAILABLE, EFBIG, "the answer's headers are too long");
        return 0;
    }
    line = xstrndup(data, text);
    rq->answer_headers = strv_append(rq->answer_headers, line);
    free(line);
    return len;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct web_request *rq = arg;
    size_t len = size * n;

    if (rq->cancelled)
        return CURL_WRITEFUNC_ERROR;
    if (exchange_redirects(rq))
        return len;
    if (rq->cb.data) {
        int r = rq->cb.data(rq->cb.arg, rq, data, len);

        if (r < 0)
            err_sys(&rq->err, -r, "take the answer");
        if (r < 0 || rq->cancelled)
            return CURL_WRITEFUNC_ERROR;
        rq->paused = r == 0;
        return r > 0 ? len : CURL_WRITEFUNC_PAUSE;
    }
    if (buf_size(&rq->answer) + len > rq->limit) {
        err_set(&rq->err, ERR_UNAVAILABLE, EFBIG, "the answer is longer than %zu bytes", rq->limit);
        return CURL_WRITEFUNC_ERROR;
    }
    buf_append(&rq->answer, data, len);
    return len;
}

static size_t on_send(char *data, size_t size, size_t n, void *arg)
{
    struct web_request *rq = arg;
    size_t len = size * n, left = (size_t)(rq->body_size - rq->body_at);
    ssize_t got;

    if (rq->cancelled)
        return CURL_READFUNC_ABORT;
    if (len > left)
        len = left;
    if (rq->body) {
        memcpy(data, rq->body + rq->body_at, len);
        got = (ssize_t)len;
    } else {
        got = len > 0 ? rq->cb.produce(rq->cb.arg, rq, data, len) : 0;
        if (got == 0 && len > 0) {
            rq->paused = true;
            return CURL_READFUNC_PAUSE;
        }
    }
    if (got < 0) {
        err_sys(&rq->err, (int)-got, "read what is to be sent");
        return CURL_READFUNC_ABORT;
    }
    rq->body_at += got;
    return (size_t)got;
}

/* Only bodies in memory can be sent twice (libcurl asks for it when a kept connection was dead). */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct web_request *rq = arg;

    if (origin != SEEK_SET || (offset != rq->body_at && !rq->body))
        return CURL_SEEKFUNC_CANTSEEK;
    rq->body_at = offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- preparing ---- */

static char *url_part(const struct curl_api *c, const char *url, CURLUPart part, unsigned flags)
{
    CURLU *u = c->url();
    char *text = NULL, *copy = NULL;

    if (u && c->url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        c->url_get(u, part, &text, flags) == CURLUE_OK) {
        copy = xstrdup(text);
        c->free(text);
    }
    c->url_cleanup(u);
    return copy;
}

/* "host" or "host:port" as hosts are named in certs.d and --insecure-registry. */
static char *url_host(const struct curl_api *c, const char *url)
{
    _cleanup_free_ char *host = url_part(c, url, CURLUPART_HOST, 0);
    _cleanup_free_ char *port = url_part(c, url, CURLUPART_PORT, 0);

    return host ? xasprintf("%s%s%s", host, port ? ":" : "", port ? port : "") : NULL;
}

static bool is_http(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0;
}

static bool is_https(const char *url)
{
    return strncasecmp(url, "https://", 8) == 0;
}

/* libcurl leaves HTTP_PROXY alone (in CGI it is foreign input); Go and so dockerd read it. */
static void set_proxy(struct web_request *rq, const char *host)
{
    const struct curl_api *c = &rq->web->curl;
    const char *upper = getenv("HTTP_PROXY");

    if (host_is_loopback(host))
        c->easy_setopt(rq->easy, CURLOPT_PROXY, "");
    else if (is_http(rq->url) && str_empty(getenv("http_proxy")) && !str_empty(upper))
        c->easy_setopt(rq->easy, CURLOPT_PROXY, upper);
    c->easy_setopt(rq->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static void set_tls(struct web_request *rq, const char *host)
{
    const struct curl_api *c = &rq->web->curl;
    struct web_tls *tls = &rq->tls;

    web_tls_done(tls);
    if (rq->web->hooks.tls)
        rq->web->hooks.tls(rq->web->hooks.arg, host, tls);
    if (tls->ca_file) {
        c->easy_setopt(rq->easy, CURLOPT_CAINFO, tls->ca_file);
        c->easy_setopt(rq->easy, CURLOPT_CAPATH, NULL);
    } else if (access(SYSTEM_CA_DIR "/002c0b4f.0", F_OK) == 0) {
        /* A hashed directory: one file is read, not a bundle of 140 authorities. */
        c->easy_setopt(rq->easy, CURLOPT_CAINFO, NULL);
        c->easy_setopt(rq->easy, CURLOPT_CAPATH, SYSTEM_CA_DIR);
    }
    if (tls->cert_file) {
        c->easy_setopt(rq->easy, CURLOPT_SSLCERT, tls->cert_file);
        c->easy_setopt(rq->easy, CURLOPT_SSLKEY, tls->key_file);
    }
    c->easy_setopt(rq->easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* a changed ca.crt counts at once */
    c->easy_setopt(rq->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (tls->insecure) {
        c->easy_setopt(rq->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        c->easy_setopt(rq->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void set_method(struct web_request *rq)
{
    const struct curl_api *c = &rq->web->curl;

    if (rq->body_size >= 0) {
        c->easy_setopt(rq->easy, CURLOPT_UPLOAD, 1L);
        c->easy_setopt(rq->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)rq->body_size);
        c->easy_setopt(rq->easy, CURLOPT_READFUNCTION, on_send);
        c->easy_setopt(rq->easy, CURLOPT_READDATA, rq);
        c->easy_setopt(rq->easy, CURLOPT_SEEKFUNCTION, on_seek);
        c->easy_setopt(rq->easy, CURLOPT_SEEKDATA, rq);
        c->easy_setopt(rq->easy, CURLOPT_UPLOAD_BUFFERSIZE, RECEIVE_BUFFER);
    }
    if (streq(rq->method, "HEAD"))
        c->easy_setopt(rq->easy, CURLOPT_NOBODY, 1L);
    else if (!streq(rq->method, "GET") || rq->body_size >= 0)
        c->easy_setopt(rq->easy, CURLOPT_CUSTOMREQUEST, rq->method);
}

static void set_headers(struct web_request *rq)
{
    const struct curl_api *c = &rq->web->curl;

    for (char **h = rq->headers; h && *h; h++)
        rq->slist = c->slist_append(rq->slist, *h);
    rq->slist = c->slist_append(rq->slist, "Expect:");
    c->easy_setopt(rq->easy, CURLOPT_HTTPHEADER, rq->slist);
}

static void set_transfer(struct web_request *rq)
{
    const struct curl_api *c = &rq->web->curl;
    CURL *e = rq->easy;

    c->easy_setopt(e, CURLOPT_URL, rq->url);
    c->easy_setopt(e, CURLOPT_PRIVATE, rq);
    c->easy_setopt(e, CURLOPT_ERRORBUFFER, rq->curl_error);
    c->easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    c->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    c->easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    c->easy_setopt(e, CURLOPT_USERAGENT, "containerd-lite/" CTL_VERSION);
    c->easy_setopt(e, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
    c->easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)WEB_CONNECT_TIMEOUT_S);
    c->easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    c->easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)WEB_STALL_TIMEOUT_S);
    c->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    c->easy_setopt(e, CURLOPT_HEADERDATA, rq);
    c->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    c->easy_setopt(e, CURLOPT_WRITEDATA, rq);
}

int exchange_begin(struct web_request *rq, struct err *reterr)
{
    struct web *web = rq->web;
    _cleanup_free_ char *host = NULL;

    if (is_http(rq->url) || is_https(rq->url))
        host = url_host(&web->curl, rq->url);
    if (!host)
        return err_set(reterr, ERR_INVALID, EINVAL, "not a URL of http or https");
    rq->easy = web->curl.easy_init();
    if (!rq->easy)
        return err_set(reterr, ERR_SYSTEM, ENOMEM, "libcurl cannot be initialised");
    rq->status = 0;
    rq->paused = false;
    rq->body_at = 0;
    rq->curl_error[0] = '\0';
    set_transfer(rq);
    set_method(rq);
    set_headers(rq);
    set_proxy(rq, host);
    set_tls(rq, host);
    web->curl.multi_add_handle(web->multi, rq->easy);
    return 0;
}

void exchange_end(struct web_request *rq)
{
    struct web *web = rq->web;

    if (!rq->easy)
        return;
    web->depth++;
    web->curl.multi_remove_handle(web->multi, rq->easy);
    web->curl.easy_cleanup(rq->easy);
    web->depth--;
    rq->easy = NULL;
    web->curl.slist_free_all(rq->slist);
    rq->slist = NULL;
    web_tls_done(&rq->tls);
}

/* ---- redirects ---- */

char *web_url_resolve(struct web *web, const char *base, const char *location)
{
    const struct curl_api *c = &web->curl;
    char *text = NULL, *copy = NULL;
    CURLU *u;

    if (web_load(web, NULL) < 0)
        return NULL;
    u = c->url();
    if (u && c->url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
        c->url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
        c->url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK) {
        if (is_http(text) || is_https(text))
            copy = xstrdup(text);
        c->free(text);
    }
    c->url_cleanup(u);
    return copy;
}

char *web_url_origin(struct web *web, const char *url)
{
    _cleanup_free_ char *scheme = NULL, *host = NULL, *port = NULL;
    char *origin;

    if (web_load(web, NULL) < 0)
        return NULL;
    scheme = url_part(&web->curl, url, CURLUPART_SCHEME, 0);
    host = url_part(&web->curl, url, CURLUPART_HOST, 0);
    port = url_part(&web->curl, url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    if (!scheme || !host || !port)
        return NULL;
    origin = xasprintf("%s://%s:%s", scheme, host, port);
    for (char *p = origin; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 'a' - 'A' : *p);
    return origin;
}

static bool is_insecure(struct web_request *rq, const char *url)
{
    _cleanup_free_ char *host = url_host(&rq->web->curl, url);
    struct web_tls tls = {0};
    bool insecure;

    if (host && rq->web->hooks.tls)
        rq->web->hooks.tls(rq->web->hooks.arg, host, &tls);
    insecure = tls.insecure;
    web_tls_done(&tls);
    return insecure;
}

static void drop_credentials(struct web_request *rq)
{
    char **kept = NULL;

    for (char **h = rq->headers; h && *h; h++) {
        if (strncasecmp(*h, "Authorization:", 14) != 0 && strncasecmp(*h, "Cookie:", 7) != 0)
            kept = strv_append(kept, *h);
    }
    strv_free(rq->headers);
    rq->headers = kept;
}

int exchange_follow(struct web_request *rq, struct err *reterr)
{
    struct web *web = rq->web;
    _cleanup_free_ char *from = web_url_origin(web, rq->url), *to = NULL;
    char *url = web_url_resolve(web, rq->url, web_header(rq, "Location"));

    exchange_end(rq);
    if (!url)
        return err_set(reterr, ERR_UNAVAILABLE, EPROTO, "redirected to what is no URL of http(s)");
    to = web_url_origin(web, url);
    if (is_https(rq->url) && is_http(url) && !is_insecure(rq, url)) {
        free(url);
        return err_set(reterr, ERR_UNAVAILABLE, EPROTO, "redirected from https to plain http");
    }
    if (++rq->redirects > WEB_REDIRECTS_MAX) {
        free(url);
        return err_set(reterr, ERR_UNAVAILABLE, ELOOP, "stopped after %d redirects",
                       WEB_REDIRECTS_MAX);
    }
    if (!from || !to || !streq(from, to))
        drop_credentials(rq);
    free(rq->url);
    rq->url = url;
    return 0;
}

/* ---- errors ---- */

static const struct {
    CURLcode code;
    int errnum;
    const char *text; /* NULL: libcurl's */
} reasons[] = {
    {CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH, NULL},
    {CURLE_COULDNT_RESOLVE_PROXY, EHOSTUNREACH, NULL},
    {CURLE_COULDNT_CONNECT, ECONNREFUSED, NULL},
    {CURLE_OPERATION_TIMEDOUT, ETIMEDOUT, NULL},
    {CURLE_PARTIAL_FILE, ECONNRESET, "unexpected EOF"},
    {CURLE_RECV_ERROR, ECONNRESET, NULL},
    {CURLE_SEND_ERROR, ECONNRESET, NULL},
    {CURLE_GOT_NOTHING, ECONNRESET, "EOF"},
    {CURLE_PEER_FAILED_VERIFICATION, EKEYREJECTED, NULL},
    {CURLE_SSL_CACERT_BADFILE, EKEYREJECTED, NULL},
    {CURLE_SSL_CERTPROBLEM, EKEYREJECTED, NULL},
    {CURLE_ABORTED_BY_CALLBACK, ECANCELED, NULL},
};

/* In the words of Go's dialler, which scripts look for. */
static int dial_error(struct web_request *rq, CURLcode code, char *ret, size_t room)
{
    _cleanup_free_ char *host = url_host(&rq->web->curl, rq->url);
    long number = 0;

    if (code == CURLE_COULDNT_RESOLVE_HOST) {
        snprintf(ret, room, "dial tcp: lookup %s: no such host", host);
        return EHOSTUNREACH;
    }
    rq->web->curl.easy_getinfo(rq->easy, CURLINFO_OS_ERRNO, &number);
    if (code != CURLE_COULDNT_CONNECT || number <= 0)
        return 0;
    snprintf(ret, room, "dial tcp %s: connect: %s", host, err_text((int)number));
    return (int)number;
}

void exchange_error(struct web_request *rq, CURLcode code, struct err *ret)
{
    _cleanup_free_ char *shown = weburl_show(rq->url);
    const char *text = *rq->curl_error ? rq->curl_error : rq->web->curl.easy_strerror(code);
    int errnum = EPROTO, dialled;
    char method[16] = "", dial[512];

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        if (reasons[i].code == code) {
            errnum = reasons[i].errnum;
            text = reasons[i].text ? reasons[i].text : text;
        }
    }
    if (rq->easy && (dialled = dial_error(rq, code, dial, sizeof(dial))) > 0) {
        errnum = dialled;
        text = dial;
    }
    for (size_t i = 0; rq->method[i] && i < sizeof(method) - 1; i++)
        method[i] = (char)(i ? tolower(rq->method[i]) : rq->method[i]);
    err_set(ret, ERR_UNAVAILABLE, errnum, "%s \"%s\": %s%s", method, shown,
            errnum == EKEYREJECTED ? "x509: " : "", text);
}

char *web_url_escape(const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    struct buf b = {0};

    for (; *text; text++) {
        if (strchr(plain, *text))
            buf_append(&b, text, 1);
        else
            buf_printf(&b, "%%%02X", (unsigned char)*text);
    }
    return buf_take_str(&b);
}
