#include "report.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "control.h"
#include "fd.h"
#include "sync.h"

static uint64_t devpts;
static bool told_go;
/* Kept to the end: the last one to let go of an overlay waits until its upper directory's file
 * system is synced.  That shall not be the container's init, whose end somebody waits for. */
static int root_fd = -EBADF;

uint64_t report_devpts(void)
{
    return devpts;
}

void report_set_devpts(uint64_t dev)
{
    devpts = dev;
}

void sync_tell_go(struct task *t)
{
    told_go = true;
    sync_tell(t->sync.fd, SYNC_GO, -EBADF);
}

static void take_fail(struct task *t, const struct sync_msg *m)
{
    t->failed = true;
    t->fail.code = m->code;
    t->fail.errnum = m->errnum;
    memcpy(t->fail.message, m->text, sizeof(t->fail.message));
}

static void take(struct task *t, const struct sync_msg *m, int *fd)
{
    struct shim_fail f = {0};

    switch (m->type) {
    case SYNC_FAIL:
        take_fail(t, m);
        break;
    case SYNC_PTY:
        if (*fd >= 0)
            task_use_pty(t, TAKE_FD(*fd));
        break;
    case SYNC_ROOT:
        devpts = m->dev;
        root_fd = TAKE_FD(*fd);
        break;
    case SYNC_WARNING:
        memcpy(f.message, m->text, sizeof(f.message));
        control_send_fail(SHIM_WARNING, t->id, &f);
        break;
    default:
        break;
    }
}

void report_started(struct task *t)
{
    t->started = true;
    t->state.phase = SHIM_PHASE_RUNNING;
    t->state.started_ns = clock_real_ns();
    if (!t->probe)
        control_send_state(t == task_main() ? SHIM_STARTED : SHIM_EXEC_STATE, t->id, &t->state);
}

/* The socket has closed: by exec(2), or with the process. */
static void sync_closed(struct task *t)
{
    int fd = t->sync.fd;
    bool is_main = t == task_main();

    watch_done(&t->sync);
    fd_close(fd);
    if (!t->failed && !t->killed && is_main && !told_go) {
        t->failed = true;
        t->fail.code = 128;
        memcpy(t->fail.message, "the container's init died", 26);
    }
    /* Of a restore it is criu that runs now. */
    if (!t->failed && told_go && !t->restoring)
        report_started(t);
}

/* One message; false when there is none for now. */
static bool take_one(struct task *t)
{
    static struct sync_msg m;
    int fds[FD_PASS_MAX];
    size_t n;
    ssize_t r;

    if (t->sync.fd < 0)
        return false;
    memset(&m, 0, sizeof(m));
    r = fd_recv(t->sync.fd, &m, sizeof(m), fds, &n);
    /* A peer that left with unread packets (a 'G') resets the connection; what it had sent before
     * comes after that error. */
    if (r == -ECONNRESET)
        return true;
    if (r == -EAGAIN)
        return false;
    if (r <= 0) {
        sync_closed(t);
        return false;
    }
    m.text[sizeof(m.text) - 1] = '\0';
    if (n == 0)
        fds[0] = -EBADF;
    take(t, &m, &fds[0]);
    for (size_t i = 0; i < (n ? n : 1); i++)
        fd_close(fds[i]);
    return true;
}

static void on_sync(void *arg, uint32_t events)
{
    (void)events;
    while (take_one(arg))
        ;
}

void report_watch(struct task *t)
{
    int fd = t->sync.fd;

    fd_set_nonblock(fd, 1);
    watch_init(&t->sync, fd, on_sync, t);
    watch_set(&t->sync, EPOLLIN);
}

void report_drain(struct task *t)
{
    while (take_one(t))
        ;
}
