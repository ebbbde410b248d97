/* What a process on its way into the container reports, and what follows from it. */
#pragma once

#include <stdint.h>

#include "task.h"

/* Listen to t->sync.fd from now on. */
void report_watch(struct task *t);
/* Take in everything that has been reported up to now. */
void report_drain(struct task *t);
/* st_dev of the container's devpts, as reported by its init; 0: none. */
uint64_t report_devpts(void);
void report_set_devpts(uint64_t dev);
/* The program runs: tell the daemon. */
void report_started(struct task *t);
/* The daemon's agreement is passed on. */
void sync_tell_go(struct task *t);
