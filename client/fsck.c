/* system fsck: the daemon does it, and says what it finds. */
#include <stdio.h>

#include "commands.h"
#include "progress.h"

const struct opt fsck_opts[] = {
    OPT_BOOL("repair", 0, struct fsck_options, repair,
             "Remove what nobody needs, forget what is broken"),
    OPT_END,
};

int cmd_system_fsck(struct invocation *inv)
{
    const struct fsck_options *o = inv->options;
    struct request req = {.method = "POST",
                          .path = o->repair ? "/system/fsck?repair=1" : "/system/fsck"};
    _cleanup_conn_ struct conn conn = CONN_INIT;
    struct err e;
    int r = client_open(inv->client, &req, &conn, &e);

    if (r == 0)
        r = progress_show(&conn, stdout, false, &e);
    conn_release(inv->client, &conn);
    return r < 0 ? cli_fail(inv, &e) : 0;
}
