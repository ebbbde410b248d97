/* What is passed on to a registry. */
#include "auth.h"
#include "engine.h"
#include "image.h"
#include "json.h"
#include "routes.h"
#include "str.h"

struct question {
    struct http_req *req;
    struct registry_query *query;
};

static void on_done(void *arg, json_t *result, const struct err *err)
{
    struct question *q = arg;

    http_on_abort(q->req, NULL, NULL);
    if (err)
        http_reply_err(q->req, err);
    else
        http_reply_json(q->req, 200, result);
    free(q);
}

static void on_abort(void *arg)
{
    struct question *q = arg;

    registry_query_cancel(q->query);
    http_reply_error(q->req, 499, "the client went away");
    free(q);
}

static struct registry_query_callbacks question_new(struct http_req *req)
{
    struct question *q = xcalloc(1, sizeof(*q));

    q->req = req;
    return (struct registry_query_callbacks){.arg = q, .done = on_done};
}

static void asked(struct registry_query_callbacks *cb, struct registry_query *query,
                  const struct err *err)
{
    struct question *q = cb->arg;

    q->query = query;
    if (query) {
        http_on_abort(q->req, on_abort, q);
        return;
    }
    http_reply_err(q->req, err);
    free(q);
}

void registries_login(struct http_req *req)
{
    _cleanup_registry_auth_ struct registry_auth auth = {0};
    struct registry_query_callbacks cb = question_new(req);
    struct err err;

    registry_auth_from_json(http_body(req), &auth);
    asked(&cb, images_login(engine_images(http_context(req)), &auth, &cb, &err), &err);
}

void registries_distribution(struct http_req *req)
{
    _cleanup_registry_auth_ struct registry_auth auth = {0};
    struct registry_query_callbacks cb = question_new(req);
    struct err err;

    registry_auth_decode(http_header(req, "X-Registry-Auth"), &auth, &err);
    asked(&cb,
          images_distribution(engine_images(http_context(req)), http_param(req),
                              http_query_bool(req, "manifest", false), &auth, &cb, &err),
          &err);
}

/* Not Docker's: its client asks registries itself, past the daemon's mirrors and certificates. */
void registries_put_manifest(struct http_req *req)
{
    _cleanup_registry_auth_ struct registry_auth auth = {0};
    struct registry_query_callbacks cb = question_new(req);
    const json_t *body = http_body(req);
    struct image_manifest_put put = {.name = http_param(req),
                                     .manifest = json_get_str(body, "Manifest", ""),
                                     .from = json_get_str(body, "From", NULL),
                                     .auth = &auth};
    struct err err;

    registry_auth_decode(http_header(req, "X-Registry-Auth"), &auth, &err);
    asked(&cb, images_put_manifest(engine_images(http_context(req)), &put, &cb, &err), &err);
}

static int search_options(struct http_req *req, struct image_search *o, json_t **filters,
                          struct err *reterr)
{
    const char *limit = http_query(req, "limit");
    int64_t n;

    static const char *const allowed[] = {"is-automated", "is-official", "stars", NULL};
    int r = http_query_int(req, "limit", 0, IMAGE_SEARCH_LIMIT_MAX, IMAGE_SEARCH_LIMIT, &o->limit,
                           reterr);

    if (r < 0 && str_parse_i64(limit, INT64_MIN, INT64_MAX, &n) >= 0)
        err_set(reterr, ERR_INVALID, ERANGE, "limit %s is outside the range of [1, %d]", limit,
                IMAGE_SEARCH_LIMIT_MAX);
    if (r >= 0 && o->limit == 0)
        o->limit = IMAGE_SEARCH_LIMIT;
    o->term = http_query(req, "term") ? http_query(req, "term") : "";
    return r < 0 ? r : http_filters(req, allowed, filters, reterr);
}

void registries_search(struct http_req *req)
{
    _cleanup_registry_auth_ struct registry_auth auth = {0};
    _cleanup_json_ json_t *filters = NULL;
    struct image_search o = {.auth = &auth};
    struct registry_query_callbacks cb;
    struct err err;

    if (search_options(req, &o, &filters, &err) < 0) {
        http_reply_err(req, &err);
        return;
    }
    registry_auth_decode(http_header(req, "X-Registry-Auth"), &auth, &err);
    o.filters = filters;
    cb = question_new(req);
    asked(&cb, images_search(engine_images(http_context(req)), &o, &cb, &err), &err);
}
