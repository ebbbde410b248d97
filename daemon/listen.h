/* The sockets to serve: made here, or inherited from the service manager. */
#pragma once

#include "err.h"

#define LISTEN_MAX 16

/* hosts: "unix:///path" or "fd://" (all sockets passed by the service manager).  ret_fds has room for
 * LISTEN_MAX; returns how many, owned by the caller. */
int listen_open(char *const *hosts, int *ret_fds, struct err *reterr);
/* Remove the names of the sockets made here. */
void listen_unlink(char *const *hosts);
