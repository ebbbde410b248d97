#include <errno.h>

#include "engine.h"
#include "image.h"
#include "json.h"
#include "params.h"
#include "reply_engine.h"
#include "routes.h"
#include "str.h"

void containers_create(struct http_req *req)
{
    struct engine *e = http_context(req);
    json_t *body = http_body(req), *result;
    const char *image = json_get_str(body, "Image", "");
    struct err err;

    /* An image that is not there at all is the create's to tell. */
    if (*image &&
        images_check_platform(engine_images(e), image, http_query(req, "platform"), &err) < 0)
        http_reply_err(req, &err);
    else if (engine_container_create(e, http_query(req, "name"), body, http_api_version(req),
                                     &result, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_json(req, 201, result);
}

void containers_list(struct http_req *req)
{
    struct list_options o = {.all = http_query_bool(req, "all", false),
                             .size = http_query_bool(req, "size", false)};
    _cleanup_json_ json_t *filters = NULL;
    struct err err;

    if (http_query_int(req, "limit", INT32_MIN, INT32_MAX, 0, &o.limit, &err) < 0 ||
        http_filters(req, NULL, &filters, &err) < 0) {
        http_reply_err(req, &err);
        return;
    }
    o.filters = filters;
    engine_container_list(http_context(req), &o, reply_200_json, req);
}

void containers_inspect(struct http_req *req)
{
    engine_container_inspect(http_context(req), http_param(req),
                             http_query_bool(req, "size", false), http_api_version(req),
                             reply_200_json, req);
}

static void reply_201(void *arg, const struct err *err)
{
    if (err)
        http_reply_err(arg, err);
    else
        http_reply_empty(arg, 201);
}

void checkpoints_create(struct http_req *req)
{
    engine_checkpoint_create(http_context(req), http_param(req), http_body(req), reply_201, req);
}

void checkpoints_list(struct http_req *req)
{
    engine_checkpoint_list(http_context(req), http_param(req), http_query(req, "dir"),
                           reply_200_json, req);
}

void checkpoints_remove(struct http_req *req)
{
    const char *name = strrchr(http_path(req), '/') + 1;

    engine_checkpoint_remove(http_context(req), http_param(req), name, http_query(req, "dir"),
                             reply_204, req);
}

/* "{}" and the like: what clients send that always send something. */
#define START_BODY_MAX 7

/* Once a start could change the container's settings; who still asks for that must know. */
static int check_start_body(struct http_req *req, struct err *reterr)
{
    const char *length = http_header(req, "Content-Length");
    int64_t n = 0;

    if (length && str_parse_i64(length, 0, INT64_MAX, &n) < 0)
        n = INT64_MAX;
    if (n <= START_BODY_MAX && !http_header(req, "Transfer-Encoding"))
        return 0;
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "starting container with non-empty request body was deprecated since API v1.22 "
                   "and removed in v1.24");
}

void containers_start(struct http_req *req)
{
    const char *checkpoint = http_query(req, "checkpoint");
    struct err err;

    if (check_start_body(req, &err) < 0)
        http_reply_err(req, &err);
    else if (str_empty(checkpoint))
        engine_container_start(http_context(req), http_param(req), reply_204, req);
    else
        engine_checkpoint_start(http_context(req), http_param(req), checkpoint,
                                http_query(req, "checkpoint-dir"), reply_204, req);
}

/* t: seconds, negative to wait for ever, absent for the container's own */
static int parse_timeout(struct http_req *req, int64_t *ret, struct err *reterr)
{
    if (!str_empty(http_query(req, "t")))
        return http_query_int(req, "t", INT64_MIN + 1, INT64_MAX, 0, ret, reterr);
    *ret = ENGINE_TIMEOUT_DEFAULT;
    return 0;
}

/* Before 1.42 `signal` meant nothing to stop and restart. */
static const char *stop_signal(struct http_req *req)
{
    return http_api_version(req) >= 142 ? http_query(req, "signal") : NULL;
}

void containers_stop(struct http_req *req)
{
    int64_t timeout;
    struct err err;

    if (parse_timeout(req, &timeout, &err) < 0)
        http_reply_err(req, &err);
    else
        engine_container_stop(http_context(req), http_param(req), timeout, stop_signal(req),
                              reply_204, req);
}

void containers_restart(struct http_req *req)
{
    int64_t timeout;
    struct err err;

    if (parse_timeout(req, &timeout, &err) < 0)
        http_reply_err(req, &err);
    else
        engine_container_restart(http_context(req), http_param(req), timeout, stop_signal(req),
                                 reply_204, req);
}

void containers_kill(struct http_req *req)
{
    engine_container_kill(http_context(req), http_param(req), http_query(req, "signal"), reply_204,
                          req);
}

void containers_pause(struct http_req *req)
{
    engine_container_pause(http_context(req), http_param(req), reply_204, req);
}

void containers_unpause(struct http_req *req)
{
    engine_container_unpause(http_context(req), http_param(req), reply_204, req);
}

void containers_rename(struct http_req *req)
{
    struct err err;

    if (engine_container_rename(http_context(req), http_param(req), http_query(req, "name"), &err) <
        0)
        http_reply_err(req, &err);
    else
        http_reply_empty(req, 204);
}

void containers_update(struct http_req *req)
{
    engine_container_update(http_context(req), http_param(req), http_body(req), reply_200_json,
                            req);
}

void containers_resize(struct http_req *req)
{
    uint16_t rows, columns;
    struct err err;

    if (param_size(req, &rows, &columns, &err) < 0 ||
        engine_container_resize(http_context(req), http_param(req), rows, columns, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_empty(req, 200);
}

void containers_top(struct http_req *req)
{
    engine_container_top(http_context(req), http_param(req), http_query(req, "ps_args"),
                         reply_200_json, req);
}

void containers_remove(struct http_req *req)
{
    struct err err;

    if (http_query_bool(req, "link", false)) {
        if (engine_link_remove(http_context(req), http_param(req), &err) < 0)
            http_reply_err(req, &err);
        else
            http_reply_empty(req, 204);
        return;
    }
    engine_container_remove(http_context(req), http_param(req),
                            http_query_bool(req, "force", false), http_query_bool(req, "v", false),
                            reply_204, req);
}

void containers_prune(struct http_req *req)
{
    _cleanup_json_ json_t *filters = NULL;
    struct err err;

    if (http_filters(req, NULL, &filters, &err) < 0)
        http_reply_err(req, &err);
    else
        engine_container_prune(http_context(req), filters, reply_200_json, req);
}

static void reply_201_json(void *arg, json_t *v, const struct err *err)
{
    if (err)
        http_reply_err(arg, err);
    else
        http_reply_json(arg, 201, v);
}

/* The client went away. */
static void cancel_commit(void *arg)
{
    engine_commit_cancel(arg);
}

void containers_commit(struct http_req *req)
{
    struct commit *commit;
    _cleanup_(strv_freep) char **changes = param_list(req, "changes");
    const char *ref = http_query(req, "container");
    struct commit_options o = {.repo = http_query(req, "repo"),
                               .tag = http_query(req, "tag"),
                               .author = http_query(req, "author"),
                               .comment = http_query(req, "comment"),
                               .changes = (const char *const *)changes,
                               .pause = str_empty(http_query(req, "pause")) ||
                                        http_query_bool(req, "pause", true)};

    if (str_empty(ref)) {
        http_reply_error(req, 400, "commit which container?");
        return;
    }
    commit =
        engine_container_commit(http_context(req), ref, &o, http_body(req), reply_201_json, req);
    if (commit)
        http_on_abort(req, cancel_commit, commit);
}
