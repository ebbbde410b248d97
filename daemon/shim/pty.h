/* The container's terminal. */
#pragma once

#include "stage.h"

/* Open a pty in the container's devpts, send the master to the shim, leave the slave in all of
 * s->stdio.  Does nothing if that was done before. */
int pty_open(struct stage *s, struct err *reterr);
