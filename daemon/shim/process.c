#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "caps.h"
#include "confine.h"
#include "failure.h"
#include "fd.h"
#include "init.h"
#include "lookup.h"
#include "plan.h"
#include "pty.h"
#include "str.h"
#include "sync.h"
#include "sys.h"
#include "user.h"

/* Numbers that the final exec needs from several steps. */
struct process {
    const void *plan;
    struct user_ids user;
    char **argv, **envp;
    char program[PATH_MAX];
    char home[USER_HOME_MAX + 8];
};

static struct process proc; /* only ever used in a child: the shim's copy stays untouched */

/* For what is nice to have. */
static void ignore_result(int r)
{
    (void)r;
}

/* ---- vectors ---- */

static size_t count_strings(const void *plan, unsigned code)
{
    const struct plan_op *op = NULL;
    size_t n = 0;

    while ((op = plan_find(plan, op, code)))
        n += op->strings;
    return n;
}

/* mmap(2) and not malloc: whoever gets here has a copy of a shim that has no heap. */
static char **collect(const void *plan, unsigned code, size_t extra)
{
    size_t n = count_strings(plan, code), used = 0;
    char **v = mmap(NULL, (n + extra + 1) * sizeof(*v), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct plan_op *op = NULL;

    if (v == MAP_FAILED)
        return NULL;
    while ((op = plan_find(plan, op, code))) {
        char *s = (char *)op->data;

        for (unsigned i = 0; i < op->strings; i++, s += strlen(s) + 1)
            v[used++] = s;
    }
    return v;
}

static const char *env_get(char **envp, const char *name)
{
    size_t n = strlen(name);

    for (; *envp; envp++) {
        if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
            return *envp + n + 1;
    }
    return NULL;
}

static void set_home(struct process *p)
{
    char **end = p->envp;

    if (!str_empty(env_get(p->envp, "HOME")))
        return;
    snprintf(p->home, sizeof(p->home), "HOME=%s", p->user.home);
    while (*end && strncmp(*end, "HOME=", 5) != 0)
        end++;
    *end = p->home;
}

/* ---- user ---- */

/* A file of the image: never a device or FIFO that an open would hang on. */
static int open_etc(const struct stage *s, const char *path)
{
    _cleanup_close_ int fd = sys_openat2(
        s->root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0, RESOLVE_IN_ROOT);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -EBADF;
    return TAKE_FD(fd);
}

static int resolve_user(const struct stage *s, struct process *p, struct err *reterr)
{
    const struct plan_op *op = plan_find(p->plan, NULL, PLAN_USER);
    _cleanup_close_ int passwd = open_etc(s, "/etc/passwd"), group = open_etc(s, "/etc/group");
    int r = user_resolve(op ? plan_str(op, 0) : "", passwd, group, &p->user, reterr);

    for (unsigned i = 1; r >= 0 && op && i < op->strings; i++) {
        if (group >= 0)
            lseek(group, 0, SEEK_SET);
        r = user_add_group(&p->user, plan_str(op, i), group, reterr);
    }
    return r;
}

static int become_user(const struct user_ids *u, struct err *reterr)
{
    if (setgroups(u->groups, u->group) < 0)
        return err_sys(reterr, errno, "setgroups");
    if (setresgid(u->gid, u->gid, u->gid) < 0)
        return err_sys(reterr, errno, "setgid %u", u->gid);
    if (setresuid(u->uid, u->uid, u->uid) < 0)
        return err_sys(reterr, errno, "setuid %u", u->uid);
    return 0;
}

/* ---- limits ---- */

static int set_rlimit(const struct stage *s, const struct plan_op *op, struct err *reterr)
{
    int which = (int)op->arg[0];
    struct rlimit want = {.rlim_cur = op->arg[1], .rlim_max = op->arg[2]}, have;

    if (setrlimit((__rlimit_resource_t)which, &want) == 0)
        return 0;
    if (errno != EPERM || getrlimit((__rlimit_resource_t)which, &have) < 0)
        return err_sys(reterr, errno, "error setting rlimit %d", which);
    /* Raising a hard limit takes CAP_SYS_RESOURCE, which this host may not have: keep the hard
     * limit in force rather than refuse the container. */
    if (want.rlim_max > have.rlim_max)
        want.rlim_max = have.rlim_max;
    if (want.rlim_cur > want.rlim_max)
        want.rlim_cur = want.rlim_max;
    stage_warn(s, "rlimit %d: the hard limit stays at %llu", which,
               (unsigned long long)want.rlim_max);
    return setrlimit((__rlimit_resource_t)which, &want) < 0
               ? err_sys(reterr, errno, "error setting rlimit %d", which)
               : 0;
}

static int set_rlimits(const struct stage *s, const void *plan, struct err *reterr)
{
    const struct plan_op *op = NULL;
    int r = 0;

    while (r >= 0 && (op = plan_find(plan, op, PLAN_RLIMIT)))
        r = set_rlimit(s, op, reterr);
    return r;
}

/* ---- standard streams ---- */

/* The program may open /dev/stdout anew, which asks for the right to the pipe's inode. */
static void own_stdio(const struct stage *s, const struct user_ids *u)
{
    for (int i = 0; i < 3; i++) {
        struct stat st;

        if (fstat(s->stdio[i], &st) == 0 && !(S_ISCHR(st.st_mode) && st.st_rdev == 0x103))
            ignore_result(fchown(s->stdio[i], u->uid, (gid_t)-1));
    }
}

/* A standard input that is the host's /dev/null is a file of the host's mount, which a checkpoint
 * could not name. */
static void use_own_null(struct stage *s)
{
    int fd = sys_openat2(s->root, "/dev/null", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0,
                         RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
    struct stat st;

    if (fd < 0)
        return;
    if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) {
        fd_close(fd);
        return;
    }
    fd_set_nonblock(fd, 0);
    fd_close(s->stdio[0]);
    s->stdio[0] = fd;
}

static int set_stdio(struct stage *s, const struct user_ids *u, struct err *reterr)
{
    int r;

    if (s->flags & PLAN_STDIO_TTY) {
        r = pty_open(s, reterr);
        if (r < 0)
            return r;
    }
    if (!s->exec && !(s->flags & (PLAN_STDIO_TTY | PLAN_STDIO_STDIN)))
        use_own_null(s);
    setsid();
    if ((s->flags & PLAN_STDIO_TTY) && ioctl(s->stdio[0], TIOCSCTTY, 0) < 0)
        return err_sys(reterr, errno, "cannot make the terminal the controlling one");
    own_stdio(s, u);
    for (int i = 0; i < 3; i++) {
        if (dup3(s->stdio[i], i, 0) < 0)
            return err_sys(reterr, errno, "cannot set up standard stream %d", i);
    }
    return 0;
}

/* ---- privileges ---- */

static int load_seccomp(const void *plan, struct err *reterr)
{
    const struct plan_op *op = plan_find(plan, NULL, PLAN_SECCOMP);
    struct sock_fprog prog;

    if (!op)
        return 0;
    prog = (struct sock_fprog){.len = (unsigned short)(op->arg[0] / sizeof(struct sock_filter)),
                               .filter = (struct sock_filter *)plan_blob(op)};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, op->arg[1], &prog) < 0)
        return err_sys(reterr, errno, "error loading seccomp filter");
    return 0;
}

static int drop_privileges(const struct process *p, struct err *reterr)
{
    const struct plan_op *op = plan_find(p->plan, NULL, PLAN_CAPS);
    uint64_t permitted, ambient;
    int r;

    if (op) {
        r = caps_bound(op->arg[0]);
        if (r < 0)
            return err_sys(reterr, -r, "cannot drop the bounding set");
    }
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return err_sys(reterr, errno, "keep capabilities");
    r = become_user(&p->user, reterr);
    if (r < 0 || !op)
        return r;
    ambient = op->arg[3];
    permitted = p->user.uid == 0 ? op->arg[1] : ambient;
    r = caps_apply(permitted, op->arg[2], ambient);
    if (r < 0)
        return err_sys(reterr, -r, "cannot set capabilities");
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    return 0;
}

/* ---- working directory ---- */

static int make_cwd(const void *plan, struct err *reterr)
{
    const struct plan_op *op = plan_find(plan, NULL, PLAN_CWD);
    char path[PATH_MAX];
    struct stat st;
    size_t n;

    if (!op || op->arg[0] != 1)
        return 0;
    n = strlen(plan_str(op, 0));
    if (n >= sizeof(path))
        return err_set(reterr, ERR_INVALID, ENAMETOOLONG, "working directory");
    memcpy(path, plan_str(op, 0), n + 1);
    /* Within the container, after pivot_root: symlinks can lead nowhere else. */
    for (char *p = path + 1; n > 0; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(path, 0755) < 0 && errno != EEXIST && errno != EROFS)
            return err_sys(reterr, errno, "mkdir %s", path);
        *p = c;
        if (!c)
            break;
    }
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return err_set(reterr, ERR_INVALID, ENOTDIR, "Cannot mkdir: %s is not a directory", path);
    return 0;
}

static int enter_cwd(const void *plan, struct err *reterr)
{
    const struct plan_op *op = plan_find(plan, NULL, PLAN_CWD);
    const char *path = op && !str_empty(plan_str(op, 0)) ? plan_str(op, 0) : "/";
    char cwd[PATH_MAX];

    if (chdir(path) < 0)
        return err_set(reterr, ERR_INVALID, errno,
                       "chdir to cwd (\"%s\") set in config.json failed: %s", path,
                       err_text(errno));
    if (!getcwd(cwd, sizeof(cwd)) || cwd[0] != '/')
        return err_set(reterr, ERR_SYSTEM, EXDEV,
                       "current working directory is outside of container");
    return 0;
}

/* ---- the order ---- */

static int wait_for_go(const struct stage *s, struct err *reterr)
{
    /* An exec's child does not wait for cgroups earlier. */
    if (s->exec && sync_expect(s->sync, SYNC_CGROUP, NULL) < 0)
        return err_set(reterr, ERR_SYSTEM, ECANCELED, "the start was given up");
    if (sync_expect(s->sync, SYNC_GO, NULL) < 0)
        return err_set(reterr, ERR_SYSTEM, ECANCELED, "the start was given up");
    return 0;
}

void process_reset_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int prepare(struct stage *s, struct process *p, struct err *reterr)
{
    const struct plan_op *mask = plan_find(p->plan, NULL, PLAN_UMASK);
    /* Before the limits: one on open files may leave it none to open. */
    int r = confine(p->plan, reterr);

    if (r >= 0)
        r = set_rlimits(s, p->plan, reterr);
    umask(mask ? (mode_t)mask->arg[0] : 022);
    if (r >= 0)
        r = resolve_user(s, p, reterr);
    if (r >= 0)
        r = set_stdio(s, &p->user, reterr);
    if (r >= 0)
        r = make_cwd(p->plan, reterr);
    return r;
}

static int enter(struct process *p, struct err *reterr)
{
    bool no_new_privs = plan_find(p->plan, NULL, PLAN_NO_NEW_PRIVS);
    int r = 0;

    if (no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(reterr, errno, "no_new_privs");
    /* Without no_new_privs loading a filter takes CAP_SYS_ADMIN, which is about to go. */
    if (!no_new_privs)
        r = load_seccomp(p->plan, reterr);
    if (r >= 0)
        r = drop_privileges(p, reterr);
    if (r >= 0)
        r = enter_cwd(p->plan, reterr);
    if (r >= 0)
        r = lookup_program(p->argv[0], env_get(p->envp, "PATH"), p->program, reterr);
    if (r >= 0 && no_new_privs)
        r = load_seccomp(p->plan, reterr);
    return r;
}

/* From here on the container counts as started, as with runc: its own standard error tells. */
static _Noreturn void refused(const char *program, int errnum)
{
    dprintf(2, "exec %s: %s\n", program, err_text(errnum));
    _exit(255);
}

int process_run(struct stage *s, struct err *reterr)
{
    struct process *p = &proc;
    int r;

    process_reset_signals();
    p->plan = s->last;
    p->argv = collect(s->last, PLAN_ARGV, 0);
    p->envp = collect(s->last, PLAN_ENV, 1);
    if (!p->argv || !p->envp || !p->argv[0])
        return err_set(reterr, ERR_INVALID, EINVAL, "no command specified");
    /* Before the session is made: the terminal must be the program's, not PID 1's. */
    if (!s->exec && plan_find(s->last, NULL, PLAN_INIT) && (r = init_fork()) < 0)
        return err_sys(reterr, -r, "fork");
    r = prepare(s, p, reterr);
    if (r >= 0) {
        set_home(p);
        r = wait_for_go(s, reterr);
    }
    /* No descriptor but the three streams gets into the program (CVE-2024-21626). */
    if (r >= 0 && close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        r = err_sys(reterr, errno, "close_range");
    if (r >= 0)
        r = enter(p, reterr);
    if (r >= 0) {
        /* Entering an AppArmor profile clears it; there the daemon kills what a lost shim left. */
        if (!s->exec)
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        execve(p->program, p->argv, p->envp);
        refused(p->program, errno);
    }
    return r;
}
