/* The worker's words to the daemon (layer_protocol.h) and its way out. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* The words of "ok"; a NULL is said as "-". */
struct report {
    const char *diff_id;
    int64_t bytes;
    const char *blob;
    int64_t length;
};

/* What poll(2) says of LAYER_FD_REPORT, unasked, when the daemon is gone. */
#define REPORT_UNREAD (POLLERR | POLLHUP)
bool report_is_unread(void);

void report_progress(int64_t bytes); /* says nothing more often than every 100 ms */
/* False: the name is none that can be told. */
bool report_file(int64_t size, const char *name);
void report_wrote(int64_t bytes); /* of the file that was told last */
void report_ok(const struct report *r);
void report_error(const struct err *e);
void report_refusal(const struct err *e); /* with its kind */
