/* The health check: a probe run in the container again and again, its last results in a file that
 * the daemon reads when somebody asks.  The daemon is told of changes only.
 *
 * What counts as a failure, and when the first ones are forgiven, is as in dockerd (moby
 * daemon/health.go), whose API this serves. */
#pragma once

#include <stdint.h>

#include "protocol.h"
#include "task.h"

/* SHIM_HEALTH and SHIM_HOLD. */
void health_set(const struct shim_msg *m, int *fds, size_t n);
void health_hold(const struct shim_msg *m, int *fds, size_t n);
/* Tell a daemon that has just come how things are, if there is a probe. */
void health_tell(void);

/* What the probe writes. */
void health_output(const char *data, size_t len);
/* The probe was reaped or one of its streams closed. */
void health_on_change(struct task *t);
/* Start or end a probe that is due; ms until the next look, -1: none. */
int health_tick(int64_t now_ms);
/* The container is over. */
void health_end(void);
