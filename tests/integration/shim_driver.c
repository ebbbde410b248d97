/* A stand-in for the daemon: builds a plan from text, starts the shim with it and speaks its
 * protocol.  For trying the shim by hand and for measuring it; needs root.
 *
 *   shim_driver [-n TIMES] [-e EXECPLAN]... [-t] [-i] [-k] [-q] SHIM PLAN
 *
 * A plan is one operation a line, fields separated by tabs:  NAME  a0,a1,a2,a3  s0  s1 ...
 * A blob operation has the name of a file with its bytes in place of the strings.
 * -e run an exec after the start (its lines as above), -t attach a raw terminal's bytes (no
 * frames), -i pass standard input, -k drop the connection after the start and wait for the exit
 * file, -q print no events.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "plan.h"
#include "protocol.h"

#define EXECS_MAX 16
#define SAMPLES_MAX 10000

static struct {
    const char *shim, *plan, *exec[EXECS_MAX];
    int execs, times;
    bool tty, input, vanish, quiet;
} opt = {.times = 1};

static const struct {
    const char *name;
    unsigned code;
} names[] = {
    {"RUN_DIR", PLAN_RUN_DIR},
    {"STDIO", PLAN_STDIO},
    {"LOG", PLAN_LOG},
    {"CGROUP_MKDIR", PLAN_CGROUP_MKDIR},
    {"CGROUP_WRITE", PLAN_CGROUP_WRITE},
    {"CGROUP_BPF", PLAN_CGROUP_BPF},
    {"OOM_FILE", PLAN_OOM_FILE},
    {"NAMESPACE", PLAN_NAMESPACE},
    {"IDMAP", PLAN_IDMAP},
    {"ROOTFS", PLAN_ROOTFS},
    {"SANDBOX_FDS", PLAN_SANDBOX_FDS},
    {"PROPAGATION", PLAN_PROPAGATION},
    {"MOUNT", PLAN_MOUNT},
    {"BIND", PLAN_BIND},
    {"DEVICE", PLAN_DEVICE},
    {"SYMLINK", PLAN_SYMLINK},
    {"MKDIR", PLAN_MKDIR},
    {"CONSOLE", PLAN_CONSOLE},
    {"PIVOT", PLAN_PIVOT},
    {"MASK", PLAN_MASK},
    {"READONLY", PLAN_READONLY},
    {"SYSCTL", PLAN_SYSCTL},
    {"HOSTNAME", PLAN_HOSTNAME},
    {"DOMAINNAME", PLAN_DOMAINNAME},
    {"RLIMIT", PLAN_RLIMIT},
    {"OOM_SCORE_ADJ", PLAN_OOM_SCORE_ADJ},
    {"USER", PLAN_USER},
    {"CAPS", PLAN_CAPS},
    {"NO_NEW_PRIVS", PLAN_NO_NEW_PRIVS},
    {"SECCOMP", PLAN_SECCOMP},
    {"CWD", PLAN_CWD},
    {"ENV", PLAN_ENV},
    {"ARGV", PLAN_ARGV},
    {"INIT", PLAN_INIT},
    {"UMASK", PLAN_UMASK},
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "shim_driver: %s: %s\n", what, strerror(errno));
    exit(99);
}

/* ---- plans ---- */

static unsigned code_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(names[i].name, name))
            return names[i].code;
    }
    errno = EINVAL;
    die(name);
}

static void add_blob(struct plan *p, unsigned code, const uint64_t a[4], char *strings)
{
    char *file = strsep(&strings, "\t");
    _cleanup_free_ char *data = NULL;
    ssize_t n = file_read(AT_FDCWD, file, 1 << 20, &data);

    if (n < 0)
        die(file);
    plan_add_blob(p, code, data, (size_t)n, a[1], strings);
}

static void add_line(struct plan *p, char *line)
{
    char *name = strsep(&line, "\t"), *numbers = strsep(&line, "\t"), *s;
    unsigned code = code_of(name);
    uint64_t a[4] = {0};
    char *v[256] = {0};
    size_t at;
    int n = 0;

    for (int i = 0; numbers && i < 4 && (s = strsep(&numbers, ",")); i++)
        a[i] = strtoull(s, NULL, 0);
    if (code == PLAN_SECCOMP || code == PLAN_CGROUP_BPF) {
        add_blob(p, code, a, line);
        return;
    }
    while (n < 255 && (s = strsep(&line, "\t")))
        v[n++] = s;
    at = p->buf.len;
    plan_add_strv(p, code, a[0], v);
    /* plan_add_strv() takes one number only. */
    memcpy(((struct plan_op *)(p->buf.data + at))->arg, a, sizeof(a));
}

static int load_plan(const char *path)
{
    _cleanup_free_ char *text = NULL;
    struct plan p = {0};
    char *rest, *line;
    int fd;

    if (file_read(AT_FDCWD, path, 1 << 20, &text) < 0)
        die(path);
    for (rest = text; (line = strsep(&rest, "\n"));) {
        if (*line && *line != '#')
            add_line(&p, line);
    }
    fd = plan_memfd(&p);
    plan_done(&p);
    if (fd < 0)
        die("plan_memfd");
    return fd;
}

/* ---- the shim ---- */

static int shim_binary = -1;

/* As the daemon does: a sealed copy, shared by all shims. */
static void load_binary(void)
{
    _cleanup_free_ char *data = NULL;
    ssize_t n = file_read(AT_FDCWD, opt.shim, 64 << 20, &data);

    shim_binary = memfd_create("shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (n < 0 || shim_binary < 0 || fd_write_all(shim_binary, data, (size_t)n) < 0)
        die(opt.shim);
    fcntl(shim_binary, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
}

static pid_t spawn_shim(int plan, int *ret_control)
{
    char *argv[] = {"containerd-lite-shim", NULL}, *envp[] = {NULL};
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    pid = vfork();
    if (pid == 0) {
        /* Out of the way of 3 and 4 first. */
        int a = fcntl(pair[1], F_DUPFD_CLOEXEC, 10), b = fcntl(plan, F_DUPFD_CLOEXEC, 10);
        int c = fcntl(shim_binary, F_DUPFD_CLOEXEC, 10);

        dup2(a, SHIM_FD_CONTROL);
        dup2(b, SHIM_FD_PLAN);
        fexecve(c, argv, envp);
        _exit(127);
    }
    close(pair[1]);
    *ret_control = pair[0];
    return pid;
}

static int64_t started_at;

static void event(const char *what, const struct shim_msg *m)
{
    long us = (long)((time_monotonic_ns() - started_at) / 1000);

    if (opt.quiet)
        return;
    fprintf(stderr, "%8ld us %s %.12s", us, what, m->exec_id);
    if (m->type == SHIM_FAILED || m->type == SHIM_EXEC_FAILED || m->type == SHIM_WARNING)
        fprintf(stderr, " code %d errno %d: %s\n", m->fail.code, m->fail.errnum, m->fail.message);
    else
        fprintf(stderr, " phase %d pid %d code %d oom %d\n", m->state.phase, m->state.pid,
                m->state.code, m->state.oom);
}

static const char *type_name(uint32_t type)
{
    static const char *const table[] = {"HELLO",      "CREATED",     "STARTED",  "FAILED", "EXITED",
                                        "EXEC_STATE", "EXEC_FAILED", "DETACHED", "WARNING"};

    return type >= SHIM_HELLO && type <= SHIM_WARNING ? table[type - SHIM_HELLO] : "?";
}

static bool receive(int control, struct shim_msg *m)
{
    int fds[FD_PASS_MAX];
    size_t n;
    ssize_t r;

    memset(m, 0, sizeof(*m));
    r = fd_recv(control, m, sizeof(*m), fds, &n);
    if (r <= 0)
        return false;
    event(type_name(m->type), m);
    if (n > 0 && !opt.quiet)
        fprintf(stderr, "            with %zu descriptors\n", n);
    while (n > 0)
        close(fds[--n]);
    return true;
}

static void tell(int control, uint32_t type, const struct shim_msg *body, const int *fds, size_t n)
{
    struct shim_msg m = {0};

    if (body)
        m = *body;
    m.type = type;
    if (fd_send(control, &m, shim_msg_size(type), fds, n) < 0)
        die("send");
}

/* A child that copies what the shim sends to our stdout, and stdin to it if wanted. */
static pid_t start_client(int *ret_theirs, bool input)
{
    static char buf[65536];
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    *ret_theirs = pair[1];
    pid = fork();
    if (pid > 0) {
        close(pair[0]);
        return pid;
    }
    close(pair[1]);
    if (!input)
        shutdown(pair[0], SHUT_WR);
    for (;;) {
        struct pollfd p[2] = {{pair[0], POLLIN, 0}, {input ? 0 : -1, POLLIN, 0}};
        ssize_t n;

        poll(p, 2, -1);
        if (p[1].revents) {
            n = read(0, buf, sizeof(buf));
            if (n > 0) {
                fd_write_all(pair[0], buf, (size_t)n);
            } else {
                shutdown(pair[0], SHUT_WR);
                input = false;
            }
        }
        if (p[0].revents) {
            n = read(pair[0], buf, sizeof(buf));
            if (n <= 0)
                _exit(0);
            fd_write_all(1, buf, (size_t)n);
        }
    }
}

static struct shim_attach attachment(bool input)
{
    struct shim_attach a = {.flags = SHIM_ATTACH_STDOUT | SHIM_ATTACH_STDERR};

    if (input)
        a.flags |= SHIM_ATTACH_STDIN;
    if (opt.tty) {
        a.detach_len = 2;
        memcpy(a.detach_keys, "\x10\x11", 2);
    }
    return a;
}

static void attach(int control, pid_t *ret_client)
{
    struct shim_msg m = {.attach = attachment(opt.input)};
    int theirs;

    *ret_client = start_client(&theirs, opt.input);
    tell(control, SHIM_ATTACH, &m, &theirs, 1);
    close(theirs);
}

/* Run one exec; true when its end was told. */
static void run_exec(int control, const char *path, int number)
{
    struct shim_msg m = {.attach = attachment(false)}, reply;
    int64_t begin = time_monotonic_ns();
    int fds[2] = {load_plan(path), -1};
    bool started = false;
    pid_t client;

    snprintf(m.exec_id, sizeof(m.exec_id), "exec%d", number);
    client = start_client(&fds[1], false);
    tell(control, SHIM_EXEC, &m, fds, 2);
    close(fds[0]);
    close(fds[1]);
    while (receive(control, &reply)) {
        if (reply.type == SHIM_EXEC_FAILED ||
            (reply.type == SHIM_EXEC_STATE && reply.state.phase == SHIM_PHASE_EXITED))
            break;
        if (reply.type == SHIM_EXEC_STATE && !started) {
            started = true;
            if (!opt.quiet)
                fprintf(stderr, "            exec started after %ld us\n",
                        (long)((time_monotonic_ns() - begin) / 1000));
        }
        if (reply.type == SHIM_EXITED)
            break;
    }
    waitpid(client, NULL, 0);
}

static long spent[3][SAMPLES_MAX]; /* microseconds to CREATED, STARTED, EXITED */
static int samples;

static void note(int what)
{
    if (samples < SAMPLES_MAX)
        spent[what][samples] = (long)((time_monotonic_ns() - started_at) / 1000);
}

static int compare(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;

    return x < y ? -1 : x > y;
}

static void print_medians(void)
{
    static const char *const what[] = {"created", "started", "exited"};

    for (int i = 0; i < 3 && samples > 0; i++) {
        qsort(spent[i], (size_t)samples, sizeof(long), compare);
        fprintf(stderr, "%s: median %ld us, least %ld us\n", what[i], spent[i][samples / 2],
                spent[i][0]);
    }
}

static int run_once(void)
{
    int control, plan = load_plan(opt.plan), code = 98, execs = 0;
    pid_t shim, client = -1;
    struct shim_msg m;

    started_at = time_monotonic_ns();
    shim = spawn_shim(plan, &control);
    close(plan);
    while (receive(control, &m)) {
        if (m.type == SHIM_CREATED) {
            note(0);
            if (!opt.quiet || opt.input)
                attach(control, &client);
            tell(control, SHIM_GO, NULL, NULL, 0);
        } else if (m.type == SHIM_STARTED) {
            note(1);
            if (opt.vanish)
                break;
            for (execs = 0; execs < opt.execs; execs++)
                run_exec(control, opt.exec[execs], execs);
        } else if (m.type == SHIM_FAILED) {
            code = m.fail.code;
        } else if (m.type == SHIM_EXITED) {
            code = m.state.code;
            note(2);
            if (samples < SAMPLES_MAX)
                samples++;
            break;
        }
    }
    close(control);
    if (client > 0)
        waitpid(client, NULL, 0);
    waitpid(shim, NULL, 0);
    return code;
}

int main(int argc, char **argv)
{
    int c, code = 0;

    while ((c = getopt(argc, argv, "n:e:tikq")) != -1) {
        if (c == 'n')
            opt.times = atoi(optarg);
        else if (c == 'e' && opt.execs < EXECS_MAX)
            opt.exec[opt.execs++] = optarg;
        else if (c == 't')
            opt.tty = true;
        else if (c == 'i')
            opt.input = true;
        else if (c == 'k')
            opt.vanish = true;
        else if (c == 'q')
            opt.quiet = true;
        else
            return 99;
    }
    if (argc - optind != 2)
        return 99;
    opt.shim = argv[optind];
    opt.plan = argv[optind + 1];
    signal(SIGPIPE, SIG_IGN);
    load_binary();
    for (int i = 0; i < opt.times && code == 0; i++)
        code = run_once();
    if (opt.times > 1)
        print_medians();
    return code;
}
