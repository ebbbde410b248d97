#include "duration.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "mem.h"
#include "str.h"

int64_t duration_parse(const char *s)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"ms", 1000000},      {"us", 1000},       {"ns", 1},
                 {"h", 3600000000000}, {"m", 60000000000}, {"s", 1000000000}};
    double sum = 0;

    if (!*s)
        return -EINVAL;
    while (*s) {
        char *end;
        double v = isdigit((unsigned char)*s) ? strtod(s, &end) : -1;
        size_t i;

        if (v < 0)
            return -EINVAL;
        for (i = 0; i < ARRAY_SIZE(units); i++) {
            if (str_starts(end, units[i].unit))
                break;
        }
        if (i == ARRAY_SIZE(units))
            return -EINVAL;
        sum += v * (double)units[i].ns;
        s = end + strlen(units[i].unit);
    }
    return sum < 9e18 ? (int64_t)sum : -EINVAL;
}
