#include "exec.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "attach.h"
#include "clock.h"
#include "control.h"
#include "failure.h"
#include "fd.h"
#include "plan.h"
#include "planmap.h"
#include "report.h"
#include "spawn.h"
#include "text.h"

static const void *container;

void exec_init(const void *plan)
{
    container = plan;
}

/* The client has its HTTP head already: what went wrong is text in the stream. */
static void tell_client(struct task *t)
{
    static char text[ERR_MESSAGE_MAX + 128];
    bool plain = failure_is_user(&t->fail);
    int n = text_join(
        text, sizeof(text),
        plain ? "" : "OCI runtime exec failed: exec failed: unable to start container process: ",
        t->fail.message, plain ? "\r\n" : ": unknown\r\n", NULL);

    if (n > 0)
        attach_output(t, TASK_STDOUT, text, (size_t)n);
}

static void finish(struct task *t)
{
    if (t->done)
        return;
    t->done = true;
    task_close_output(t);
    attach_end(t);
    t->pidfd = fd_close(t->pidfd);
}

static void report_failure(struct task *t)
{
    if (t->done)
        return;
    t->state.phase = SHIM_PHASE_EXITED;
    t->state.pid = 0;
    t->state.code = t->fail.code;
    if (t->state.finished_ns == 0)
        t->state.finished_ns = clock_real_ns();
    control_send_fail(SHIM_EXEC_FAILED, t->id, &t->fail);
    tell_client(t);
    finish(t);
}

static void report_exit(struct task *t)
{
    if (t->state.phase == SHIM_PHASE_EXITED)
        return;
    t->state.phase = SHIM_PHASE_EXITED;
    t->state.pid = 0;
    t->linger_until = clock_mono_ms() + TASK_LINGER_MS;
    /* Before the streams are closed: clients ask for the code as soon as they see the end. */
    control_send_state(SHIM_EXEC_STATE, t->id, &t->state);
    /* All it has written itself is in the pipes by now; may come back here at their end. */
    task_drain(t);
}

void exec_on_change(struct task *t)
{
    if (t->done || !t->reaped || t->sync.fd >= 0)
        return;
    if (t->failed) {
        report_failure(t);
        return;
    }
    report_exit(t);
    if (!t->done && !task_has_output(t))
        finish(t);
}

static void fail(struct task *t, const struct err *e)
{
    t->failed = true;
    t->reaped = true;
    failure_describe(&t->fail, e);
    report_failure(t);
}

int exec_spawn(struct task *t, const void *plan, struct err *reterr)
{
    struct spawn_container c = {
        .plan = container, .init_pidfd = task_main()->pidfd, .devpts = report_devpts()};
    int r = spawn_exec(t, &c, plan, reterr);

    if (r >= 0)
        report_watch(t);
    return r;
}

static void launch(struct task *t, int plan_fd)
{
    struct err e = {0};
    size_t size = 0;
    const void *plan = planmap_open(plan_fd, &size, &e);

    if (!plan || exec_spawn(t, plan, &e) < 0)
        fail(t, &e);
    planmap_close(plan, size);
}

/* Which streams the client gets is known before the plan is: the flags decide on half-close. */
static uint64_t stdio_flags(int plan_fd)
{
    struct err e;
    size_t size = 0;
    const void *plan = planmap_open(plan_fd, &size, &e);
    const struct plan_op *op = plan ? plan_find(plan, NULL, PLAN_STDIO) : NULL;
    uint64_t flags = op ? op->arg[0] : 0;

    planmap_close(plan, size);
    return flags;
}

static void refuse(const char *id, int errnum, const char *why)
{
    struct shim_fail f = {.code = 128, .errnum = errnum};

    memcpy(f.message, why, strlen(why));
    control_send_fail(SHIM_EXEC_FAILED, id, &f);
}

void exec_start(const struct shim_msg *m, int *fds, size_t n)
{
    struct task *t;

    if (n < 1 || !*m->exec_id || task_find(m->exec_id)) {
        refuse(m->exec_id, EINVAL, "malformed exec request");
        return;
    }
    if (!task_main()->started || task_main()->reaped) {
        refuse(m->exec_id, ESRCH, "the container is not running");
        return;
    }
    t = task_new(m->exec_id);
    if (!t) {
        refuse(m->exec_id, EBUSY, "too many processes are executed at once");
        return;
    }
    t->flags = stdio_flags(fds[0]);
    if (n > 1)
        attach_add(t, TAKE_FD(fds[1]), &m->attach);
    launch(t, fds[0]);
}

int exec_tick(int64_t now_ms)
{
    int wait = -1;

    for (int i = 1; i < TASK_PROBE; i++) {
        struct task *t = task_at(i);
        int64_t left;

        if (!t || t->done || !t->linger_until)
            continue;
        left = t->linger_until - now_ms;
        if (left <= 0)
            finish(t);
        else if (wait < 0 || left < wait)
            wait = (int)left;
    }
    return wait;
}

/* In a pid namespace of its own they are dead already; elsewhere they may have to be told. */
void exec_end_all(void)
{
    for (int i = 1; i < TASK_PROBE; i++) {
        struct task *t = task_at(i);
        int status;

        if (!t || t->done)
            continue;
        if (!t->reaped) {
            kill(t->pid, SIGKILL);
            while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
                ;
            t->reaped = true;
            t->state.code = 128 + SIGKILL;
            t->state.finished_ns = clock_real_ns();
            report_drain(t);
        }
        exec_on_change(t);
        finish(t);
    }
}
