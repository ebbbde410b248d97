#include "keep.h"

#include <errno.h>

#include "control.h"
#include "fd.h"
#include "netlinks.h"

static int kept[SHIM_KEEP_FDS] = {-EBADF, -EBADF};

void keep_set(const struct shim_msg *m, int *fds, size_t n)
{
    (void)m;
    if (n != SHIM_KEEP_FDS)
        return;
    for (size_t i = 0; i < SHIM_KEEP_FDS; i++) {
        fd_close(kept[i]);
        kept[i] = TAKE_FD(fds[i]);
    }
}

void keep_tell(void)
{
    struct shim_msg m = {.type = SHIM_KEPT};

    if (kept[0] >= 0)
        control_send(&m, kept, SHIM_KEEP_FDS);
}

void keep_end(void)
{
    if (kept[0] >= 0)
        netlinks_delete(kept[0]);
    for (size_t i = 0; i < SHIM_KEEP_FDS; i++)
        kept[i] = fd_close(kept[i]);
}
