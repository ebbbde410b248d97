#include "report.h"

#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "layer_protocol.h"
#include "str.h"

#define PROGRESS_INTERVAL_NS (100 * 1000000LL)
#define REPORT_NAME_MAX 900

static void say(const char *line)
{
    /* A daemon that went away kills this process by its parent-death signal. */
    fd_write_all(LAYER_FD_REPORT, line, strlen(line));
}

bool report_is_unread(void)
{
    struct pollfd fd = {.fd = LAYER_FD_REPORT};

    return poll(&fd, 1, 0) > 0 && fd.revents & REPORT_UNREAD;
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

static bool is_plain(const char *name)
{
    for (const char *p = name; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    }
    return true;
}

bool report_file(int64_t size, const char *name)
{
    char line[LAYER_LINE_MAX];

    if (strlen(name) > REPORT_NAME_MAX || !is_plain(name))
        return false;
    snprintf(line, sizeof(line), "file %lld %s\n", (long long)size, name);
    say(line);
    return true;
}

void report_wrote(int64_t bytes)
{
    char line[64];

    snprintf(line, sizeof(line), "wrote %lld\n", (long long)bytes);
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
