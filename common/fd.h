/* File descriptors: ownership, whole reads and writes, small files, passing over sockets. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "mem.h"

#define _cleanup_close_ _cleanup_(fd_closep)

#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int *fdp_ = &(fd);                                                                         \
        int v_ = *fdp_;                                                                            \
        *fdp_ = -EBADF;                                                                            \
        v_;                                                                                        \
    })

/* Close fd if it is >= 0, keep errno, return -EBADF for assignment: `fd = fd_close(fd)`. */
int fd_close(int fd);

static inline void fd_closep(int *fd)
{
    fd_close(*fd);
}

/* Write or read all of it despite EINTR and short counts; 0 or -errno (-EIO: early EOF on read). */
int fd_write_all(int fd, const void *data, size_t len);
int fd_read_exact(int fd, void *data, size_t len);

int fd_set_nonblock(int fd, int on);
int fd_set_cloexec(int fd, int on);

/* Read the file dirfd/path (AT_FDCWD works) of at most max bytes into a NUL-terminated malloc'ed
 * string.  Returns its length; -EFBIG if longer, -errno.  Symlinks at the end are followed. */
ssize_t file_read(int dirfd, const char *path, size_t max, char **ret);

/* Write a small file in place (for cgroup, proc, sys): one write(2). */
int file_write(int dirfd, const char *path, const void *data, size_t len);

/* Write to a temporary name, fsync if durable, rename over path.  Mode is exact (no umask). */
int file_replace(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                 int durable);

#define FD_PASS_MAX 8

/* One sendmsg(2) of data with n <= FD_PASS_MAX descriptors (MSG_NOSIGNAL; not retried on EAGAIN).
 * Returns bytes sent or -errno. */
ssize_t fd_send(int sock, const void *data, size_t len, const int *fds, size_t n);

/* One recvmsg(2), descriptors get O_CLOEXEC.  fds has room for FD_PASS_MAX; *ret_n is set (0 if
 * none).  Returns bytes (0 at EOF) or -errno; truncated control data is -EMSGSIZE. */
ssize_t fd_recv(int sock, void *data, size_t len, int *fds, size_t *ret_n);

/* AF_UNIX listener/connection of any path length (goes through /proc/self/fd of the directory).
 * type: SOCK_STREAM or SOCK_SEQPACKET; both O_CLOEXEC.  Returns fd or -errno.
 * unix_listen() replaces a stale socket file; mode is set before the name is visible. */
int unix_listen(const char *path, int type, mode_t mode);
int unix_connect(const char *path, int type);
