/* System calls that glibc does not wrap. */
#pragma once

#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "openat2.h"

#define PTR_U64(p) ((uint64_t)(uintptr_t)(p))

/* clone3(2) like fork(2): the child goes on in a copy of the address space.  Only for a
 * single-threaded process, since no pthread_atfork handler runs.  0 in the child, pid, or -1. */
static inline pid_t sys_clone3(struct clone_args *args)
{
    return (pid_t)syscall(SYS_clone3, args, sizeof(*args));
}

static inline int sys_pivot_root(const char *new_root, const char *put_old)
{
    return (int)syscall(SYS_pivot_root, new_root, put_old);
}
