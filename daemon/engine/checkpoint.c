/* Checkpoints: the API's operations are there, and say that this daemon has none. */
#include <errno.h>

#include "private.h"

int engine_container_checkpoint(struct engine *e, const char *ref, struct err *reterr)
{
    struct container *c;
    int r = registry_find(e, ref, &c, reterr);

    return r < 0 ? r
                 : err_set(reterr, ERR_NOT_IMPLEMENTED, ENOTSUP,
                           "checkpoint and restore are not supported: this daemon does not drive "
                           "CRIU");
}
