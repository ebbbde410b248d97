/* clone(2) of the container's first process and of exec'd ones, up to where they report back. */
#pragma once

#include "stage.h"
#include "task.h"

/* What execs need to know of the container. */
struct spawn_container {
    const void *plan;
    int init_pidfd;  /* borrowed from the main task */
    uint64_t devpts; /* st_dev of its devpts, 0: none */
};

/* Start the container's init from its plan: t->pid, t->pidfd, t->sync.fd are set.  The child is
 * building its root when this returns; created() is called as soon as the pid is known (fds: the
 * network namespace and an rtnetlink socket, if the plan asks).  On failure the child is dead. */
int spawn_init(struct task *t, const void *plan,
               void (*created)(struct task *t, const int *fds, size_t n), struct err *reterr);

/* Start an exec from its plan of LAST operations. */
int spawn_exec(struct task *t, const struct spawn_container *c, const void *last,
               struct err *reterr);

/* Remember the score the shim was born with: its children get it back. */
void spawn_protect_shim(void);
