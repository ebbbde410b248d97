#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layer_protocol.h"
#include "mem.h"

/* What is used is far less (32 MiB to unpack, more only to sort huge directories); libraries and
 * stacks that are merely mapped count too. */
#define MEMORY_MAX (1ULL << 30)
#define NOFILE_MAX 512

#define CAP(x) (1ULL << (x))

static const uint64_t kept_capabilities[] = {
    [SANDBOX_SPLIT] = 0,
    /* SYS_ADMIN is what setting trusted.overlay.opaque needs; mount(2) and its kin are not in
     * the list of system calls. */
    [SANDBOX_UNPACK] = CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) | CAP(CAP_FSETID) |
                       CAP(CAP_MKNOD) | CAP(CAP_SETFCAP) | CAP(CAP_SYS_ADMIN),
    /* SYS_ADMIN: trusted.overlay.opaque is not shown to others. */
    [SANDBOX_READ] = CAP(CAP_DAC_READ_SEARCH) | CAP(CAP_SYS_ADMIN),
    [SANDBOX_GIVE] = CAP(CAP_DAC_READ_SEARCH),
    [SANDBOX_TAKE] = CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) | CAP(CAP_FSETID) |
                     CAP(CAP_MKNOD) | CAP(CAP_SETFCAP),
};

static const int common_calls[] = {
    /* memory, signals, end */
    SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect),
    SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(getpid),
    SCMP_SYS(gettid), SCMP_SYS(tgkill), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(sched_yield), SCMP_SYS(sysinfo),
    /* reading and writing */
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
    SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fcntl), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
    SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(pselect6),
    SCMP_SYS(select), SCMP_SYS(getdents64), SCMP_SYS(sync_file_range),
    /* how poll() goes on behind SIGSTOP or a freezer */
    SCMP_SYS(restart_syscall)};

static const int making_calls[] = {
    SCMP_SYS(openat),    SCMP_SYS(openat2),   SCMP_SYS(open),      SCMP_SYS(pwrite64),
    SCMP_SYS(mkdirat),   SCMP_SYS(unlinkat),  SCMP_SYS(linkat),    SCMP_SYS(renameat2),
    SCMP_SYS(symlinkat), SCMP_SYS(mknodat),   SCMP_SYS(fchownat),  SCMP_SYS(fchown),
    SCMP_SYS(fchmod),    SCMP_SYS(fchmodat),  SCMP_SYS(fsetxattr), SCMP_SYS(utimensat),
    SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fsync)};

/* And openat(2) without the flags that make or write. */
static const int looking_calls[] = {SCMP_SYS(readlinkat), SCMP_SYS(fgetxattr),
                                    SCMP_SYS(flistxattr)};
#define WRITING_FLAGS (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

/* RLIMIT_NPROC does not hold for root: that there are no more processes is the filter's work. */
static int limit_resources(int64_t file_max, struct err *reterr)
{
    const struct {
        int resource;
        rlim_t max;
    } limits[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_FSIZE, file_max < 0 ? RLIM_INFINITY : (rlim_t)file_max},
        {RLIMIT_NOFILE, NOFILE_MAX},
#ifndef __SANITIZE_ADDRESS__ /* its shadow memory alone is terabytes of address space */
        {RLIMIT_AS, MEMORY_MAX},
#endif
    };

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        __rlimit_resource_t resource = (__rlimit_resource_t)limits[i].resource;
        struct rlimit rl;

        /* What the daemon may not have is not asked for: that takes CAP_SYS_RESOURCE. */
        if (getrlimit(resource, &rl) < 0)
            return err_sys(reterr, errno, "getrlimit");
        if (rl.rlim_max > limits[i].max)
            rl.rlim_max = limits[i].max;
        rl.rlim_cur = rl.rlim_max;
        if (setrlimit(resource, &rl) < 0)
            return err_sys(reterr, errno, "setrlimit");
    }
    return 0;
}

static int drop_capabilities(uint64_t keep, struct err *reterr)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2], had[2];

    for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
        if (!(keep & CAP(cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            return err_sys(reterr, errno, "drop capability %d", cap);
    }
    if (syscall(SYS_capget, &header, had) < 0)
        return err_sys(reterr, errno, "capget");
    for (int i = 0; i < 2; i++) {
        data[i].permitted = (uint32_t)(keep >> (32 * i)) & had[i].permitted;
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return err_sys(reterr, errno, "capset");
    return 0;
}

static int allow(scmp_filter_ctx ctx, const int *calls, size_t n)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < n; i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
    return r;
}

/* Paths that a container has its hands in are resolved by openat2(2) alone, whose flags a filter
 * cannot see: what may not be written is mounted read-only. */
static const int view_calls[] = {SCMP_SYS(openat2), SCMP_SYS(readlinkat), SCMP_SYS(fchdir),
                                 SCMP_SYS(getcwd)};

static int allow_view(scmp_filter_ctx ctx, enum sandbox_kind kind)
{
    int r = allow(ctx, view_calls, ARRAY_SIZE(view_calls));

    if (r < 0)
        return r;
    return kind == SANDBOX_TAKE ? allow(ctx, making_calls, ARRAY_SIZE(making_calls))
                                : allow(ctx, looking_calls, ARRAY_SIZE(looking_calls));
}

static int allow_kind(scmp_filter_ctx ctx, enum sandbox_kind kind)
{
    int r = allow(ctx, common_calls, ARRAY_SIZE(common_calls));

    if (r < 0)
        return r;
    if (kind == SANDBOX_GIVE || kind == SANDBOX_TAKE)
        return allow_view(ctx, kind);
    if (kind != SANDBOX_READ)
        return allow(ctx, making_calls, ARRAY_SIZE(making_calls));
    r = allow(ctx, looking_calls, ARRAY_SIZE(looking_calls));
    if (r < 0)
        return r;
    return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                            SCMP_A2(SCMP_CMP_MASKED_EQ, WRITING_FLAGS, O_RDONLY));
}

static int filter_calls(enum sandbox_kind kind, struct err *reterr)
{
#ifdef __SANITIZE_ADDRESS__
    /* The sanitizer's run-time starts threads, ptraces at exit and reads /proc. */
    (void)reterr;
    (void)kind;
    (void)allow_kind;
    return 0;
#else
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int r = ctx ? allow_kind(ctx, kind) : -ENOMEM;

    /* The threads that are there already obey it too, new ones cannot be made. */
    if (r >= 0)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r >= 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    return r < 0 ? err_sys(reterr, -r, "load seccomp filter") : 0;
#endif
}

/* A mount of one directory that is attached nowhere: ".." ends at its root. */
static int isolate(int fd, struct err *reterr)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                          MOUNT_ATTR_NOEXEC};
    int tree = (int)syscall(SYS_open_tree, fd, "",
                            AT_EMPTY_PATH | OPEN_TREE_CLONE | (unsigned)OPEN_TREE_CLOEXEC);
    int r = 0;

    if (tree < 0)
        /* Already a mount that is attached nowhere, which older kernels do not clone. */
        return fd == LAYER_FD_DIR && errno == EINVAL ? 0 : err_sys(reterr, errno, "open_tree");
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
        dup2(tree, fd) < 0)
        r = err_sys(reterr, errno, "mount a layer read-only");
    close(tree);
    return r;
}

static int lock_into_directory(enum sandbox_kind kind, int last_fd, struct err *reterr)
{
    if (syscall(SYS_close_range, last_fd + 1, ~0U, 0) < 0)
        return err_sys(reterr, errno, "close_range");
    for (int fd = LAYER_FD_DIR; kind == SANDBOX_READ && fd <= last_fd; fd++) {
        int r = isolate(fd, reterr);

        if (r < 0)
            return r;
    }
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS) < 0)
        return err_sys(reterr, errno, "unshare");
    if (fchdir(LAYER_FD_DIR) < 0)
        return err_sys(reterr, errno, "enter the stage");
    if (chroot(".") < 0 || chdir("/") < 0)
        return err_sys(reterr, errno, "chroot");
    return 0;
}

static int drop_rights(enum sandbox_kind kind, int64_t file_max, struct err *reterr)
{
    int r = limit_resources(file_max, reterr);

    if (r >= 0)
        r = drop_capabilities(kept_capabilities[kind], reterr);
    if (r >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = err_sys(reterr, errno, "no_new_privs");
    return r;
}

int sandbox_enter(enum sandbox_kind kind, int last_fd, int64_t file_max, struct err *reterr)
{
    int r;

    umask(0);
    r = lock_into_directory(kind, last_fd, reterr);
    return r < 0 ? r : drop_rights(kind, file_max, reterr);
}

int sandbox_view(enum sandbox_kind kind, struct err *reterr)
{
    umask(0);
    return drop_rights(kind, -1, reterr);
}

int sandbox_seal(enum sandbox_kind kind, struct err *reterr)
{
    return filter_calls(kind, reterr);
}
