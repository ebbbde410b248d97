/* Processes that join the running container. */
#pragma once

#include "protocol.h"
#include "task.h"

void exec_init(const void *plan); /* the container's; again when it moved in memory */
/* SHIM_EXEC: fds are the plan and, unless detached, the client (taken over: set to -EBADF). */
void exec_start(const struct shim_msg *m, int *fds, size_t n);
/* Start the process of an exec plan in the container; t is watched from then on. */
int exec_spawn(struct task *t, const void *plan, struct err *reterr);
/* An exec was reaped or one of its streams closed. */
void exec_on_change(struct task *t);
/* Close lingering streams; ms until the next look, -1: none. */
int exec_tick(int64_t now_ms);
/* The container is over: so are they. */
void exec_end_all(void);
