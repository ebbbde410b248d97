#include <errno.h>

#include "engine.h"
#include "json.h"
#include "reply_engine.h"
#include "routes.h"
#include "str.h"

void networks_list(struct http_req *req)
{
    _cleanup_json_ json_t *filters = NULL;
    json_t *result;
    struct err err;

    if (http_filters(req, NULL, &filters, &err) < 0 ||
        engine_network_list(http_context(req), filters, &result, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_json(req, 200, result);
}

void networks_inspect(struct http_req *req)
{
    const char *scope = http_query(req, "scope");
    json_t *result;
    struct err err;

    /* `verbose` tells more of Swarm's networks, of which there are none. */
    if (!str_empty(scope) && !streq(scope, "local")) {
        err_set(&err, ERR_NOT_FOUND, ENOENT, "network %s not found", http_param(req));
        http_reply_err(req, &err);
        return;
    }
    if (engine_network_inspect(http_context(req), http_param(req), &result, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_json(req, 200, result);
}

static void reply_created(void *arg, json_t *result, const struct err *err)
{
    if (err)
        http_reply_err(arg, err);
    else
        http_reply_json(arg, 201, result);
}

static void reply_connected(void *arg, const struct err *err)
{
    if (err)
        http_reply_err(arg, err);
    else
        http_reply_empty(arg, 200);
}

void networks_create(struct http_req *req)
{
    json_t *body = http_body(req);

    if (http_api_version(req) < 148)
        json_drop(body, "EnableIPv4");
    engine_network_create(http_context(req), body, reply_created, req);
}

void networks_remove(struct http_req *req)
{
    engine_network_remove(http_context(req), http_param(req), reply_204, req);
}

void networks_prune(struct http_req *req)
{
    _cleanup_json_ json_t *filters = NULL;
    struct err err;

    if (http_filters(req, NULL, &filters, &err) < 0)
        http_reply_err(req, &err);
    else
        engine_network_prune(http_context(req), filters, reply_200_json, req);
}

void networks_connect(struct http_req *req)
{
    engine_network_connect(http_context(req), http_param(req), http_body(req), reply_connected,
                           req);
}

void networks_disconnect(struct http_req *req)
{
    engine_network_disconnect(http_context(req), http_param(req), http_body(req), reply_connected,
                              req);
}
