#include "report.h"

#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "layer_protocol.h"
#include "str.h"

#define PROGRESS_INTERVAL_NS (100 * 1000000LL)

static void say(const char *line)
{
    /* A daemon that went away kills this process by its parent-death signal. */
    fd_write_all(LAYER_FD_REPORT, line, strlen(line));
}

void report_progress(int64_t bytes)
{
    static int64_t last;
    int64_t now = time_monotonic_ns();
    char line[64];

    if (now - last < PROGRESS_INTERVAL_NS)
        return;
    last = now;
    snprintf(line, sizeof(line), "progress %lld\n", (long long)bytes);
    say(line);
}

void report_ok(const struct report *r)
{
    char line[LAYER_LINE_MAX];

    snprintf(line, sizeof(line), "ok %s %lld %s %lld\n", r->diff_id ?: "-", (long long)r->bytes,
             r->blob ?: "-", (long long)r->length);
    say(line);
}

static void tell(char *line)
{
    /* Names from the archive are in the message: it must stay one line. */
    for (char *p = line; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    }
    strcat(line, "\n");
    say(line);
}

void report_error(const struct err *e)
{
    char line[LAYER_LINE_MAX];

    snprintf(line, sizeof(line) - 1, "error %.900s", e->message);
    tell(line);
}

void report_refusal(const struct err *e)
{
    char line[LAYER_LINE_MAX];

    snprintf(line, sizeof(line) - 1, "refused %d %.900s", e->kind, e->message);
    tell(line);
}
