#include "params.h"

#include <ctype.h>
#include <errno.h>

#include "mem.h"
#include "str.h"

int param_size(struct http_req *req, uint16_t *ret_rows, uint16_t *ret_columns, struct err *reterr)
{
    static const char *const names[] = {"h", "w"};
    int64_t v[2];

    for (size_t i = 0; i < 2; i++) {
        const char *text = http_query(req, names[i]);

        if (str_empty(text) || str_parse_i64(text, 0, UINT32_MAX, &v[i]) < 0)
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid resize %s \"%s\": not a number",
                           i ? "width" : "height", text ? text : "");
        if (v[i] > UINT16_MAX)
            v[i] = UINT16_MAX;
    }
    *ret_rows = (uint16_t)v[0];
    *ret_columns = (uint16_t)v[1];
    return 0;
}

int param_parse_time(const char *text, int64_t *ret)
{
    const char *dot = strchr(text, '.');
    _cleanup_free_ char *whole = xstrndup(text, dot ? (size_t)(dot - text) : strlen(text));
    int64_t seconds, nano = 0, unit = 100000000;

    if (time_parse(text, ret) >= 0) {
        /* 0 says that none is given; nothing here is older than that. */
        if (*ret < 1)
            *ret = 1;
        return 0;
    }
    if (str_parse_i64(whole, 0, INT64_MAX / 1000000000 - 1, &seconds) < 0)
        return -EINVAL;
    for (const char *p = dot ? dot + 1 : ""; *p; p++, unit /= 10) {
        if (!isdigit((unsigned char)*p))
            return -EINVAL;
        nano += (*p - '0') * unit;
    }
    *ret = seconds * 1000000000 + nano;
    return 0;
}

int param_time(const struct http_req *req, const char *name, int64_t *ret, struct err *reterr)
{
    const char *text = http_query(req, name);

    *ret = 0;
    if (str_empty(text) || param_parse_time(text, ret) >= 0)
        return 0;
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid value for \"%s\": \"%.64s\"", name, text);
}

char **param_list(const struct http_req *req, const char *name)
{
    const char *value;
    char **out = NULL;

    for (size_t i = 0; (value = http_query_nth(req, name, i)); i++)
        out = strv_append(out, value);
    return out;
}
