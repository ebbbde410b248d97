/* What a process on its way into the container works with.  Filled by the shim before clone(2);
 * the child owns its copy. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

#define STAGE_BINDS_MAX 512 /* binds and bound devices in one plan */

struct stage {
    const void *plan; /* ROOT operations and namespaces; borrowed, mapped */
    const void *last; /* LAST operations; the same plan for a container's own process */
    int sync;         /* the child's end */
    int root;         /* the container's "/", or -EBADF before there is one */
    int stdio[3];     /* pipes; -EBADF each with a TTY, before the pty is made */
    uint64_t flags;   /* PLAN_STDIO_* */
    uint16_t rows, columns;
    bool userns; /* the container has its own user namespace */
    bool exec;
    /* PLAN_RESTORE, or NULL. */
    const struct plan_op *restore;
    int init_pidfd;  /* exec: whose namespaces to join */
    uint64_t devpts; /* st_dev of the container's devpts, 0: none */
    int devpts_fd;   /* its mount, while the root is being built */
    int host_null;   /* the host's /dev/null as a detached mount */
    int host_sys;    /* the host's /sys, where a user namespace may not mount sysfs */
    int binds;       /* used entries of bind[] */
    int *bind;       /* detached mounts for PLAN_BIND and PLAN_DEVICE in plan order */
};

/* Record what was left out; the start goes on. */
void stage_warn(const struct stage *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
