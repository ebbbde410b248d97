/* Process tables for `top`: read from /proc, or by the host's ps(1) for columns of its choice.
 * Blocking: pool threads only. */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "err.h"

/* {"Titles": [...], "Processes": [[...]]} with the columns of `ps -ef`. */
json_t *ps_native(const pid_t *pids, size_t n);
/* The same with `ps ARGS`, lines picked by their PID column, which must be there. */
int ps_external(const char *args, const pid_t *pids, size_t n, json_t **ret, struct err *reterr);
