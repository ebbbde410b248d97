#include "rotated.h"

#include "control.h"
#include "logfile.h"

#define INTERVAL_MS 1000

static bool pending;
static int64_t told_ms = -INTERVAL_MS;

int rotated_tick(int64_t now_ms)
{
    int64_t wait = told_ms + INTERVAL_MS - now_ms;

    if (logfile_moved_on())
        pending = true;
    if (!pending)
        return -1;
    if (wait > 0)
        return (int)wait;
    control_send(&(struct shim_msg){.type = SHIM_LOG_ROTATED}, NULL, 0);
    pending = false;
    told_ms = now_ms;
    return -1;
}
