/* Time without libc's calendar, whose first use loads the zone files through stdio and heap. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CLOCK_TEXT_MAX 32

int64_t clock_real_ns(void);
int64_t clock_mono_ms(void);
/* RFC 3339 in UTC with trailing zeros of the fraction trimmed, as Docker writes it; the length. */
size_t clock_format(int64_t ns, char out[CLOCK_TEXT_MAX]);
