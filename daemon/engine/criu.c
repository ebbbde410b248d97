#include "criu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "path.h"
#include "str.h"

#define ERRORS_MAX 3 /* of a log, told to the client */
#define MOUNTINFO_MAX (4u << 20)
#define LINK_MAX_LEN 64
#define CONFIG "/etc/criu/containerd-lite.conf"

/* ---- the program ---- */

static char *find_program(const char *name, const char *path)
{
    _cleanup_free_ char *list = xstrdup(path);
    char *save = NULL;

    for (char *dir = strtok_r(list, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
        _cleanup_free_ char *file = path_join(dir, name);

        if (*dir == '/' && access(file, X_OK) == 0)
            return TAKE_PTR(file);
    }
    return NULL;
}

int criu_find(char **ret, struct err *reterr)
{
    const char *path = getenv("PATH");
    _cleanup_free_ char *list = xasprintf("%s:%s", path ? path : "", CRIU_PATH);

    *ret = find_program("criu", list);
    return *ret ? 0
                : err_set(reterr, ERR_SYSTEM, ENOENT,
                          "checkpoint and restore need CRIU: no program criu is installed here "
                          "(package criu)");
}

const char *criu_config(void)
{
    return access(CONFIG, R_OK) == 0 ? "--config=" CONFIG : "";
}

/* Its default takes iptables, which is not everywhere. */
const char *criu_network_lock(void)
{
    _cleanup_free_ char *iptables = find_program("iptables-restore", CRIU_PATH);

    return iptables ? "" : "--network-lock=nftables";
}

/* Its exit status, or -errno. */
static int run(char *const *argv, int output)
{
    char path[] = "PATH=" CRIU_PATH;
    char *const env[] = {path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int r, status = 0;
    pid_t pid;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, output, 2);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    /* Out of the way of a ^C for the daemon: processes that it has stopped must go on. */
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = posix_spawn(&pid, argv[0], &actions, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    if (r != 0)
        return -r;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- its words ---- */

/* "(00.012345) Error (criu/mount.c:12): mnt: it is so": behind the place. */
static const char *error_text(const char *line, const char *end)
{
    const char *at = memmem(line, (size_t)(end - line), "Error (", 7), *text;

    if (!at)
        return NULL;
    text = memmem(at, (size_t)(end - at), "): ", 3);
    return text ? text + 3 : NULL;
}

char *criu_errors(const char *log)
{
    struct buf b = {0};
    int n = 0;

    while (*log && n < ERRORS_MAX) {
        const char *end = strchrnul(log, '\n'), *text = error_text(log, end);

        if (text && text < end) {
            buf_printf(&b, "%s%.*s", n ? "; " : "", (int)(end - text), text);
            n++;
        }
        log = *end ? end + 1 : end;
    }
    return n ? buf_take_str(&b) : NULL;
}

static char *read_end(int fd)
{
    char *text = xcalloc(1, CRIU_LOG_MAX + 1);
    struct stat st;
    off_t from = 0;
    ssize_t n;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > (off_t)CRIU_LOG_MAX)
        from = st.st_size - (off_t)CRIU_LOG_MAX;
    n = fd < 0 ? 0 : pread(fd, text, CRIU_LOG_MAX, from);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static char *last_line(char *text)
{
    char *end = text + strlen(text), *line;

    while (end > text && end[-1] == '\n')
        *--end = '\0';
    line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

static int explain(int fd, const char *what, struct err *reterr)
{
    _cleanup_free_ char *log = read_end(fd), *errors = criu_errors(log);
    const char *why = errors ? errors : last_line(log);

    return err_set(reterr, ERR_SYSTEM, EIO, "%s: %s", what, *why ? why : "criu does not say why");
}

int criu_explain(const char *dir, const char *name, const char *what, struct err *reterr)
{
    _cleanup_free_ char *path = path_join(dir, name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

    return explain(fd, what, reterr);
}

int criu_check(const char *program, struct err *reterr)
{
    char check[] = "check", *argv[] = {(char *)program, check, NULL};
    _cleanup_close_ int out = memfd_create("criu", MFD_CLOEXEC);
    int r = out < 0 ? -errno : run(argv, out);

    if (r < 0)
        return err_sys(reterr, -r, "cannot run %s", program);
    return r == 0 ? 0 : explain(out, "CRIU cannot be used with this kernel (criu check)", reterr);
}

/* ---- mounts ---- */

struct mount_line {
    char device[24], type[24];
    char *point; /* owned */
};

/* mountinfo writes blanks and the like as three octal digits. */
static void unescape(char *s)
{
    char *out = s;

    for (; *s; s++, out++) {
        if (s[0] == '\\' && s[1] && s[2] && s[3]) {
            *out = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *out = *s;
        }
    }
    *out = '\0';
}

/* proc_pid_mountinfo(5) */
static bool parse_line(const char *line, size_t len, struct mount_line *ret)
{
    _cleanup_free_ char *copy = xstrndup(line, len);
    char *sep = strstr(copy, " - ");

    *ret = (struct mount_line){0};
    if (!sep || sscanf(sep + 3, "%23s", ret->type) != 1 ||
        sscanf(copy, "%*d %*d %23s", ret->device) != 1 ||
        sscanf(copy, "%*d %*d %*s %*s %ms", &ret->point) != 1)
        return false;
    unescape(ret->point);
    return true;
}

/* Does the host have the same file system mounted? */
static bool has_device(const char *mountinfo, const char *device)
{
    size_t n = strlen(device);

    for (const char *p = mountinfo; (p = strstr(p, device)); p += n) {
        if (p > mountinfo && p[-1] == ' ' && p[n] == ' ')
            return true;
    }
    return false;
}

/* What criu knows how to make again with all that is in it. */
static bool is_remade(const struct mount_line *m)
{
    static const char *const types[] = {"proc", "sysfs", "devpts", "mqueue", "tmpfs"};

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (streq(m->type, types[i]))
            return true;
    }
    return false;
}

char **criu_external_mounts(const char *theirs, const char *ours)
{
    char **v = NULL;

    for (const char *line = theirs; *line;) {
        const char *end = strchrnul(line, '\n');
        struct mount_line m;

        if (parse_line(line, (size_t)(end - line), &m)) {
            if (!streq(m.point, "/") && (!is_remade(&m) || has_device(ours, m.device)))
                v = strv_append(v, m.point);
            free(m.point);
        }
        line = *end ? end + 1 : end;
    }
    return v;
}

static int read_mounts(pid_t pid, char ***ret, struct err *reterr)
{
    _cleanup_free_ char *theirs = NULL, *ours = NULL;
    char path[40];
    ssize_t r;

    snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
    r = file_read(AT_FDCWD, path, MOUNTINFO_MAX, &theirs);
    if (r >= 0)
        r = file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &ours);
    if (r < 0)
        return err_sys(reterr, (int)-r, "cannot read the container's mounts");
    *ret = criu_external_mounts(theirs, ours);
    return 0;
}

/* ---- dumping ---- */

void criu_outside_done(struct criu_outside *o)
{
    for (int i = 0; i < CRIU_STREAMS; i++)
        free(TAKE_PTR(o->stream[i]));
}

/* The pipes lead to the shim; of a stream that is something else nobody has the other end. */
static void read_streams(pid_t pid, struct criu_outside *o)
{
    for (int i = 0; i < CRIU_STREAMS; i++) {
        char path[40], link[LINK_MAX_LEN];
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, i);
        n = readlink(path, link, sizeof(link) - 1);
        link[n > 0 ? n : 0] = '\0';
        o->stream[i] = xstrdup(str_starts(link, "pipe:[") ? link : "");
    }
}

/* 0: it is the host's. */
static int read_netns(pid_t pid, ino_t *ret, struct err *reterr)
{
    struct stat own, its;
    char path[40];

    snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    if (stat(path, &its) < 0 || stat("/proc/self/ns/net", &own) < 0)
        return err_sys(reterr, errno, "cannot look at the container's network namespace");
    *ret = its.st_ino == own.st_ino ? 0 : its.st_ino;
    return 0;
}

/* Format and append. */
static char **add(char **v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static char **add(char **v, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    v = strv_append(v, text);
    free(text);
    return v;
}

static char **arguments(const struct criu_dump *d, char *const *mounts, ino_t netns)
{
    char **v = strv_append(NULL, d->program);

    v = add(v, "dump");
    v = add(v, "--no-default-config");
    v = add(v, "--tree=%d", d->pid);
    v = add(v, "--images-dir=%s", d->images);
    v = add(v, "--log-file=" CRIU_DUMP_LOG);
    v = add(v, "-v4");
    /* A restore finds itself in cgroups and a network that the shim and the daemon have made. */
    v = add(v, "--manage-cgroups=ignore");
    if (netns)
        v = add(v, "--external=net[%llu]:" CRIU_NETNS_KEY, (unsigned long long)netns);
    for (size_t i = 0; mounts && mounts[i]; i++)
        v = add(v, "--external=mnt[%s]:%s", mounts[i], mounts[i]);
    v = add(v, "--file-locks");
    v = add(v, "--ext-unix-sk");
    v = add(v, "--link-remap");
    if (d->leave_running)
        v = add(v, "--leave-running");
    if (*criu_network_lock())
        v = add(v, "%s", criu_network_lock());
    if (*criu_config())
        v = add(v, "%s", criu_config());
    return v;
}

int criu_look_outside(pid_t pid, struct criu_outside *ret, struct err *reterr)
{
    ino_t netns;
    int r = read_netns(pid, &netns, reterr);

    if (r < 0)
        return r;
    read_streams(pid, ret);
    ret->network = netns != 0;
    return 0;
}

int criu_dump(const struct criu_dump *d, struct err *reterr)
{
    _cleanup_(strv_freep) char **mounts = NULL, **argv = NULL;
    _cleanup_close_ int out = memfd_create("criu", MFD_CLOEXEC);
    ino_t netns = 0;
    int r = out < 0 ? err_sys(reterr, errno, "memfd_create") : 0;

    if (r >= 0)
        r = read_mounts(d->pid, &mounts, reterr);
    if (r >= 0)
        r = read_netns(d->pid, &netns, reterr);
    if (r < 0)
        return r;
    argv = arguments(d, mounts, netns);
    r = run(argv, out);
    if (r < 0)
        return err_sys(reterr, -r, "cannot run %s", d->program);
    return r == 0 ? 0 : criu_explain(d->images, CRIU_DUMP_LOG, "criu dump failed", reterr);
}
