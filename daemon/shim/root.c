#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fd.h"
#include "mount.h"
#include "mountns.h"
#include "ns.h"
#include "plan.h"
#include "prepare.h"
#include "pty.h"
#include "restore.h"
#include "rootfs.h"
#include "str.h"
#include "sync.h"
#include "sys.h"

#define CGROUP_NS UINT64_C(0x02000000) /* CLONE_NEWCGROUP, unsigned */

/* State that several operations share while the tree is built. */
static struct {
    bool in_cgroups;
    int next_bind;
    int null_at;  /* a /dev/null of ours that is attached: what further ones are cloned from */
    int empty_at; /* the same for the empty directory */
} built = {.null_at = -EBADF, .empty_at = -EBADF};

static int enter_cgroups(struct stage *s, struct err *reterr)
{
    if (built.in_cgroups)
        return 0;
    if (sync_expect(s->sync, SYNC_CGROUP, NULL) < 0)
        return err_set(reterr, ERR_SYSTEM, ECANCELED, "the start was given up");
    built.in_cgroups = true;
    /* Its root is the cgroup a process is in at this moment. */
    if (ns_is_new(s->plan, CGROUP_NS) && unshare(CLONE_NEWCGROUP) < 0)
        return err_sys(reterr, errno, "cannot make a cgroup namespace");
    return 0;
}

static int attach(struct stage *s, int fd, const char *path, struct err *reterr)
{
    struct stat st;
    _cleanup_close_ int target = -EBADF;
    int r;

    if (s->restore)
        return restore_stage_mount(s, fd, path, reterr);
    if (fstat(fd, &st) < 0)
        return err_sys(reterr, errno, "mount for \"%s\"", path);
    target = mount_target(s->root, path, S_ISDIR(st.st_mode));
    r = target < 0 ? target : mount_attach(fd, target);
    return r < 0 ? err_sys(reterr, -r, "error mounting to rootfs at \"%s\"", path) : 0;
}

/* ---- one function an operation ---- */

static int do_propagation(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    int r = mount_set(s->root, 0, op->arg[0] & ~(uint64_t)MS_REC, op->arg[0] & MS_REC);

    return r < 0 ? err_sys(reterr, -r, "propagation of the root") : 0;
}

/* procfs and sysfs go on real directories only: with a symlink there, what is written to "/proc"
 * later could be an image's own file (CVE-2019-16884, CVE-2023-27561). */
static int check_plain(struct stage *s, const char *type, const char *target, struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;

    if (!streq(type, "proc") && !streq(type, "sysfs"))
        return 0;
    fd = sys_openat2(s->root, target, O_PATH | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
    if (fd < 0 && errno != ENOENT)
        return err_set(reterr, ERR_INVALID, errno,
                       "filesystem \"%s\" must be mounted on ordinary directory", type);
    return 0;
}

/* As runc does it, so that a tmpfs on /root is root's alone.  Before it is read-only. */
static int take_mode(struct stage *s, const struct plan_op *op, int fd)
{
    _cleanup_close_ int covered = mount_resolve(s->root, plan_str(op, 2), O_DIRECTORY);
    struct stat st;

    if (covered >= 0 && fstat(covered, &st) == 0 && fchmodat(fd, ".", st.st_mode & 07777, 0) < 0)
        return -errno;
    return mount_set(fd, mount_attr(op->arg[0] & MS_RDONLY), 0, false);
}

static int new_tmpfs(struct stage *s, const struct plan_op *op)
{
    _cleanup_close_ int fd = mount_new(plan_str(op, 0), plan_str(op, 1), plan_str(op, 3),
                                       op->arg[0] & ~(uint64_t)MS_RDONLY);
    int r = fd < 0 ? fd : take_mode(s, op, fd);

    return r < 0 ? r : TAKE_FD(fd);
}

static int new_mount(struct stage *s, const struct plan_op *op)
{
    const char *type = plan_str(op, 0);
    int fd;

    if (prepare_is_bind(s, op))
        return s->bind[built.next_bind++];
    if (op->arg[3])
        return new_tmpfs(s, op);
    fd = mount_new(type, plan_str(op, 1), plan_str(op, 3), op->arg[0]);
    if (fd == -EPERM && streq(type, "sysfs") && s->host_sys >= 0)
        return TAKE_FD(s->host_sys);
    return fd;
}

static void note_devpts(struct stage *s, const struct plan_op *op, int fd)
{
    struct stat st;

    if (s->devpts_fd < 0 && streq(plan_str(op, 0), "devpts") && fstat(fd, &st) == 0) {
        s->devpts = st.st_dev;
        s->devpts_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    }
}

/* Only a part of the file system. */
static int attach_part(struct stage *s, int mount, const char *below, const char *target,
                       struct err *reterr)
{
    _cleanup_close_ int part = mount_part(s->root, mount, below);

    return part < 0 ? err_sys(reterr, -part, "%s", below) : attach(s, part, target, reterr);
}

static int mount_one(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    const char *type = plan_str(op, 0), *target = plan_str(op, 2);
    _cleanup_close_ int fd = -EBADF;
    int r = check_plain(s, type, target, reterr);

    if (r >= 0 && str_starts(type, "cgroup"))
        r = enter_cgroups(s, reterr);
    if (r < 0)
        return r;
    fd = new_mount(s, op);
    if (fd < 0)
        return err_sys(reterr, -fd, "error mounting \"%s\" to rootfs at \"%s\"", plan_str(op, 1),
                       target);
    if (!str_empty(plan_str(op, 4))) {
        r = attach_part(s, fd, plan_str(op, 4), target, reterr);
        return r < 0 ? err_wrap(reterr, "error mounting \"%s\" to rootfs at \"%s\"",
                                plan_str(op, 1), target)
                     : r;
    }
    r = attach(s, fd, target, reterr);
    if (r >= 0)
        note_devpts(s, op, fd);
    return r;
}

static int do_mount(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    int r = mount_one(s, op, reterr);

    return r < 0 && op->arg[1] == 1 ? 0 : r;
}

static int do_bind(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    _cleanup_close_ int fd = s->bind[built.next_bind++];
    const char *target = op->code == PLAN_BIND ? plan_str(op, 1) : plan_str(op, 0);
    int r = attach(s, fd, target, reterr);

    return r < 0 ? err_wrap(reterr, "error mounting \"%s\"", plan_str(op, 0)) : 0;
}

/* The host's mounts are still there below the new root, in a namespace that is the container's
 * already.  A bind shows the cgroup as the root of its hierarchy, in the host's cgroup namespace as
 * in one of its own, and is cheaper than a mount. */
static int do_cgroup_bind(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    const char *path = plan_str(op, 0);
    _cleanup_close_ int fd = -EBADF;
    int r = enter_cgroups(s, reterr);

    if (r < 0)
        return r;
    fd = mount_clone(AT_FDCWD, path, false);
    r = fd < 0 ? fd : mount_set(fd, mount_attr(op->arg[0]), 0, false);
    if (r < 0)
        return err_sys(reterr, -r, "error mounting cgroup \"%s\"", path);
    return attach(s, fd, plan_str(op, 1), reterr);
}

static int check_device(int dir, const char *name, const struct plan_op *op)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if ((st.st_mode & S_IFMT) != (op->arg[0] & S_IFMT) || st.st_rdev != (dev_t)op->arg[1])
        return -EEXIST;
    return 0;
}

static int make_node(struct stage *s, const struct plan_op *op)
{
    char name[256];
    _cleanup_close_ int dir = mount_parent(s->root, plan_str(op, 0), name);
    uid_t uid = (uid_t)op->arg[2];
    gid_t gid = (gid_t)op->arg[3];

    if (dir < 0)
        return dir;
    if (mknodat(dir, name, (mode_t)op->arg[0], (dev_t)op->arg[1]) < 0)
        return errno == EEXIST ? check_device(dir, name, op) : -errno;
    if ((uid || gid) && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int do_device(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    int r;

    if (s->userns)
        return do_bind(s, op, reterr);
    r = make_node(s, op);
    return r < 0 ? err_sys(reterr, -r, "cannot make device %s", plan_str(op, 0)) : 0;
}

static int do_symlink(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    char name[256];
    _cleanup_close_ int dir = mount_parent(s->root, plan_str(op, 1), name);

    if (dir < 0)
        return err_sys(reterr, -dir, "cannot make %s", plan_str(op, 1));
    if (symlinkat(plan_str(op, 0), dir, name) < 0 && errno != EEXIST)
        return err_sys(reterr, errno, "cannot make %s", plan_str(op, 1));
    return 0;
}

static int do_mkdir(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    const char *path = plan_str(op, 0);
    char name[256];
    _cleanup_close_ int dir = mount_parent(s->root, path, name);
    int r = dir;

    if (dir >= 0 && mkdirat(dir, name, (mode_t)op->arg[0]) < 0)
        r = errno == EEXIST ? 0 : -errno;
    return r < 0 ? err_sys(reterr, -r, "cannot make directory %s", path) : 0;
}

static int do_console(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    int r;

    if (!(s->flags & PLAN_STDIO_TTY))
        return 0;
    r = pty_open(s, reterr);
    if (r < 0)
        return r;
    fd = mount_clone(s->stdio[0], "", false);
    if (fd < 0)
        return err_sys(reterr, -fd, "cannot take the terminal");
    return attach(s, fd, plan_str(op, 0), reterr);
}

static int do_pivot(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    char cwd[PATH_MAX];

    (void)op;
    if (fchdir(s->root) < 0 || sys_pivot_root(".", ".") < 0)
        return err_sys(reterr, errno, "pivot_root");
    /* The old root lies on top of the new one now, and "." is still in it. */
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_sys(reterr, errno, "cannot leave the old root");
    /* Outside of the root the kernel answers "(unreachable)..." (CVE-2024-21626). */
    if (!getcwd(cwd, sizeof(cwd)) || cwd[0] != '/')
        return err_set(reterr, ERR_SYSTEM, EXDEV, "the working directory is outside the root");
    s->root = fd_close(s->root);
    s->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return s->root < 0 ? err_sys(reterr, errno, "cannot open the new root") : 0;
}

/* The first mask uses up the detached mount; later ones are clones of it where it is attached,
 * since before Linux 6.15 a detached mount cannot be cloned. */
static int cover(int *at, int first, int target)
{
    _cleanup_close_ int fd =
        *at >= 0 ? mount_clone(*at, "", false) : fcntl(first, F_DUPFD_CLOEXEC, 3);
    int r;

    if (fd < 0)
        return fd;
    r = mount_attach(fd, target);
    if (r >= 0 && *at < 0)
        *at = TAKE_FD(fd);
    return r;
}

static int cover_directory(int target)
{
    _cleanup_close_ int fd = -EBADF;

    if (built.empty_at < 0) {
        fd = mount_new("tmpfs", "tmpfs", "mode=755,size=4k,nr_inodes=2",
                       MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
        if (fd < 0)
            return fd;
    }
    return cover(&built.empty_at, fd, target);
}

static int do_mask(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    const char *path = plan_str(op, 0);
    _cleanup_close_ int target = mount_resolve(s->root, path, 0);
    struct stat st;
    int r;

    if (target == -ENOENT || target == -ENOTDIR)
        return 0;
    if (target < 0 || fstat(target, &st) < 0)
        return err_sys(reterr, target < 0 ? -target : errno, "cannot mask %s", path);
    r = S_ISDIR(st.st_mode) ? cover_directory(target) : cover(&built.null_at, s->host_null, target);
    return r < 0 ? err_sys(reterr, -r, "cannot mask %s", path) : 0;
}

static int do_readonly(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    const char *path = plan_str(op, 0);
    _cleanup_close_ int target = -EBADF, fd = -EBADF;
    int r;

    if (streq(path, "/")) {
        r = mount_set(s->root, MOUNT_ATTR_RDONLY, 0, false);
        return r < 0 ? err_sys(reterr, -r, "cannot make the root read-only") : 0;
    }
    target = mount_resolve(s->root, path, 0);
    if (target == -ENOENT || target == -ENOTDIR)
        return 0;
    fd = target < 0 ? target : mount_clone(target, "", true);
    r = fd < 0 ? fd : mount_set(fd, MOUNT_ATTR_RDONLY, 0, false);
    if (r >= 0)
        r = mount_attach(fd, target);
    return r < 0 ? err_sys(reterr, -r, "cannot make %s read-only", path) : 0;
}

/* A procfs of its own, attached nowhere: whatever the container's /proc looks like, writes go to
 * the real thing. */
static int open_proc(struct stage *s)
{
    struct statfs fs;
    _cleanup_close_ int fd = mount_new("proc", "proc", "", 0);

    if (fd < 0)
        fd = mount_resolve(s->root, "/proc", O_DIRECTORY);
    if (fd < 0)
        return TAKE_FD(fd);
    if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
        return -EXDEV;
    return TAKE_FD(fd);
}

static int write_sysctl(struct stage *s, const char *name, const char *value)
{
    _cleanup_close_ int proc = open_proc(s), fd = -EBADF;
    char path[PATH_MAX];
    size_t n = strlen(value);
    char *p;

    if (proc < 0)
        return proc;
    if (snprintf(path, sizeof(path), "sys/%s", name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    /* A name that has slashes already ("net/ipv4/conf/eth0.1/...") keeps its dots, as in
     * sysctl(8). */
    for (p = path; !strchr(name, '/') && *p; p++) {
        if (*p == '.')
            *p = '/';
    }
    fd = sys_openat2(proc, path, O_WRONLY | O_CLOEXEC, 0,
                     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (fd < 0)
        return -errno;
    return write(fd, value, n) == (ssize_t)n ? 0 : -errno;
}

static int do_sysctl(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    int r = write_sysctl(s, plan_str(op, 0), plan_str(op, 1));

    return r < 0 ? err_sys(reterr, -r, "cannot set sysctl %s", plan_str(op, 0)) : 0;
}

static int do_hostname(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    const char *name = plan_str(op, 0);

    (void)s;
    return sethostname(name, strlen(name)) < 0 ? err_sys(reterr, errno, "sethostname") : 0;
}

static int do_domainname(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    const char *name = plan_str(op, 0);

    (void)s;
    return setdomainname(name, strlen(name)) < 0 ? err_sys(reterr, errno, "setdomainname") : 0;
}

typedef int root_fn(struct stage *s, const struct plan_op *op, struct err *reterr);

static root_fn *const table[] = {
    [PLAN_PROPAGATION] = do_propagation,
    [PLAN_MOUNT] = do_mount,
    [PLAN_BIND] = do_bind,
    [PLAN_DEVICE] = do_device,
    [PLAN_SYMLINK] = do_symlink,
    [PLAN_MKDIR] = do_mkdir,
    [PLAN_CONSOLE] = do_console,
    [PLAN_PIVOT] = do_pivot,
    [PLAN_MASK] = do_mask,
    [PLAN_READONLY] = do_readonly,
    [PLAN_SYSCTL] = do_sysctl,
    [PLAN_HOSTNAME] = do_hostname,
    [PLAN_DOMAINNAME] = do_domainname,
    [PLAN_CGROUP_BIND] = do_cgroup_bind,
};

/* ---- for a restore: criu attaches them, where it had dumped them ---- */

static int stage_mask(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    return restore_stage_null(s, plan_str(op, 0), reterr);
}

static int stage_readonly(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    return streq(plan_str(op, 0), "/") ? do_readonly(s, op, reterr) : 0;
}

/* The others are part of what was dumped, and this is the host's ipc namespace. */
static int stage_sysctl(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    const char *name = plan_str(op, 0);

    return str_starts(name, "net.") || str_starts(name, "net/") ? do_sysctl(s, op, reterr) : 0;
}

/* Of what it makes itself, criu asks for nothing. */
static int stage_mount(struct stage *s, const struct plan_op *op, struct err *reterr)
{
    static const char *const own[] = {"proc", "tmpfs", "devpts"};

    for (size_t i = 0; i < ARRAY_SIZE(own) && !op->arg[2]; i++) {
        if (streq(plan_str(op, 0), own[i]))
            return 0;
    }
    return do_mount(s, op, reterr);
}

static root_fn *const restore_table[] = {
    [PLAN_MOUNT] = stage_mount,       [PLAN_BIND] = do_bind,
    [PLAN_MASK] = stage_mask,         [PLAN_SYSCTL] = stage_sysctl,
    [PLAN_READONLY] = stage_readonly, [PLAN_CGROUP_BIND] = do_cgroup_bind,
};

/* The root is attached over "/": a place that exists always.  Paths from "/" still go below the
 * old root, because a lookup does not follow mounts on its own starting point. */
static int attach_root(struct stage *s, struct err *reterr)
{
    _cleanup_close_ int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r;

    r = mountns_make_private(reterr);
    if (r < 0)
        return r;
    if (s->root < 0)
        s->root = rootfs_mount(s->plan, -EBADF, reterr);
    if (s->root < 0)
        return s->root;
    if (s->restore)
        return restore_stage_root(s, reterr);
    r = mount_attach(s->root, old);
    return r < 0 ? err_sys(reterr, -r, "cannot attach the root") : 0;
}

int root_build(struct stage *s, struct err *reterr)
{
    const struct plan_op *op = NULL;
    root_fn *const *fns = s->restore ? restore_table : table;
    size_t n = s->restore ? ARRAY_SIZE(restore_table) : ARRAY_SIZE(table);
    int r = attach_root(s, reterr);

    umask(0);
    while (r >= 0 && (op = plan_next(s->plan, op))) {
        if (op->code < n && fns[op->code])
            r = fns[op->code](s, op, reterr);
    }
    umask(022);
    return r < 0 ? r : enter_cgroups(s, reterr);
}
