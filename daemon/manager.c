#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "str.h"

#define SOCKETS_MAX 64

static int64_t env_number(const char *name)
{
    const char *value = getenv(name);
    int64_t n;

    return value && str_parse_i64(value, 0, INT64_MAX, &n) >= 0 ? n : 0;
}

int manager_sockets(void)
{
    int count = 0;

    /* The variables may be meant for a parent of ours. */
    if (env_number("LISTEN_PID") == getpid())
        count = (int)env_number("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (count < 0 || count > SOCKETS_MAX)
        return 0;
    for (int fd = MANAGER_FDS_START; fd < MANAGER_FDS_START + count; fd++) {
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            return 0;
    }
    return count;
}

static bool option_is(int fd, int option, int wanted)
{
    socklen_t len = sizeof(int);
    int value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) >= 0 && value == wanted;
}

bool manager_is_listening(int fd)
{
    return option_is(fd, SO_DOMAIN, AF_UNIX) && option_is(fd, SO_TYPE, SOCK_STREAM) &&
           option_is(fd, SO_ACCEPTCONN, 1);
}

int64_t manager_watchdog_us(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    int64_t us = !pid || env_number("WATCHDOG_PID") == getpid() ? env_number("WATCHDOG_USEC") : 0;

    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    return us;
}

void manager_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    _cleanup_close_ int fd = -1;
    size_t len;

    if (!path || (path[0] != '/' && path[0] != '@') || !path[1])
        return;
    len = strlen(path);
    if (len >= sizeof(to.sun_path))
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = '\0'; /* an abstract name */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
        log_warn("cannot tell the service manager \"%s\": %s", state, strerror(errno));
}
