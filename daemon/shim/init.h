/* --init: a PID 1 that only forwards signals and reaps. */
#pragma once

/* Fork.  Returns 0 in the child, which goes on to become the program; -errno; in PID 1 it does not
 * return: it forwards every signal, reaps, and exits with the child's code (128+n). */
int init_fork(void);
