/* Locks the worker into one directory before it reads the first foreign byte. */
#pragma once

#include <stdint.h>

#include "err.h"

enum sandbox_kind {
    SANDBOX_SPLIT,  /* plain files only: no capability at all */
    SANDBOX_UNPACK, /* owners, devices, security.capability and trusted.* attributes */
    SANDBOX_READ,   /* reads everything, changes nothing */
    SANDBOX_GIVE,   /* the same by openat2(2), in a view that is mounted read-only (view.h) */
    SANDBOX_TAKE,   /* owners, devices and security.capability, in a view */
};

/* Chroot into LAYER_FD_DIR, close every descriptor above last_fd, enter empty network, IPC and
 * mount namespaces, drop capabilities for good, set no_new_privs and resource limits.  Afterwards
 * "." and "/" are the directory.  SANDBOX_READ makes each directory from LAYER_FD_DIR up the root
 * of a read-only mount of its own first, so that no descriptor leads out of it.  No file that is
 * written may have more than file_max bytes; -1: any number.  Threads come after this, which is for
 * the calling one alone. */
int sandbox_enter(enum sandbox_kind kind, int last_fd, int64_t file_max, struct err *reterr);
/* The last step: allow only the system calls that reading an archive and making files need, to this
 * and all other threads; starting new ones is not among them. */
int sandbox_seal(enum sandbox_kind kind, struct err *reterr);
/* The same but for the directory: in a view of a container's files, whose root "/" is already. */
int sandbox_view(enum sandbox_kind kind, struct err *reterr);
