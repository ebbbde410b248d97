/* A tarball on its way to a client's socket: the pool writes as much as the socket takes, the loop
 * waits until it takes more.  Loop thread. */
#pragma once

#include <uv.h>

#include "tarball.h"

struct sender;

/* t and fd (a non-blocking socket) are taken over, also on failure (-errno).  done comes from the
 * loop, once, never from in here: 0, or -errno (-ECANCELED after sender_cancel(), -ETIMEDOUT if the
 * socket took nothing for pace_ms, at least); the socket is closed then and the sender gone. */
int sender_start(uv_loop_t *loop, struct tarball *t, int fd, unsigned pace_ms,
                 void (*done)(void *arg, int status), void *arg, struct sender **ret);
void sender_cancel(struct sender *s);
