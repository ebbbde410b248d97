#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "layer_protocol.h"
#include "mount.h"
#include "mountns.h"
#include "ns.h"
#include "plan.h"
#include "planmap.h"
#include "prepare.h"
#include "rootfs.h"
#include "str.h"
#include "sys.h"

/* Nothing in a view is run, and no device is opened: not one that was a file a moment ago. */
#define VIEW_ATTR (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* ---- paths ---- */

int view_open(const struct view *v, const char *path, uint64_t flags)
{
    int fd =
        sys_openat2(v->root, path, flags | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

    return fd < 0 ? -errno : fd;
}

int view_open_at(int dirfd, const char *name, uint64_t flags)
{
    int fd = sys_openat2(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0,
                         RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);

    return fd < 0 ? -errno : fd;
}

int view_canonical(int dirfd, char ret[PATH_MAX])
{
    if (fchdir(dirfd) < 0 || !getcwd(ret, PATH_MAX))
        return -errno;
    /* "(unreachable)...": it was moved out of what is mounted here. */
    return *ret == '/' ? 0 : -ENOENT;
}

/* ---- a container that runs ---- */

static bool same_namespace(int fd, const char *path)
{
    struct stat a, b;

    return fstat(fd, &a) < 0 || stat(path, &b) < 0 ||
           (a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

/* Its user namespace, or -EBADF if that is ours. */
static int join(int source, int *ret_userns, struct err *reterr)
{
    _cleanup_close_ int user = ioctl(source, NS_GET_USERNS);

    if (user < 0)
        return err_sys(reterr, errno, "the container's user namespace");
    fd_set_cloexec(user, 1);
    if (same_namespace(source, "/proc/self/ns/mnt"))
        return err_set(reterr, ERR_SYSTEM, EXDEV, "the container has no mounts of its own");
    if (!same_namespace(user, "/proc/self/ns/user"))
        *ret_userns = TAKE_FD(user);
    if (setns(source, CLONE_NEWNS) < 0)
        return err_sys(reterr, errno, "enter the container's mounts");
    return 0;
}

static int copy_mounts(struct err *reterr)
{
    if (unshare(CLONE_NEWNS) < 0)
        return err_sys(reterr, errno, "unshare");
    return mountns_make_private(reterr);
}

/* ---- one that does not ---- */

/* Ends with us, whenever we are killed. */
static pid_t namespace_holder(void)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    pid_t worker = getpid(), pid = sys_clone3(&args);

    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (pid == 0 && getppid() == worker)
        pause();
    if (pid == 0)
        _exit(0);
    return pid;
}

/* The ids of its user namespace; -EBADF: it has none of its own. */
static int make_userns(const void *plan, struct err *reterr)
{
    char path[64];
    pid_t pid;
    int fd, r;

    if (!plan_find(plan, NULL, PLAN_IDMAP))
        return -EBADF;
    pid = namespace_holder();
    if (pid < 0)
        return err_sys(reterr, errno, "cannot make a user namespace");
    r = ns_write_maps(plan, pid, reterr);
    snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
    fd = r < 0 ? r : open(path, O_RDONLY | O_CLOEXEC);
    if (r >= 0 && fd < 0)
        fd = err_sys(reterr, errno, "open %s", path);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return fd;
}

/* What is read only must not touch the container's own directory: a place in memory takes the
 * mount points that are not there yet. */
static int make_scratch(const void *plan, struct err *reterr)
{
    const struct plan_op *op = plan_find(plan, NULL, PLAN_ROOTFS);
    _cleanup_close_ int fd = -EBADF, target = -EBADF;
    int r;

    if (!op || !streq(plan_str(op, 0), LAYER_SCRATCH "/upper"))
        return 0;
    fd = mount_new("tmpfs", "tmpfs", "mode=755,size=16m,nr_inodes=4k",
                   MS_NOSUID | MS_NODEV | MS_NOEXEC);
    target = fd < 0 ? fd : open(LAYER_SCRATCH, O_PATH | O_DIRECTORY | O_CLOEXEC);
    r = target < 0 ? target : mount_attach(fd, target);
    if (r < 0)
        return err_sys(reterr, -r, "cannot mount memory");
    if (mkdirat(fd, "upper", 0755) < 0 || mkdirat(fd, "work", 0700) < 0)
        return err_sys(reterr, errno, "cannot make directories in memory");
    return 0;
}

static int attach(struct stage *s, int fd, const char *source, const char *path, struct err *reterr)
{
    _cleanup_close_ int target = -EBADF;
    struct stat st;
    int r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : 0;

    if (r >= 0)
        r = target = mount_target(s->root, path, S_ISDIR(st.st_mode));
    if (r >= 0)
        r = mount_attach(fd, target);
    return r < 0 ? err_sys(reterr, -r, "error mounting \"%s\" to rootfs at \"%s\"", source, path)
                 : 0;
}

static int attach_file_system(struct stage *s, const struct plan_op *op, int fd, struct err *reterr)
{
    const char *below = plan_str(op, 4);
    _cleanup_close_ int part = str_empty(below) ? -EBADF : mount_part(s->root, fd, below);

    return attach(s, str_empty(below) ? fd : part, plan_str(op, 1), plan_str(op, 2), reterr);
}

/* Those that prepare_binds() has made come in the order of the plan. */
static int attach_mounts(struct stage *s, struct err *reterr)
{
    const struct plan_op *op = NULL;
    int i = 0, r = 0;

    while (r >= 0 && (op = plan_next(s->plan, op))) {
        if (op->code == PLAN_BIND)
            r = attach(s, s->bind[i++], plan_str(op, 0), plan_str(op, 1), reterr);
        else if (op->code == PLAN_MOUNT && prepare_is_bind(s, op))
            r = attach_file_system(s, op, s->bind[i++], reterr);
    }
    if (r < 0 || !plan_find(s->plan, NULL, PLAN_READONLY))
        return r;
    r = mount_set(s->root, MOUNT_ATTR_RDONLY, 0, false);
    return r < 0 ? err_sys(reterr, -r, "cannot make the root read-only") : 0;
}

static int attach_root(struct stage *s, int userns, struct err *reterr)
{
    _cleanup_close_ int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r;

    s->root = rootfs_mount(s->plan, userns, reterr);
    if (s->root < 0)
        return s->root;
    r = mount_attach(s->root, old);
    return r < 0 ? err_sys(reterr, -r, "cannot attach the root") : 0;
}

static int leave_host(int root, struct err *reterr)
{
    if (fchdir(root) < 0 || sys_pivot_root(".", ".") < 0)
        return err_sys(reterr, errno, "pivot_root");
    /* The old root lies on top of the new one now, and "." is still in it. */
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_sys(reterr, errno, "cannot leave the old root");
    return 0;
}

static int build(int source, int *ret_userns, struct err *reterr)
{
    struct stage s = {.root = -EBADF, .host_null = -EBADF, .host_sys = -EBADF};
    size_t size;
    int r;

    s.plan = planmap_open(source, &size, reterr);
    if (!s.plan)
        return -EINVAL;
    *ret_userns = make_userns(s.plan, reterr);
    if (*ret_userns < 0 && *ret_userns != -EBADF)
        return *ret_userns;
    r = prepare_binds(&s, reterr);
    if (r >= 0)
        r = prepare_idmaps(&s, *ret_userns, reterr);
    if (r >= 0)
        r = make_scratch(s.plan, reterr);
    if (r >= 0)
        r = attach_root(&s, *ret_userns, reterr);
    if (r >= 0)
        r = attach_mounts(&s, reterr);
    if (r >= 0)
        r = leave_host(s.root, reterr);
    prepare_done(&s);
    fd_close(s.root);
    planmap_close(s.plan, size);
    return r;
}

/* ---- both ---- */

static int become_root(int userns, struct err *reterr)
{
    if (setgroups(0, NULL) < 0)
        return err_sys(reterr, errno, "setgroups");
    if (userns < 0)
        return 0;
    if (setns(userns, CLONE_NEWUSER) < 0)
        return err_sys(reterr, errno, "enter the container's user namespace");
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return err_sys(reterr, errno, "become the container's root");
    /* A change of ids forgets both (prctl(2)). */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);
    return 0;
}

static int open_root(struct view *v, struct err *reterr)
{
    struct statx sx;

    v->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (v->root < 0 || statx(v->root, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
        return err_sys(reterr, errno, "open the container's root");
    v->root_mnt = sx.stx_mnt_id;
    return 0;
}

int view_enter(int source, bool plan, bool writing, struct view *ret, struct err *reterr)
{
    struct mount_attr attr = {.attr_set = VIEW_ATTR | (writing ? 0 : MOUNT_ATTR_RDONLY)};
    _cleanup_close_ int userns = -EBADF;
    int r = plan ? 0 : join(source, &userns, reterr);

    if (r >= 0)
        r = copy_mounts(reterr);
    if (r >= 0 && plan)
        r = build(source, &userns, reterr);
    if (r < 0)
        return r;
    if (syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) < 0)
        return err_sys(reterr, errno, "cannot guard the container's mounts");
    close(source);
    /* Files are all that is wanted from here. */
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC) < 0)
        return err_sys(reterr, errno, "unshare");
    r = become_root(userns, reterr);
    return r < 0 ? r : open_root(ret, reterr);
}
