#include "rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "fd.h"
#include "mount.h"
#include "mountns.h"
#include "plan.h"
#include "str.h"
#include "sync.h"
#include "sys.h"
#include "text.h"

#define LOWERS_MAX 500 /* the kernel's own limit for lower layers */
#define FIRST_LOWER 2

/* A layer's directory by descriptor: the strings stay short whatever the paths, and the
 * container's mount table tells nothing about the host's folders. */
static int open_layer(const char *path, int userns, struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    int r;

    if (userns < 0) {
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? err_sys(reterr, errno, "layer %s", path) : TAKE_FD(fd);
    }
    fd = mount_clone(AT_FDCWD, path, false);
    if (fd < 0)
        return err_sys(reterr, -fd, "layer %s", path);
    r = mount_idmap(fd, userns, false, path, reterr);
    return r < 0 ? r : TAKE_FD(fd);
}

static int set_layer(int fs, const char *key, const char *path, int userns, struct err *reterr)
{
    _cleanup_close_ int fd = open_layer(path, userns, reterr);
    char link[64] = "/proc/self/fd/";

    if (fd < 0)
        return fd;
    text_u64(link + strlen(link), (uint64_t)fd);
    if (fsconfig(fs, FSCONFIG_SET_STRING, key, link, 0) < 0)
        return err_sys(reterr, errno, "layer %s", path);
    return 0;
}

/* A volatile overlay marks its work directory, and refuses to use one with that mark again, since
 * after a crash it could hold anything.  Here it means a restart without one. */
static void forget_volatile(const char *work)
{
    char path[PATH_MAX];
    int n = text_join(path, sizeof(path), work, "/work/incompat/volatile/dirty", NULL);

    if (n < 0)
        return;
    unlink(path);
    path[n - 6] = '\0';
    rmdir(path);
}

static void set_features(int fs)
{
    /* A kernel may have these on by default; an upper directory written with them cannot be read
     * as a plain layer.  Older kernels that do not know one need no telling. */
    fsconfig(fs, FSCONFIG_SET_STRING, "index", "off", 0);
    fsconfig(fs, FSCONFIG_SET_STRING, "metacopy", "off", 0);
    fsconfig(fs, FSCONFIG_SET_STRING, "redirect_dir", "off", 0);
}

/* "lowerdir+" is Linux 6.7's.  Older ones refuse it, but not without a line in the kernel's log. */
static bool knows_single_layers(void)
{
    struct utsname u;
    char *end;
    unsigned long major, minor = 0;

    if (uname(&u) < 0)
        return true;
    major = strtoul(u.release, &end, 10);
    if (*end == '.')
        minor = strtoul(end + 1, NULL, 10);
    return major > 6 || (major == 6 && minor >= 7);
}

/* Any number of layers one by one.  -EINVAL: this kernel cannot, whatever its number says. */
static int overlay_new(const struct plan_op *op, int userns, struct err *reterr)
{
    _cleanup_close_ int fs = fsopen("overlay", FSOPEN_CLOEXEC);
    const char *upper = plan_str(op, 0);
    int fd, r = 0;

    if (fs < 0)
        return err_sys(reterr, errno, "no overlay file system");
    for (unsigned i = FIRST_LOWER; i < op->strings; i++) {
        r = set_layer(fs, "lowerdir+", plan_str(op, i), userns, reterr);
        if (r < 0)
            return r;
    }
    if (!str_empty(upper)) {
        r = set_layer(fs, "upperdir", upper, -EBADF, reterr);
        if (r >= 0)
            r = set_layer(fs, "workdir", plan_str(op, 1), -EBADF, reterr);
        if (r < 0)
            return r;
    }
    set_features(fs);
    if (op->arg[0] & PLAN_ROOTFS_VOLATILE) {
        forget_volatile(plan_str(op, 1));
        fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0);
    }
    fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay", 0);
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return err_sys(reterr, errno, "cannot mount the overlay of %s", upper);
    fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
    return fd < 0 ? err_sys(reterr, errno, "cannot mount the overlay of %s", upper) : fd;
}

/* ---- kernels before 6.7 ---- */

static int add_fd(char *data, size_t size, const char *prefix, int fd)
{
    char number[TEXT_U64_MAX];
    size_t at = strlen(data);
    int r;

    if (fd < 0)
        return fd;
    text_u64(number, (uint64_t)fd);
    r = text_join(data + at, size - at, prefix, "/proc/self/fd/", number, NULL);
    return r < 0 ? r : 0;
}

/* An idmapped layer must be attached somewhere before an old overlay takes it: over itself. */
static int attach_mapped(const char *path, int userns, struct err *reterr)
{
    _cleanup_close_ int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = -EBADF;
    int r;

    if (dir < 0)
        return err_sys(reterr, errno, "layer %s", path);
    fd = open_layer(path, userns, reterr);
    if (fd < 0)
        return fd;
    r = mount_attach(fd, dir);
    return r < 0 ? err_sys(reterr, -r, "cannot map layer %s", path) : TAKE_FD(fd);
}

/* In a mount namespace of its own; only a detached clone of the finished overlay comes out. */
static int classic_overlay(const struct plan_op *op, int userns, struct err *reterr)
{
    static char data[4096]; /* mount(2) takes one page */
    const char *upper = plan_str(op, 0);
    int r, fd;

    data[0] = '\0';
    r = mountns_make_private(reterr);
    if (r < 0)
        return r;
    for (unsigned i = FIRST_LOWER; i < op->strings; i++) {
        fd = userns >= 0 ? attach_mapped(plan_str(op, i), userns, reterr)
                         : open_layer(plan_str(op, i), -EBADF, reterr);
        r = add_fd(data, sizeof(data), i == FIRST_LOWER ? "lowerdir=" : ":", fd);
        if (r < 0)
            return err_sys(reterr, -r, "too many or missing layers");
    }
    if (!str_empty(upper)) {
        r = add_fd(data, sizeof(data), ",upperdir=", open_layer(upper, -EBADF, reterr));
        if (r >= 0)
            r = add_fd(data, sizeof(data),
                       ",workdir=", open_layer(plan_str(op, 1), -EBADF, reterr));
        if (r < 0)
            return err_sys(reterr, -r, "cannot open %s", upper);
    }
    if (op->arg[0] & PLAN_ROOTFS_VOLATILE)
        forget_volatile(plan_str(op, 1));
    r = text_join(data + strlen(data), sizeof(data) - strlen(data),
                  ",index=off,metacopy=off,redirect_dir=off",
                  op->arg[0] & PLAN_ROOTFS_VOLATILE ? ",volatile" : NULL, NULL);
    if (r < 0 || mount("overlay", "/tmp", "overlay", 0, data) < 0)
        return err_sys(reterr, r < 0 ? -r : errno, "cannot mount the overlay of %s", upper);
    fd = mount_clone(AT_FDCWD, "/tmp", false);
    return fd < 0 ? err_sys(reterr, -fd, "cannot take the overlay of %s", upper) : fd;
}

static void run_helper(int sock, const struct plan_op *op, int userns)
{
    struct err e = {0};
    int fd = classic_overlay(op, userns, &e);

    fd_send(sock, &e, sizeof(e), &fd, fd >= 0 ? 1 : 0);
    _exit(0);
}

static int overlay_old(const struct plan_op *op, int userns, struct err *reterr)
{
    struct clone_args args = {.flags = CLONE_NEWNS, .exit_signal = SIGCHLD};
    int sock[2], fds[FD_PASS_MAX], r = sync_pair(sock);
    struct err e = {0};
    size_t n = 0;
    pid_t pid;

    if (r < 0)
        return err_sys(reterr, -r, "no socket");
    pid = sys_clone3(&args);
    if (pid == 0)
        run_helper(sock[1], op, userns);
    fd_close(sock[1]);
    if (pid > 0) {
        fd_recv(sock[0], &e, sizeof(e), fds, &n);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    fd_close(sock[0]);
    if (n == 1)
        return fds[0];
    if (!e.kind)
        return err_set(reterr, ERR_SYSTEM, EIO, "the helper that mounts the overlay died");
    if (reterr)
        *reterr = e;
    return e.errnum > 0 ? -e.errnum : -EIO;
}

/* What it lies on may be mounted nodev or nosuid, and its mounts shared: neither is the
 * container's. */
static int directory(const char *path, int userns, struct err *reterr)
{
    _cleanup_close_ int fd = mount_clone(AT_FDCWD, path, false);
    int r = fd < 0 ? fd : mount_detach(fd);

    if (r < 0)
        return err_sys(reterr, -r, "root directory %s", path);
    if (userns >= 0)
        r = mount_idmap(fd, userns, false, path, reterr);
    return r < 0 ? r : TAKE_FD(fd);
}

int rootfs_mount(const void *plan, int userns, struct err *reterr)
{
    const struct plan_op *op = plan_find(plan, NULL, PLAN_ROOTFS);
    int r;

    if (!op || op->strings == 0 || op->strings > LOWERS_MAX + FIRST_LOWER)
        return err_set(reterr, ERR_INVALID, EINVAL, "the plan has no usable root file system");
    if (!(op->arg[0] & PLAN_ROOTFS_IDMAP))
        userns = -EBADF;
    if (op->strings <= FIRST_LOWER)
        return directory(plan_str(op, 0), userns, reterr);
    r = knows_single_layers() ? overlay_new(op, userns, reterr) : -EINVAL;
    if (r == -EINVAL)
        r = overlay_old(op, userns, reterr);
    return r;
}
