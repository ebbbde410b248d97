#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup_ops.h"
#include "control.h"
#include "failure.h"
#include "fd.h"
#include "ns.h"
#include "plan.h"
#include "prepare.h"
#include "process.h"
#include "report.h"
#include "restore.h"
#include "root.h"
#include "rootfs.h"
#include "sync.h"
#include "sys.h"
#include "text.h"

#define PROTECTED_SCORE "-999"

static char birth_score[16] = "0"; /* the shim's oom_score_adj before it protected itself */

void stage_warn(const struct stage *s, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    sync_send_text(s->sync, SYNC_WARNING, 0, 0, text);
}

/* ---- in the child ---- */

static _Noreturn void give_up(const struct stage *s, const struct err *e)
{
    struct shim_fail f;

    failure_describe(&f, e);
    sync_send_text(s->sync, SYNC_FAIL, f.code, f.errnum, f.message);
    _exit(f.code);
}

/* The daemon configures the network through a socket that was made inside: no setns(2) there. */
static void send_sandbox(const struct stage *s)
{
    _cleanup_close_ int ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int rtnl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sync_msg m = {.type = SYNC_SANDBOX};

    /* Before any link is born: no IPv6 on a network that has none.  Router advertisements would
     * give addresses nobody asked for (CVE-2020-13401), and each one costs a multicast group. */
    (void)file_write(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1", 1);
    if (ns >= 0 && rtnl >= 0)
        sync_send(s->sync, &m, (int[]){ns, rtnl}, 2);
}

static int become_root_of_userns(struct err *reterr)
{
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 || setgroups(0, NULL) < 0)
        return err_sys(reterr, errno, "cannot become root of the user namespace");
    /* Credentials that changed have cleared it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return 0;
}

static int enter_userns(struct stage *s, struct err *reterr)
{
    if (sync_expect(s->sync, SYNC_USERNS, &s->root) < 0)
        return err_set(reterr, ERR_SYSTEM, ECANCELED, "the start was given up");
    return become_root_of_userns(reterr);
}

static void report_root(const struct stage *s)
{
    struct sync_msg m = {.type = SYNC_ROOT, .dev = s->devpts};

    sync_send(s->sync, &m, &s->root, 1);
}

static _Noreturn void run_init(struct stage *s)
{
    struct err e = {0};
    int r = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (plan_find(s->plan, NULL, PLAN_SANDBOX_FDS))
        send_sandbox(s);
    if (s->userns)
        r = enter_userns(s, &e);
    if (r >= 0)
        r = root_build(s, &e);
    if (r >= 0) {
        report_root(s);
        if (s->restore)
            restore_run(s, &e);
        else
            process_run(s, &e);
    }
    give_up(s, &e);
}

static int enter_container(struct stage *s, struct err *reterr)
{
    if (setns(s->init_pidfd, ns_exec_flags(s->plan)) < 0)
        return err_sys(reterr, errno, "cannot join the container");
    s->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->root < 0)
        return err_sys(reterr, errno, "cannot open the container's root");
    return s->userns ? become_root_of_userns(reterr) : 0;
}

static _Noreturn void run_exec(struct stage *s)
{
    struct err e = {0};

    if (enter_container(s, &e) >= 0)
        process_run(s, &e);
    give_up(s, &e);
}

/* ---- in the shim ---- */

void spawn_protect_shim(void)
{
    _cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, birth_score, sizeof(birth_score) - 1);

    if (n <= 0)
        return;
    birth_score[n] = '\0';
    /* It may not be allowed; then the shim is a small target anyway. */
    if (pwrite(fd, PROTECTED_SCORE, sizeof(PROTECTED_SCORE) - 1, 0) < 0)
        return;
}

/* Through the host's /proc, which no container can fake. */
static int set_score(pid_t pid, const void *last, bool from_protected)
{
    const struct plan_op *op = plan_find(last, NULL, PLAN_OOM_SCORE_ADJ);
    char path[64], number[TEXT_U64_MAX + 1] = "-";
    const char *text = birth_score;

    if (!op && !from_protected)
        return 0;
    if (op) {
        int64_t v = (int64_t)op->arg[0];

        text_u64(number + 1, (uint64_t)(v < 0 ? -v : v));
        text = v < 0 ? number : number + 1;
    }
    text_proc_path(path, sizeof(path), pid, "oom_score_adj");
    return file_write(AT_FDCWD, path, text, strlen(text));
}

static void open_stage(struct stage *s, struct task *t, const void *plan, const void *last)
{
    const struct plan_op *op = plan_find(last, NULL, PLAN_STDIO);

    t->flags = op ? op->arg[0] : 0;
    *s = (struct stage){.plan = plan,
                        .last = last,
                        .sync = -EBADF,
                        .root = -EBADF,
                        .stdio = {-EBADF, -EBADF, -EBADF},
                        .flags = t->flags,
                        .rows = op ? (uint16_t)op->arg[1] : 0,
                        .columns = op ? (uint16_t)op->arg[2] : 0,
                        .userns = ns_is_new(plan, CLONE_NEWUSER),
                        .init_pidfd = -EBADF,
                        .devpts_fd = -EBADF,
                        .host_null = -EBADF,
                        .host_sys = -EBADF};
}

static void close_stage(struct stage *s)
{
    s->sync = fd_close(s->sync);
    for (int i = 0; i < 3; i++)
        s->stdio[i] = fd_close(s->stdio[i]);
    prepare_done(s);
}

/* clone3(2) into the v2 cgroup when there is one; *ret_in tells whether that was possible. */
static pid_t clone_child(struct task *t, const void *plan, uint64_t flags, bool *ret_in)
{
    _cleanup_close_ int cgroup = cgroup_open_v2(plan);
    struct clone_args args = {
        .flags = flags | CLONE_PIDFD, .pidfd = PTR_U64(&t->pidfd), .exit_signal = SIGCHLD};

    *ret_in = cgroup >= 0;
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup;
    }
    return sys_clone3(&args);
}

static int start_child(struct task *t, struct stage *s, uint64_t flags, bool *ret_in,
                       struct err *reterr)
{
    int pair[2], r = sync_pair(pair);
    pid_t pid;

    if (r >= 0)
        r = task_open_pipes(t, s->stdio);
    if (r < 0)
        return err_sys(reterr, -r, "cannot make the streams");
    s->sync = pair[1];
    pid = clone_child(t, s->plan, flags, ret_in);
    if (pid == 0) {
        if (s->exec)
            run_exec(s);
        run_init(s);
    }
    if (pid < 0) {
        /* clone(2): a pid namespace whose init is dead takes nobody more. */
        r = s->exec && errno == ENOMEM
                ? err_set(reterr, ERR_CONFLICT, ESRCH, "the container is not running")
                : err_sys(reterr, errno, "cannot clone");
        fd_close(pair[0]);
        return r;
    }
    t->pid = t->state.pid = pid;
    t->sync.fd = pair[0];
    return 0;
}

static int map_ids(struct task *t, struct stage *s, struct err *reterr)
{
    _cleanup_close_ int userns = -EBADF, root = -EBADF;
    char path[64];
    int r = ns_write_maps(s->plan, t->pid, reterr);

    if (r < 0)
        return r;
    text_proc_path(path, sizeof(path), t->pid, "ns/user");
    userns = open(path, O_RDONLY | O_CLOEXEC);
    if (userns < 0)
        return err_sys(reterr, errno, "cannot open the user namespace");
    r = prepare_idmaps(s, userns, reterr);
    if (r < 0)
        return r;
    root = rootfs_mount(s->plan, userns, reterr);
    if (root < 0)
        return root;
    r = sync_tell(t->sync.fd, SYNC_USERNS, root);
    return r < 0 ? err_sys(reterr, -r, "the container's init is gone") : 0;
}

static int put_in_cgroups(struct task *t, const struct stage *s, bool in_v2, struct err *reterr)
{
    int r = cgroup_join(s->plan, t->pid, !in_v2, reterr);

    if (r >= 0 && set_score(t->pid, s->last, s->exec) < 0) {
        struct shim_fail f = {.message = "oom_score_adj could not be set"};

        control_send_fail(SHIM_WARNING, t->id, &f);
    }
    if (r >= 0 && sync_tell(t->sync.fd, SYNC_CGROUP, -EBADF) < 0)
        r = 0; /* it has told why on its own, or will be reaped */
    return r;
}

static void tell_created(struct task *t, const void *plan,
                         void (*created)(struct task *t, const int *fds, size_t n))
{
    struct sync_msg m;
    int fds[FD_PASS_MAX];
    size_t n = 0;

    if (plan_find(plan, NULL, PLAN_SANDBOX_FDS))
        fd_recv(t->sync.fd, &m, sizeof(m), fds, &n);
    created(t, fds, n);
    while (n > 0)
        fd_close(fds[--n]);
}

static void kill_child(struct task *t)
{
    if (t->pid <= 0)
        return;
    t->killed = true;
    kill(t->pid, SIGKILL);
    while (waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    t->reaped = true;
    /* What it had to say is the better reason. */
    fd_set_nonblock(t->sync.fd, 1);
    report_drain(t);
}

int spawn_init(struct task *t, const void *plan,
               void (*created)(struct task *t, const int *fds, size_t n), struct err *reterr)
{
    uint64_t flags = ns_clone_flags(plan);
    struct stage s;
    bool in_v2 = false;
    int r;

    open_stage(&s, t, plan, plan);
    s.restore = plan_find(plan, NULL, PLAN_RESTORE);
    t->restoring = s.restore;
    if (s.restore)
        flags &= CLONE_NEWNS | CLONE_NEWNET; /* criu makes the others */
    r = prepare_binds(&s, reterr);
    if (r >= 0)
        r = cgroup_make_v2(plan, reterr);
    if (r >= 0)
        r = ns_join(plan, reterr);
    if (r >= 0)
        r = start_child(t, &s, flags, &in_v2, reterr);
    if (r >= 0) {
        tell_created(t, plan, created);
        r = s.userns ? map_ids(t, &s, reterr) : 0;
    }
    if (r >= 0)
        r = cgroup_make(plan, reterr);
    if (r >= 0)
        r = put_in_cgroups(t, &s, in_v2, reterr);
    /* Execs are born in the container's pid namespace, with no second fork. */
    if (r >= 0 && (flags & CLONE_NEWPID) && setns(t->pidfd, CLONE_NEWPID) < 0)
        r = err_sys(reterr, errno, "cannot follow into the pid namespace");
    close_stage(&s);
    if (r < 0)
        kill_child(t);
    return r;
}

int spawn_exec(struct task *t, const struct spawn_container *c, const void *last,
               struct err *reterr)
{
    struct stage s;
    bool in_v2 = false;
    int r;

    open_stage(&s, t, c->plan, last);
    s.exec = true;
    s.init_pidfd = c->init_pidfd;
    s.devpts = c->devpts;
    r = start_child(t, &s, 0, &in_v2, reterr);
    if (r >= 0)
        r = put_in_cgroups(t, &s, in_v2, reterr);
    if (r >= 0)
        sync_tell(t->sync.fd, SYNC_GO, -EBADF);
    close_stage(&s);
    if (r < 0)
        kill_child(t);
    return r;
}
