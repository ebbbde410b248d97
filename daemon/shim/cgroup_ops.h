/* The HOST operations on cgroups, and their undoing.  v1 and v2 directories alike. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

/* Make the v2 directories that processes join, before clone(2): CLONE_INTO_CGROUP needs them. */
int cgroup_make_v2(const void *plan, struct err *reterr);
/* All other directories and every write and program, in plan order. */
int cgroup_make(const void *plan, struct err *reterr);

/* O_PATH descriptor of the v2 directory to clone into, or -ENOENT. */
int cgroup_open_v2(const void *plan);
/* Move pid into the directories marked PLAN_CGROUP_JOIN; those of v2 only if with_v2. */
int cgroup_join(const void *plan, pid_t pid, bool with_v2, struct err *reterr);

/* SIGKILL to everything inside, again until nothing is left (bounded). */
void cgroup_kill(const void *plan);
/* Remove the directories with what the container made below; kills leftovers.  0 or -EBUSY. */
int cgroup_remove(const void *plan);
/* Whether the kernel's OOM killer was at work here; before cgroup_remove(). */
bool cgroup_oom_killed(const void *plan);
