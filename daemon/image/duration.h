/* Go's durations: "1m30s", "500ms", "24h". */
#pragma once

#include <stddef.h>
#include <stdint.h>

int64_t duration_parse(const char *s); /* ns >= 0, or -EINVAL */
/* As Go's Duration.String: "1m30s", "1.5s", "200ms"; ns >= 0, below a millisecond is cut. */
void duration_format(int64_t ns, char *out, size_t size);
