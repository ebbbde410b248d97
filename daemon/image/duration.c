#include "duration.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
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

void duration_format(int64_t ns, char *out, size_t size)
{
    long long ms = ns / 1000000, h = ms / 3600000, m = ms / 60000 % 60, s = ms / 1000 % 60;
    char fraction[8] = "";

    if (ms > 0 && ms < 1000) {
        snprintf(out, size, "%lldms", ms);
        return;
    }
    if (ms % 1000) {
        size_t n = (size_t)snprintf(fraction, sizeof(fraction), ".%03lld", ms % 1000);

        while (fraction[n - 1] == '0')
            fraction[--n] = '\0';
    }
    if (h)
        snprintf(out, size, "%lldh%lldm%lld%ss", h, m, s, fraction);
    else if (m)
        snprintf(out, size, "%lldm%lld%ss", m, s, fraction);
    else
        snprintf(out, size, "%lld%ss", s, fraction);
}
