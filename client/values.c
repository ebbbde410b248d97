#include "values.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bytesize.h"
#include "mem.h"
#include "str.h"

static int number_error(struct err *reterr, const char *func, const char *s, bool range)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "strconv.%s: parsing \"%s\": %s", func, s,
                   range ? "value out of range" : "invalid syntax");
}

int parse_bool(const char *s, bool *ret, struct err *reterr)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (streq(s, yes[i]) || streq(s, no[i])) {
            *ret = streq(s, yes[i]);
            return 0;
        }
    }
    return number_error(reterr, "ParseBool", s, false);
}

int parse_int(const char *s, int64_t *ret, struct err *reterr)
{
    const char *digits = *s == '-' || *s == '+' ? s + 1 : s;
    char *end;
    long long v;

    if (!isdigit((unsigned char)*digits))
        return number_error(reterr, "ParseInt", s, false);
    errno = 0;
    v = strtoll(s, &end, 0);
    if (*end || errno == ERANGE)
        return number_error(reterr, "ParseInt", s, !*end);
    *ret = v;
    return 0;
}

static const struct {
    const char *name;
    double ns;
} time_units[] = {
    {"ns", 1},   {"us", 1e3},       {"\xc2\xb5s", 1e3}, {"\xce\xbcs", 1e3},
    {"ms", 1e6}, {"s", 1000000000}, {"m", 60e9},        {"h", 3600e9},
};

/* One "1.5h" of a duration; advances *s. */
static int duration_part(const char **s, double *total, const char *whole, struct err *reterr)
{
    size_t digits = strspn(*s, "0123456789."), n;
    _cleanup_free_ char *number = xstrndup(*s, digits);
    char *end;
    double v = strtod(number, &end);
    const char *unit = *s + digits;

    if (!digits || *end || streq(number, "."))
        return err_set(reterr, ERR_INVALID, EINVAL, "time: invalid duration \"%s\"", whole);
    n = strcspn(unit, "0123456789.");
    if (n == 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "time: missing unit in duration \"%s\"", whole);
    for (size_t i = 0; i < ARRAY_SIZE(time_units); i++) {
        if (strlen(time_units[i].name) == n && memcmp(unit, time_units[i].name, n) == 0) {
            *total += v * time_units[i].ns;
            *s = unit + n;
            return 0;
        }
    }
    return err_set(reterr, ERR_INVALID, EINVAL, "time: unknown unit \"%.*s\" in duration \"%s\"",
                   (int)n, unit, whole);
}

int parse_duration(const char *s, int64_t *ret, struct err *reterr)
{
    const char *p = s + (*s == '-' || *s == '+');
    double total = 0;

    if (streq(p, "0")) {
        *ret = 0;
        return 0;
    }
    if (!*p)
        return err_set(reterr, ERR_INVALID, EINVAL, "time: invalid duration \"%s\"", s);
    while (*p) {
        int r = duration_part(&p, &total, s, reterr);

        if (r < 0)
            return r;
    }
    if (total >= 9.2e18)
        return err_set(reterr, ERR_INVALID, EINVAL, "time: invalid duration \"%s\"", s);
    *ret = (int64_t)(*s == '-' ? -total : total);
    return 0;
}

/* "1136073600.000000001": digits, then at most nine more. */
static bool is_unix_time(const char *s)
{
    size_t whole = strspn(s, "0123456789"), nano;

    if (whole == 0 || whole > 18)
        return false;
    if (!s[whole])
        return true;
    nano = strspn(s + whole + 1, "0123456789");
    return s[whole] == '.' && nano > 0 && nano <= 9 && !s[whole + 1 + nano];
}

/* A date with as much of the clock as is given, in local time; *ret_rest is what follows. */
static bool read_clock(const char *s, struct tm *ret, char **ret_rest)
{
    static const char *const layouts[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H",
                                          "%Y-%m-%d"};

    for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
        memset(ret, 0, sizeof(*ret));
        *ret_rest = strptime(s, layouts[i], ret);
        if (*ret_rest && **ret_rest != ':' && **ret_rest != 'T')
            return true;
    }
    return false;
}

static bool read_zone(const char *s, long *ret_offset)
{
    int h, m, n = 0;

    if (streq(s, "Z")) {
        *ret_offset = 0;
        return true;
    }
    if ((*s != '+' && *s != '-') || sscanf(s + 1, "%2d:%2d%n", &h, &m, &n) != 2 || s[1 + n])
        return false;
    *ret_offset = (*s == '-' ? -60L : 60L) * (h * 60 + m);
    return true;
}

static char *parse_date(const char *s)
{
    struct tm tm;
    char *rest;
    char nano[10] = "000000000";
    long offset;
    time_t t;

    if (!read_clock(s, &tm, &rest))
        return NULL;
    if (*rest == '.') {
        size_t n = strspn(rest + 1, "0123456789");

        if (n == 0 || n > 9)
            return NULL;
        memcpy(nano, rest + 1, n);
        rest += 1 + n;
    }
    tm.tm_isdst = -1;
    if (*rest == '\0')
        t = mktime(&tm);
    else if (read_zone(rest, &offset))
        t = timegm(&tm) - offset;
    else
        return NULL;
    return xasprintf("%lld.%s", (long long)t, nano);
}

char *parse_timestamp(const char *s, int64_t now_ns, struct err *reterr)
{
    struct err ignored;
    int64_t ago;
    char *date;

    if (is_unix_time(s))
        return xstrdup(s);
    if (parse_duration(s, &ago, &ignored) == 0)
        return xasprintf("%lld", (long long)((now_ns - ago) / 1000000000));
    date = parse_date(s);
    if (!date)
        err_set(reterr, ERR_INVALID, EINVAL, "failed to parse value as time or duration: \"%s\"",
                s);
    return date;
}

int value_bool(const char *value, json_t **ret_json, struct err *reterr)
{
    bool b = false;
    int r = parse_bool(value, &b, reterr);

    if (r == 0)
        *ret_json = json_boolean(b);
    return r;
}

int value_string(const char *value, json_t **ret_json, struct err *reterr)
{
    *ret_json = json_string(value);
    return *ret_json ? 0 : err_set(reterr, ERR_INVALID, EINVAL, "invalid UTF-8");
}

int value_int(const char *value, json_t **ret_json, struct err *reterr)
{
    int64_t v = 0;
    int r = parse_int(value, &v, reterr);

    if (r == 0)
        *ret_json = json_integer(v);
    return r;
}

static int value_unsigned(const char *value, uint64_t max, json_t **ret_json, struct err *reterr)
{
    uint64_t v = 0;
    int r = str_parse_u64(value, max, &v);

    if (r < 0)
        return number_error(reterr, "ParseUint", value, r == -ERANGE);
    *ret_json = json_integer((json_int_t)v);
    return 0;
}

int value_uint16(const char *value, json_t **ret_json, struct err *reterr)
{
    return value_unsigned(value, UINT16_MAX, ret_json, reterr);
}

int value_uint32(const char *value, json_t **ret_json, struct err *reterr)
{
    return value_unsigned(value, UINT32_MAX, ret_json, reterr);
}

int value_bytes(const char *value, json_t **ret_json, struct err *reterr)
{
    int64_t v = 0;
    int r = bytesize_parse(value, &v, reterr);

    if (r == 0)
        *ret_json = json_integer(v);
    return r;
}

int value_bytes_swap(const char *value, json_t **ret_json, struct err *reterr)
{
    if (!streq(value, "-1"))
        return value_bytes(value, ret_json, reterr);
    *ret_json = json_integer(-1);
    return 0;
}

int value_cpus(const char *value, json_t **ret_json, struct err *reterr)
{
    size_t whole = strspn(value, "0123456789");
    size_t fraction = value[whole] == '.' ? strspn(value + whole + 1, "0123456789") : 0;
    const char *end = value + whole + (value[whole] == '.') + fraction;
    int64_t nano = 0, unit = 100000000;

    if (whole + fraction == 0 || whole > 9 || *end)
        return err_set(reterr, ERR_INVALID, EINVAL, "failed to parse %s as a rational number",
                       value);
    for (size_t i = 0; i < whole; i++)
        nano = nano * 10 + (value[i] - '0');
    nano *= 1000000000;
    for (size_t i = 0; i < fraction; i++, unit /= 10) {
        int digit = value[whole + 1 + i] - '0';

        if (unit == 0 && digit)
            return err_set(reterr, ERR_INVALID, EINVAL, "value is too precise");
        nano += digit * unit;
    }
    *ret_json = json_integer(nano);
    return 0;
}

int value_duration(const char *value, json_t **ret_json, struct err *reterr)
{
    int64_t v = 0;
    int r = parse_duration(value, &v, reterr);

    if (r == 0)
        *ret_json = json_integer(v);
    return r;
}

int value_key_value(const char *value, json_t **ret_json, struct err *reterr)
{
    const char *eq = strchr(value, '=');
    _cleanup_free_ char *key = eq ? xstrndup(value, (size_t)(eq - value)) : xstrdup(value);

    (void)reterr;
    *ret_json = json_object();
    json_object_set_new(*ret_json, key, json_string(eq ? eq + 1 : ""));
    return 0;
}
