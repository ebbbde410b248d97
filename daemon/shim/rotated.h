/* The daemon is told when the log has a new file, not more than once a second. */
#pragma once

#include <stdint.h>

/* ms until it must be called again, -1: nothing is due. */
int rotated_tick(int64_t now_ms);
