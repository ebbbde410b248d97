#include "fill.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "copytree.h"
#include "fd.h"
#include "layer_protocol.h"
#include "mountns.h"
#include "path.h"
#include "str.h"

#define LOWERS_MAX 500
#define LIST_MAX (LOWERS_MAX * PATH_MAX)

/* By descriptor, so that any number of long paths fits the page that mount(2) takes.  The number
 * of directories; *ret_last is the last one's descriptor, which stays open as all of them. */
static int overlay_options(struct buf *ret, int *ret_last, struct err *reterr)
{
    _cleanup_free_ char *list = NULL;
    char *line, *save = NULL;
    int n = 0;

    if (file_read(AT_FDCWD, "/proc/self/fd/0", LIST_MAX, &list) < 0)
        return err_sys(reterr, EIO, "read the list of layers");
    for (line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        int fd = open(line, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || n++ == LOWERS_MAX)
            return err_sys(reterr, fd < 0 ? errno : E2BIG, "layer %s", line);
        buf_printf(ret, "%s/proc/self/fd/%d", buf_size(ret) ? ":" : "lowerdir=", fd);
        *ret_last = fd;
    }
    buf_append_str(ret, ",index=off,metacopy=off,redirect_dir=off");
    return n;
}

/* One directory is the image as it is: no overlay, which this kernel may not have. */
static int open_image(struct err *reterr)
{
    _cleanup_buf_ struct buf b = {0};
    _cleanup_free_ char *options = NULL;
    int fd = -EBADF, n;

    /* First: layers must be opened by the mounts of the namespace that the overlay is made in. */
    if (unshare(CLONE_NEWNS) < 0)
        return err_sys(reterr, errno, "unshare");
    n = mountns_make_private(reterr);
    if (n < 0)
        return n;
    n = overlay_options(&b, &fd, reterr);
    if (n < 0 || n == 1)
        return n < 0 ? n : fd;
    options = buf_take_str(&b);
    if (mount("overlay", "/tmp", "overlay", MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC, options) <
        0)
        return err_sys(reterr, errno, "cannot mount the image");
    fd = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_sys(reterr, errno, "cannot open the image") : fd;
}

static int open_source(const char *target, int *ret, struct err *reterr)
{
    _cleanup_close_ int root = open_image(reterr);

    if (root < 0)
        return root;
    *ret = path_open_in_root(root, target, O_RDONLY | O_DIRECTORY, 0);
    if (*ret == -ENOENT || *ret == -ENOTDIR)
        return 0;
    return *ret < 0 ? err_sys(reterr, -*ret, "cannot open %s in the image", target) : 1;
}

int fill_volume(const char *target, struct err *reterr)
{
    _cleanup_close_ int from = -EBADF;
    int r = open_source(target, &from, reterr);

    if (r <= 0)
        return r;
    umask(0);
    return copytree_fill(from, LAYER_FD_DIR, true, reterr);
}
