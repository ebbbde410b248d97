/* The container's log files: json-file records, written in batches, rotated by size.
 *
 * Nothing here waits or fails: a container must not stop because a disk is full.  What cannot be
 * written is dropped and counted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum logfile_stream { LOGFILE_STDOUT, LOGFILE_STDERR };

/* Open for PLAN_LOG of the plan; no such operation: no log, and everything below does nothing.
 * The plan's strings are used as long as the log is open, see logfile_replan(). */
int logfile_open(const void *plan, struct err *reterr);
/* The plan moved in memory. */
void logfile_replan(const void *plan);
void logfile_write(enum logfile_stream stream, const char *data, size_t len);
/* Last unfinished lines. */
void logfile_flush(void);
/* Give back the memory of the buffers, which a burst of output has touched. */
void logfile_trim(void);
uint64_t logfile_dropped(void); /* bytes */
/* True once after each time that a log went on in a new file, and the daemon packs the old ones. */
bool logfile_moved_on(void);
