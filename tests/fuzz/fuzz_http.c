/* What of a request line reaches our own parsers: path, query, filters, times. */
#include "filters.h"
#include "fuzz.h"
#include "json.h"
#include "params.h"
#include "query.h"
#include "router.h"

static void handler(struct http_req *req)
{
    (void)req;
}

static const struct http_route routes[] = {
    {"GET", "/containers/json", handler, 0},
    {"GET", "/containers/{name}/json", handler, 0},
    {"GET", "/images/{name}/json", handler, 0},
    {"*", "/{name}", handler, 0},
    {NULL, NULL, NULL, 0},
};

static void take_path(const char *text)
{
    _cleanup_free_ char *path = percent_decode(text, strcspn(text, "?#"), false), *param = NULL;
    const struct http_route *route;
    const char *rest;
    struct err e;
    int version;

    if (!path)
        return;
    router_split_version(path, &rest, &version);
    promise(rest >= path && rest <= path + strlen(path));
    router_check_version(path, version, &e);
    route = router_find(routes, "GET", rest, &param);
    promise(!route || !param || strstr(rest, param));
}

static void take_query(const char *text)
{
    struct query q = {0};

    if (query_parse(text, &q) < 0)
        return;
    promise(q.n <= QUERY_MAX_ITEMS);
    for (size_t i = 0; i < q.n; i++) {
        int64_t t;

        promise(q.items[i].name && q.items[i].value);
        query_is_true(q.items[i].value);
        param_parse_time(q.items[i].value, &t);
    }
    query_done(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const allowed[] = {"label", "name", "status", NULL};
    _cleanup_free_ char *text = fuzz_text(data, size);
    _cleanup_json_ json_t *filters = NULL, *any = NULL;
    const char *question = strchr(text, '?');
    struct err e;

    take_path(text);
    take_query(question ? question + 1 : text);
    if (filters_parse(text, allowed, &filters, &e) >= 0)
        promise(json_is_object(filters));
    if (filters_parse(text, NULL, &any, &e) >= 0)
        promise(json_is_object(any));
    return 0;
}
