/* What of the container's output no log has, told to the daemon by the file SHIM_DROPPED_FILE in
 * the run directory: "LINES BYTES\n", lines that a logger did not take and bytes of records that
 * the disk did not.  No file: nothing was dropped. */
#pragma once

#include <stdint.h>

/* Write it if there is news. */
void dropped_report(void);
/* The same, once a second at most.  Milliseconds until the next look is needed, -1: none. */
int dropped_tick(int64_t now_ms);
