#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "fd.h"
#include "mount.h"
#include "ns.h"
#include "plan.h"
#include "process.h"
#include "report.h"
#include "str.h"
#include "sync.h"
#include "text.h"

#define ARGS_MAX (STAGE_BINDS_MAX + 256)
#define TEXT_ROOM (1u << 20) /* of all arguments */
#define STAGING "criu"       /* in the run directory: a tmpfs, in the child's mount namespace */
#define PID_FILE "restore.pid"
#define LOG_FILE "restore.log"
#define OUTPUT_FILE "restore.out"
#define MOUNTINFO_ROOM (4u << 20)
#define STREAMS 3

enum {
    ARG_PROGRAM,
    ARG_IMAGES,
    ARG_PATH,
    ARG_NETWORK,
    ARG_STREAM,
    ARG_LOCK = ARG_STREAM + STREAMS
};

/* The child's; the shim's copy stays untouched. */
static struct {
    char *argv[ARGS_MAX + 1];
    size_t argc;
    char *text, *end; /* room for arguments */
    char dir[PATH_MAX];
    char null[PATH_MAX]; /* where /dev/null is attached; "": nowhere yet */
    unsigned mounts;
} criu;

/* ---- arguments ---- */

static int keep_arg(int len)
{
    if (len < 0 || criu.argc == ARGS_MAX)
        return -E2BIG;
    criu.argv[criu.argc++] = criu.text;
    criu.text += len + 1;
    return 0;
}

#define ADD_ARG(...)                                                                               \
    keep_arg(text_join(criu.text, (size_t)(criu.end - criu.text), __VA_ARGS__, NULL))

/* mmap(2) and not malloc: a shim has no heap. */
static int make_room(void)
{
    criu.text = mmap(NULL, TEXT_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (criu.text == MAP_FAILED)
        return -errno;
    criu.end = criu.text + TEXT_ROOM;
    return 0;
}

/* ---- the root, and what is mounted in it ---- */

static int begin_arguments(const struct stage *s, const char *run_dir)
{
    const struct plan_op *op = s->restore;
    int r = make_room();

    if (r >= 0)
        r = ADD_ARG(plan_str(op, ARG_PROGRAM));
    if (r >= 0)
        r = ADD_ARG("restore");
    if (r >= 0)
        r = ADD_ARG("--no-default-config");
    if (r >= 0)
        r = ADD_ARG("--restore-detached");
    if (r >= 0)
        r = ADD_ARG("--restore-sibling");
    if (r >= 0)
        r = ADD_ARG("--images-dir=", plan_str(op, ARG_IMAGES));
    if (r >= 0)
        r = ADD_ARG("--work-dir=", run_dir);
    if (r >= 0)
        r = ADD_ARG("--pidfile=" PID_FILE);
    if (r >= 0)
        r = ADD_ARG("--log-file=" LOG_FILE);
    if (r >= 0)
        r = ADD_ARG("-v2");
    if (r >= 0)
        r = ADD_ARG("--root=", criu.dir, "/root");
    return r;
}

int restore_stage_root(struct stage *s, struct err *reterr)
{
    const char *run_dir = plan_str(plan_find(s->plan, NULL, PLAN_RUN_DIR), 0);
    _cleanup_close_ int fs = -EBADF, dir = -EBADF, root = -EBADF;
    int r = text_join(criu.dir, sizeof(criu.dir) - 32, run_dir, "/" STAGING, NULL);

    if (r < 0 || (mkdir(criu.dir, 0700) < 0 && errno != EEXIST))
        return err_sys(reterr, r < 0 ? -r : errno, "cannot make %s", criu.dir);
    fs = mount_new("tmpfs", "tmpfs", "mode=700", MS_NOSUID | MS_NODEV | MS_NOEXEC);
    dir = open(criu.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fs < 0 || dir < 0 || mkdirat(fs, "root", 0700) < 0)
        return err_sys(reterr, fs < 0 ? -fs : errno, "cannot prepare the restore");
    root = openat(fs, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    r = root < 0 ? -errno : mount_attach(fs, dir);
    if (r >= 0)
        r = mount_attach(s->root, root);
    if (r >= 0)
        r = begin_arguments(s, run_dir);
    return r < 0 ? err_sys(reterr, -r, "cannot attach the root") : 0;
}

/* Cut the last component off. */
static bool cut(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return false;
    *slash = '\0';
    return true;
}

/* The path as it is in the container's mount table: without symbolic links, as far as they are in
 * the root; what is below its /proc, /sys and /dev is not there now. */
static int canonical(const struct stage *s, const char *path, char *out, size_t size)
{
    char head[PATH_MAX], link[64] = "/proc/self/fd/", found[PATH_MAX];
    _cleanup_close_ int fd = -EBADF;
    size_t prefix = strlen(criu.dir) + strlen("/root");
    ssize_t n;

    if (text_join(head, sizeof(head), *path == '/' ? "" : "/", path, NULL) < 0)
        return -ENAMETOOLONG;
    while ((fd = mount_resolve(s->root, head, 0)) < 0) {
        if (!cut(head))
            return text_join(out, size, path, NULL);
    }
    text_u64(link + strlen(link), (uint64_t)fd);
    n = readlink(link, found, sizeof(found) - 1);
    if (n < (ssize_t)prefix)
        return -EXDEV;
    found[n] = '\0';
    return text_join(out, size, found + prefix, path + strlen(head) - (*path != '/'), NULL);
}

/* An empty file or directory beside the root, to attach something to. */
static int make_place(bool directory, char *out, size_t size)
{
    char number[TEXT_U64_MAX];
    int r;

    text_u64(number, criu.mounts++);
    r = text_join(out, size, criu.dir, "/", number, NULL);
    if (r < 0)
        return r;
    if (directory)
        return mkdir(out, 0700) < 0 ? -errno : 0;
    r = open(out, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (r < 0)
        return -errno;
    fd_close(r);
    return 0;
}

static int attach_beside(int fd, char *place, size_t size)
{
    _cleanup_close_ int target = -EBADF;
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : make_place(S_ISDIR(st.st_mode), place, size);

    if (r < 0)
        return r;
    target = open(place, O_PATH | O_CLOEXEC);
    return target < 0 ? -errno : mount_attach(fd, target);
}

/* One that the images do not ask for is ignored. */
static int add_mount(const struct stage *s, const char *path, const char *place)
{
    char key[PATH_MAX];
    int r = canonical(s, path, key, sizeof(key));

    return r < 0 ? r : ADD_ARG("--external=mnt[", key, "]:", place);
}

/* mountinfo writes blanks and the like as three octal digits. */
static void unescape(char *s)
{
    char *out = s;

    for (; *s; s++) {
        if (s[0] == '\\' && s[1] && s[2] && s[3]) {
            *out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
}

/* The fifth word of a line of proc_pid_mountinfo(5), cut off; NULL if there is none. */
static char *mount_point(char *line)
{
    char *word = line, *end;

    for (int i = 0; i < 4 && word; i++) {
        word = strchr(word, ' ');
        word = word ? word + 1 : NULL;
    }
    end = word ? strchr(word, ' ') : NULL;
    if (!end)
        return NULL;
    *end = '\0';
    unescape(word);
    return word;
}

static ssize_t read_mountinfo(char *buf, size_t size)
{
    _cleanup_close_ int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t r = fd < 0 ? -1 : 0;

    while (fd >= 0 && n < size - 1 && (r = read(fd, buf + n, size - 1 - n)) > 0)
        n += (size_t)r;
    if (r < 0)
        return -errno;
    buf[n] = '\0';
    return n == size - 1 ? -E2BIG : (ssize_t)n;
}

/* criu dumps what is mounted below a recursive bind as mounts of their own. */
static int add_submounts(const struct stage *s, const char *path, const char *place)
{
    char *buf =
        mmap(NULL, MOUNTINFO_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t n = strlen(place);
    char sub[PATH_MAX];
    int r = buf == MAP_FAILED ? -errno : (int)read_mountinfo(buf, MOUNTINFO_ROOM);

    if (buf == MAP_FAILED)
        return r;
    for (char *line = buf, *next; r >= 0 && *line; line = next) {
        const char *point;

        next = strchrnul(line, '\n');
        if (*next)
            *next++ = '\0';
        point = mount_point(line);
        if (!point || !str_starts(point, place) || point[n] != '/')
            continue;
        r = text_join(sub, sizeof(sub), path, point + n, NULL);
        if (r >= 0)
            r = add_mount(s, sub, point);
    }
    munmap(buf, MOUNTINFO_ROOM);
    return r;
}

int restore_stage_mount(struct stage *s, int fd, const char *path, struct err *reterr)
{
    char place[PATH_MAX];
    int r = attach_beside(fd, place, sizeof(place));

    if (r >= 0)
        r = add_mount(s, path, place);
    if (r >= 0)
        r = add_submounts(s, path, place);
    return r < 0 ? err_sys(reterr, -r, "error mounting to rootfs at \"%s\"", path) : 0;
}

int restore_stage_null(struct stage *s, const char *path, struct err *reterr)
{
    int r = *criu.null ? 0 : attach_beside(s->host_null, criu.null, sizeof(criu.null));

    if (r >= 0)
        r = add_mount(s, path, criu.null);
    return r < 0 ? err_sys(reterr, -r, "cannot mask %s", path) : 0;
}

/* ---- becoming criu ---- */

/* A descriptor that is open in criu, in the place of what the images call so. */
static int add_inherited(int fd, const char *prefix, const char *name)
{
    int high = fcntl(fd, F_DUPFD, 16);
    char number[TEXT_U64_MAX];

    if (high < 0)
        return -errno;
    text_u64(number, (uint64_t)high);
    return ADD_ARG("--inherit-fd=fd[", number, "]:", prefix, name);
}

static int add_outside(const struct stage *s)
{
    const struct plan_op *op = s->restore;
    _cleanup_close_ int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int r = netns < 0 ? -errno : 0;

    if (r >= 0 && !str_empty(plan_str(op, ARG_NETWORK)))
        r = add_inherited(netns, "", plan_str(op, ARG_NETWORK));
    for (unsigned i = 0; r >= 0 && i < STREAMS; i++) {
        if (!str_empty(plan_str(op, ARG_STREAM + i)))
            r = add_inherited(s->stdio[i], "", plan_str(op, ARG_STREAM + i));
    }
    if (r >= 0 && !str_empty(plan_str(op, ARG_LOCK)))
        r = ADD_ARG(plan_str(op, ARG_LOCK));
    if (r >= 0)
        r = ADD_ARG("--manage-cgroups=ignore");
    if (r >= 0)
        r = ADD_ARG("--file-locks");
    if (r >= 0)
        r = ADD_ARG("--ext-unix-sk");
    return r >= 0 ? ADD_ARG("--link-remap") : r;
}

/* What it says before it has opened its log. */
static int set_output(const struct stage *s)
{
    const char *run_dir = plan_str(plan_find(s->plan, NULL, PLAN_RUN_DIR), 0);
    char path[PATH_MAX];
    _cleanup_close_ int fd = -EBADF;

    if (text_join(path, sizeof(path), run_dir, "/" OUTPUT_FILE, NULL) < 0)
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
    unlinkat(control_run_dir(), STAGING, AT_REMOVEDIR);
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
