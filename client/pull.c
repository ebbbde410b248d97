#include "pull.h"

#include "credentials.h"
#include "progress.h"
#include "url.h"

int pull_image(struct client *c, const struct refname *ref, const char *platform, FILE *f,
               bool quiet, struct err *reterr)
{
    _cleanup_free_ char *url = xstrdup("/images/create");
    _cleanup_free_ char *header = credentials_header(ref->repository);
    _cleanup_conn_ struct conn conn = CONN_INIT;
    struct request req = {.method = "POST", .header = header};
    int r;

    url_add(&url, "fromImage", ref->repository);
    url_add(&url, "tag", ref->tag);
    url_add(&url, "platform", platform);
    req.path = url;
    r = client_open(c, &req, &conn, reterr);
    if (r == 0)
        r = progress_show(&conn, f, quiet, reterr);
    conn_release(c, &conn);
    return r;
}
