#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fd.h"
#include "plan.h"

#define PROFILE_NAME_MAX 512

/* The first is AppArmor's own, the second that of the first security module. */
static int open_attribute(void)
{
    int fd = open("/proc/thread-self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC);

    return fd < 0 ? open("/proc/thread-self/attr/exec", O_WRONLY | O_CLOEXEC) : fd;
}

int confine(const void *plan, struct err *reterr)
{
    const struct plan_op *op = plan_find(plan, NULL, PLAN_APPARMOR);
    char word[PROFILE_NAME_MAX];
    _cleanup_close_ int fd = -EBADF;
    struct statfs fs;
    int n;

    if (!op)
        return 0;
    n = snprintf(word, sizeof(word), "exec %s", plan_str(op, 0));
    fd = open_attribute();
    /* An image or a volume may have put something else there. */
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
        return err_set(reterr, ERR_SYSTEM, EACCES, "unable to apply apparmor profile: no /proc");
    if (n >= (int)sizeof(word) || write(fd, word, (size_t)n) != n)
        return err_set(reterr, ERR_SYSTEM, errno,
                       "unable to apply apparmor profile: apparmor failed to apply profile: write "
                       "/proc/thread-self/attr/apparmor/exec: %s",
                       err_text(errno));
    return 0;
}
