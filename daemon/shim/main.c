/* containerd-lite-shim: one container's parent.  Executes a plan, then keeps the container's
 * streams, exit status and exec'd processes while daemons come and go. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "cgroup_ops.h"
#include "clock.h"
#include "control.h"
#include "dropped.h"
#include "exec.h"
#include "failure.h"
#include "fd.h"
#include "health.h"
#include "keep.h"
#include "logfile.h"
#include "loop.h"
#include "plan.h"
#include "planmap.h"
#include "report.h"
#include "restore.h"
#include "rotated.h"
#include "sendlog.h"
#include "shutdown.h"
#include "spawn.h"
#include "task.h"
#include "text.h"

#define IDLE_MS 2000 /* without output for so long, buffers are given back */

static struct {
    const void *plan;
    size_t mapped;  /* size of plan's mapping; 0: it was shrunk */
    bool go;        /* the daemon has agreed */
    bool abandoned; /* the connection ended before it did */
    struct watch signals;
} shim = {.signals = {.fd = -EBADF}};

/* ---- the daemon's messages ---- */

static void do_go(const struct shim_msg *m, int *fds, size_t n)
{
    (void)m;
    (void)fds;
    (void)n;
    if (!shim.go)
        sync_tell_go(task_main());
    shim.go = true;
}

static void do_attach(const struct shim_msg *m, int *fds, size_t n)
{
    if (n == 1)
        attach_add(task_main(), TAKE_FD(fds[0]), &m->attach);
}

static void do_resize(const struct shim_msg *m, int *fds, size_t n)
{
    struct task *t = task_find(m->exec_id);

    (void)fds;
    (void)n;
    if (t)
        task_resize(t, m->resize.rows, m->resize.columns);
}

static void do_signal(const struct shim_msg *m, int *fds, size_t n)
{
    struct task *t = task_find(m->exec_id);

    (void)fds;
    (void)n;
    if (t && t->pidfd >= 0 && !t->reaped)
        pidfd_send_signal(t->pidfd, (int)m->signal, NULL, 0);
}

static void do_forget(const struct shim_msg *m, int *fds, size_t n)
{
    struct task *t = task_find(m->exec_id);

    (void)fds;
    (void)n;
    if (t && t != task_main() && t->done)
        task_free(t);
}

static void on_message(const struct shim_msg *m, int *fds, size_t n)
{
    static void (*const table[])(const struct shim_msg *, int *, size_t) = {
        [SHIM_GO] = do_go,          [SHIM_ATTACH] = do_attach, [SHIM_RESIZE] = do_resize,
        [SHIM_SIGNAL] = do_signal,  [SHIM_EXEC] = exec_start,  [SHIM_FORGET_EXEC] = do_forget,
        [SHIM_HEALTH] = health_set, [SHIM_HOLD] = health_hold, [SHIM_KEEP] = keep_set,
    };

    table[m->type](m, fds, n);
    for (size_t i = 0; i < n; i++)
        fd_close(fds[i]);
}

static void on_connected(void)
{
    control_send_state(SHIM_HELLO, "", &task_main()->state);
    health_tell();
    keep_tell();
    for (int i = 1; i < TASK_PROBE; i++) {
        const struct task *t = task_at(i);

        if (t && t->failed)
            control_send_fail(SHIM_EXEC_FAILED, t->id, &t->fail);
        else if (t && t->started)
            control_send_state(SHIM_EXEC_STATE, t->id, &t->state);
    }
}

static void on_lost(void)
{
    /* A restore takes long enough for a new daemon to come, which would not expect it. */
    shim.abandoned = !shim.go || task_main()->restoring;
}

/* ---- children ---- */

static void note_exit(struct task *t, int status)
{
    t->reaped = true;
    t->state.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    t->state.finished_ns = clock_real_ns();
    /* What it has reported comes first: whether it ever ran is told there. */
    report_drain(t);
    task_on_change(t);
}

/* criu has made the process, or not. */
static void note_restored(struct task *t, int status)
{
    struct err e = {0};

    report_drain(t);
    if (restore_adopt(t, shim.plan, status, &e) >= 0) {
        report_started(t);
        return;
    }
    t->reaped = true;
    if (!t->failed)
        failure_describe(&t->fail, &e);
    t->failed = true;
}

/* While criu runs nobody else is waited for: what it has made may end before it does. */
static void reap(void)
{
    const struct task *first = task_main();
    int status;
    pid_t pid;

    while ((pid = waitpid(first->restoring ? first->pid : -1, &status, WNOHANG)) > 0) {
        struct task *t = task_by_pid(pid);

        if (t && t->restoring)
            note_restored(t, status);
        else if (t)
            note_exit(t, status);
    }
}

static void on_signal(void *arg, uint32_t events)
{
    struct signalfd_siginfo info;

    (void)arg;
    (void)events;
    while (read(shim.signals.fd, &info, sizeof(info)) > 0)
        shutdown_on_signal(&info, shim.plan);
    reap();
}

static void on_change(struct task *t)
{
    if (t->probe)
        health_on_change(t);
    else if (t != task_main())
        exec_on_change(t);
}

/* ---- start ---- */

/* SIGTERM and the like are for the container, sent by the daemon by name: one sent to the shim by
 * mistake must not take the container down.  Only PID 1's does (shutdown.h). */
static int block_signals(void)
{
    static const int ignored[] = {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};
    sigset_t set;
    int fd;

    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_SETMASK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    watch_init(&shim.signals, fd, on_signal, NULL);
    watch_set(&shim.signals, EPOLLIN);
    return 0;
}

static void plug_std_streams(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int i = 0; fd >= 0 && i < 3; i++)
        dup2(fd, i);
    if (fd > 2)
        fd_close(fd);
}

static int init_process(void)
{
    static const struct control_handler handler = {on_message, on_connected, on_lost};
    int r;

    close_range(SHIM_FD_PLAN + 1, ~0U, 0);
    plug_std_streams();
    setsid();
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* Executed by descriptor, its name would be a number (before Linux 6.14). */
    prctl(PR_SET_NAME, "ctl-shim", 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    umask(022);
    if (chdir("/") < 0)
        return -errno;
    r = loop_init();
    if (r >= 0)
        r = block_signals();
    if (r >= 0)
        r = control_init(&handler);
    return r;
}

static void on_created(struct task *t, const int *fds, size_t n)
{
    struct shim_msg m = {.type = SHIM_CREATED, .state = t->state};

    control_send(&m, fds, n);
}

static int start(struct err *reterr)
{
    struct task *t = task_main();
    const struct plan_op *op;
    int r;

    shim.plan = planmap_open(SHIM_FD_PLAN, &shim.mapped, reterr);
    fd_close(SHIM_FD_PLAN);
    if (!shim.plan)
        return -EINVAL;
    op = plan_find(shim.plan, NULL, PLAN_RUN_DIR);
    if (!op)
        return err_set(reterr, ERR_INVALID, EINVAL, "the plan names no run directory");
    t->state.phase = SHIM_PHASE_CREATED;
    r = logfile_open(shim.plan, reterr);
    sendlog_open(shim.plan);
    if (r >= 0)
        r = spawn_init(t, shim.plan, on_created, reterr);
    if (r >= 0) {
        report_watch(t);
        spawn_protect_shim();
        r = control_listen(plan_str(op, 0), reterr);
    }
    return r;
}

/* ---- running ---- */

static void shrink(void)
{
    const void *small = planmap_shrink(shim.plan);

    if (small == shim.plan)
        return;
    planmap_close(shim.plan, shim.mapped);
    shim.plan = small;
    shim.mapped = 0;
    logfile_replan(small);
    sendlog_replan(small);
    exec_init(small);
}

static int sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int next_deadline(void)
{
    int64_t now = clock_mono_ms();

    return sooner(sooner(sooner(health_tick(now), dropped_tick(now)), rotated_tick(now)),
                  sooner(sooner(attach_tick(now), exec_tick(now)), shutdown_tick(now)));
}

/* Nothing happened for a while: memory that a burst of output has touched goes back. */
static void loop_step(void)
{
    static bool trimmed = true;
    int wait = next_deadline();
    int64_t before = clock_mono_ms();

    if (!trimmed && (wait < 0 || wait > IDLE_MS))
        wait = IDLE_MS;
    loop_run_once(wait);
    if (clock_mono_ms() - before >= IDLE_MS && !trimmed) {
        task_trim();
        trimmed = true;
    } else {
        trimmed = false;
    }
}

static bool is_over(const struct task *t)
{
    return t->reaped || shim.abandoned;
}

/* Until the main process has ended, or failed to begin. */
static void run(void)
{
    struct task *t = task_main();
    bool shrunk = false;

    while (!is_over(t)) {
        loop_step();
        if (t->started && !shrunk) {
            shrink();
            shrunk = true;
        }
    }
}

/* ---- the end ---- */

static void kill_main(void)
{
    struct task *t = task_main();
    int status;

    if (t->pid <= 0 || t->reaped)
        return;
    kill(t->pid, SIGKILL);
    while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
        ;
    t->reaped = true;
}

/* Whoever still holds the container's output is killed with the cgroup; what is in the pipes is
 * read to its end, but never waited for long. */
static void finish_output(void)
{
    struct task *t = task_main();
    int64_t until = clock_mono_ms() + TASK_LINGER_MS;

    task_drain(t);
    if (task_has_output(t))
        cgroup_kill(shim.plan);
    while (task_has_output(t) && clock_mono_ms() < until) {
        task_pause(t, false);
        loop_run_once(20);
    }
    task_close_output(t);
    logfile_flush();
    sendlog_flush();
    dropped_report();
}

static void write_exit_file(const struct shim_state *st)
{
    char text[128], *p = text;
    int dir = control_run_dir(), fd;

    p += text_u64(p, (uint64_t)st->code);
    *p++ = ' ';
    p += text_u64(p, (uint64_t)st->oom);
    *p++ = ' ';
    p += text_u64(p, (uint64_t)st->finished_ns);
    *p++ = ' ';
    p += text_u64(p, (uint64_t)st->started_ns);
    *p++ = '\n';
    fd = openat(dir, SHIM_EXIT_FILE ".tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && fd_write_all(fd, text, (size_t)(p - text)) == 0)
        renameat(dir, SHIM_EXIT_FILE ".tmp", dir, SHIM_EXIT_FILE);
    fd_close(fd);
}

static void flush_clients(void)
{
    while (attach_any()) {
        int wait = attach_tick(clock_mono_ms());

        if (!attach_any())
            return;
        loop_run_once(wait);
    }
}

static void finish(void)
{
    struct task *t = task_main();

    finish_output();
    t->state.oom = cgroup_oom_killed(shim.plan);
    cgroup_remove(shim.plan);
    reap();
    health_end();
    exec_end_all();
    keep_end();
    t->state.phase = SHIM_PHASE_EXITED;
    t->state.pid = 0;
    write_exit_file(&t->state);
    control_send_state(SHIM_EXITED, "", &t->state);
    attach_end(t);
    flush_clients();
}

/* The start never happened: undo, tell why if somebody listens. */
static int undo(const struct err *e)
{
    struct task *t = task_main();
    struct shim_fail f = {0};

    kill_main();
    if (shim.plan)
        cgroup_remove(shim.plan);
    if (t->failed)
        f = t->fail;
    else
        failure_describe(&f, e);
    control_send_fail(SHIM_FAILED, "", &f);
    control_close();
    return 1;
}

/* The whole life of a process that holds a scope (cgroup/scope.h): until the daemon lets go. */
static int hold(void)
{
    char c;

    while (read(STDIN_FILENO, &c, 1) < 0 && errno == EINTR)
        ;
    return 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};

    if (argc > 1 && streq(argv[1], "hold"))
        return hold();

    if (init_process() < 0)
        return 125;
    task_on_change = on_change;
    if (start(&e) < 0)
        return undo(&e);
    exec_init(shim.plan);
    run();
    if (!task_main()->started)
        return undo(&e);
    finish();
    control_close();
    return 0;
}
