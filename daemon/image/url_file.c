#include "url_file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "buf.h"
#include "fd.h"
#include "image_private.h"
#include "import_url.h"
#include "json.h"
#include "registry.h"
#include "weburl.h"

#define PENDING_MAX (1u << 20) /* bytes in memory that wait for the disk */
#define TELL_NS (INT64_C(100) * 1000000)

struct url_file {
    struct images *im;
    struct url_file_callbacks cb;
    struct web_request *rq; /* NULL once it has ended */
    char *shown;            /* owned: the URL as the user may see it again */
    int fd;                 /* owned */
    uv_work_t work;
    struct buf pending, writing; /* what has come, and what the pool has of it */
    bool busy, paused, cancelled;
    int result; /* of the writing */
    int64_t size, total, max, told_ns, modified;
    struct err err; /* kind ERR_NONE while there is none */
};

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *p = c ? strchr(digits, c | 0x20) : NULL;

    return p ? (int)(p - digits) : -1;
}

/* What is no escape stays as it is. */
static char *decode(const char *s, size_t n)
{
    char *out = xmalloc(n + 1), *to = out;

    for (size_t i = 0; i < n; i++) {
        int high = s[i] == '%' && i + 2 < n ? hex_digit(s[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s[i + 2]) : -1;

        *to++ = low >= 0 ? (char)(high << 4 | low) : s[i];
        i += low >= 0 ? 2 : 0;
    }
    *to = '\0';
    return out;
}

char *url_file_name(const char *url)
{
    const char *path = strstr(url, "://"), *slash;
    char *name;
    size_t n;

    path = path ? path + 3 : url;
    path += strcspn(path, "/?#");
    n = strcspn(path, "?#");
    slash = memrchr(path, '/', n);
    if (!slash)
        return NULL;
    name = decode(slash + 1, n - (size_t)(slash + 1 - path));
    if (str_is_filename(name))
        return name;
    free(name);
    return NULL;
}

/* ---- the end ---- */

static void file_free(struct url_file *f)
{
    struct images *im = f->im;

    fd_close(f->fd);
    buf_done(&f->pending);
    buf_done(&f->writing);
    free(f->shown);
    free(f);
    images_done(im);
}

void url_file_cancel(struct url_file *f)
{
    f->cancelled = true;
    if (f->rq)
        web_cancel(TAKE_PTR(f->rq));
    if (!f->busy)
        file_free(f);
}

/* All has come and is written, or it has failed. */
static void check_end(struct url_file *f)
{
    const struct timespec times[2] = {{.tv_sec = f->modified}, {.tv_sec = f->modified}};
    bool failed = f->err.kind != ERR_NONE;

    if (f->rq || f->busy)
        return;
    if (!failed)
        futimens(f->fd, times);
    f->cb.done(f->cb.arg, failed ? &f->err : NULL);
    file_free(f);
}

/* ---- to the disk ---- */

static void write_run(uv_work_t *work)
{
    struct url_file *f = work->data;

    f->result = fd_write_all(f->fd, buf_head(&f->writing), buf_size(&f->writing));
}

static void start_writing(struct url_file *f);

static void write_after(uv_work_t *work, int status)
{
    struct url_file *f = work->data;

    (void)status;
    f->busy = false;
    buf_done(&f->writing);
    if (f->cancelled) {
        file_free(f);
        return;
    }
    if (f->result < 0) {
        if (f->err.kind == ERR_NONE)
            err_sys(&f->err, -f->result, "store %s", f->shown);
        if (f->rq)
            web_cancel(TAKE_PTR(f->rq));
    } else if (buf_size(&f->pending) > 0) {
        start_writing(f);
    }
    if (f->paused && f->rq) {
        f->paused = false;
        web_resume(f->rq);
    }
    check_end(f);
}

static void start_writing(struct url_file *f)
{
    f->writing = f->pending;
    f->pending = (struct buf){0};
    f->busy = true;
    uv_queue_work(f->im->loop, &f->work, write_run, write_after);
}

/* ---- from the server ---- */

static int too_long(struct url_file *f)
{
    return err_set(&f->err, ERR_INVALID, EFBIG,
                   "%s is larger than the %lld bytes that a build may download from a URL",
                   f->shown, (long long)f->max);
}

static void on_head(void *arg, struct web_request *rq)
{
    struct url_file *f = arg;
    const char *length = web_header(rq, "Content-Length");
    const char *modified = web_header(rq, "Last-Modified");
    struct tm tm = {0};

    if (length && str_parse_i64(length, 0, INT64_MAX, &f->total) < 0)
        f->total = 0;
    if (modified && strptime(modified, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        f->modified = timegm(&tm);
    if (web_status(rq) != 200)
        err_set(&f->err, web_status(rq) == 404 ? ERR_NOT_FOUND : ERR_SYSTEM, EPROTO,
                "failed to GET %s with status %d", f->shown, web_status(rq));
    else if (f->total > f->max)
        too_long(f);
}

static void tell(struct url_file *f)
{
    int64_t now = time_monotonic_ns();
    _cleanup_json_ json_t *obj = NULL;
    json_t *detail;

    if (now - f->told_ns < TELL_NS && f->size != f->total)
        return;
    f->told_ns = now;
    detail = json_pack("{s:I}", "current", (json_int_t)f->size);
    if (f->total > 0)
        json_object_set_new(detail, "total", json_integer(f->total));
    obj = json_pack("{s:s,s:o}", "status", "Downloading", "progressDetail", detail);
    f->cb.progress(f->cb.arg, obj);
}

static int on_data(void *arg, struct web_request *rq, const char *data, size_t len)
{
    struct url_file *f = arg;

    (void)rq;
    if (f->err.kind != ERR_NONE)
        return -ECANCELED;
    if (buf_size(&f->pending) >= PENDING_MAX) {
        f->paused = true;
        return 0;
    }
    if (len > (uint64_t)(f->max - f->size)) /* what was said of its length may be wrong */
        return too_long(f);
    buf_append(&f->pending, data, len);
    f->size += (int64_t)len;
    tell(f);
    if (!f->busy)
        start_writing(f);
    return 1;
}

static void on_done(void *arg, struct web_request *rq, const struct err *err)
{
    struct url_file *f = arg;

    (void)rq;
    f->rq = NULL;
    if (err && f->err.kind == ERR_NONE)
        f->err = *err;
    check_end(f);
}

struct url_file *url_file_fetch(struct images *im, const char *url, int fd, int64_t max,
                                const struct url_file_callbacks *cb, struct err *reterr)
{
    struct web_callbacks web_cb = {.head = on_head, .data = on_data, .done = on_done};
    struct web_options o = {.method = "GET", .url = url, .body_size = -1};
    struct url_file *f = xcalloc(1, sizeof(*f));

    *f = (struct url_file){.im = im, .cb = *cb, .fd = fd, .max = max, .shown = weburl_show(url)};
    f->work.data = f;
    images_begin(im);
    web_cb.arg = f;
    if (web_start(registry_web(im->registry), &o, &web_cb, &f->rq, reterr) >= 0)
        return f;
    file_free(f);
    return NULL;
}
