#include "bytesize.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static int size_suffix(const char *suffix, double *ret_factor)
{
    static const char units[] = "kmgtp";
    const char *unit;
    char c = (char)tolower((unsigned char)suffix[0]);

    *ret_factor = 1;
    if (!c)
        return 0;
    if (c == 'b')
        return suffix[1] ? -EINVAL : 0;
    unit = strchr(units, c);
    if (!unit)
        return -EINVAL;
    for (const char *u = units; u <= unit; u++)
        *ret_factor *= 1024;
    suffix++;
    if (tolower((unsigned char)*suffix) == 'i')
        return tolower((unsigned char)suffix[1]) == 'b' && !suffix[2] ? 0 : -EINVAL;
    return !*suffix || (tolower((unsigned char)*suffix) == 'b' && !suffix[1]) ? 0 : -EINVAL;
}

int bytesize_parse(const char *s, int64_t *ret, struct err *reterr)
{
    size_t digits = strspn(s, "0123456789.");
    const char *suffix = s + digits + (s[digits] == ' ');
    _cleanup_free_ char *number = xstrndup(s, digits);
    double value, factor;
    char *end;

    value = strtod(number, &end);
    if (!digits || *end)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid size: '%s'", s);
    if (size_suffix(suffix, &factor) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid suffix: '%s'", suffix);
    if (value * factor >= 9.2e18)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid size: '%s'", s);
    *ret = (int64_t)(value * factor);
    return 0;
}
