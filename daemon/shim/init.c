#include "init.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys.h"

static int code_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Everything is blocked, so that no signal is lost and none needs a handler. */
static _Noreturn void reap_and_forward(pid_t child)
{
    sigset_t all;

    sigfillset(&all);
    for (;;) {
        siginfo_t info;
        int status, sig = sigwaitinfo(&all, &info);
        pid_t pid;

        if (sig > 0 && sig != SIGCHLD) {
            kill(child, sig);
            continue;
        }
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            if (pid == child)
                _exit(code_of(status));
        }
    }
}

int init_fork(void)
{
    sigset_t all, old;
    pid_t pid;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &old, NULL);
        return 0;
    }
    /* The pipes and the terminal are the program's alone: they end when it ends. */
    close_range(0, ~0U, 0);
    prctl(PR_SET_NAME, "ctl-init", 0, 0, 0);
    reap_and_forward(pid);
}
