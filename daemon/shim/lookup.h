/* Finding the program as Go's exec.LookPath does, with its words. */
#pragma once

#include <limits.h>

#include "err.h"

/* The path to execute for name into ret; path is the value of PATH or NULL.
 * Messages: exec: "x": executable file not found in $PATH, and so on. */
int lookup_program(const char *name, const char *path, char ret[PATH_MAX], struct err *reterr);
