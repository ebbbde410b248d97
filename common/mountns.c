#include "mountns.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mount.h>

#include "err.h"

int mountns_make_private(struct err *reterr)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        return 0;
    if (errno == EINVAL)
        return err_set(reterr, ERR_SYSTEM, EINVAL,
                       "cannot make mounts private: / is not a mount point (before a chroot, bind its "
                       "directory onto itself)");
    return err_sys(reterr, errno, "cannot make mounts private");
}
