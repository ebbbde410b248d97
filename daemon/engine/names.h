/* Names of containers: the rule, and the invented ones. */
#pragma once

#include <stdbool.h>

/* [a-zA-Z0-9][a-zA-Z0-9_.-]+; without the leading slash. */
bool name_is_valid(const char *name);
/* adjective_surname; attempt > 0 appends a digit.  Caller frees. */
char *name_invent(unsigned attempt);
