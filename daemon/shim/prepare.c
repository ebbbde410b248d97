#include "prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "mount.h"
#include "ns.h"
#include "str.h"
#include "sys.h"

static int binds[STAGE_BINDS_MAX];

bool prepare_is_bind(const struct stage *s, const struct plan_op *op)
{
    return op->code == PLAN_BIND || (op->code == PLAN_DEVICE && s->userns) ||
           (op->code == PLAN_MOUNT && op->arg[2]);
}

static bool has_code(const void *plan, unsigned code)
{
    return plan_find(plan, NULL, code) != NULL;
}

/* mkdir -p of a bind's missing source, as Docker does for -v. */
static int make_source(const char *path)
{
    char name[256];
    _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), dir = -EBADF;

    if (root < 0)
        return -errno;
    dir = mount_parent(root, path, name);
    if (dir < 0)
        return dir;
    return mkdirat(dir, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* What is in path may be another container's to change: below it ("": itself) symlinks lead nowhere
 * but below it. */
static int clone_beneath(const char *path, const char *below, bool recursive)
{
    _cleanup_close_ int dir = -EBADF, fd = -EBADF;

    if (!*below)
        return mount_clone(AT_FDCWD, path, recursive);
    dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    fd = mount_beneath(dir, below);
    return fd < 0 ? fd : mount_clone(fd, "", recursive);
}

/* A mount can only be cloned from inside its own mount namespace: a child goes there for it. */
static int clone_elsewhere(const char *ns_path, const char *path, const char *below, bool recursive)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    _cleanup_close_ int ns = open(ns_path, O_RDONLY | O_CLOEXEC), ours = -EBADF, theirs = -EBADF;
    int pair[2], fds[FD_PASS_MAX], result = -ECHILD;
    size_t n = 0;
    pid_t pid;

    if (ns < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    ours = pair[0];
    theirs = pair[1];
    pid = sys_clone3(&args);
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        int fd = setns(ns, CLONE_NEWNS) < 0 ? -errno : clone_beneath(path, below, recursive);

        fd_send(theirs, &fd, sizeof(fd), &fd, fd >= 0 ? 1 : 0);
        _exit(0);
    }
    fd_close(TAKE_FD(theirs));
    if (fd_recv(ours, &result, sizeof(result), fds, &n) != sizeof(result))
        result = -ECHILD;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (n == 1)
        return fds[0];
    return result < 0 ? result : -ECHILD;
}

static int clone_source(const struct plan_op *op)
{
    const char *path =
        op->code == PLAN_BIND || str_empty(plan_str(op, 1)) ? plan_str(op, 0) : plan_str(op, 1);
    bool recursive = op->code == PLAN_BIND && (op->arg[0] & PLAN_BIND_RECURSIVE);
    int fd;

    if (op->code == PLAN_MOUNT)
        return mount_new(plan_str(op, 0), plan_str(op, 1), plan_str(op, 3), op->arg[0]);
    if (op->code == PLAN_BIND && *plan_str(op, 2))
        return clone_elsewhere(plan_str(op, 2), path, plan_str(op, 3), recursive);
    if (op->code == PLAN_BIND && *plan_str(op, 3))
        return clone_beneath(path, plan_str(op, 3), recursive);
    fd = mount_clone(AT_FDCWD, path, recursive);
    if (fd == -ENOENT && op->code == PLAN_BIND && (op->arg[0] & PLAN_BIND_MKSOURCE)) {
        int r = make_source(path);

        return r < 0 ? r : mount_clone(AT_FDCWD, path, recursive);
    }
    return fd;
}

static uint64_t bind_attr(uint64_t flags)
{
    return (flags & PLAN_BIND_NOSUID ? MOUNT_ATTR_NOSUID : 0) |
           (flags & PLAN_BIND_NODEV ? MOUNT_ATTR_NODEV : 0) |
           (flags & PLAN_BIND_NOEXEC ? MOUNT_ATTR_NOEXEC : 0);
}

/* Propagation comes first: a clone of a shared mount is in the source's peer group until told
 * otherwise.  Within a user namespace "shared" means slave-and-shared, as for any mount that
 * goes into a less privileged namespace: its mounts must not come back to the host. */
static int set_options(const struct stage *s, int fd, const struct plan_op *op)
{
    const uint64_t types = MS_PRIVATE | MS_SLAVE | MS_SHARED | MS_UNBINDABLE;
    uint64_t flags = op->arg[0], ask = op->arg[1] ? op->arg[1] : MS_PRIVATE | MS_REC;
    bool deep = flags & PLAN_BIND_RECURSIVE;
    int r = 0;

    if (s->userns && (ask & MS_SHARED))
        r = mount_set(fd, 0, MS_SLAVE, deep);
    if (r >= 0)
        r = mount_set(fd, 0, ask & types, deep && (ask & MS_REC));
    if (r >= 0 && (flags & PLAN_BIND_RDONLY))
        r = mount_set(fd, MOUNT_ATTR_RDONLY, 0, deep && (flags & PLAN_BIND_RDONLY_REC));
    if (r >= 0)
        r = mount_set(fd, bind_attr(flags), 0, false);
    return r;
}

static int prepare_bind(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    int fd, r;

    if (s->binds == STAGE_BINDS_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG, "more than %d binds", STAGE_BINDS_MAX);
    fd = clone_source(op);
    if (fd < 0)
        return err_sys(reterr, -fd, "error mounting \"%s\" to rootfs at \"%s\"",
                       plan_str(op, op->code == PLAN_MOUNT ? 1 : 0),
                       plan_str(op, op->code == PLAN_MOUNT ? 2 : 1));
    s->bind[s->binds++] = fd;
    r = op->code == PLAN_BIND ? set_options(s, fd, op) : 0;
    return r < 0 ? err_sys(reterr, -r, "mount options of \"%s\"", plan_str(op, 0)) : 0;
}

/* Masked files are covered with a /dev/null taken from here and proven to be it; the one in the
 * container is the container's to exchange (CVE-2025-31133). */
static int prepare_null(struct stage *s, struct err *reterr)
{
    struct stat st;

    s->host_null = mount_clone(AT_FDCWD, "/dev/null", false);
    if (s->host_null < 0 || fstat(s->host_null, &st) < 0)
        return err_sys(reterr, s->host_null < 0 ? -s->host_null : errno, "/dev/null");
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        return err_set(reterr, ERR_SYSTEM, ENODEV, "/dev/null is not the null device");
    return mount_set(s->host_null, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, MS_PRIVATE, false);
}

int prepare_binds(struct stage *s, struct err *reterr)
{
    const struct plan_op *op = NULL;
    int r = 0;

    s->bind = binds;
    if (has_code(s->plan, PLAN_MASK))
        r = prepare_null(s, reterr);
    if (r >= 0 && s->userns && !ns_is_new(s->plan, CLONE_NEWNET)) {
        s->host_sys = mount_clone(AT_FDCWD, "/sys", true);
        if (s->host_sys >= 0)
            r = mount_set(s->host_sys, MOUNT_ATTR_RDONLY, MS_PRIVATE, true);
    }
    while (r >= 0 && (op = plan_next(s->plan, op))) {
        if (prepare_is_bind(s, op))
            r = prepare_bind(s, op, reterr);
    }
    return r;
}

int prepare_idmaps(const struct stage *s, int userns, struct err *reterr)
{
    const struct plan_op *op = NULL;
    int i = 0;

    while ((op = plan_next(s->plan, op))) {
        int r = 0;

        if (!prepare_is_bind(s, op))
            continue;
        if (op->code == PLAN_BIND && (op->arg[0] & PLAN_BIND_IDMAP))
            r = mount_idmap(s->bind[i], userns, op->arg[0] & PLAN_BIND_RECURSIVE, plan_str(op, 0),
                            reterr);
        if (r < 0)
            return r;
        i++;
    }
    return 0;
}

void prepare_done(struct stage *s)
{
    while (s->binds > 0)
        fd_close(s->bind[--s->binds]);
    s->host_null = fd_close(s->host_null);
    s->host_sys = fd_close(s->host_sys);
}
