#include "cgroup_ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fd.h"
#include "plan.h"
#include "str.h"
#include "sys.h"
#include "text.h"

#define DEPTH_MAX 16      /* nested cgroups that a container may leave behind */
#define KILL_ROUNDS 200   /* of 1 ms, growing to 10 ms */
#define REMOVE_ROUNDS 200 /* the same */

static bool is_joined_v2(const struct plan_op *op)
{
    const uint64_t both = PLAN_CGROUP_JOIN | PLAN_CGROUP_V2;

    return op->code == PLAN_CGROUP_MKDIR && (op->arg[0] & both) == both;
}

/* An old directory of this name is a leftover of a crashed run.  It must not be used again: after
 * cgroup.kill, Linux 6.18 kills whatever is cloned into the same cgroup. */
static int make_dir(const struct plan_op *op, struct err *reterr)
{
    const char *path = plan_str(op, 0);

    if (mkdir(path, 0755) == 0)
        return 0;
    if (errno == EEXIST && rmdir(path) == 0 && mkdir(path, 0755) == 0)
        return 0;
    return err_sys(reterr, errno, "cannot make cgroup %s", path);
}

static int write_value(const struct plan_op *op, struct err *reterr)
{
    const char *path = plan_str(op, 0), *value = plan_str(op, 1);
    int r = file_write(AT_FDCWD, path, value, strlen(value));

    if (r < 0 && op->arg[0] != 1)
        return err_sys(reterr, -r, "failed to write \"%s\" to %s", value, path);
    return 0;
}

static int sys_bpf(int cmd, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static const struct program {
    const char *what;
    uint32_t type, attach, flags;
} programs[] = {
    [PLAN_BPF_DEVICES] = {"device", BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE,
                          BPF_F_ALLOW_MULTI},
    [PLAN_BPF_SOCKETS] = {"socket", BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE,
                          BPF_F_ALLOW_OVERRIDE},
};

static int attach_program(const struct plan_op *op, struct err *reterr)
{
    const struct program *p = &programs[op->arg[1] == PLAN_BPF_SOCKETS];
    const char *path = plan_str(op, 0);
    union bpf_attr load = {
        .prog_type = p->type,
        .expected_attach_type = p->attach == BPF_CGROUP_INET_SOCK_CREATE ? p->attach : 0,
        .insn_cnt = (uint32_t)(op->arg[0] / sizeof(struct bpf_insn)),
        .insns = PTR_U64(plan_blob(op)),
        .license = PTR_U64("Apache-2.0"),
    };
    _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int prog = -EBADF;
    union bpf_attr attach = {
        .target_fd = (uint32_t)dir, .attach_type = p->attach, .attach_flags = p->flags};

    if (dir < 0)
        return err_sys(reterr, errno, "cannot open cgroup %s", path);
    prog = sys_bpf(BPF_PROG_LOAD, &load);
    if (prog < 0)
        return err_sys(reterr, errno, "cannot load the %s program", p->what);
    attach.attach_bpf_fd = (uint32_t)prog;
    if (sys_bpf(BPF_PROG_ATTACH, &attach) < 0)
        return err_sys(reterr, errno, "cannot attach the %s program to %s", p->what, path);
    return 0;
}

int cgroup_make_v2(const void *plan, struct err *reterr)
{
    const struct plan_op *op = NULL;
    int r = 0;

    while (r >= 0 && (op = plan_next(plan, op))) {
        if (is_joined_v2(op))
            r = make_dir(op, reterr);
    }
    return r;
}

int cgroup_make(const void *plan, struct err *reterr)
{
    const struct plan_op *op = NULL;
    int r = 0;

    while (r >= 0 && (op = plan_next(plan, op))) {
        if (op->code == PLAN_CGROUP_MKDIR && !is_joined_v2(op) && !(op->arg[0] & PLAN_CGROUP_LATER))
            r = make_dir(op, reterr);
        else if (op->code == PLAN_CGROUP_WRITE)
            r = write_value(op, reterr);
        else if (op->code == PLAN_CGROUP_BPF)
            r = attach_program(op, reterr);
    }
    return r;
}

int cgroup_open_v2(const void *plan)
{
    const struct plan_op *op = NULL;
    int fd;

    while ((op = plan_next(plan, op))) {
        if (!is_joined_v2(op))
            continue;
        fd = open(plan_str(op, 0), O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    return -ENOENT;
}

static int write_pid(const char *dir, pid_t pid)
{
    char path[PATH_MAX], number[TEXT_U64_MAX];
    size_t n = text_u64(number, (uint64_t)pid);
    int r = text_join(path, sizeof(path), dir, "/cgroup.procs", NULL);

    return r < 0 ? r : file_write(AT_FDCWD, path, number, n);
}

int cgroup_join(const void *plan, pid_t pid, bool with_v2, struct err *reterr)
{
    const struct plan_op *op = NULL;

    while ((op = plan_find(plan, op, PLAN_CGROUP_MKDIR))) {
        int r;

        if (!(op->arg[0] & PLAN_CGROUP_JOIN) || (is_joined_v2(op) && !with_v2))
            continue;
        r = write_pid(plan_str(op, 0), pid);
        if (r < 0 && (r != -ENOENT || !(op->arg[0] & PLAN_CGROUP_LATER)))
            return err_sys(reterr, -r, "cannot enter cgroup %s", plan_str(op, 0));
    }
    return 0;
}

static void nap(int round)
{
    struct timespec ts = {.tv_nsec = (round < 10 ? 1 : 10) * 1000000L};

    nanosleep(&ts, NULL);
}

/* One pass of SIGKILL over cgroup.procs; the number of processes seen or -errno. */
static int kill_listed(int dir)
{
    _cleanup_close_ int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    char buf[4096];
    int seen = 0;
    pid_t pid = 0;
    ssize_t n;

    if (fd < 0)
        return -errno;
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] >= '0' && buf[i] <= '9') {
                pid = pid * 10 + (buf[i] - '0');
                continue;
            }
            /* 0 stands for processes outside our pid namespace. */
            if (pid > 1) {
                kill(pid, SIGKILL);
                seen++;
            }
            pid = 0;
        }
    }
    return seen;
}

/* Call fn for each subdirectory of dir.  getdents64(2) straight: readdir(3) takes heap. */
static int each_child(int dir, int depth, int (*fn)(int parent, const char *name, int depth))
{
    _cleanup_close_ int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char buf[2048] __attribute__((aligned(8)));
    int r = 0;
    long n;

    if (fd < 0 || depth >= DEPTH_MAX)
        return fd < 0 ? -errno : -ELOOP;
    while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
        for (long at = 0; at < n;) {
            const struct dirent64 *d = (const void *)(buf + at);

            if (d->d_type == DT_DIR && !streq(d->d_name, ".") && !streq(d->d_name, "..")) {
                int k = fn(dir, d->d_name, depth + 1);

                r = k < 0 ? k : r + k;
                if (r < 0)
                    return r;
            }
            at += d->d_reclen;
        }
    }
    return r;
}

static int kill_tree(int parent, const char *name, int depth)
{
    _cleanup_close_ int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int here, below;

    if (dir < 0)
        return errno == ENOENT ? 0 : -errno;
    /* A frozen v1 process does not die before it is thawed. */
    file_write(dir, "freezer.state", "THAWED", 6);
    here = kill_listed(dir);
    below = each_child(dir, depth, kill_tree);
    return (here > 0 ? here : 0) + (below > 0 ? below : 0);
}

static void kill_dir(const char *path)
{
    _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    /* v2 kills the whole tree at once and leaves no gap for a fork bomb. */
    if (dir < 0 || file_write(dir, "cgroup.kill", "1", 1) == 0)
        return;
    for (int i = 0; i < KILL_ROUNDS && kill_tree(dir, ".", 0) > 0; i++)
        nap(i);
}

void cgroup_kill(const void *plan)
{
    const struct plan_op *op = NULL;

    while ((op = plan_find(plan, op, PLAN_CGROUP_MKDIR))) {
        if (op->arg[0] & PLAN_CGROUP_JOIN)
            kill_dir(plan_str(op, 0));
    }
}

static int remove_tree(int parent, const char *name, int depth)
{
    _cleanup_close_ int dir = -EBADF;

    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0)
        return -errno;
    each_child(dir, depth, remove_tree);
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Directories of a chain may be in the plan one after another: the deepest are removed first by
 * going through the list until a pass changes nothing. */
static int remove_pass(const void *plan)
{
    const struct plan_op *op = NULL;
    int r = 0;

    while ((op = plan_find(plan, op, PLAN_CGROUP_MKDIR))) {
        int k = rmdir(plan_str(op, 0)) == 0 || errno == ENOENT
                    ? 0
                    : remove_tree(AT_FDCWD, plan_str(op, 0), 0);

        if (k < 0)
            r = k;
    }
    return r;
}

int cgroup_remove(const void *plan)
{
    int r = remove_pass(plan);

    for (int i = 0; r < 0 && i < REMOVE_ROUNDS; i++) {
        /* Give processes that are just dying a moment before looking for stubborn ones. */
        if (i % 4 == 1)
            cgroup_kill(plan);
        nap(i);
        r = remove_pass(plan);
    }
    return r;
}

bool cgroup_oom_killed(const void *plan)
{
    const struct plan_op *op = plan_find(plan, NULL, PLAN_OOM_FILE);
    _cleanup_close_ int fd = -EBADF;
    char buf[1024];
    const char *at;
    ssize_t n;

    if (!op)
        return false;
    fd = open(plan_str(op, 0), O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
    if (n <= 0)
        return false;
    buf[n] = '\0';
    at = strstr(buf, "oom_kill ");
    return at && at[9] != '0';
}
