#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "api.h"
#include "buf.h"
#include "engine.h"
#include "fd.h"
#include "image.h"
#include "json.h"
#include "params.h"
#include "reply_engine.h"
#include "routes.h"
#include "str.h"
#include "tarball.h"

#define UPLOAD_PIPE_SIZE (1 << 20) /* fewer switches between who receives and who reads */

static struct images *store(struct http_req *req)
{
    return engine_images(http_context(req));
}

/* ---- queries; what older clients expect is put in here ---- */

static void age_list_entry(json_t *entry, int api)
{
    json_t *tags = json_object_get(entry, "RepoTags"),
           *digests = json_object_get(entry, "RepoDigests");

    if (api < 144)
        json_object_set(entry, "VirtualSize", json_object_get(entry, "Size"));
    else
        json_object_del(entry, "VirtualSize");
    if (api < 151)
        json_object_set_new(entry, "Containers", json_integer(-1));
    if (api < 143 && json_array_size(tags) == 0) {
        json_array_append_new(tags, json_string("<none>:<none>"));
        if (json_array_size(digests) == 0)
            json_array_append_new(digests, json_string("<none>@<none>"));
    }
}

void images_route_list(struct http_req *req)
{
    _cleanup_json_ json_t *filters = NULL;
    struct images_list_options o = {.all = http_query_bool(req, "all", false),
                                    .shared_size = http_query_bool(req, "shared-size", false)};
    json_t *list, *entry;
    struct err err;
    size_t i;

    if (http_filters(req, NULL, &filters, &err) >= 0) {
        o.filters = filters;
        if (images_list(store(req), &o, &list, &err) >= 0) {
            json_array_foreach (list, i, entry)
                age_list_entry(entry, http_api_version(req));
            http_reply_json(req, 200, list);
            return;
        }
    }
    http_reply_err(req, &err);
}

static void reply(struct http_req *req, int r, json_t *result, const struct err *err)
{
    if (r < 0)
        http_reply_err(req, err);
    else
        http_reply_json(req, 200, result);
}

void images_route_inspect(struct http_req *req)
{
    json_t *result = NULL;
    struct err err;
    int r = images_check_platform(store(req), http_param(req), http_query(req, "platform"), &err);

    if (r >= 0)
        r = images_inspect(store(req), http_param(req), &result, &err);
    reply(req, r, result, &err);
}

void images_route_history(struct http_req *req)
{
    json_t *result = NULL;
    struct err err;
    int r = images_check_platform(store(req), http_param(req), http_query(req, "platform"), &err);

    if (r >= 0)
        r = images_history(store(req), http_param(req), &result, &err);
    reply(req, r, result, &err);
}

/* ---- changes ---- */

void images_route_tag(struct http_req *req)
{
    const char *repo = http_query(req, "repo"), *tag = http_query(req, "tag");
    struct err err;

    if (images_tag(store(req), http_param(req), repo ? repo : "", tag, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_empty(req, 201);
}

/* An image is of one platform: to take some platforms of it away is to remove it if that is one of
 * them. */
static int check_platforms(struct http_req *req, struct err *reterr)
{
    const char *platform;
    int r = 0;

    for (size_t i = 0; (platform = http_query_nth(req, "platforms", i)); i++) {
        r = images_check_platform(store(req), http_param(req), platform, reterr);
        if (r >= 0)
            return 0;
    }
    return r;
}

void images_route_remove(struct http_req *req)
{
    json_t *result = NULL;
    struct err err;
    int r = check_platforms(req, &err);

    if (r >= 0)
        r = images_remove(store(req), http_param(req), http_query_bool(req, "force", false),
                          http_query_bool(req, "noprune", false), &result, &err);
    reply(req, r, result, &err);
}

void images_route_prune(struct http_req *req)
{
    _cleanup_json_ json_t *filters = NULL;
    json_t *result = NULL;
    struct err err;
    int r = http_filters(req, NULL, &filters, &err);

    if (r >= 0)
        r = images_prune(store(req), filters, &result, &err);
    reply(req, r, result, &err);
}

/* ---- save ---- */

struct download {
    struct images *images;
    struct tarball *tarball; /* owned */
};

static void on_taken(void *arg, int fd, const void *extra, size_t extra_len)
{
    struct download *d = arg;

    (void)extra, (void)extra_len; /* "Connection: close": there is no next request */
    if (fd >= 0)
        images_send(d->images, d->tarball, fd, HTTP_PACE_S * 1000);
    else
        tarball_free(d->tarball);
    free(d);
}

/* names=a&names=b, or the one in the path. */
static char **names_of(struct http_req *req)
{
    char **out = NULL;
    const char *name;

    if (http_param(req))
        return strv_append(NULL, http_param(req));
    for (size_t i = 0; (name = http_query_nth(req, "names", i)); i++)
        out = strv_append(out, name);
    return out;
}

void images_route_save(struct http_req *req)
{
    _cleanup_(strv_freep) char **names = names_of(req);
    struct download *d;
    struct tarball *t;
    struct err err;
    int r = 0;

    for (size_t i = 0; r >= 0 && names && names[i]; i++)
        r = images_check_platform(store(req), names[i], http_query(req, "platform"), &err);
    if (r < 0 || images_save(store(req), (const char *const *)names, &t, &err) < 0) {
        http_reply_err(req, &err);
        return;
    }
    d = xcalloc(1, sizeof(*d));
    *d = (struct download){store(req), t};
    http_hijack_body(req, API_TYPE_TAR, tarball_size(t), on_taken, d);
}

/* ---- uploads: load and import ---- */

/* Holds until both the upload and the image job have ended; then the collected progress is sent. */
struct upload {
    struct http_req *req;
    struct image_job *job; /* NULL once done */
    json_t *progress;      /* array of objects */
    struct err err;        /* of the job; kind ERR_NONE: none */
    bool uploading;
    bool import; /* which fails by its status while nothing is told, load by a line */
};

#define PROGRESS_MAX 4096 /* lines kept for the answer */

/* In one piece: a raw body has no stream for its answer. */
static void reply_lines(struct http_req *req, const json_t *lines)
{
    struct buf text = {0};
    json_t *line;
    size_t i, len;

    json_array_foreach (lines, i, line) {
        _cleanup_free_ char *object = json_to_str(line);

        buf_printf(&text, "%s\r\n", object);
    }
    len = buf_size(&text);
    http_reply_data(req, 200, API_TYPE_JSON, buf_take_str(&text), len);
}

static void finish_upload(struct upload *u)
{
    bool failed = u->err.kind != ERR_NONE;

    if (u->uploading || u->job)
        return;
    if (failed && u->import && json_array_size(u->progress) == 0) {
        http_reply_err(u->req, &u->err);
    } else {
        if (failed)
            json_array_append_new(u->progress, reply_error_line(&u->err, 0));
        reply_lines(u->req, u->progress);
    }
    json_decref(u->progress);
    free(u);
}

static void on_progress(void *arg, json_t *obj)
{
    struct upload *u = arg;

    if (json_array_size(u->progress) < PROGRESS_MAX)
        json_array_append(u->progress, obj);
}

static void on_job_done(void *arg, const struct err *err)
{
    struct upload *u = arg;

    u->job = NULL;
    if (err)
        u->err = *err;
    finish_upload(u);
}

static void on_uploaded(void *arg, int result)
{
    struct upload *u = arg;

    u->uploading = false;
    if (result == -ECONNRESET && u->job) {
        image_job_cancel(u->job);
        u->job = NULL;
    }
    finish_upload(u);
}

static struct upload *upload_new(struct http_req *req, bool import)
{
    struct upload *u = xcalloc(1, sizeof(*u));

    u->req = req;
    u->progress = json_array();
    u->uploading = true;
    u->import = import;
    return u;
}

/* import NULL: load */
static void begin_upload(struct http_req *req, const struct image_import *import)
{
    struct upload *u = upload_new(req, import != NULL);
    struct image_job_callbacks cb = {.arg = u, .progress = on_progress, .done = on_job_done};
    struct err err;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        err_sys(&err, errno, "pipe");
    } else {
        fcntl(fds[1], F_SETPIPE_SZ, UPLOAD_PIPE_SIZE); /* more is faster, less works */
        u->job = import ? images_import(store(req), fds[0], import, &cb, &err)
                        : images_load(store(req), fds[0], http_query_bool(req, "quiet", true), &cb,
                                      &err);
        if (u->job) {
            http_body_to_fd(req, fds[1], on_uploaded, u);
            return;
        }
        fd_close(fds[1]);
    }
    json_decref(u->progress);
    free(u);
    http_reply_err(req, &err);
}

void images_route_load(struct http_req *req)
{
    begin_upload(req, NULL);
}

static void import_route(struct http_req *req)
{
    _cleanup_(strv_freep) char **changes = param_list(req, "changes");
    struct image_import o = {.repo = http_query(req, "repo"),
                             .tag = http_query(req, "tag"),
                             .message = http_query(req, "message"),
                             .changes = (const char *const *)changes,
                             .platform = http_query(req, "platform")};

    begin_upload(req, &o);
}

void images_route_create(struct http_req *req)
{
    const char *source = http_query(req, "fromSrc");

    if (!str_empty(source) && streq(source, "-"))
        import_route(req);
    else if (!str_empty(source))
        imports_start(req, source);
    else if (str_empty(http_query(req, "fromImage")))
        http_reply_error(req, 400, "image name cannot be blank");
    else
        pulls_start(req);
}
