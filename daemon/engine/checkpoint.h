/* Starting from a checkpoint: what start.c needs of it (checkpoint_start.c). */
#pragma once

#include <stdbool.h>

#include "err.h"
#include "plan.h"

struct container;

/* Loop.  Was this start asked to be one from a checkpoint?  Then the plan gets PLAN_RESTORE, and
 * the next start is a usual one again. */
bool checkpoint_plan(struct container *c, struct plan *plan);
/* Loop.  What was asked for is not to be any more. */
void checkpoint_forget(struct container *c);
/* Any thread.  A restore has failed: put what criu logged in the run directory in place of *err. */
void checkpoint_explain(const char *run_dir, struct err *err);
