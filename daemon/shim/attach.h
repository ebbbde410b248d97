/* Clients attached to a task: sockets handed over by the daemon, which is not in the data path. */
#pragma once

#include <stdbool.h>

#include "task.h"

#define ATTACH_STALL_MS 10000 /* a client that takes nothing for so long is dropped */

/* Take over sock.  A client too many is closed at once. */
void attach_add(struct task *t, int sock, const struct shim_attach *how);
void attach_output(struct task *t, enum task_stream stream, const char *data, size_t len);
/* stdin has room (or an end) again. */
void attach_stdin_ready(struct task *t);
/* Close the task's clients as soon as each has taken what is queued for it. */
void attach_end(struct task *t);
bool attach_any(void); /* a client is still connected */

/* Drop what is stalled.  Milliseconds until the next look is needed, -1: none. */
int attach_tick(int64_t now_ms);
