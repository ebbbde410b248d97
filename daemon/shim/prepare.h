/* HOST-side preparation of mounts before clone(2): what must be taken from the host's own mount
 * namespace with the host's privileges, as detached mounts. */
#pragma once

#include "plan.h"
#include "stage.h"

/* Open every PLAN_BIND source (and device, with a user namespace) in plan order.  0 or -errno. */
int prepare_binds(struct stage *s, struct err *reterr);
/* After the maps are written: idmap those that ask for it. */
int prepare_idmaps(const struct stage *s, int userns, struct err *reterr);
void prepare_done(struct stage *s);

/* Whether operation op takes one of the prepared mounts. */
bool prepare_is_bind(const struct stage *s, const struct plan_op *op);
