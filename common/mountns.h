/* The calling process's own mount namespace (mount_namespaces(7)). */
#pragma once

struct err;

/* Nothing mounted in this namespace from now on reaches another one, nor the other way round. 0 or -errno;
 * -EINVAL is told in words: the root is a plain directory of a chroot, whose mount nobody here can name. */
int mountns_make_private(struct err *reterr);
