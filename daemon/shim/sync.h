/* The private socket between the shim and a process that is still becoming the container's (or an
 * exec's) program.  SOCK_SEQPACKET; close-on-exec on the child's side, so that EOF without a
 * SYNC_FAIL means: the program runs. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* child -> shim */
enum sync_type {
    SYNC_SANDBOX = 1, /* 2 fds: the network namespace, an rtnetlink socket made in it */
    SYNC_ROOT,        /* dev: st_dev of the container's devpts (0: none); fd: the root's mount */
    SYNC_PTY,         /* 1 fd: the pty master */
    SYNC_WARNING,     /* text */
    SYNC_FAIL,        /* code, errnum, text */
};

struct sync_msg {
    int32_t type;
    int32_t code;
    int32_t errnum;
    int32_t reserved;
    uint64_t dev;
    char text[ERR_MESSAGE_MAX];
};

/* shim -> child: one letter a packet, always in this order */
#define SYNC_USERNS 'U' /* maps are written; 1 fd: the root's mount made on the host side */
#define SYNC_CGROUP 'J' /* the child is in its cgroups */
#define SYNC_GO 'G'     /* the daemon agrees: run the program */

int sync_pair(int ret[2]);
/* Child's side.  0 or -errno. */
int sync_send(int fd, const struct sync_msg *m, const int *fds, size_t n);
int sync_send_text(int fd, enum sync_type type, int code, int errnum, const char *text);
/* Wait for this letter; *ret_fd (may be NULL) is the descriptor with it or -EBADF.  0, or
 * -ECANCELED when the shim went away. */
int sync_expect(int fd, char letter, int *ret_fd);
/* Shim's side; never blocks in practice: three tiny packets fit any socket. */
int sync_tell(int fd, char letter, int pass_fd /* or -EBADF */);
