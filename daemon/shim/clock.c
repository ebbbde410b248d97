#include "clock.h"

#include <time.h>

#define NS INT64_C(1000000000)

int64_t clock_real_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * NS + ts.tv_nsec;
}

int64_t clock_mono_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static char *put(char *p, int64_t v, int digits, char end)
{
    for (int i = digits - 1; i >= 0; i--, v /= 10)
        p[i] = (char)('0' + v % 10);
    p[digits] = end;
    return p + digits + 1;
}

/* Days since 1970-01-01 to a date of the proleptic Gregorian calendar; years are counted from
 * March so that the leap day is the last. */
static char *put_date(char *p, int64_t days)
{
    int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;

    p = put(p, yoe + era * 400 + (month <= 2), 4, '-');
    p = put(p, month, 2, '-');
    return put(p, doy - (153 * mp + 2) / 5 + 1, 2, 'T');
}

size_t clock_format(int64_t ns, char out[CLOCK_TEXT_MAX])
{
    int64_t sec = ns / NS, day = sec / 86400, rest = sec % 86400;
    char *p = put_date(out, day);

    p = put(p, rest / 3600, 2, ':');
    p = put(p, rest / 60 % 60, 2, ':');
    p = put(p, rest % 60, 2, '.');
    p = put(p, ns % NS, 9, 'Z') - 1;
    while (p[-1] == '0')
        p--;
    if (p[-1] == '.')
        p--;
    *p++ = 'Z';
    *p = '\0';
    return (size_t)(p - out);
}
