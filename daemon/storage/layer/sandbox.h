/* Locks the worker into one directory before it reads the first foreign byte. */
#pragma once

#include "err.h"

enum sandbox_kind {
    SANDBOX_SPLIT,  /* plain files only: no capability at all */
    SANDBOX_UNPACK, /* owners, devices, security.capability and trusted.* attributes */
};

/* Chroot into LAYER_FD_DIR, close every descriptor above last_fd, enter empty network, IPC and
 * mount namespaces, drop capabilities for good, set no_new_privs and resource limits, allow only
 * the system calls that reading an archive and making files need.  Afterwards "." and "/" are the
 * directory. */
int sandbox_enter(enum sandbox_kind kind, int last_fd, struct err *reterr);
