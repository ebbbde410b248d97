/* Small strings in fixed buffers.  stdio is avoided where the shim runs for long: its first use
 * would touch a dozen pages of private memory in each container. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TEXT_U64_MAX 24

/* Decimal digits and a NUL; returns the length. */
size_t text_u64(char out[TEXT_U64_MAX], uint64_t v);

/* Concatenate strings (NULL ends) into out[size]; the length, or -ENAMETOOLONG. */
int text_join(char *out, size_t size, ... /* const char *, NULL */) __attribute__((sentinel));

/* "/proc/PID/name"; -ENAMETOOLONG if it does not fit. */
int text_proc_path(char *out, size_t size, int64_t pid, const char *name);
