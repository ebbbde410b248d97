#include "dropped.h"

#include <errno.h>
#include <fcntl.h>
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

void dropped_report(int now)
{
    uint64_t lines = sendlog_dropped(), bytes = logfile_dropped();
    char text[2 * TEXT_U64_MAX + 2], a[TEXT_U64_MAX], b[TEXT_U64_MAX];
    _cleanup_close_ int fd = -EBADF;
    int n;

    if (lines == told_lines && bytes == told_bytes)
        return;
    if (!now && clock_mono_ms() - told_ms < INTERVAL_MS)
        return;
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
    told_ms = clock_mono_ms();
}
