#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "json.h"
#include "str.h"

#define NOT_FOUND "credentials not found in native keychain"
#define TOKEN_USER "<token>" /* the secret is an identity token then */

extern char **environ;

static int spawn(const char *program, const char *verb, int in, int out, pid_t *ret)
{
    char *argv[] = {(char *)program, (char *)verb, NULL};
    posix_spawn_file_actions_t actions;
    int r;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    r = posix_spawnp(ret, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static int read_answer(int fd, struct buf *out)
{
    ssize_t n;

    do {
        n = read(fd, buf_reserve(out, 4096), 4096);
        if (n > 0)
            out->len += (size_t)n;
        if (buf_size(out) > HELPER_ANSWER_MAX)
            return -EFBIG;
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 ? -errno : 0;
}

/* What is asked fits a pipe's buffer many times over, so that write before read cannot block. */
static int exchange(const char *program, const char *verb, const char *input, struct buf *answer,
                    bool *ret_failed)
{
    int in[2], out[2], r, status = -1;
    pid_t pid;

    if (pipe2(in, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(out, O_CLOEXEC) < 0) {
        r = -errno;
        fd_close(in[0]);
        fd_close(in[1]);
        return r;
    }
    r = spawn(program, verb, in[0], out[1], &pid);
    fd_close(in[0]);
    fd_close(out[1]);
    if (r >= 0) {
        signal(SIGPIPE, SIG_IGN); /* one that does not read its input has its reasons */
        fd_write_all(in[1], input, strlen(input));
        fd_close(in[1]);
        in[1] = -EBADF;
        r = read_answer(out[0], answer);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        *ret_failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    fd_close(in[1]);
    fd_close(out[0]);
    return r;
}

/* 0 and the answer; 1 if it knows nothing of the server. */
static int run(const char *name, const char *verb, const char *input, char **ret,
               struct err *reterr)
{
    _cleanup_free_ char *program = xasprintf("docker-credential-%s", name);
    struct buf answer = {0};
    bool failed = false;
    char *text;
    int r;

    if (!str_is_filename(program))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid credential helper \"%s\"", name);
    r = exchange(program, verb, input, &answer, &failed);
    text = buf_take_str(&answer);
    if (r < 0) {
        free(text);
        return err_sys(reterr, -r, "%s %s", program, verb);
    }
    if (failed) {
        text[strcspn(text, "\n")] = '\0';
        r = strstr(text, NOT_FOUND) ? 1
                                    : err_set(reterr, ERR_SYSTEM, EIO, "%s %s: %s", program, verb,
                                              *text ? text : "failed");
        free(text);
        return r;
    }
    *ret = text;
    return 0;
}

int helper_get(const char *name, const char *server, struct credentials *ret, struct err *reterr)
{
    _cleanup_json_ json_t *doc = NULL;
    const char *user, *secret;
    char *text = NULL;
    int r = run(name, "get", server, &text, reterr);

    *ret = (struct credentials){0};
    if (r != 0)
        return r < 0 ? r : 0;
    doc = json_loads(text, 0, NULL);
    explicit_bzero(text, strlen(text));
    free(text);
    user = json_get_str(doc, "Username", "");
    secret = json_get_str(doc, "Secret", "");
    if (!json_is_object(doc))
        return err_set(reterr, ERR_INVALID, EBADMSG, "docker-credential-%s get: no JSON object",
                       name);
    if (streq(user, TOKEN_USER)) {
        ret->identity_token = xstrdup(secret);
    } else if (*user) {
        ret->username = xstrdup(user);
        ret->password = xstrdup(secret);
    }
    return 0;
}

int helper_store(const char *name, const char *server, const struct credentials *c,
                 struct err *reterr)
{
    _cleanup_json_ json_t *doc = json_pack("{s:s,s:s,s:s}", "ServerURL", server, "Username",
                                           c->identity_token ? TOKEN_USER : c->username, "Secret",
                                           c->identity_token ? c->identity_token
                                           : c->password     ? c->password
                                                             : "");
    char *text = json_dumps(doc, JSON_COMPACT), *answer = NULL;
    int r = run(name, "store", text, &answer, reterr);

    explicit_bzero(text, strlen(text));
    free(text);
    free(answer);
    return r < 0 ? r : 0;
}

int helper_erase(const char *name, const char *server, struct err *reterr)
{
    char *answer = NULL;
    int r = run(name, "erase", server, &answer, reterr);

    free(answer);
    return r < 0 ? r : 0;
}
