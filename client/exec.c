#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "attach.h"
#include "commands.h"
#include "json.h"
#include "run_body.h"
#include "run_values.h"
#include "str.h"
#include "tty.h"
#include "url.h"

/* How long a restarting daemon may leave the question for the exit code unanswered. */
#define EXIT_CODE_TRIES 100
#define EXIT_CODE_RETRY_MS 100

const struct opt exec_opts[] = {
    OPT_BOOL("detach", 'd', struct exec_options, detach,
             "Detached mode: run command in the background"),
    OPT_STRING("detach-keys", 0, struct exec_options, detach_keys,
               "Override the key sequence for detaching a container"),
    OPT_LIST("env", 'e', "list", struct exec_options, env, value_env, "Set environment variables"),
    OPT_LIST("env-file", 0, "list", struct exec_options, env_files, value_string,
             "Read in a file of environment variables"),
    OPT_BOOL("interactive", 'i', struct exec_options, interactive,
             "Keep STDIN open even if not attached"),
    OPT_JSON("privileged", 0, NULL, value_bool, "Privileged",
             "Give extended privileges to the command"),
    OPT_BOOL("tty", 't', struct exec_options, tty, "Allocate a pseudo-TTY"),
    OPT_JSON("user", 'u', "string", value_string, "User",
             "Username or UID (format: \"<name|uid>[:<group|gid>]\")"),
    OPT_JSON("workdir", 'w', "string", value_string, "WorkingDir",
             "Working directory inside the container"),
    OPT_END,
};

static json_t *console_size(void)
{
    struct tty_size size;

    return tty_get_size(&size) ? json_pack("[i, i]", (int)size.rows, (int)size.columns) : NULL;
}

static int build(struct invocation *inv, struct err *reterr)
{
    const struct exec_options *o = inv->options;
    bool attach = !o->detach;
    json_t *size = o->tty ? console_size() : NULL;

    json_put_path(&inv->body, "Tty", OPT_SET, json_boolean(o->tty));
    json_put_path(&inv->body, "AttachStdin", OPT_SET, json_boolean(attach && o->interactive));
    json_put_path(&inv->body, "AttachStdout", OPT_SET, json_boolean(attach));
    json_put_path(&inv->body, "AttachStderr", OPT_SET, json_boolean(attach));
    if (!str_empty(o->detach_keys))
        json_put_path(&inv->body, "DetachKeys", OPT_SET, json_string(o->detach_keys));
    if (size)
        json_put_path(&inv->body, "ConsoleSize", OPT_SET, size);
    for (int i = 1; i < inv->n_args; i++) {
        json_t *word = NULL;
        int r = value_string(inv->args[i], &word, reterr);

        if (r < 0)
            return err_wrap(reterr, "argument %d", i);
        json_put_path(&inv->body, "Cmd", OPT_APPEND, word);
    }
    return run_body_env(&inv->body, o->env_files, o->env, reterr);
}

static int create_exec(struct invocation *inv, char **ret_id, struct err *reterr)
{
    _cleanup_free_ char *url = url_format("/containers/%s/exec", inv->args[0]);
    _cleanup_json_ json_t *reply = NULL;
    const char *id;
    int r = client_post(inv->client, url, inv->body, &reply, reterr);

    if (r < 0)
        return r;
    id = json_get_str(reply, "Id", NULL);
    if (!id)
        return err_set(reterr, ERR_SYSTEM, EBADMSG, "exec ID empty");
    *ret_id = xstrdup(id);
    return 0;
}

static int exit_code(struct client *c, const char *id, struct err *reterr)
{
    _cleanup_free_ char *url = url_format("/exec/%s/json", id);
    _cleanup_json_ json_t *info = NULL;
    int r = client_get(c, url, &info, reterr);

    for (int i = 0; r < 0 && reterr->kind == ERR_UNAVAILABLE && i < EXIT_CODE_TRIES; i++) {
        poll(NULL, 0, EXIT_CODE_RETRY_MS);
        r = client_get(c, url, &info, reterr);
    }
    return r < 0 ? r : (int)json_get_int(info, "ExitCode", 0);
}

static int open_exec(struct session *s, struct invocation *inv, const char *id, struct err *reterr)
{
    const struct exec_options *o = inv->options;
    _cleanup_free_ char *url = url_format("/exec/%s/start", id);
    _cleanup_json_ json_t *body = json_pack("{s:b, s:b}", "Detach", 0, "Tty", (int)o->tty);
    struct request req = {.method = "POST", .path = url, .json = body, .upgrade = true};
    json_t *size = o->tty ? console_size() : NULL;
    int r;

    if (size)
        json_object_set_new(body, "ConsoleSize", size);
    *s = (struct session){.client = inv->client,
                          .conn = CONN_INIT,
                          .tty = o->tty,
                          .input = o->interactive,
                          .show_out = true,
                          .show_err = true,
                          .detach_keys = o->detach_keys,
                          .signal_fd = -EBADF};
    if (o->tty)
        s->resize_path = url_format("/exec/%s/resize", id);
    r = session_catch_signals(s);
    if (r < 0)
        return err_sys(reterr, -r, "signals");
    if (o->tty && o->interactive)
        tty_raw();
    /* The idle connection serves: it is ours alone from the 101 on. */
    return client_open(inv->client, &req, &s->conn, reterr);
}

static int exec_attached(struct invocation *inv, const char *id)
{
    struct session s;
    struct err e = {0};
    int code = open_exec(&s, inv, id, &e);

    if (code == 0)
        code = session_run(&s, &e);
    session_done(&s);
    if (code == SESSION_DETACHED) {
        fprintf(stderr, "read escape sequence\n");
        return 1;
    }
    if (code == 0)
        code = exit_code(inv->client, id, &e);
    return code < 0 ? cli_fail(inv, &e) : code;
}

int cmd_exec(struct invocation *inv)
{
    const struct exec_options *o = inv->options;
    _cleanup_free_ char *id = NULL, *url = NULL;
    _cleanup_json_ json_t *body = NULL;
    struct err e = {0};

    if (!o->detach && !attach_check_tty(o->interactive, o->tty))
        return 1;
    if (build(inv, &e) < 0 || create_exec(inv, &id, &e) < 0)
        return cli_fail(inv, &e);
    if (!o->detach)
        return exec_attached(inv, id);
    url = url_format("/exec/%s/start", id);
    body = json_pack("{s:b, s:b}", "Detach", 1, "Tty", (int)o->tty);
    return client_post(inv->client, url, body, NULL, &e) < 0 ? cli_fail(inv, &e) : 0;
}
