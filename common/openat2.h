/* openat2(2), which glibc does not wrap. */
#pragma once

#include <errno.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPENAT2_TRIES 10000 /* some microseconds each */

/* EAGAIN: something was renamed or mounted, wherever, while ".." was followed; openat2(2) says to
 * try again.  Who renames without end gets the error. */
static inline int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode,
                              uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    int fd;

    for (int tries = 0; tries < OPENAT2_TRIES; tries++) {
        fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd;
}
