/* Shims as seen from the daemon: spawning, the control socket, reaping. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "private.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* A sealed copy in memory: no container can write to the executable it was started by
 * (CVE-2019-5736), and one copy serves all shims. */
int shims_prepare(struct engine *e, struct err *reterr)
{
    _cleanup_close_ int in = open(e->config.shim_path, O_RDONLY | O_CLOEXEC), out = -EBADF;
    struct stat st;
    off_t done = 0;

    if (in < 0 || fstat(in, &st) < 0)
        return err_sys(reterr, errno, "cannot open %s", e->config.shim_path);
    out = memfd_create("containerd-lite-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (out < 0) /* before Linux 6.3 the flag is unknown and its meaning the default */
        out = memfd_create("containerd-lite-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (out < 0)
        return err_sys(reterr, errno, "memfd_create");
    while (done < st.st_size) {
        ssize_t n = sendfile(out, in, &done, (size_t)(st.st_size - done));

        if (n <= 0)
            return err_sys(reterr, n < 0 ? errno : EIO, "cannot copy %s", e->config.shim_path);
    }
    if (fchmod(out, 0500) < 0 ||
        fcntl(out, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return err_sys(reterr, errno, "cannot seal the shim");
    e->shim_fd = TAKE_FD(out);
    return 0;
}

/* posix_spawn(3) has vfork semantics: nothing of the daemon is copied. */
static int spawn(int exe_fd, int plan_fd, int control_fd, const char *id, pid_t *ret_pid)
{
    char exe[64], name[] = "containerd-lite-shim", short_id[13];
    char *argv[] = {name, short_id, NULL}, *envp[] = {NULL};
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int r;

    snprintf(exe, sizeof(exe), "/proc/self/fd/%d", exe_fd);
    snprintf(short_id, sizeof(short_id), "%.12s", id);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&fa, 0, 1);
    posix_spawn_file_actions_adddup2(&fa, 0, 2);
    posix_spawn_file_actions_adddup2(&fa, control_fd, SHIM_FD_CONTROL);
    posix_spawn_file_actions_adddup2(&fa, plan_fd, SHIM_FD_PLAN);
    r = posix_spawn(ret_pid, exe, &fa, &attr, argv, envp);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&fa);
    return -r;
}

/* Out of the way of the numbers that the shim expects. */
static int move_high(int *fd)
{
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, 16);

    if (high < 0)
        return -errno;
    fd_close(*fd);
    *fd = high;
    return 0;
}

int shim_spawn(int exe_fd, int plan_fd, const char *id, int *ret_fd, pid_t *ret_pid,
               struct err *reterr)
{
    int pair[2];
    _cleanup_close_ int ours = -EBADF, theirs = -EBADF, plan = -EBADF;
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(reterr, errno, "socketpair");
    ours = pair[0];
    theirs = pair[1];
    plan = fcntl(plan_fd, F_DUPFD_CLOEXEC, 16);
    if (plan < 0 || move_high(&theirs) < 0)
        return err_sys(reterr, errno, "dup");
    r = spawn(exe_fd, plan, theirs, id, ret_pid);
    if (r < 0)
        return err_sys(reterr, -r, "cannot start the shim");
    *ret_fd = TAKE_FD(ours);
    return 0;
}

/* More than the head of a request can hold is not there: a client sends stdin after the answer. */
void shim_attach_early(struct shim_attach *a, const void *data, size_t len)
{
    a->early_len = (uint32_t)(len < SHIM_EARLY_MAX ? len : SHIM_EARLY_MAX);
    if (len > 0)
        memcpy(a->early, data, a->early_len);
}

int shim_send(int fd, const struct shim_msg *m, const int *fds, size_t n)
{
    ssize_t r = fd_send(fd, m, shim_msg_size(m->type), fds, n);

    return r < 0 ? (int)r : 0;
}

void shims_sigchld(struct engine *e)
{
    for (size_t i = 0; i < e->n_dying;) {
        pid_t r = waitpid(e->dying[i], NULL, WNOHANG);

        if (r == 0)
            i++;
        else
            e->dying[i] = e->dying[--e->n_dying];
    }
}

void shim_reap(struct engine *e, pid_t pid)
{
    if (pid <= 0)
        return;
    e->dying = xrealloc(e->dying, (e->n_dying + 1) * sizeof(*e->dying));
    e->dying[e->n_dying++] = pid;
    shims_sigchld(e);
}

static void on_poll_closed(uv_handle_t *h)
{
    free(h);
}

void shim_drop(struct container *c)
{
    if (c->shim.poll) {
        uv_poll_stop(c->shim.poll);
        uv_close((uv_handle_t *)TAKE_PTR(c->shim.poll), on_poll_closed);
    }
    c->shim.fd = fd_close(c->shim.fd);
    shim_posts_free(&c->shim);
    if (c->shim.pid > 0)
        shim_reap(c->engine, c->shim.pid);
    c->shim.pid = 0;
}

/* The shim has gone without a word: killed, or its exit file tells. */
static void shim_lost(struct container *c)
{
    struct shim_state state = {.phase = SHIM_PHASE_EXITED, .code = 137};

    log_error("container %s: its shim is gone", c->id);
    cgroup_kill(c->engine->cgroup, json_get_str(c->host_config, "CgroupParent", ""), c->id);
    c->lost = true;
    resolver_delete_links(c);
    state.finished_ns = time_now_ns();
    state.started_ns = c->started_ns;
    container_exited(c, &state);
}

/* Descriptors that are wanted are taken out of fds. */
static void handle(struct container *c, const struct shim_msg *m, int *fds, size_t n)
{
    switch (m->type) {
    case SHIM_STARTED:
        container_started(c, &m->state);
        break;
    case SHIM_EXITED:
        container_exited(c, &m->state);
        break;
    case SHIM_HELLO: /* of one that was slow */
        container_said_hello(c, &m->state);
        break;
    case SHIM_EXEC_STATE:
    case SHIM_EXEC_FAILED:
        exec_message(c, m);
        break;
    case SHIM_DETACHED:
        container_event(c, "detach", NULL);
        break;
    case SHIM_HEALTH_IS:
        health_message(c, m);
        break;
    case SHIM_KEPT:
        if (n == SHIM_KEEP_FDS)
            resolver_serve(c, &(struct dns_sockets){TAKE_FD(fds[0]), TAKE_FD(fds[1])});
        break;
    case SHIM_LOG_ROTATED:
        logs_settle(c);
        break;
    case SHIM_WARNING:
        log_warn("container %s: %s", c->id, m->fail.message);
        break;
    default:
        break;
    }
}

/* 1: handled one, 0: nothing there, -errno: the connection is over. */
static int receive(struct container *c)
{
    struct shim_msg m;
    int fds[FD_PASS_MAX];
    size_t n;
    ssize_t r;

    memset(&m, 0, sizeof(m));
    /* ECONNRESET: it closed with packets of ours unread; its own are still there. */
    do
        r = fd_recv(c->shim.fd, &m, sizeof(m), fds, &n);
    while (r == -ECONNRESET);
    if (r == -EAGAIN)
        return 0;
    if (r <= 0)
        return r < 0 ? (int)r : -EPIPE;
    m.exec_id[ID_LEN] = '\0';
    m.fail.message[ERR_MESSAGE_MAX - 1] = '\0';
    if ((size_t)r >= offsetof(struct shim_msg, state))
        handle(c, &m, fds, n);
    while (n > 0)
        fd_close(fds[--n]);
    return 1;
}

void shim_sync(struct container *c)
{
    int r = 1;

    container_ref(c);
    while (r > 0 && c->shim.fd >= 0)
        r = receive(c);
    if (r < 0 && c->shim.fd >= 0) {
        bool up = container_is_up(c);

        shim_drop(c);
        if (up)
            shim_lost(c);
    }
    container_unref(c);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct container *c = poll->data;

    if (status >= 0 && (events & UV_WRITABLE))
        shim_posts_send(c);
    shim_sync(c);
}

void shim_watch(struct container *c)
{
    uv_poll_start(c->shim.poll, UV_READABLE | (c->shim.posts ? UV_WRITABLE : 0), on_ready);
}

void shim_adopt(struct container *c, int fd, pid_t pid)
{
    c->shim.fd = fd;
    c->shim.pid = pid;
    c->shim.poll = xcalloc(1, sizeof(*c->shim.poll));
    fd_set_nonblock(fd, 1);
    uv_poll_init(c->engine->loop, c->shim.poll, fd);
    c->shim.poll->data = c;
    shim_watch(c);
}
