#include "apparmor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "json.h"
#include "path.h"
#include "secopt.h"
#include "str.h"

#define SWITCH "/sys/module/apparmor/parameters/enabled"
#define PROFILES "/sys/kernel/security/apparmor/profiles"
#define PARSER "/usr/sbin/apparmor_parser"
#define PROFILES_MAX (1 << 20)

/* What a container has no business with even as its root: mounts, the kernel's own files, and the
 * processes outside.  The rest is left to capabilities, seccomp and masked paths. */
static const char text[] =
    "profile " APPARMOR_DEFAULT " flags=(attach_disconnected,mediate_deleted) {\n"
    "  network,\n"
    "  capability,\n"
    "  file,\n"
    "  umount,\n"
    "  signal (receive) peer=unconfined,\n"
    "  signal (send,receive) peer=" APPARMOR_DEFAULT ",\n"
    "  ptrace (trace,read,tracedby,readby) peer=" APPARMOR_DEFAULT ",\n"
    "  deny mount,\n"
    /* In /proc only what belongs to a process is written. */
    "  deny /proc/* w,\n"
    "  deny /proc/[^1-9]*/** w,\n"
    "  deny /proc/{sysrq-trigger,kcore,kmem,mem} rwklx,\n"
    /* In /sys only cgroups. */
    "  deny /sys/[^f]*/** wklx,\n"
    "  deny /sys/f[^s]*/** wklx,\n"
    "  deny /sys/fs/[^c]*/** wklx,\n"
    "  deny /sys/fs/c[^g]*/** wklx,\n"
    "  deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** rwklx,\n"
    "}\n";

bool apparmor_is_on(void)
{
    _cleanup_free_ char *enabled = NULL;

    return file_read(AT_FDCWD, SWITCH, 16, &enabled) > 0 && enabled[0] == 'Y' &&
           access(PROFILES, R_OK) == 0 && access(PARSER, X_OK) == 0;
}

const char *apparmor_profile(const json_t *host_config)
{
    struct secopt so = {0};

    if (secopt_parse(host_config, &so, NULL) >= 0 && !str_empty(so.apparmor))
        return so.apparmor;
    return json_get_bool(host_config, "Privileged", false) ? "unconfined" : APPARMOR_DEFAULT;
}

/* ---- the default ---- */

/* A line is "NAME (MODE)". */
static bool is_loaded(void)
{
    _cleanup_free_ char *list = NULL;

    if (file_read(AT_FDCWD, PROFILES, PROFILES_MAX, &list) < 0)
        return false;
    return str_starts(list, APPARMOR_DEFAULT " (") || strstr(list, "\n" APPARMOR_DEFAULT " (");
}

/* The parser reads the profile from its standard input. */
static int text_fd(void)
{
    _cleanup_close_ int fd = memfd_create("profile", MFD_CLOEXEC);

    if (fd < 0 || write(fd, text, sizeof(text) - 1) != sizeof(text) - 1 ||
        lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int run_parser(int input, struct err *reterr)
{
    char *const argv[] = {PARSER, "--quiet", "--skip-cache", "--replace", NULL}, *const env[] = {
                                                                                     NULL};
    posix_spawn_file_actions_t actions;
    int r, status;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    r = posix_spawn(&pid, PARSER, &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    if (r != 0)
        return err_sys(reterr, r, "cannot run %s", PARSER);
    while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    /* ECHILD: somebody else has reaped it; the kernel tells whether it is there. */
    if ((r < 0 || status != 0) && !is_loaded())
        return err_set(reterr, ERR_SYSTEM, EINVAL,
                       "AppArmor enabled on system but the %s profile could not be loaded",
                       APPARMOR_DEFAULT);
    return 0;
}

int apparmor_load_default(struct err *reterr)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int r = 0;

    /* Asked each time: a service that loads the system's profiles may unload those of others. */
    pthread_mutex_lock(&lock);
    if (!is_loaded()) {
        _cleanup_close_ int fd = text_fd();

        r = fd < 0 ? err_sys(reterr, -fd, "memfd_create") : run_parser(fd, reterr);
    }
    pthread_mutex_unlock(&lock);
    return r;
}
