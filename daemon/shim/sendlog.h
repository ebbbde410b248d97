/* The container's log sent to a logger, a datagram a line: journald's native protocol
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL), or syslog by RFC 3164 or RFC 5424; over TCP with a newline
 * behind each (RFC 6587, 3.4.2).
 *
 * Nothing here waits for long or fails: what the logger does not take is dropped and counted. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SENDLOG_LINE_MAX 16384 /* a longer line is sent in parts */
#define SENDLOG_WAIT_MS 100    /* the longest that a full logger holds up, a line and a read */

/* For PLAN_LOG_SEND of the plan; no such operation: everything below does nothing.  The plan's
 * strings are used as long as lines come, see sendlog_replan(). */
void sendlog_open(const void *plan);
void sendlog_replan(const void *plan); /* it moved in memory */
void sendlog_write(int is_stderr, const char *data, size_t len);
void sendlog_flush(void);       /* last unfinished lines */
uint64_t sendlog_dropped(void); /* lines */
