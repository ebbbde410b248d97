/* POST /build: the classic builder's stream.  What fails before the first line is the status. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "api.h"
#include "base64.h"
#include "build.h"
#include "engine.h"
#include "fd.h"
#include "image.h"
#include "json.h"
#include "params.h"
#include "reply_engine.h"
#include "routes.h"
#include "str.h"

struct build_answer {
    struct http_req *req;       /* NULL once answered */
    struct http_stream *stream; /* NULL before the first line */
    struct build *build;        /* NULL once it has ended */
    bool uploading;
};

static void answer_free(struct build_answer *a)
{
    free(a);
}

static void on_closed(void *arg)
{
    struct build_answer *a = arg;

    a->stream = NULL;
    if (a->build)
        engine_build_cancel(TAKE_PTR(a->build));
    if (!a->uploading)
        answer_free(a);
}

static void on_drained(void *arg)
{
    struct build_answer *a = arg;

    if (a->build)
        engine_build_resume(a->build);
}

static const struct http_stream_ops stream_ops = {.on_close = on_closed, .on_drain = on_drained};

/* The client went away before there was a line for it. */
static void on_abort(void *arg)
{
    struct build_answer *a = arg;

    if (a->build)
        engine_build_cancel(TAKE_PTR(a->build));
    http_reply_error(a->req, 499, "the client went away");
    a->req = NULL;
    if (!a->uploading)
        answer_free(a);
}

static void open_stream(struct build_answer *a)
{
    struct http_req *req = TAKE_PTR(a->req);

    http_on_abort(req, NULL, NULL);
    a->stream = http_stream_open(req, 200, API_TYPE_JSON, &stream_ops, a);
}

static bool on_output(void *arg, json_t *obj)
{
    struct build_answer *a = arg;

    if (!a->stream)
        open_stream(a);
    return http_stream_write_json(a->stream, obj) <= HTTP_STREAM_HIGH_WATER;
}

static void on_done(void *arg, const struct err *err, int code)
{
    struct build_answer *a = arg;

    a->build = NULL;
    if (!a->stream && err) {
        http_on_abort(a->req, NULL, NULL);
        http_reply_err(TAKE_PTR(a->req), err);
        if (!a->uploading)
            answer_free(a);
        return;
    }
    if (!a->stream)
        open_stream(a);
    if (err)
        http_stream_write_json(a->stream, reply_error_line(err, code));
    http_stream_end(a->stream);
}

static void on_uploaded(void *arg, int result)
{
    struct build_answer *a = arg;

    a->uploading = false;
    if (result == -ECONNRESET && a->build)
        engine_build_cancel(TAKE_PTR(a->build));
    if (!a->req && !a->stream) {
        answer_free(a);
    } else if (result == -ECONNRESET && a->req) {
        http_on_abort(a->req, NULL, NULL);
        http_reply_error(a->req, 499, "the client went away");
        answer_free(a);
    }
}

/* ---- the request ---- */

/* A parameter that is JSON of one kind; NULL if it is absent. */
static int query_json(const struct http_req *req, const char *name, json_type type, json_t **ret,
                      struct err *reterr)
{
    const char *text = http_query(req, name);

    *ret = NULL;
    if (str_empty(text) || streq(text, "null"))
        return 0;
    *ret = json_loads(text, 0, NULL);
    if (*ret && json_typeof(*ret) == type)
        return 0;
    json_decref(*ret);
    *ret = NULL;
    return err_set(reterr, ERR_INVALID, EINVAL, "error reading build options: invalid %s", name);
}

static const struct {
    const char *name, *key;
} numbers[] = {{"memory", "Memory"},       {"memswap", "MemorySwap"}, {"cpushares", "CpuShares"},
               {"cpuperiod", "CpuPeriod"}, {"cpuquota", "CpuQuota"},  {"shmsize", "ShmSize"}},
  texts[] = {{"cpusetcpus", "CpusetCpus"},
             {"cpusetmems", "CpusetMems"},
             {"cgroupparent", "CgroupParent"},
             {"networkmode", "NetworkMode"}};

/* Lists come as repeated parameters. */
static void take_list(const struct http_req *req, const char *name, const char *key, json_t *host)
{
    _cleanup_(strv_freep) char **list = param_list(req, name);

    if (list)
        json_object_set_new(host, key, json_from_strv(list));
}

static int host_config(struct http_req *req, json_t **ret, struct err *reterr)
{
    _cleanup_json_ json_t *host = json_object();
    json_t *ulimits;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(numbers); i++) {
        int64_t v;

        r = http_query_int(req, numbers[i].name, INT64_MIN, INT64_MAX, 0, &v, reterr);
        if (r >= 0 && v)
            json_object_set_new(host, numbers[i].key, json_integer(v));
    }
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (!str_empty(http_query(req, texts[i].name)))
            json_object_set_new(host, texts[i].key, json_string(http_query(req, texts[i].name)));
    }
    take_list(req, "extrahosts", "ExtraHosts", host);
    if (r >= 0 && !str_empty(http_query(req, "securityopt")))
        r = err_set(reterr, ERR_INVALID, EINVAL,
                    "The daemon on this platform does not support setting security options on "
                    "build");
    if (r >= 0)
        r = query_json(req, "ulimits", JSON_ARRAY, &ulimits, reterr);
    if (r < 0)
        return r;
    if (ulimits)
        json_object_set_new(host, "Ulimits", ulimits);
    *ret = TAKE_PTR(host);
    return 0;
}

/* X-Registry-Config: base64 of {"server": credentials}. */
static json_t *credentials(const struct http_req *req)
{
    const char *header = http_header(req, "X-Registry-Config");
    _cleanup_free_ char *text = header ? base64_decode(header, NULL) : NULL;
    json_t *v = text ? json_loads(text, 0, NULL) : NULL;

    if (json_is_object(v))
        return v;
    json_decref(v);
    return NULL;
}

/* NULL: the context comes with the request. */
static const char *remote_of(const struct http_req *req)
{
    const char *remote = http_query(req, "remote");

    return str_empty(remote) || streq(remote, "client-session") ? NULL : remote;
}

/* Whatever is no plain URL of a file is a repository to dockerd. */
static bool remote_is_git(const char *remote)
{
    return remote && (!(str_starts(remote, "http://") || str_starts(remote, "https://")) ||
                      str_ends(remote, ".git") || strstr(remote, ".git#"));
}

static int check(struct http_req *req, struct err *reterr)
{
    const char *version = http_query(req, "version");

    if (!str_empty(version) && streq(version, "2"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "BuildKit is not supported by this daemon: build with DOCKER_BUILDKIT=0");
    if (!str_empty(version) && !streq(version, "1"))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid version %s", version);
    if (remote_is_git(remote_of(req)))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "contexts from git are not supported: send the context with the request");
    if (http_query_bool(req, "squash", false))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "squash is only supported with experimental mode");
    return 0;
}

static int begin(struct build_answer *a, const struct build_options *o, struct err *reterr)
{
    struct build_callbacks cb = {.arg = a, .output = on_output, .done = on_done};
    int fds[2], r;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_sys(reterr, errno, "pipe");
    fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
    r = engine_build_open(http_context(a->req), fds[0], o, &cb, &a->build, reterr);
    fd_close(fds[0]);
    if (r < 0) {
        fd_close(fds[1]);
        return r;
    }
    a->uploading = true;
    http_on_abort(a->req, on_abort, a);
    http_body_to_fd(a->req, fds[1], on_uploaded, a);
    return 0;
}

void build_start(struct http_req *req)
{
    _cleanup_(strv_freep) char **tags = param_list(req, "t");
    _cleanup_json_ json_t *args = NULL, *labels = NULL, *host = NULL, *auths = credentials(req);
    _cleanup_json_ json_t *cache_from = NULL;
    struct build_options o = {.dockerfile = http_query(req, "dockerfile"),
                              .target = http_query(req, "target"),
                              .platform = http_query(req, "platform"),
                              .remote = remote_of(req),
                              .tags = (const char *const *)tags,
                              .auths = auths,
                              .nocache = http_query_bool(req, "nocache", false),
                              .pull = http_query_bool(req, "pull", false),
                              .rm = http_query_bool(req, "rm", true),
                              .forcerm = http_query_bool(req, "forcerm", false),
                              .quiet = http_query_bool(req, "q", false)};
    struct build_answer *a = xcalloc(1, sizeof(*a));
    struct err err;
    int r = check(req, &err);

    a->req = req;
    if (r >= 0)
        r = query_json(req, "buildargs", JSON_OBJECT, &args, &err);
    if (r >= 0)
        r = query_json(req, "labels", JSON_OBJECT, &labels, &err);
    if (r >= 0)
        r = query_json(req, "cachefrom", JSON_ARRAY, &cache_from, &err);
    if (r >= 0)
        r = host_config(req, &host, &err);
    o.args = args;
    o.labels = labels;
    o.cache_from = cache_from;
    o.host_config = host;
    if (r >= 0)
        r = begin(a, &o, &err);
    if (r < 0) {
        http_reply_err(req, &err);
        answer_free(a);
    }
}

/* reserved-space had another name before API 1.48. */
static int keep_options(struct http_req *req, struct build_keep *keep, struct err *reterr)
{
    const struct {
        const char *name;
        int64_t *value;
    } sizes[] = {{"keep-storage", &keep->reserved},
                 {"reserved-space", &keep->reserved},
                 {"max-used-space", &keep->max_used},
                 {"min-free-space", &keep->min_free}};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        int r = http_query_int(req, sizes[i].name, 0, INT64_MAX, *sizes[i].value, sizes[i].value,
                               reterr);

        if (r < 0)
            return r;
    }
    return 0;
}

void build_prune(struct http_req *req)
{
    _cleanup_json_ json_t *filters = NULL;
    struct build_keep keep = {0};
    json_t *result = NULL;
    struct err err;

    if (http_filters(req, NULL, &filters, &err) < 0 || keep_options(req, &keep, &err) < 0 ||
        images_build_prune(engine_images(http_context(req)), filters, &keep, &result, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_json(req, 200, result);
}
