#include "dropped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "fd.h"
#include "logfile.h"
#include "protocol.h"
#include "sendlog.h"
#include "text.h"

#define INTERVAL_MS 1000

static uint64_t told_lines, told_bytes;
static int64_t told_ms = -INTERVAL_MS;

static bool is_news(void)
{
    return sendlog_dropped() != told_lines || logfile_dropped() != told_bytes;
}

void dropped_report(void)
{
    uint64_t lines = sendlog_dropped(), bytes = logfile_dropped();
    char text[2 * TEXT_U64_MAX + 2], a[TEXT_U64_MAX], b[TEXT_U64_MAX];
    _cleanup_close_ int fd = -EBADF;
    int n;

    if (!is_news())
        return;
    told_ms = clock_mono_ms(); /* tried, at least */
    text_u64(a, lines);
    text_u64(b, bytes);
    n = text_join(text, sizeof(text), a, " ", b, "\n", NULL);
    fd = openat(control_run_dir(), SHIM_DROPPED_FILE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                0600);
    /* Numbers only grow: no reader sees half of an old one behind a new one. */
    if (n < 0 || fd < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        return;
    told_lines = lines;
    told_bytes = bytes;
}

int dropped_tick(int64_t now_ms)
{
    int64_t wait = told_ms + INTERVAL_MS - now_ms;

    if (!is_news())
        return -1;
    if (wait > 0)
        return (int)wait;
    dropped_report();
    return is_news() ? INTERVAL_MS : -1;
}
