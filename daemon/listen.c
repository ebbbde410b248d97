#include "listen.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "manager.h"
#include "path.h"
#include "str.h"

#define SOCKET_GROUP "containerd-lite"

static int open_inherited(int *fds, int n, struct err *reterr)
{
    int count = manager_sockets();

    if (count <= 0)
        return err_set(reterr, ERR_INVALID, ENOENT, "fd://: no sockets were passed");
    for (int fd = MANAGER_FDS_START; fd < MANAGER_FDS_START + count; fd++) {
        if (!manager_is_listening(fd) || n == LISTEN_MAX)
            return err_set(reterr, ERR_INVALID, ENOTSUP,
                           "fd://: descriptor %d is not a listening Unix socket", fd);
        fds[n++] = fd;
    }
    return n;
}

/* A socket that somebody serves must not be taken away from him. */
static int check_free(const char *path, struct err *reterr)
{
    int fd = unix_connect(path, SOCK_STREAM);

    if (fd < 0)
        return 0;
    fd_close(fd);
    return err_set(reterr, ERR_CONFLICT, EADDRINUSE, "a daemon is serving %s already", path);
}

/* getgrnam(3) would map the name services' libraries for good; the group is a local one. */
static int socket_group(gid_t *ret)
{
    FILE *f = fopen("/etc/group", "re");
    struct group *g;
    int r = -ENOENT;

    while (f && r < 0 && (g = fgetgrent(f))) {
        if (streq(g->gr_name, SOCKET_GROUP)) {
            *ret = g->gr_gid;
            r = 0;
        }
    }
    if (f)
        fclose(f);
    return r;
}

static int open_path(const char *path, struct err *reterr)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *dir = xstrndup(path, (size_t)(slash - path));
    int fd, r = 0;
    gid_t gid;

    if (*dir)
        r = path_mkdir_p(dir, 0755);
    if (r < 0)
        return err_sys(reterr, -r, "cannot make directory %s", dir);
    r = check_free(path, reterr);
    if (r < 0)
        return r;
    fd = unix_listen(path, SOCK_STREAM, 0660);
    if (fd < 0)
        return err_sys(reterr, -fd, "cannot listen on %s", path);
    if (socket_group(&gid) >= 0 && chown(path, 0, gid) < 0)
        log_warn("cannot give %s to group " SOCKET_GROUP, path);
    return fd;
}

int listen_open(char *const *hosts, int *ret_fds, struct err *reterr)
{
    int n = 0, r = 0;

    for (size_t i = 0; hosts[i] && r >= 0; i++) {
        if (streq(hosts[i], "fd://")) {
            r = open_inherited(ret_fds, n, reterr);
            n = r >= 0 ? r : n;
        } else if (n < LISTEN_MAX) {
            r = open_path(hosts[i] + strlen("unix://"), reterr);
            if (r >= 0)
                ret_fds[n++] = r;
        }
    }
    if (r < 0) {
        while (n > 0)
            fd_close(ret_fds[--n]);
        return r;
    }
    return n;
}

void listen_unlink(char *const *hosts)
{
    for (size_t i = 0; hosts[i]; i++) {
        if (str_starts(hosts[i], "unix://"))
            unlink(hosts[i] + strlen("unix://"));
    }
}
