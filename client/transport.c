#include "transport.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "mem.h"
#include "str.h"

#define SSH_WORDS_MAX 16

extern char **environ;

void transport_done(struct transport *t)
{
    free(TAKE_PTR(t->machine));
    free(TAKE_PTR(t->user));
    free(TAKE_PTR(t->port));
    free(TAKE_PTR(t->remote_socket));
}

/* MACHINE or [ADDRESS], then :PORT. */
static int parse_machine(char *text, struct transport *t)
{
    char *port;
    int64_t number;

    if (*text == '[') {
        char *end = strchr(++text, ']');

        if (!end || (end[1] && end[1] != ':'))
            return -EINVAL;
        *end = '\0';
        port = end[1] ? end + 2 : NULL;
    } else {
        port = strchr(text, ':');
        if (port)
            *port++ = '\0';
    }
    if (port && str_parse_i64(port, 1, 65535, &number) < 0)
        return -EINVAL;
    t->machine = xstrdup(text);
    t->port = port ? xstrdup(port) : NULL;
    return *text && *text != '-' ? 0 : -EINVAL;
}

static int parse_ssh(const char *rest, struct transport *t, struct err *reterr)
{
    size_t len = strcspn(rest, "/?#");
    _cleanup_free_ char *authority = xstrndup(rest, len);
    const char *path = rest + len;
    char *at = strrchr(authority, '@');

    if (at) {
        *at++ = '\0';
        t->user = xstrdup(authority);
        if (strchr(t->user, ':'))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "invalid SSH URL: plain-text password is not supported");
    }
    if (strpbrk(path, "?#"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid SSH URL: no query or fragment is possible in \"%s\"", t->host);
    if (parse_machine(at ? at : authority, t) < 0 || (t->user && strspn(t->user, "-") > 0) ||
        (at && !*t->user))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid SSH URL \"%s\": use ssh://[USER@]MACHINE[:PORT][/SOCKET]", t->host);
    t->remote_socket = path[0] && path[1] ? xstrdup(path) : NULL;
    return 0;
}

int transport_parse(const char *host, struct transport *ret, struct err *reterr)
{
    *ret = (struct transport){.host = host};
    if (str_starts(host, "unix://")) {
        ret->socket = host + strlen("unix://");
        return 0;
    }
    if (str_starts(host, "ssh://"))
        return parse_ssh(host + strlen("ssh://"), ret, reterr);
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "unsupported daemon address \"%s\": use unix://SOCKET or ssh://[USER@]MACHINE",
                   host);
}

static int connect_unix(const struct transport *t, struct err *reterr)
{
    int fd = unix_connect(t->socket, SOCK_STREAM);
    const char *hint =
        streq(t->host, DEFAULT_HOST) ? "\nTo start it: sudo systemctl start containerd-lite" : "";

    if (fd >= 0)
        return fd;
    if (fd == -EACCES || fd == -EPERM)
        return err_set(reterr, ERR_UNAVAILABLE, -fd,
                       "permission denied while trying to connect to the containerd-lite daemon "
                       "socket at %s: connect: permission denied\nIts group may use it (who is in "
                       "that group is as good as root): sudo usermod -aG containerd-lite $USER",
                       t->host);
    return err_set(reterr, ERR_UNAVAILABLE, -fd,
                   "Cannot connect to the containerd-lite daemon at %s. Is the daemon running?%s",
                   t->host, hint);
}

/* One word for the shell on the other side. */
static char *quoted(const char *word)
{
    _cleanup_buf_ struct buf out = {0};

    buf_append(&out, "'", 1);
    for (; *word; word++) {
        if (*word == '\'')
            buf_append_str(&out, "'\\''");
        else
            buf_append(&out, word, 1);
    }
    buf_append(&out, "'", 1);
    return buf_take_str(&out);
}

static int spawn_ssh(const struct transport *t, int fd)
{
    _cleanup_free_ char *socket = t->remote_socket ? quoted(t->remote_socket) : NULL;
    _cleanup_free_ char *command = socket ? xasprintf("ctlc -H unix://%s system dial-stdio", socket)
                                          : xstrdup("ctlc system dial-stdio");
    const char *argv[SSH_WORDS_MAX] = {"ssh", "-o", "ConnectTimeout=30", "-T"};
    posix_spawn_file_actions_t actions;
    size_t n = 4;
    pid_t pid;
    int r;

    if (t->user) {
        argv[n++] = "-l";
        argv[n++] = t->user;
    }
    if (t->port) {
        argv[n++] = "-p";
        argv[n++] = t->port;
    }
    argv[n++] = "--";
    argv[n++] = t->machine;
    argv[n++] = command;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
    r = posix_spawnp(&pid, "ssh", &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* Nobody waits for ssh: it ends with its socket, and its zombie with this short-lived process. */
static int connect_ssh(const struct transport *t, struct err *reterr)
{
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(reterr, errno, "socketpair");
    r = spawn_ssh(t, pair[1]);
    fd_close(pair[1]);
    if (r == 0)
        return pair[0];
    fd_close(pair[0]);
    return err_set(reterr, ERR_UNAVAILABLE, -r, "cannot run ssh to reach %s: %s%s", t->host,
                   err_text(-r), r == -ENOENT ? " (install openssh-client)" : "");
}

int transport_connect(const struct transport *t, struct err *reterr)
{
    return t->socket ? connect_unix(t, reterr) : connect_ssh(t, reterr);
}
