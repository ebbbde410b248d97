#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "str.h"
#include "validate.h"

/* glibc keeps two real-time signals for itself; names in requests count from the kernel's. */
#define RT_MIN 34
#define RT_MAX 64

static int by_name(const char *s)
{
    static const struct {
        const char *name;
        int nr;
    } table[] = {
        {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"BUS", SIGBUS},       {"CHLD", SIGCHLD},
        {"CLD", SIGCHLD},  {"CONT", SIGCONT}, {"FPE", SIGFPE},       {"HUP", SIGHUP},
        {"ILL", SIGILL},   {"INT", SIGINT},   {"IO", SIGIO},         {"IOT", SIGIOT},
        {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"POLL", SIGPOLL},     {"PROF", SIGPROF},
        {"PWR", SIGPWR},   {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},     {"STKFLT", SIGSTKFLT},
        {"STOP", SIGSTOP}, {"SYS", SIGSYS},   {"TERM", SIGTERM},     {"TRAP", SIGTRAP},
        {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},
        {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH},
        {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ}, {"RTMIN", RT_MIN},     {"RTMAX", RT_MAX},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (strcasecmp(table[i].name, s) == 0)
            return table[i].nr;
    }
    return -EINVAL;
}

static int realtime(const char *s)
{
    int64_t n;

    if (strncasecmp(s, "RTMIN+", 6) == 0 && str_parse_i64(s + 6, 1, RT_MAX - RT_MIN, &n) >= 0)
        return RT_MIN + (int)n;
    if (strncasecmp(s, "RTMAX-", 6) == 0 && str_parse_i64(s + 6, 1, RT_MAX - RT_MIN, &n) >= 0)
        return RT_MAX - (int)n;
    return -EINVAL;
}

int signal_parse(const char *s, struct err *reterr)
{
    const char *name = s ? s : "";
    int64_t n;
    int r;

    if (str_parse_i64(name, 1, RT_MAX, &n) >= 0)
        return (int)n;
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    r = by_name(name);
    if (r < 0)
        r = realtime(name);
    return r < 0 ? err_set(reterr, ERR_INVALID, EINVAL, "invalid signal: %s", s ? s : "") : r;
}
