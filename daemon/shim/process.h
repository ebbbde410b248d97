/* The LAST stage: become the program.  Everything in the one order the kernel allows. */
#pragma once

#include "stage.h"

/* Apply the LAST operations of s->last and exec.  Only returns on failure: -errno, and *ret_code
 * is 126, 127 or 128 for the client. */
int process_run(struct stage *s, int *ret_code, struct err *reterr);
