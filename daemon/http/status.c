#include "status.h"

#include <microhttpd.h>

#include "mem.h"

unsigned http_status_of(const struct err *err)
{
    static const unsigned status[] = {
        [ERR_NONE] = 500,         [ERR_NOT_MODIFIED] = 304,    [ERR_INVALID] = 400,
        [ERR_UNAUTHORIZED] = 401, [ERR_FORBIDDEN] = 403,       [ERR_NOT_FOUND] = 404,
        [ERR_CONFLICT] = 409,     [ERR_NOT_IMPLEMENTED] = 501, [ERR_UNAVAILABLE] = 503,
        [ERR_SYSTEM] = 500,
    };

    if (err->kind < 0 || (size_t)err->kind >= ARRAY_SIZE(status))
        return 500;
    return status[err->kind];
}

const char *http_status_text(unsigned status)
{
    const char *s = MHD_get_reason_phrase_for(status);

    return s ? s : "";
}
