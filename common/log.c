#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level max_level = LOG_LVL_INFO;

void log_set_level(enum log_level level)
{
    max_level = level;
}

int log_level_parse(const char *name, enum log_level *ret)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        {"debug", LOG_LVL_DEBUG}, {"info", LOG_LVL_INFO},   {"warn", LOG_LVL_WARN},
        {"error", LOG_LVL_ERROR}, {"fatal", LOG_LVL_ERROR},
    };

    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(levels[i].name, name) == 0) {
            *ret = levels[i].level;
            return 0;
        }
    }
    return -EINVAL;
}

static size_t prefix(char *line, size_t size, enum log_level level)
{
    static const char *const names[] = {[LOG_LVL_ERROR] = "error",
                                        [LOG_LVL_WARN] = "warning",
                                        [LOG_LVL_INFO] = "info",
                                        [LOG_LVL_DEBUG] = "debug"};
    struct timespec now;
    struct tm tm;
    char stamp[32];

    /* The journal stamps and classifies lines itself. */
    if (getenv("JOURNAL_STREAM"))
        return (size_t)snprintf(line, size, "<%d>", (int)level);
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    return (size_t)snprintf(line, size, "%s.%03ldZ %s: ", stamp, now.tv_nsec / 1000000,
                            names[level]);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char line[2048];
    size_t n;
    int k;
    va_list ap;
    int saved = errno;

    if (level > max_level)
        return;
    n = prefix(line, sizeof(line), level);
    va_start(ap, fmt);
    k = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
    va_end(ap);
    if (k > 0)
        n += (size_t)k < sizeof(line) - n - 1 ? (size_t)k : sizeof(line) - n - 2;
    line[n++] = '\n';
    /* One write a line, so that lines of several processes never mix.  A log that cannot be
     * written has nowhere to be reported. */
    if (write(STDERR_FILENO, line, n) < 0)
        errno = saved;
    errno = saved;
}
