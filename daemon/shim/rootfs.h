/* The container's root file system, as a detached mount. */
#pragma once

#include "err.h"

/* Mount PLAN_ROOTFS: overlay of upper, work and lowers; read-only of lowers when upper is "";
 * upper alone: the directory itself.  userns: the container's user namespace, or -EBADF; with it
 * and arg[0] the lowers are idmapped.  Returns the mount or -errno. */
int rootfs_mount(const void *plan, int userns, struct err *reterr);
