#include "logconf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "str.h"

#define FILES_MAX 10000

int log_size_parse(const char *s, uint64_t *ret)
{
    static const char units[] = "bkmgt";
    double factor = 1, n;
    const char *unit;
    char *end;

    *ret = 0;
    if (streq(s, "-1"))
        return 0;
    n = strtod(s, &end);
    if (end == s || !(n > 0) || *s == '-' || *s == '+')
        return -EINVAL;
    unit = *end ? strchr(units, *end | 0x20) : units;
    if (!unit || !*unit)
        return -EINVAL;
    for (const char *u = units; u < unit; u++)
        factor *= 1024;
    if (*end && *++end && (*end | 0x20) != 'b')
        return -EINVAL;
    if (n * factor >= 9e18)
        return -EINVAL;
    *ret = (uint64_t)(n * factor);
    return *ret > 0 ? 0 : -EINVAL;
}

/* As Go reads a bool. */
static int parse_bool(const char *text, bool *ret)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"1", true},    {"t", true},      {"T", true},      {"true", true},
                 {"True", true}, {"TRUE", true},   {"0", false},     {"f", false},
                 {"F", false},   {"false", false}, {"False", false}, {"FALSE", false}};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (streq(words[i].text, text)) {
            *ret = words[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_files(const char *count, uint64_t *ret, struct err *reterr)
{
    int64_t files;

    if (str_parse_i64(count, INT64_MIN, FILES_MAX, &files) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "failed to initialize logging driver: invalid max-file: '%s'", count);
    if (files < 1)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "failed to initialize logging driver: max-file cannot be less than 1");
    *ret = (uint64_t)files;
    return 0;
}

static int bad_compress(bool local, const char *value, struct err *reterr)
{
    if (local)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "failed to initialize logging driver: error reading compress log option: "
                       "invalid value: '%s'",
                       value);
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "failed to initialize logging driver: strconv.ParseBool: parsing \"%s\": "
                   "invalid syntax",
                   value);
}

int log_limits_parse(const json_t *log, struct log_limits *ret, struct err *reterr)
{
    const json_t *options = json_get(log, "Config");
    const char *size = json_get_str(options, "max-size", NULL);
    const char *count = json_get_str(options, "max-file", NULL);
    const char *compress = json_get_str(options, "compress", NULL);
    bool local = streq(json_get_str(log, "Type", ""), "local");

    *ret = local ? (struct log_limits){LOG_LOCAL_SIZE_DEFAULT, LOG_LOCAL_FILES_DEFAULT, true}
                 : (struct log_limits){LOG_SIZE_DEFAULT, size ? 1 : LOG_FILES_DEFAULT, false};
    if (size && log_size_parse(size, &ret->size) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "failed to initialize logging driver: invalid size: '%s'", size);
    if (count && parse_files(count, &ret->files, reterr) < 0)
        return -EINVAL;
    if (compress && parse_bool(compress, &ret->compress) < 0)
        return bad_compress(local, compress, reterr);
    if (!ret->compress || (ret->files > 1 && ret->size > 0))
        return 0;
    if (local && ret->files > 1)
        return 0; /* never full */
    return err_set(reterr, ERR_INVALID, EINVAL,
                   local ? "failed to initialize logging driver: compression cannot be enabled "
                           "when max file count is 1"
                         : "failed to initialize logging driver: compress cannot be true when "
                           "max-file is less than 2 or max-size is not set");
}
