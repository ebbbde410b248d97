/* start and attach. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "attach.h"
#include "commands.h"
#include "json.h"
#include "str.h"
#include "tty.h"
#include "url.h"

const struct opt start_opts[] = {
    OPT_BOOL("attach", 'a', struct start_options, attach,
             "Attach STDOUT/STDERR and forward signals"),
    OPT_STRING("checkpoint", 0, struct start_options, checkpoint, "Restore from this checkpoint"),
    OPT_STRING("checkpoint-dir", 0, struct start_options, checkpoint_dir,
               "Use a custom checkpoint storage directory"),
    OPT_STRING("detach-keys", 0, struct start_options, detach_keys,
               "Override the key sequence for detaching a container"),
    OPT_BOOL("interactive", 'i', struct start_options, interactive, "Attach container's STDIN"),
    OPT_END,
};

const struct attach_options attach_defaults = {.sig_proxy = true};

const struct opt attach_opts[] = {
    OPT_STRING("detach-keys", 0, struct attach_options, detach_keys,
               "Override the key sequence for detaching a container"),
    OPT_BOOL("no-stdin", 0, struct attach_options, no_stdin, "Do not attach STDIN"),
    OPT_BOOL("sig-proxy", 0, struct attach_options, sig_proxy,
             "Proxy all received signals to the process (default true)"),
    OPT_END,
};

static int inspect(struct client *c, const char *name, json_t **ret, struct err *reterr)
{
    _cleanup_free_ char *url = url_format("/containers/%s/json", name);

    return client_get(c, url, ret, reterr);
}

static int post_start(struct invocation *inv, const char *name, struct err *reterr)
{
    const struct start_options *o = inv->options;
    _cleanup_free_ char *url = url_format("/containers/%s/start", name);

    url_add(&url, "checkpoint", str_empty(o->checkpoint) ? NULL : o->checkpoint);
    url_add(&url, "checkpoint-dir", str_empty(o->checkpoint_dir) ? NULL : o->checkpoint_dir);
    return client_post(inv->client, url, NULL, NULL, reterr);
}

static int start_detached(struct invocation *inv)
{
    struct buf failed = {0};
    _cleanup_free_ char *names = NULL;

    for (int i = 0; i < inv->n_args; i++) {
        struct err e = {0};

        if (post_start(inv, inv->args[i], &e) < 0) {
            cli_print_error(&e);
            buf_printf(&failed, "%s%s", buf_size(&failed) ? ", " : "", inv->args[i]);
        } else {
            printf("%s\n", inv->args[i]);
        }
    }
    names = buf_take_str(&failed);
    if (!*names)
        return 0;
    fflush(stdout);
    fprintf(stderr, "Error: failed to start containers: %s\n", names);
    return 1;
}

/* Pump and tell the exit code; a code of the session, not of the container, is negative. */
static int finish(struct invocation *inv, struct session *s)
{
    struct err e = {0};
    int r = session_run(s, &e);

    if (r == SESSION_DETACHED)
        return 0;
    if (r == 0)
        r = waiter_finish(s->wait, inv->client, &e);
    return r < 0 ? cli_fail(inv, &e) : (int)s->wait->status;
}

static int start_attached(struct invocation *inv)
{
    const struct start_options *o = inv->options;
    _cleanup_json_ json_t *info = NULL;
    const json_t *config;
    struct attach_spec spec;
    struct session s = {.signal_fd = -EBADF};
    struct waiter w = {.conn = CONN_INIT};
    struct err e = {0};
    const char *id;
    int code;

    if (inspect(inv->client, inv->args[0], &info, &e) < 0)
        return cli_fail(inv, &e);
    config = json_get(info, "Config");
    id = json_get_str(info, "Id", inv->args[0]);
    spec = (struct attach_spec){
        .input = o->interactive && json_get_bool(config, "OpenStdin", false),
        .out = true,
        .err = true,
        .tty = json_get_bool(config, "Tty", false),
        .detach_keys = o->detach_keys,
    };
    spec.proxy = !spec.tty;
    if (!attach_check_tty(spec.input, spec.tty))
        return 1;
    attach_waiter(&w, id,
                  json_get_bool(json_get(info, "HostConfig"), "AutoRemove", false) ? "removed"
                                                                                   : "next-exit");
    if (attach_open(&s, inv->client, id, &spec, &w, &e) < 0 || post_start(inv, id, &e) < 0) {
        tty_restore();
        code = cli_fail(inv, &e);
    } else {
        code = finish(inv, &s);
    }
    session_done(&s);
    waiter_done(&w);
    return code;
}

int cmd_start(struct invocation *inv)
{
    const struct start_options *o = inv->options;

    if (!o->attach && !o->interactive)
        return start_detached(inv);
    if (inv->n_args > 1) {
        fprintf(stderr, "you cannot start and attach multiple containers at once\n");
        return 1;
    }
    return start_attached(inv);
}

/* The reasons not to attach, in docker's words. */
static int check_state(const json_t *info, struct err *reterr)
{
    const json_t *state = json_get(info, "State");

    if (!json_get_bool(state, "Running", false))
        return err_set(reterr, ERR_CONFLICT, EINVAL,
                       "cannot attach to a stopped container, start it first");
    if (json_get_bool(state, "Paused", false))
        return err_set(reterr, ERR_CONFLICT, EINVAL,
                       "cannot attach to a paused container, unpause it first");
    if (json_get_bool(state, "Restarting", false))
        return err_set(reterr, ERR_CONFLICT, EINVAL,
                       "cannot attach to a restarting container, wait until it is running");
    return 0;
}

static int attach_to(struct invocation *inv, const json_t *info)
{
    const struct attach_options *o = inv->options;
    const json_t *config = json_get(info, "Config");
    const char *id = json_get_str(info, "Id", inv->args[0]);
    struct attach_spec spec = {
        .input = !o->no_stdin && json_get_bool(config, "OpenStdin", false),
        .out = true,
        .err = true,
        .tty = json_get_bool(config, "Tty", false),
        .detach_keys = o->detach_keys,
    };
    struct session s = {.signal_fd = -EBADF};
    struct waiter w = {.conn = CONN_INIT};
    struct err e = {0};
    int code = 1, r;

    spec.proxy = o->sig_proxy && !spec.tty;
    if (!attach_check_tty(spec.input, spec.tty))
        return 1;
    attach_waiter(&w, id, "not-running");
    if (attach_open(&s, inv->client, id, &spec, &w, &e) < 0) {
        code = cli_fail(inv, &e);
    } else {
        s.redraw = true;
        r = session_run(&s, &e);
        if (r == SESSION_DETACHED)
            fprintf(stderr, "read escape sequence\n");
        else if (r < 0 || waiter_finish(&w, inv->client, &e) < 0)
            code = cli_fail(inv, &e);
        else
            code = (int)w.status;
    }
    session_done(&s);
    waiter_done(&w);
    return code;
}

int cmd_attach(struct invocation *inv)
{
    _cleanup_json_ json_t *info = NULL;
    struct err e = {0};

    if (inspect(inv->client, inv->args[0], &info, &e) < 0 || check_state(info, &e) < 0)
        return cli_fail(inv, &e);
    return attach_to(inv, info);
}
