#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach.h"
#include "fd.h"
#include "health.h"
#include "logfile.h"
#include "plan.h"
#include "sendlog.h"

static struct task tasks[TASK_MAX];
/* Apart from the tasks, so that going through them does not touch these pages. */
static char input[TASK_MAX][TASK_STDIN_MAX] __attribute__((aligned(4096)));
static char chunk[TASK_READ_MAX] __attribute__((aligned(4096)));
static bool touched;

void (*task_on_change)(struct task *t);

/* ---- the table ---- */

static void reset(struct task *t)
{
    *t = (struct task){.used = true,
                       .pidfd = -EBADF,
                       .sync = WATCH_INIT,
                       .out = {WATCH_INIT, WATCH_INIT},
                       .in = WATCH_INIT};
}

struct task *task_main(void)
{
    if (!tasks[0].used)
        reset(&tasks[0]);
    return &tasks[0];
}

struct task *task_probe(void)
{
    reset(&tasks[TASK_PROBE]);
    tasks[TASK_PROBE].probe = true;
    return &tasks[TASK_PROBE];
}

struct task *task_at(int i)
{
    return tasks[i].used ? &tasks[i] : NULL;
}

struct task *task_find(const char *id)
{
    for (int i = 0; i < TASK_PROBE; i++) {
        if (tasks[i].used && streq(tasks[i].id, id))
            return &tasks[i];
    }
    return NULL;
}

struct task *task_by_pid(pid_t pid)
{
    for (int i = 0; i < TASK_MAX; i++) {
        if (tasks[i].used && tasks[i].pid == pid && !tasks[i].reaped)
            return &tasks[i];
    }
    return NULL;
}

static struct task *oldest_done(void)
{
    struct task *old = NULL;

    for (int i = 1; i < TASK_PROBE; i++) {
        if (tasks[i].used && tasks[i].done &&
            (!old || tasks[i].state.finished_ns < old->state.finished_ns))
            old = &tasks[i];
    }
    return old;
}

struct task *task_new(const char *id)
{
    struct task *t = NULL;

    for (int i = 1; i < TASK_PROBE && !t; i++) {
        if (!tasks[i].used)
            t = &tasks[i];
    }
    if (!t) {
        t = oldest_done();
        if (!t)
            return NULL;
        task_free(t);
    }
    reset(t);
    memcpy(t->id, id, ID_LEN + 1);
    return t;
}

static void close_watch(struct watch *w)
{
    int fd = w->fd;

    watch_done(w);
    fd_close(fd);
}

void task_free(struct task *t)
{
    close_watch(&t->sync);
    task_close_output(t);
    close_watch(&t->in);
    fd_close(t->pidfd);
    t->used = false;
}

/* ---- output ---- */

static void end_stream(struct task *t, struct watch *w)
{
    close_watch(w);
    task_on_change(t);
}

/* One read; false when there is no more for now. */
static bool read_some(struct task *t, enum task_stream stream)
{
    struct watch *w = &t->out[stream];
    ssize_t n;

    if (w->fd < 0)
        return false;
    n = read(w->fd, chunk, sizeof(chunk));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    /* A pty says EIO when its last slave is closed. */
    if (n <= 0) {
        end_stream(t, w);
        return false;
    }
    touched = true;
    if (t == &tasks[0]) {
        logfile_write(stream == TASK_STDERR ? LOGFILE_STDERR : LOGFILE_STDOUT, chunk, (size_t)n);
        sendlog_write(stream == TASK_STDERR, chunk, (size_t)n);
    }
    if (t->probe)
        health_output(chunk, (size_t)n);
    attach_output(t, stream, chunk, (size_t)n);
    return true;
}

static void on_stdout(void *arg, uint32_t events)
{
    (void)events;
    read_some(arg, TASK_STDOUT);
}

static void on_stderr(void *arg, uint32_t events)
{
    (void)events;
    read_some(arg, TASK_STDERR);
}

void task_drain(struct task *t)
{
    /* Bounded: somebody may write faster than we read. */
    for (int i = 0; i < 64 && read_some(t, TASK_STDOUT); i++)
        ;
    for (int i = 0; i < 64 && read_some(t, TASK_STDERR); i++)
        ;
}

bool task_has_output(const struct task *t)
{
    return t->out[0].fd >= 0 || t->out[1].fd >= 0;
}

void task_close_output(struct task *t)
{
    close_watch(&t->out[0]);
    close_watch(&t->out[1]);
}

void task_pause(struct task *t, bool pause)
{
    if (t->paused == pause)
        return;
    t->paused = pause;
    watch_set(&t->out[0], pause ? 0 : EPOLLIN);
    watch_set(&t->out[1], pause ? 0 : EPOLLIN);
}

bool task_trim(void)
{
    if (!touched)
        return false;
    touched = false;
    madvise(chunk, sizeof(chunk), MADV_DONTNEED);
    logfile_trim();
    return true;
}

/* ---- input ---- */

static char *ring(const struct task *t)
{
    return input[t - tasks];
}

static void stdin_closed(struct task *t)
{
    close_watch(&t->in);
    t->in_len = 0;
    attach_stdin_ready(t);
}

static void stdin_flush(struct task *t)
{
    while (t->in_len > 0 && t->in.fd >= 0) {
        size_t n = TASK_STDIN_MAX - t->in_head;
        ssize_t r;

        n = n < t->in_len ? n : t->in_len;
        r = write(t->in.fd, ring(t) + t->in_head, n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0 && errno == EAGAIN)
            break;
        if (r < 0) {
            stdin_closed(t);
            return;
        }
        t->in_head = (t->in_head + (uint32_t)r) % TASK_STDIN_MAX;
        t->in_len -= (uint32_t)r;
    }
    watch_set(&t->in, t->in_len > 0 ? EPOLLOUT : 0);
    if (t->in_len == 0 && t->stdin_eof)
        stdin_closed(t);
}

static void on_stdin(void *arg, uint32_t events)
{
    struct task *t = arg;

    (void)events;
    stdin_flush(t);
    attach_stdin_ready(t);
}

size_t task_stdin_room(const struct task *t)
{
    /* Nobody reads it any more: swallow, so that clients notice nothing but the end. */
    if (t->in.fd < 0 && (t->started || t->reaped))
        return TASK_STDIN_MAX;
    return TASK_STDIN_MAX - t->in_len;
}

void task_stdin_put(struct task *t, const char *data, size_t len)
{
    if ((t->in.fd < 0 && t->started) || t->stdin_eof)
        return;
    while (len > 0) {
        uint32_t at = (t->in_head + t->in_len) % TASK_STDIN_MAX;
        size_t n = TASK_STDIN_MAX - at;

        n = n < len ? n : len;
        memcpy(ring(t) + at, data, n);
        t->in_len += (uint32_t)n;
        data += n;
        len -= n;
    }
    stdin_flush(t);
}

void task_stdin_close(struct task *t)
{
    if (t->stdin_eof)
        return;
    t->stdin_eof = true;
    if (t->in.fd >= 0)
        stdin_flush(t);
}

/* ---- opening ---- */

static void use_output(struct task *t, enum task_stream stream, int fd)
{
    fd_set_nonblock(fd, 1);
    watch_init(&t->out[stream], fd, stream == TASK_STDERR ? on_stderr : on_stdout, t);
    watch_set(&t->out[stream], EPOLLIN);
}

static void use_input(struct task *t, int fd)
{
    fd_set_nonblock(fd, 1);
    watch_init(&t->in, fd, on_stdin, t);
    stdin_flush(t);
}

static int open_output(struct task *t, enum task_stream stream, int *ret_child)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) < 0)
        return -errno;
    use_output(t, stream, p[0]);
    *ret_child = p[1];
    return 0;
}

static int open_input(struct task *t, int *ret_child)
{
    int p[2];

    if (!(t->flags & PLAN_STDIO_STDIN)) {
        *ret_child = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return *ret_child < 0 ? -errno : 0;
    }
    if (pipe2(p, O_CLOEXEC) < 0)
        return -errno;
    use_input(t, p[1]);
    *ret_child = p[0];
    return 0;
}

int task_open_pipes(struct task *t, int child[3])
{
    int r;

    child[0] = child[1] = child[2] = -EBADF;
    if (t->flags & PLAN_STDIO_TTY)
        return 0;
    r = open_input(t, &child[0]);
    if (r >= 0)
        r = open_output(t, TASK_STDOUT, &child[1]);
    if (r >= 0)
        r = open_output(t, TASK_STDERR, &child[2]);
    return r;
}

void task_use_pty(struct task *t, int master)
{
    int in = fcntl(master, F_DUPFD_CLOEXEC, 3);

    use_output(t, TASK_STDOUT, master);
    if (in >= 0)
        use_input(t, in);
}

void task_resize(struct task *t, uint16_t rows, uint16_t columns)
{
    struct winsize size = {.ws_row = rows, .ws_col = columns};

    if ((t->flags & PLAN_STDIO_TTY) && t->out[0].fd >= 0)
        ioctl(t->out[0].fd, TIOCSWINSZ, &size);
}
