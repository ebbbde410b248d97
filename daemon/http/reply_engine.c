#include "reply_engine.h"

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
