/* What is mounted in a restored container, but by criu itself: in a tmpfs in the run directory,
 * which only the mount namespace of the shim's child has, the root, and beside it one mount each
 * for what was bound.  criu is told by --external where it finds the mounts that it has dumped as
 * such. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "mount.h"
#include "plan.h"
#include "restore.h"
#include "restore_args.h"
#include "str.h"
#include "text.h"

#define MOUNTINFO_ROOM (4u << 20)

/* The child's; the shim's copy stays untouched. */
static struct {
    char dir[PATH_MAX];
    char null[PATH_MAX]; /* where /dev/null is attached; "": nowhere yet */
    unsigned mounts;
} criu;

int restore_stage_root(struct stage *s, struct err *reterr)
{
    const char *run_dir = plan_str(plan_find(s->plan, NULL, PLAN_RUN_DIR), 0);
    _cleanup_close_ int fs = -EBADF, dir = -EBADF, root = -EBADF;
    int r = text_join(criu.dir, sizeof(criu.dir) - 32, run_dir, "/" RESTORE_STAGING, NULL);

    if (r < 0 || (mkdir(criu.dir, 0700) < 0 && errno != EEXIST))
        return err_sys(reterr, r < 0 ? -r : errno, "cannot make %s", criu.dir);
    fs = mount_new("tmpfs", "tmpfs", "mode=700", MS_NOSUID | MS_NODEV | MS_NOEXEC);
    dir = open(criu.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fs < 0 || dir < 0 || mkdirat(fs, "root", 0700) < 0)
        return err_sys(reterr, fs < 0 ? -fs : errno, "cannot prepare the restore");
    root = openat(fs, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    r = root < 0 ? -errno : mount_attach(fs, dir);
    if (r >= 0)
        r = mount_attach(s->root, root);
    if (r >= 0)
        r = restore_args_begin();
    if (r >= 0)
        r = RESTORE_ARG("--root=", criu.dir, "/root");
    return r < 0 ? err_sys(reterr, -r, "cannot attach the root") : 0;
}

/* Cut the last component off. */
static bool cut(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return false;
    *slash = '\0';
    return true;
}

/* The path as it is in the container's mount table: without symbolic links, as far as they are in
 * the root; what is below its /proc, /sys and /dev is not there now. */
static int canonical(const struct stage *s, const char *path, char *out, size_t size)
{
    char head[PATH_MAX], link[64] = "/proc/self/fd/", found[PATH_MAX];
    _cleanup_close_ int fd = -EBADF;
    size_t prefix = strlen(criu.dir) + strlen("/root");
    ssize_t n;

    if (text_join(head, sizeof(head), *path == '/' ? "" : "/", path, NULL) < 0)
        return -ENAMETOOLONG;
    while ((fd = mount_resolve(s->root, head, 0)) < 0) {
        if (!cut(head))
            return text_join(out, size, path, NULL);
    }
    text_u64(link + strlen(link), (uint64_t)fd);
    n = readlink(link, found, sizeof(found) - 1);
    if (n < (ssize_t)prefix)
        return -EXDEV;
    found[n] = '\0';
    return text_join(out, size, found + prefix, path + strlen(head) - (*path != '/'), NULL);
}

/* An empty file or directory beside the root, to attach something to. */
static int make_place(bool directory, char *out, size_t size)
{
    char number[TEXT_U64_MAX];
    int r;

    text_u64(number, criu.mounts++);
    r = text_join(out, size, criu.dir, "/", number, NULL);
    if (r < 0)
        return r;
    if (directory)
        return mkdir(out, 0700) < 0 ? -errno : 0;
    r = open(out, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (r < 0)
        return -errno;
    fd_close(r);
    return 0;
}

static int attach_beside(int fd, char *place, size_t size)
{
    _cleanup_close_ int target = -EBADF;
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : make_place(S_ISDIR(st.st_mode), place, size);

    if (r < 0)
        return r;
    target = open(place, O_PATH | O_CLOEXEC);
    return target < 0 ? -errno : mount_attach(fd, target);
}

/* One that the images do not ask for is ignored. */
static int add_mount(const struct stage *s, const char *path, const char *place)
{
    char key[PATH_MAX];
    int r = canonical(s, path, key, sizeof(key));

    return r < 0 ? r : RESTORE_ARG("--external=mnt[", key, "]:", place);
}

/* mountinfo writes blanks and the like as three octal digits. */
static void unescape(char *s)
{
    char *out = s;

    for (; *s; s++) {
        if (s[0] == '\\' && s[1] && s[2] && s[3]) {
            *out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
}

/* The fifth word of a line of proc_pid_mountinfo(5), cut off; NULL if there is none. */
static char *mount_point(char *line)
{
    char *word = line, *end;

    for (int i = 0; i < 4 && word; i++) {
        word = strchr(word, ' ');
        word = word ? word + 1 : NULL;
    }
    end = word ? strchr(word, ' ') : NULL;
    if (!end)
        return NULL;
    *end = '\0';
    unescape(word);
    return word;
}

static ssize_t read_mountinfo(char *buf, size_t size)
{
    _cleanup_close_ int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t r = fd < 0 ? -1 : 0;

    while (fd >= 0 && n < size - 1 && (r = read(fd, buf + n, size - 1 - n)) > 0)
        n += (size_t)r;
    if (r < 0)
        return -errno;
    buf[n] = '\0';
    return n == size - 1 ? -E2BIG : (ssize_t)n;
}

/* criu dumps what is mounted below a recursive bind as mounts of their own. */
static int add_submounts(const struct stage *s, const char *path, const char *place)
{
    char *buf =
        mmap(NULL, MOUNTINFO_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t n = strlen(place);
    char sub[PATH_MAX];
    int r = buf == MAP_FAILED ? -errno : (int)read_mountinfo(buf, MOUNTINFO_ROOM);

    if (buf == MAP_FAILED)
        return r;
    for (char *line = buf, *next; r >= 0 && *line; line = next) {
        const char *point;

        next = strchrnul(line, '\n');
        if (*next)
            *next++ = '\0';
        point = mount_point(line);
        if (!point || !str_starts(point, place) || point[n] != '/')
            continue;
        r = text_join(sub, sizeof(sub), path, point + n, NULL);
        if (r >= 0)
            r = add_mount(s, sub, point);
    }
    munmap(buf, MOUNTINFO_ROOM);
    return r;
}

int restore_stage_mount(struct stage *s, int fd, const char *path, struct err *reterr)
{
    char place[PATH_MAX];
    int r = attach_beside(fd, place, sizeof(place));

    if (r >= 0)
        r = add_mount(s, path, place);
    if (r >= 0)
        r = add_submounts(s, path, place);
    return r < 0 ? err_sys(reterr, -r, "error mounting to rootfs at \"%s\"", path) : 0;
}

int restore_stage_null(struct stage *s, const char *path, struct err *reterr)
{
    int r = *criu.null ? 0 : attach_beside(s->host_null, criu.null, sizeof(criu.null));

    if (r >= 0)
        r = add_mount(s, path, criu.null);
    return r < 0 ? err_sys(reterr, -r, "cannot mask %s", path) : 0;
}
