/* Sockets that outlive the daemon: those of the container's name server.  The shim does not use
 * them; what containers ask while there is no daemon waits in their buffers for the next one. */
#pragma once

#include "protocol.h"

/* SHIM_KEEP: takes the place of what was kept before. */
void keep_set(const struct shim_msg *m, int *fds, size_t n);
/* Give a daemon that has just come its own copies, if there are any. */
void keep_tell(void);
/* The container has ended: what of its network nobody else would take back (netlinks.h). */
void keep_end(void);
