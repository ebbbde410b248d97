/* The plan in memory: mapped while it is executed, then shrunk to what a running container still
 * needs, so that a seccomp program or long environment does not stay with every shim. */
#pragma once

#include <stddef.h>

#include "err.h"

/* Map and check; fd stays the caller's.  NULL and *reterr on failure. */
const void *planmap_open(int fd, size_t *ret_size, struct err *reterr);
void planmap_close(const void *plan, size_t size);
/* The HOST operations that execs, logging and the end need, in static memory; the plan itself if
 * they do not fit (then it must stay mapped). */
const void *planmap_shrink(const void *plan);
