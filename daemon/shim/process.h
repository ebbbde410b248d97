/* The LAST stage: become the program.  Everything in the one order the kernel allows. */
#pragma once

#include "stage.h"

/* Apply the LAST operations of s->last and exec.  Only returns on failure, before the exec: -errno.
 * A program that the kernel refuses to run ends the process with 255. */
int process_run(struct stage *s, struct err *reterr);

/* What the shim ignores and blocks would stay so across exec(2). */
void process_reset_signals(void);
