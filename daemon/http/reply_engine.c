#include "reply_engine.h"

#include "json.h"
#include "str.h"

void reply_204(void *arg, const struct err *err)
{
    if (err)
        http_reply_err(arg, err);
    else
        http_reply_empty(arg, 204);
}

void reply_200_json(void *arg, json_t *v, const struct err *err)
{
    if (err)
        http_reply_err(arg, err);
    else
        http_reply_json(arg, 200, v);
}

json_t *reply_error_line(const struct err *err, int code)
{
    _cleanup_free_ char *message = str_to_utf8(err->message); /* may be cut within a character */
    json_t *detail = json_pack("{s:s}", "message", message);

    if (code)
        json_object_set_new(detail, "code", json_integer(code));
    return json_pack("{s:o,s:s}", "errorDetail", detail, "error", message);
}
