#include "shutdown.h"

#include <stdbool.h>
#include <sys/pidfd.h>

#include "clock.h"
#include "plan.h"
#include "task.h"

static bool told;
static int64_t kill_ms; /* 0: it is not killed */

static void signal_main(int signo)
{
    const struct task *t = task_main();

    if (t->pidfd >= 0 && !t->reaped)
        pidfd_send_signal(t->pidfd, signo, NULL, 0);
}

void shutdown_on_signal(const struct signalfd_siginfo *info, const void *plan)
{
    const struct plan_op *op;

    if (info->ssi_signo != SIGTERM || info->ssi_code != SI_USER || info->ssi_pid != 1 || told)
        return;
    op = plan_find(plan, NULL, PLAN_STOP);
    if (!op)
        return;
    told = true;
    signal_main((int)op->arg[0]);
    if ((int64_t)op->arg[1] >= 0)
        kill_ms = clock_mono_ms() + (int64_t)op->arg[1] * 1000 + 1;
}

int shutdown_tick(int64_t now_ms)
{
    if (kill_ms == 0)
        return -1;
    if (now_ms < kill_ms)
        return kill_ms - now_ms > INT32_MAX ? INT32_MAX : (int)(kill_ms - now_ms);
    kill_ms = 0;
    signal_main(SIGKILL);
    return -1;
}
