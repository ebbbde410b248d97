#include "ns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>

#include "fd.h"
#include "plan.h"
#include "str.h"
#include "text.h"

uint64_t ns_clone_flags(const void *plan)
{
    const struct plan_op *op = NULL;
    uint64_t flags = CLONE_NEWNS;

    while ((op = plan_find(plan, op, PLAN_NAMESPACE))) {
        if (str_empty(plan_str(op, 0)))
            flags |= op->arg[0];
    }
    return flags & ~(uint64_t)CLONE_NEWCGROUP;
}

bool ns_is_new(const void *plan, uint64_t flag)
{
    const struct plan_op *op = NULL;

    while ((op = plan_find(plan, op, PLAN_NAMESPACE))) {
        if (op->arg[0] == flag)
            return str_empty(plan_str(op, 0));
    }
    return false;
}

int ns_join(const void *plan, struct err *reterr)
{
    const struct plan_op *op = NULL;

    while ((op = plan_find(plan, op, PLAN_NAMESPACE))) {
        const char *path = plan_str(op, 0);
        _cleanup_close_ int fd = -EBADF;

        if (str_empty(path))
            continue;
        if (op->arg[0] == CLONE_NEWUSER || op->arg[0] == CLONE_NEWNS)
            return err_set(reterr, ERR_NOT_IMPLEMENTED, ENOSYS,
                           "joining the user or mount namespace %s is not supported", path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, (int)op->arg[0]) < 0)
            return err_sys(reterr, errno, "cannot join namespace %s", path);
    }
    return 0;
}

int ns_exec_flags(const void *plan)
{
    const struct plan_op *op = NULL;
    uint64_t flags = CLONE_NEWNS;

    while ((op = plan_find(plan, op, PLAN_NAMESPACE)))
        flags |= op->arg[0];
    /* The shim's children are born in the container's pid namespace already. */
    return (int)(flags & ~(uint64_t)CLONE_NEWPID);
}

static int write_map(pid_t pid, const char *file, const char *map, struct err *reterr)
{
    char path[64];
    int r = text_proc_path(path, sizeof(path), pid, file);

    if (r >= 0)
        r = file_write(AT_FDCWD, path, map, strlen(map));
    return r < 0 ? err_sys(reterr, -r, "cannot write %s", file) : 0;
}

int ns_write_maps(const void *plan, pid_t pid, struct err *reterr)
{
    const struct plan_op *op = plan_find(plan, NULL, PLAN_IDMAP);
    int r;

    if (!op)
        return err_set(reterr, ERR_INVALID, EINVAL, "a user namespace needs an identity map");
    r = write_map(pid, "gid_map", plan_str(op, 1), reterr);
    return r < 0 ? r : write_map(pid, "uid_map", plan_str(op, 0), reterr);
}
