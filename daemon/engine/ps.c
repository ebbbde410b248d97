#include "ps.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "json.h"
#include "str.h"

#define PROC_FILE_MAX (1 << 20)
#define PS_OUTPUT_MAX (16u << 20)
#define PS_ARGS_MAX 32
#define PS_COLUMNS_MAX 64

struct proc {
    uid_t uid;
    int pid, ppid;
    unsigned tty;
    unsigned long long ticks, start_ticks;
    char *command; /* owned */
};

static char *read_command(int pid, const char *comm)
{
    char path[64], *text = NULL;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    n = file_read(AT_FDCWD, path, PROC_FILE_MAX, &text);
    if (n <= 0) {
        free(text);
        return xasprintf("[%s]", comm);
    }
    for (ssize_t i = 0; i < n - 1; i++) {
        if (text[i] == '\0')
            text[i] = ' ';
    }
    return text;
}

/* proc_pid_stat(5); the command may hold blanks and parentheses. */
static int read_proc(int pid, struct proc *ret)
{
    _cleanup_free_ char *text = NULL;
    unsigned long long utime, stime, start;
    char path[64], *comm, *end;
    struct stat st;
    int ppid, tty;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (stat(path, &st) < 0 || file_read(AT_FDCWD, path, PROC_FILE_MAX, &text) < 0)
        return -ESRCH;
    comm = strchr(text, '(');
    end = strrchr(text, ')');
    if (!comm || !end)
        return -EINVAL;
    *end = '\0';
    if (sscanf(end + 2,
               "%*c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu",
               &ppid, &tty, &utime, &stime, &start) != 5)
        return -EINVAL;
    *ret = (struct proc){.uid = st.st_uid,
                         .pid = pid,
                         .ppid = ppid,
                         .tty = (unsigned)tty,
                         .ticks = utime + stime,
                         .start_ticks = start,
                         .command = read_command(pid, comm + 1)};
    return 0;
}

static void format_tty(unsigned nr, char *out, size_t size)
{
    unsigned major = nr >> 8 & 0xfff, minor = (nr & 0xff) | (nr >> 12 & 0xfff00);

    if (major >= 136 && major <= 143)
        snprintf(out, size, "pts/%u", minor + (major - 136) * 256);
    else if (nr)
        snprintf(out, size, "tty%u", minor);
    else
        snprintf(out, size, "?");
}

static json_t *proc_row(const struct proc *p)
{
    unsigned long long hz = (unsigned long long)sysconf(_SC_CLK_TCK), used = p->ticks / hz;
    struct timespec up;
    struct tm tm;
    double age;
    char stime[16], tty[24];
    time_t started;
    json_t *row = json_array(), *command;

    clock_gettime(CLOCK_BOOTTIME, &up);
    age = (double)up.tv_sec + (double)up.tv_nsec / 1e9 - (double)p->start_ticks / (double)hz;
    started = time(NULL) - (time_t)age;
    localtime_r(&started, &tm);
    strftime(stime, sizeof(stime), age < 86400 ? "%H:%M" : "%b%d", &tm);
    format_tty(p->tty, tty, sizeof(tty));
    json_array_append_new(row, p->uid == 0 ? json_string("root") : json_sprintf("%u", p->uid));
    json_array_append_new(row, json_sprintf("%d", p->pid));
    json_array_append_new(row, json_sprintf("%d", p->ppid));
    json_array_append_new(row, json_sprintf("%d", age > 0 ? (int)((double)used * 100 / age) : 0));
    json_array_append_new(row, json_string(stime));
    json_array_append_new(row, json_string(tty));
    json_array_append_new(
        row, json_sprintf("%02llu:%02llu:%02llu", used / 3600, used / 60 % 60, used % 60));
    command = json_string(p->command); /* NULL if it is not UTF-8 */
    json_array_append_new(row, command ? command : json_string("?"));
    return row;
}

json_t *ps_native(const pid_t *pids, size_t n)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < n; i++) {
        struct proc p;

        if (read_proc(pids[i], &p) < 0)
            continue; /* gone meanwhile */
        json_array_append_new(rows, proc_row(&p));
        free(p.command);
    }
    return json_pack("{s:[s,s,s,s,s,s,s,s], s:o}", "Titles", "UID", "PID", "PPID", "C", "STIME",
                     "TTY", "TIME", "CMD", "Processes", rows);
}

/* ---- the host's ps ---- */

static int spawn_ps(char *const *argv, int out_fd, pid_t *ret)
{
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char *envp[] = {path, NULL};
    posix_spawn_file_actions_t fa;
    int r;

    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, out_fd, 1);
    posix_spawn_file_actions_adddup2(&fa, out_fd, 2);
    r = posix_spawnp(ret, argv[0], &fa, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&fa);
    return -r;
}

static char *read_output(int fd)
{
    struct buf out = {0};
    ssize_t n;

    while (out.len < PS_OUTPUT_MAX &&
           ((n = read(fd, buf_reserve(&out, 65536), 65536)) > 0 || (n < 0 && errno == EINTR))) {
        if (n > 0)
            out.len += (size_t)n;
    }
    return buf_take_str(&out);
}

static int run_ps(const char *args, char **ret, struct err *reterr)
{
    _cleanup_free_ char *copy = xstrdup(args);
    _cleanup_close_ int in = -EBADF, out = -EBADF;
    char name[] = "ps", *argv[PS_ARGS_MAX + 2] = {name}, *save = NULL;
    int pipe_fd[2], status = 0, n = 1, r;
    pid_t pid;

    for (char *w = strtok_r(copy, " \t", &save); w && n <= PS_ARGS_MAX;
         w = strtok_r(NULL, " \t", &save))
        argv[n++] = w;
    if (pipe2(pipe_fd, O_CLOEXEC) < 0)
        return err_sys(reterr, errno, "pipe");
    in = pipe_fd[0];
    out = pipe_fd[1];
    r = spawn_ps(argv, out, &pid);
    if (r < 0)
        return err_sys(reterr, -r, "cannot run ps");
    out = fd_close(out);
    *ret = read_output(in);
    in = fd_close(in);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        /* The first line says what is wrong, the others how to use ps(1). */
        r = err_set(reterr, ERR_SYSTEM, EINVAL, "ps: %.*s", (int)strcspn(*ret, "\n"), *ret);
        free(TAKE_PTR(*ret));
        return r;
    }
    return 0;
}

/* The line's words, the last one being all that is left for column n. */
static json_t *split_columns(char *line, size_t columns)
{
    json_t *row = json_array();

    for (size_t i = 0; i < columns; i++) {
        json_t *v;
        size_t n;

        line += strspn(line, " \t");
        n = i + 1 == columns ? strlen(line) : strcspn(line, " \t");
        v = json_stringn(line, n);
        json_array_append_new(row, v ? v : json_string("?"));
        line += n;
    }
    return row;
}

static bool is_wanted(const char *text, const pid_t *pids, size_t n)
{
    int64_t pid;

    if (str_parse_i64(text, 0, INT32_MAX, &pid) < 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (pids[i] == (pid_t)pid)
            return true;
    }
    return false;
}

static size_t count_words(const char *line)
{
    size_t n = 0;

    while (*(line += strspn(line, " \t"))) {
        n++;
        line += strcspn(line, " \t");
    }
    return n;
}

static int find_pid_column(const json_t *titles, size_t *ret, struct err *reterr)
{
    const json_t *t;
    size_t i;

    json_array_foreach (titles, i, t) {
        if (streq(json_string_value(t), "PID")) {
            *ret = i;
            return 0;
        }
    }
    return err_set(reterr, ERR_SYSTEM, EINVAL, "Couldn't find PID field in ps output");
}

int ps_external(const char *args, const pid_t *pids, size_t n, json_t **ret, struct err *reterr)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ json_t *titles = NULL, *rows = json_array();
    char *line, *save = NULL;
    size_t columns, pid_column = 0;
    int r = run_ps(args, &text, reterr);

    if (r < 0)
        return r;
    line = strtok_r(text, "\n", &save);
    columns = line ? count_words(line) : 0;
    if (columns > PS_COLUMNS_MAX)
        columns = PS_COLUMNS_MAX;
    titles = line ? split_columns(line, columns) : json_array();
    r = find_pid_column(titles, &pid_column, reterr);
    if (r < 0)
        return r;
    while ((line = strtok_r(NULL, "\n", &save))) {
        _cleanup_json_ json_t *row = split_columns(line, columns);

        if (is_wanted(json_string_value(json_array_get(row, pid_column)), pids, n))
            json_array_append(rows, row);
    }
    *ret = json_pack("{s:O, s:O}", "Titles", titles, "Processes", rows);
    return 0;
}
