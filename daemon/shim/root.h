/* The ROOT stage: in the new mount namespace, build the container's tree and enter it. */
#pragma once

#include "stage.h"

/* All ROOT operations of s->plan in order.  s->root must be the detached mount of the root file
 * system.  Waits for the cgroups (sync) before the first cgroup mount, else at the end. */
int root_build(struct stage *s, struct err *reterr);
