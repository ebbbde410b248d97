#include "engine.h"
#include "json.h"
#include "reply_engine.h"
#include "routes.h"

void volumes_list(struct http_req *req)
{
    _cleanup_json_ json_t *filters = NULL;
    json_t *result;
    struct err err;

    if (http_filters(req, NULL, &filters, &err) < 0 ||
        engine_volume_list(http_context(req), filters, &result, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_json(req, 200, result);
}

void volumes_create(struct http_req *req)
{
    json_t *result;
    struct err err;

    if (engine_volume_create(http_context(req), http_body(req), &result, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_json(req, 201, result);
}

void volumes_inspect(struct http_req *req)
{
    json_t *result;
    struct err err;

    if (engine_volume_inspect(http_context(req), http_param(req), &result, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_json(req, 200, result);
}

void volumes_remove(struct http_req *req)
{
    struct err err;

    if (engine_volume_remove(http_context(req), http_param(req),
                             http_query_bool(req, "force", false), &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_empty(req, 204);
}

/* Before 1.42 named ones went, too. */
void volumes_prune(struct http_req *req)
{
    _cleanup_json_ json_t *filters = NULL;
    struct err err;

    if (http_filters(req, NULL, &filters, &err) < 0)
        http_reply_err(req, &err);
    else
        engine_volume_prune(http_context(req), filters, http_api_version(req) < 142, reply_200_json,
                            req);
}
