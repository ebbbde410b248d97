/* /proc with the container's own limits: one lxcfs(1) for all containers that want it, started by
 * the first and left alone by the daemon's end.  When the last has ended it is unmounted, and ends
 * with that. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "private.h"
#include "procview.h"

/* For clients that know no option for it. */
#define PROCVIEW_LABEL "containerd-lite.proc-view"
#define READY_MS 5000
#define STEP_MS 2
#define END_MS 1000
#define CMDLINE_MAX 65536

void procview_settle(const json_t *config, json_t *host_config)
{
    if (streq(json_get_str(json_get(config, "Labels"), PROCVIEW_LABEL, ""), "true") &&
        !json_is_boolean(json_get(host_config, "ProcView")))
        json_object_set_new(host_config, "ProcView", json_true());
}

bool procview_wanted(const struct container *c)
{
    return json_get_bool(c->host_config, "ProcView", false);
}

char *procview_dir(const struct engine *e)
{
    return path_join(e->config.exec_root, "lxcfs");
}

/* ---- any thread ---- */

/* 1: it serves, 0: nothing is mounted, -ENOTCONN or the like: what served it is dead. */
static int probe(const char *dir)
{
    _cleanup_free_ char *file = path_join(dir, "proc/uptime");
    _cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
    char c;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    return read(fd, &c, 1) == 1 ? 1 : -EIO;
}

static int spawn_lxcfs(const char *dir, pid_t *ret)
{
    _cleanup_free_ char *pidfile = xasprintf("%s.pid", dir);
    char *argv[] = {"lxcfs", "-f", "-l", "--enable-cfs", "-p", pidfile, (char *)dir, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    int r;

    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd <= 2; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    r = posix_spawnp(ret, "lxcfs", &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static int wait_ready(const char *dir, pid_t pid, struct err *reterr)
{
    for (int ms = 0; ms < READY_MS; ms += STEP_MS) {
        siginfo_t ended = {0};

        if (probe(dir) == 1)
            return 0;
        /* Left for the loop to be reaped. */
        if (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid)
            return err_set(reterr, ERR_SYSTEM, EIO,
                           "a proc view needs lxcfs, which ended at once (status %d): is /dev/fuse "
                           "there?",
                           ended.si_status);
        nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL);
    }
    kill(pid, SIGKILL);
    return err_set(reterr, ERR_SYSTEM, ETIMEDOUT, "lxcfs does not come up");
}

/* Starts of others and its end wait meanwhile. */
static int lock(const char *dir)
{
    _cleanup_free_ char *path = xasprintf("%s.lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -errno;
    while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
        ;
    return fd;
}

/* A pidfd of the lxcfs that serves dir; -ESRCH: none does. */
static int find_lxcfs(const char *dir)
{
    _cleanup_free_ char *pidfile = xasprintf("%s.pid", dir), *text = NULL, *argv = NULL;
    _cleanup_close_ int fd = -EBADF;
    char path[40];
    ssize_t n;
    int pid;

    if (file_read(AT_FDCWD, pidfile, 32, &text) < 0 || (pid = atoi(text)) <= 1)
        return -ESRCH;
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return -errno;
    /* The number may be another's by now: its arguments are looked at once it is held. */
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    n = file_read(AT_FDCWD, path, CMDLINE_MAX, &argv);
    if (n <= 0 || !streq(argv, "lxcfs") || !memmem(argv, (size_t)n + 1, dir, strlen(dir) + 1))
        return -ESRCH;
    return TAKE_FD(fd);
}

/* It is gone when this returns: the next one needs its pidfile. */
static void end_lxcfs(const char *dir)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    _cleanup_close_ int fd = find_lxcfs(dir);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    umount2(dir, MNT_DETACH);
    for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(signals); i++) {
        syscall(SYS_pidfd_send_signal, fd, signals[i], NULL, 0);
        if (poll(&p, 1, END_MS) > 0)
            break;
    }
    rmdir(dir);
}

int procview_ensure(const char *dir, pid_t *ret_pid, struct err *reterr)
{
    _cleanup_close_ int held = lock(dir);
    int r;

    *ret_pid = 0;
    if (held < 0)
        return err_sys(reterr, -held, "cannot lock %s", dir);
    r = probe(dir);
    if (r == 1)
        return 0;
    if (r < 0) {
        log_warn("lxcfs is dead (%s): starting another", strerror(-r));
        end_lxcfs(dir);
    }
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return err_sys(reterr, errno, "cannot make %s", dir);
    r = spawn_lxcfs(dir, ret_pid);
    if (r == -ENOENT)
        return err_set(reterr, ERR_INVALID, ENOENT,
                       "a proc view needs lxcfs, which is not installed (Debian: apt install "
                       "lxcfs)");
    if (r < 0)
        return err_sys(reterr, -r, "cannot run lxcfs");
    return wait_ready(dir, *ret_pid, reterr);
}

/* ---- its end ---- */

struct end_job {
    struct engine *engine;
    char *dir;
};

static void end_run(void *arg)
{
    struct end_job *j = arg;
    _cleanup_close_ int held = lock(j->dir);

    /* A start that came meanwhile has counted itself, and looks when it has the lock. */
    if (held >= 0 && atomic_load(&j->engine->procview_users) == 0)
        end_lxcfs(j->dir);
}

static void end_after(void *arg)
{
    struct end_job *j = arg;

    free(j->dir);
    free(j);
}

void procview_count(struct engine *e)
{
    struct map_entry *m;
    unsigned users = 0;

    for (size_t i = 0; (m = map_next(&e->by_id, &i));) {
        const struct container *c = m->value;

        users += procview_wanted(c) && (container_is_up(c) || c->starting);
    }
    atomic_store(&e->procview_users, users);
}

void procview_ended(struct engine *e)
{
    struct end_job *j;

    procview_count(e);
    if (atomic_load(&e->procview_users) > 0 || e->closing)
        return;
    j = xcalloc(1, sizeof(*j));
    *j = (struct end_job){e, procview_dir(e)};
    job_run(e, end_run, end_after, j);
}
