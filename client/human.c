#include "human.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "mem.h"
#include "str.h"

static void scaled(double v, double base, const char *const *units, size_t n, int digits,
                   char ret[HUMAN_MAX])
{
    size_t i = 0;

    while (v >= base && i + 1 < n) {
        v /= base;
        i++;
    }
    snprintf(ret, HUMAN_MAX, "%.*g%s", digits, v, units[i]);
}

void human_size(double bytes, int digits, char ret[HUMAN_MAX])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};

    scaled(bytes, 1000, units, ARRAY_SIZE(units), digits, ret);
}

void human_bytes(double bytes, char ret[HUMAN_MAX])
{
    static const char *const units[] = {"B",   "KiB", "MiB", "GiB", "TiB",
                                        "PiB", "EiB", "ZiB", "YiB"};

    scaled(bytes, 1024, units, ARRAY_SIZE(units), 4, ret);
}

void human_duration(int64_t s, char ret[HUMAN_MAX])
{
    long long minutes = s / 60, hours = (s + 1800) / 3600; /* hours are rounded to nearest */

    if (s < 1)
        snprintf(ret, HUMAN_MAX, "Less than a second");
    else if (s == 1)
        snprintf(ret, HUMAN_MAX, "1 second");
    else if (s < 60)
        snprintf(ret, HUMAN_MAX, "%lld seconds", (long long)s);
    else if (minutes == 1)
        snprintf(ret, HUMAN_MAX, "About a minute");
    else if (minutes < 60)
        snprintf(ret, HUMAN_MAX, "%lld minutes", minutes);
    else if (hours == 1)
        snprintf(ret, HUMAN_MAX, "About an hour");
    else if (hours < 48)
        snprintf(ret, HUMAN_MAX, "%lld hours", hours);
    else if (hours < 24 * 7 * 2)
        snprintf(ret, HUMAN_MAX, "%lld days", hours / 24);
    else if (hours < 24 * 30 * 2)
        snprintf(ret, HUMAN_MAX, "%lld weeks", hours / 24 / 7);
    else if (hours < 24 * 365 * 2)
        snprintf(ret, HUMAN_MAX, "%lld months", hours / 24 / 30);
    else
        snprintf(ret, HUMAN_MAX, "%lld years", (long long)(s / 3600 / 24 / 365));
}

void human_ago(int64_t unix_time, char ret[HUMAN_MAX])
{
    int64_t age = time_now_ns() / 1000000000 - unix_time;

    if (unix_time <= 0) {
        snprintf(ret, HUMAN_MAX, "N/A");
        return;
    }
    human_duration(age < 0 ? 0 : age, ret);
    snprintf(ret + strlen(ret), HUMAN_MAX - strlen(ret), " ago");
}

void human_time(int64_t unix_time, char ret[HUMAN_MAX])
{
    struct tm tm;
    time_t t = (time_t)unix_time;

    localtime_r(&t, &tm);
    strftime(ret, HUMAN_MAX, "%Y-%m-%d %H:%M:%S %z %Z", &tm);
}

void short_id(const char *id, char ret[13])
{
    const char *colon = strchr(id, ':');

    snprintf(ret, 13, "%.12s", colon ? colon + 1 : id);
}

char *ellipsis(const char *s, size_t max)
{
    size_t chars = 0, cut = 0;

    for (size_t i = 0; s[i]; i++) {
        if (((unsigned char)s[i] & 0xc0) == 0x80)
            continue;
        if (chars + 1 == max)
            cut = i;
        if (++chars > max)
            return xasprintf("%.*s\xe2\x80\xa6", (int)cut, s);
    }
    return xstrdup(s);
}
