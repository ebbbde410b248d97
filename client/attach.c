#include "attach.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "str.h"
#include "tty.h"
#include "url.h"

bool attach_check_tty(bool input, bool tty)
{
    if (!input || !tty || isatty(STDIN_FILENO))
        return true;
    fprintf(stderr, "the input device is not a TTY\n");
    return false;
}

void attach_waiter(struct waiter *w, const char *id, const char *condition)
{
    *w = (struct waiter){.conn = CONN_INIT, .path = url_format("/containers/%s/wait", id)};
    url_add(&w->path, "condition", condition);
}

static char *attach_url(const char *id, const struct attach_spec *spec)
{
    char *url = url_format("/containers/%s/attach", id);

    if (!str_empty(spec->detach_keys))
        url_add(&url, "detachKeys", spec->detach_keys);
    url_add_bool(&url, "stderr", spec->err);
    url_add_bool(&url, "stdin", spec->input);
    url_add_bool(&url, "stdout", spec->out);
    url_add(&url, "stream", "1");
    return url;
}

int attach_open(struct session *s, struct client *c, const char *id, const struct attach_spec *spec,
                struct waiter *wait, struct err *reterr)
{
    _cleanup_free_ char *url = attach_url(id, spec);
    struct request req = {.method = "POST", .path = url, .upgrade = true};
    int r;

    *s = (struct session){.client = c,
                          .conn = CONN_INIT,
                          .wait = wait,
                          .tty = spec->tty,
                          .input = spec->input,
                          .show_out = spec->out,
                          .show_err = spec->err,
                          .detach_keys = spec->detach_keys,
                          .signal_fd = -EBADF};
    if (spec->tty)
        s->resize_path = url_format("/containers/%s/resize", id);
    if (spec->proxy)
        s->kill_path = url_format("/containers/%s/kill", id);
    r = session_catch_signals(s);
    if (r < 0)
        return err_sys(reterr, -r, "signals");
    r = client_send(c, &req, true, &s->conn, reterr);
    if (r == 0 && wait)
        r = waiter_send(wait, c, reterr);
    if (r == 0)
        r = client_receive(c, &req, &s->conn, reterr);
    if (r == 0 && wait)
        r = waiter_receive(wait, c, reterr);
    if (r == 0 && spec->tty && spec->input)
        tty_raw();
    return r;
}
