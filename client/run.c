#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "commands.h"
#include "create.h"
#include "json.h"
#include "run_body.h"
#include "str.h"
#include "url.h"

/* A refusal to start tells by its text what went wrong with the command (API: 126 and 127). */
static int start_failed(const struct invocation *inv, const struct err *e)
{
    static const struct {
        const char *text;
        int code;
    } codes[] = {
        {"executable file not found", 127},
        {"no such file or directory", 127},
        {"system cannot find the file specified", 127},
        {"permission denied", 126},
        {"is a directory", 126},
    };
    int code = cli_fail(inv, e);

    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        if (strstr(e->message, codes[i].text))
            return codes[i].code;
    }
    return code;
}

static int post_start(struct client *c, const char *id, struct err *reterr)
{
    _cleanup_free_ char *url = url_format("/containers/%s/start", id);

    return client_post(c, url, NULL, NULL, reterr);
}

static int run_detached(struct invocation *inv, const char *id)
{
    struct err e = {0};

    if (post_start(inv->client, id, &e) < 0)
        return start_failed(inv, &e);
    printf("%s\n", id);
    return 0;
}

/* Start what is attached and waited for, and stay until it ends. */
static int run_session(struct invocation *inv, struct session *s, const char *id)
{
    const struct run_options *o = inv->options;
    struct waiter *w = s->wait;
    struct err e = {0}, ignored;
    int r = post_start(inv->client, id, &e);

    if (r < 0) {
        session_done(s);
        /* A start that the daemon refused ends in the removal; one that was lost with the daemon
         * ends in nothing. */
        while (o->rm && !w->done && w->conn.fd >= 0 && waiter_step(w, inv->client, &ignored) >= 0)
            ;
        return start_failed(inv, &e);
    }
    r = session_run(s, &e);
    if (r == SESSION_DETACHED)
        return 0;
    if (r == 0)
        r = waiter_finish(w, inv->client, &e);
    if (r < 0)
        return cli_fail(inv, &e);
    if (!s->show_out && !s->show_err)
        printf("%s\n", id);
    return (int)w->status;
}

static int run_attached(struct invocation *inv, const char *id)
{
    const struct run_options *o = inv->options;
    struct attach_spec spec = {
        .input = json_get_bool(inv->body, "AttachStdin", false),
        .out = json_get_bool(inv->body, "AttachStdout", false),
        .err = json_get_bool(inv->body, "AttachStderr", false),
        .proxy = o->sig_proxy,
        .tty = o->tty,
        .detach_keys = o->detach_keys,
    };
    struct session s;
    struct waiter w;
    struct err e = {0};
    int code;

    attach_waiter(&w, id, o->rm ? "removed" : "next-exit");
    if (attach_open(&s, inv->client, id, &spec, &w, &e) < 0)
        code = cli_fail(inv, &e);
    else
        code = run_session(inv, &s, id);
    session_done(&s);
    waiter_done(&w);
    return code;
}

static int prepare(struct invocation *inv, struct err *reterr)
{
    const struct run_options *o = inv->options;

    return run_body_build(&inv->body, o, inv->args, inv->n_args, reterr);
}

int cmd_run(struct invocation *inv)
{
    const struct run_options *o = inv->options;
    _cleanup_free_ char *id = NULL;
    struct err e = {0};

    if (prepare(inv, &e) < 0)
        return cli_fail(inv, &e);
    if (o->detach && o->attach) {
        fprintf(stderr, "conflicting options: cannot specify both --attach and --detach\n");
        return 1;
    }
    if (!o->detach && !attach_check_tty(json_get_bool(inv->body, "AttachStdin", false), o->tty))
        return 1;
    if (create_container(inv, &id, &e) < 0)
        return cli_fail(inv, &e);
    return o->detach ? run_detached(inv, id) : run_attached(inv, id);
}

int cmd_create(struct invocation *inv)
{
    _cleanup_free_ char *id = NULL;
    struct err e = {0};

    if (prepare(inv, &e) < 0)
        return cli_fail(inv, &e);
    /* What the daemon refuses is no error of usage here, other than in run: as docker does. */
    if (create_container(inv, &id, &e) < 0) {
        cli_print_error(&e);
        return 1;
    }
    printf("%s\n", id);
    return 0;
}
