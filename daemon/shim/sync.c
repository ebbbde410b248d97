#include "sync.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"

int sync_pair(int ret[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) < 0 ? -errno : 0;
}

int sync_send(int fd, const struct sync_msg *m, const int *fds, size_t n)
{
    size_t len = offsetof(struct sync_msg, text) + strlen(m->text) + 1;
    ssize_t r = fd_send(fd, m, len, fds, n);

    return r < 0 ? (int)r : 0;
}

int sync_send_text(int fd, enum sync_type type, int code, int errnum, const char *text)
{
    struct sync_msg m = {.type = type, .code = code, .errnum = errnum};

    /* The rest is zero already. */
    memcpy(m.text, text, strnlen(text, sizeof(m.text) - 1));
    return sync_send(fd, &m, NULL, 0);
}

int sync_expect(int fd, char letter, int *ret_fd)
{
    int fds[FD_PASS_MAX];
    size_t n;
    char c = 0;
    ssize_t r = fd_recv(fd, &c, 1, fds, &n);

    if (r != 1 || c != letter) {
        while (n > 0)
            fd_close(fds[--n]);
        return -ECANCELED;
    }
    if (ret_fd)
        *ret_fd = n > 0 ? fds[0] : -EBADF;
    for (size_t i = ret_fd ? 1 : 0; i < n; i++)
        fd_close(fds[i]);
    return 0;
}

int sync_tell(int fd, char letter, int pass_fd)
{
    ssize_t r = fd_send(fd, &letter, 1, &pass_fd, pass_fd >= 0 ? 1 : 0);

    return r < 0 ? (int)r : 0;
}
