#include "pty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <termios.h>

#include "fd.h"
#include "plan.h"
#include "sync.h"
#include "sys.h"

/* While the root is built the devpts mount itself is at hand; an exec finds it by path and must
 * prove that it is the same file system (CVE-2025-52565: a container may have put another there).
 */
static int open_master(struct stage *s)
{
    const uint64_t flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
    _cleanup_close_ int fd = -EBADF;
    struct statfs fs;
    struct stat st;

    if (s->devpts_fd >= 0)
        fd = openat(s->devpts_fd, "ptmx", (int)flags);
    else
        fd = sys_openat2(s->root, "/dev/pts/ptmx", flags, 0, RESOLVE_IN_ROOT);
    if (fd < 0)
        return -errno;
    if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (fs.f_type != DEVPTS_SUPER_MAGIC || st.st_dev != (dev_t)s->devpts)
        return -ENODEV;
    return TAKE_FD(fd);
}

int pty_open(struct stage *s, struct err *reterr)
{
    _cleanup_close_ int master = -EBADF, slave = -EBADF;
    struct winsize size = {.ws_row = s->rows, .ws_col = s->columns};
    struct sync_msg m = {.type = SYNC_PTY};
    int unlock = 0, r;

    if (s->stdio[0] >= 0)
        return 0;
    master = open_master(s);
    if (master < 0)
        return err_sys(reterr, -master, "cannot open a terminal in the container");
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
        return err_sys(reterr, errno, "cannot unlock the terminal");
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return err_sys(reterr, errno, "cannot open the terminal");
    if (s->rows || s->columns)
        ioctl(master, TIOCSWINSZ, &size);
    r = sync_send(s->sync, &m, &master, 1);
    if (r < 0)
        return err_sys(reterr, -r, "cannot hand over the terminal");
    s->stdio[0] = s->stdio[1] = s->stdio[2] = TAKE_FD(slave);
    return 0;
}
