#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "control.h"
#include "fd.h"
#include "mount.h"
#include "ns.h"
#include "plan.h"
#include "process.h"
#include "report.h"
#include "restore_args.h"
#include "str.h"
#include "sync.h"
#include "text.h"

#define ARGS_MAX (STAGE_BINDS_MAX + 256)
#define TEXT_ROOM (1u << 20) /* of all arguments */
#define PID_FILE "restore.pid"
#define LOG_FILE "restore.log"
#define OUTPUT_FILE "restore.out"
#define STREAMS 3
#define OPTIONS 2

enum {
    ARG_PROGRAM,
    ARG_IMAGES,
    ARG_PATH,
    ARG_NETWORK,
    ARG_STREAM,
    ARG_OPTION = ARG_STREAM + STREAMS
};

/* The child's; the shim's copy stays untouched. */
static struct {
    char *argv[ARGS_MAX + 1];
    size_t argc;
    char *text, *end; /* room for arguments */
} criu;

/* ---- arguments ---- */

int restore_args_begin(void)
{
    /* mmap(2) and not malloc: a shim has no heap. */
    criu.text = mmap(NULL, TEXT_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (criu.text == MAP_FAILED)
        return -errno;
    criu.end = criu.text + TEXT_ROOM;
    criu.argc = 1; /* the program */
    return RESTORE_ARG("restore");
}

char *restore_args_room(size_t *ret_size)
{
    *ret_size = (size_t)(criu.end - criu.text);
    return criu.text;
}

int restore_args_keep(int len)
{
    if (len < 0 || criu.argc == ARGS_MAX)
        return -E2BIG;
    criu.argv[criu.argc++] = criu.text;
    criu.text += len + 1;
    return 0;
}

static int add_fixed(void)
{
    static const char *const words[] = {
        "--no-default-config",
        "--restore-detached",
        "--restore-sibling",
        "--file-locks",
        "--ext-unix-sk",
        "--link-remap",
        "-v2",
        "--pidfile=" PID_FILE,
        "--log-file=" LOG_FILE,
        /* It is in its cgroups already. */
        "--manage-cgroups=ignore",
    };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(words); i++)
        r = RESTORE_ARG(words[i]);
    return r;
}

/* ---- becoming criu ---- */

/* A descriptor that is open in criu, in the place of what the images call so. */
static int add_inherited(int fd, const char *name)
{
    int high = fcntl(fd, F_DUPFD, 16);
    char number[TEXT_U64_MAX];

    if (high < 0)
        return -errno;
    text_u64(number, (uint64_t)high);
    return RESTORE_ARG("--inherit-fd=fd[", number, "]:", name);
}

static int add_outside(const struct stage *s)
{
    const struct plan_op *op = s->restore;
    _cleanup_close_ int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int r = netns < 0 ? -errno : 0;

    if (r >= 0 && !str_empty(plan_str(op, ARG_NETWORK)))
        r = add_inherited(netns, plan_str(op, ARG_NETWORK));
    for (unsigned i = 0; r >= 0 && i < STREAMS; i++) {
        if (!str_empty(plan_str(op, ARG_STREAM + i)))
            r = add_inherited(s->stdio[i], plan_str(op, ARG_STREAM + i));
    }
    for (unsigned i = 0; r >= 0 && i < OPTIONS; i++) {
        if (!str_empty(plan_str(op, ARG_OPTION + i)))
            r = RESTORE_ARG(plan_str(op, ARG_OPTION + i));
    }
    return r;
}

static const char *run_dir(const struct stage *s)
{
    return plan_str(plan_find(s->plan, NULL, PLAN_RUN_DIR), 0);
}

/* What it says before it has opened its log. */
static int set_output(const struct stage *s)
{
    char path[PATH_MAX];
    _cleanup_close_ int fd = -EBADF;

    if (text_join(path, sizeof(path), run_dir(s), "/" OUTPUT_FILE, NULL) < 0)
        return -ENAMETOOLONG;
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 ? -errno : 0;
}

int restore_run(struct stage *s, struct err *reterr)
{
    char *envp[] = {(char *)plan_str(s->restore, ARG_PATH), NULL};
    int r;

    if (sync_expect(s->sync, SYNC_GO, NULL) < 0)
        return err_set(reterr, ERR_SYSTEM, ECANCELED, "the start was given up");
    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        return err_sys(reterr, errno, "close_range");
    criu.argv[0] = (char *)plan_str(s->restore, ARG_PROGRAM);
    r = add_fixed();
    if (r >= 0)
        r = RESTORE_ARG("--images-dir=", plan_str(s->restore, ARG_IMAGES));
    if (r >= 0)
        r = RESTORE_ARG("--work-dir=", run_dir(s));
    if (r >= 0)
        r = add_outside(s);
    if (r >= 0)
        r = set_output(s);
    if (r < 0)
        return err_sys(reterr, -r, "cannot prepare the restore");
    process_reset_signals();
    setsid();
    /* criu 3.17 does not know of it: what it makes inherits it. */
    if (plan_find(s->plan, NULL, PLAN_NO_NEW_PRIVS) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(reterr, errno, "no_new_privs");
    execve(criu.argv[0], criu.argv, envp);
    return err_sys(reterr, errno, "cannot run %s", criu.argv[0]);
}

/* ---- in the shim ---- */

static pid_t read_pid(void)
{
    _cleanup_close_ int fd = openat(control_run_dir(), PID_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char text[TEXT_U64_MAX];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return (pid_t)strtol(text, NULL, 10);
}

/* An exec's terminal must come from the container's own devpts (pty.c). */
static void note_devpts(pid_t pid)
{
    char path[64];
    _cleanup_close_ int root = -EBADF, pts = -EBADF;
    struct statfs fs;
    struct stat st;

    if (text_proc_path(path, sizeof(path), pid, "root") < 0)
        return;
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    pts = root < 0 ? -EBADF : mount_resolve(root, "/dev/pts", 0);
    if (pts >= 0 && fstatfs(pts, &fs) == 0 && fs.f_type == DEVPTS_SUPER_MAGIC &&
        fstat(pts, &st) == 0)
        report_set_devpts(st.st_dev);
}

static void tidy_up(void)
{
    static const char *const files[] = {PID_FILE, LOG_FILE, OUTPUT_FILE, "stats-restore"};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        unlinkat(control_run_dir(), files[i], 0);
    unlinkat(control_run_dir(), RESTORE_STAGING, AT_REMOVEDIR);
}

int restore_adopt(struct task *t, const void *plan, int status, struct err *reterr)
{
    pid_t pid = status == 0 ? read_pid() : 0;
    int pidfd;

    t->restoring = false;
    if (pid <= 1)
        return err_set(reterr, ERR_SYSTEM, EIO, SHIM_RESTORE_FAILED);
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return err_sys(reterr, errno, SHIM_RESTORE_FAILED);
    fd_close(t->pidfd);
    t->pidfd = pidfd;
    t->pid = t->state.pid = pid;
    note_devpts(pid);
    tidy_up();
    /* Execs are born in the container's pid namespace.  ESRCH: it has ended already. */
    if ((ns_clone_flags(plan) & CLONE_NEWPID) && setns(pidfd, CLONE_NEWPID) < 0 && errno != ESRCH)
        return err_sys(reterr, errno, "cannot follow into the pid namespace");
    return 0;
}
