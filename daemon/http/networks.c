/* Networks: the predefined ones. */
#include "engine.h"
#include "json.h"
#include "routes.h"

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
    json_t *result;
    struct err err;

    if (engine_network_inspect(http_context(req), http_param(req), &result, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_json(req, 200, result);
}

void networks_remove(struct http_req *req)
{
    _cleanup_json_ json_t *network = NULL;
    struct err err;

    if (engine_network_inspect(http_context(req), http_param(req), &network, &err) < 0)
        http_reply_err(req, &err);
    else
        http_reply_error(req, 403, "%s is a pre-defined network and cannot be removed",
                         json_get_str(network, "Name", http_param(req)));
}

void networks_prune(struct http_req *req)
{
    http_reply_json(req, 200, json_pack("{s:n}", "NetworksDeleted"));
}
