/* Regular expressions that a client or an image gives. */
#pragma once

#include <regex.h>
#include <stdbool.h>

/* Compile an extended one for pattern_found(); regfree() is the caller's.  -EINVAL: it is none, or
 * it is one that would cost the daemon much time or memory: written out, with each interval as that
 * many copies as regcomp(3) makes of it, it is long, or it has back references. */
int pattern_compile(const char *pattern, regex_t *ret);
/* Is it found anywhere in s? */
bool pattern_found(const regex_t *re, const char *s);
