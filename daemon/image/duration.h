/* Go's durations: "1m30s", "500ms", "24h". */
#pragma once

#include <stdint.h>

int64_t duration_parse(const char *s); /* ns >= 0, or -EINVAL */
