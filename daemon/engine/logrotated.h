/* The rotated files of the driver json-file with the option compress: PATH.1, PATH.2... become
 * PATH.1.gz, PATH.2.gz, as dockerd has them.
 *
 * The shim renames them all whenever PATH is full, this makes them meanwhile.  Who renames, or
 * gives a packed file its name, has a lock (flock(2)) of PATH; the shim does not wait for it but
 * goes on writing to the same file until it is free, which is for the time of two renames. */
#pragma once

#include <stdint.h>

/* Pack what is there: for a pool thread, one at a time for a base.  files: kept, with PATH. */
void log_rotated_settle(const char *base, uint64_t files);
