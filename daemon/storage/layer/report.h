/* The worker's words to the daemon (layer_protocol.h) and its way out. */
#pragma once

#include <stdint.h>

#include "err.h"

void report_progress(int64_t bytes); /* says nothing more often than every 100 ms */
void report_ok(const char *diff_id, int64_t bytes, const char *blob);
void report_error(const struct err *e);
