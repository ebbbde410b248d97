/* What of the container's output no log has, told to the daemon by the file SHIM_DROPPED_FILE in
 * the run directory: "LINES BYTES\n", lines that a logger did not take and bytes of records that
 * the disk did not.  No file: nothing was dropped. */
#pragma once

/* Write it if there is news; `now` 0: at most once a second. */
void dropped_report(int now);
