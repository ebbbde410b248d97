/* Directories of volumes, and their first filling from an image. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "driver.h"
#include "fd.h"
#include "layer_protocol.h"
#include "path.h"
#include "storage.h"
#include "str.h"
#include "usage.h"

#define VOLUMES_DIR "volumes"
#define DATA "_data"
#define FILLING ".filling" /* beside _data: a fill has begun and not ended */

static char *volume_dir(const struct storage *st, const char *name)
{
    return xasprintf("%s/" VOLUMES_DIR "/%s", storage_root(st), name);
}

char *storage_volume_path(const struct storage *st, const char *name)
{
    return xasprintf("%s/" VOLUMES_DIR "/%s/" DATA, storage_root(st), name);
}

int storage_volume_make(struct storage *st, const char *name, struct err *reterr)
{
    _cleanup_free_ char *dir = volume_dir(st, name), *data = storage_volume_path(st, name);

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_sys(reterr, errno, "mkdir %s", dir);
    if (mkdir(data, 0755) == 0)
        return chmod(data, 0755) < 0 ? err_sys(reterr, errno, "chmod %s", data) : 1;
    return errno == EEXIST ? 0 : err_sys(reterr, errno, "mkdir %s", data);
}

int storage_volume_remove(struct storage *st, const char *name, char **ret_trash,
                          struct err *reterr)
{
    _cleanup_free_ char *dir = volume_dir(st, name), *trash = NULL;
    char id[ID_LEN + 1];

    id_generate(id);
    trash = xasprintf("%s/tmp/%s", storage_root(st), id);
    *ret_trash = NULL;
    if (rename(dir, trash) < 0)
        return errno == ENOENT ? 0 : err_sys(reterr, errno, "remove %s", dir);
    *ret_trash = xstrdup(id);
    return 0;
}

int storage_volume_names(struct storage *st, char ***ret, struct err *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/" VOLUMES_DIR, storage_root(st));
    char **names = NULL;
    struct dirent *e;
    DIR *d = opendir(path);

    if (!d)
        return err_sys(reterr, errno, "list %s", path);
    while ((e = readdir(d))) {
        if (*e->d_name != '.')
            names = strv_append(names, e->d_name);
    }
    closedir(d);
    *ret = names;
    return 0;
}

int storage_volume_remove_empty(struct storage *st, const char *name)
{
    _cleanup_free_ char *dir = volume_dir(st, name), *data = storage_volume_path(st, name);

    return (rmdir(data) == 0 || errno == ENOENT) && rmdir(dir) == 0;
}

bool storage_volume_exists(const struct storage *st, const char *name)
{
    _cleanup_free_ char *data = storage_volume_path(st, name);

    return access(data, F_OK) == 0;
}

int storage_volume_usage(struct storage *st, const char *name, int64_t *ret, struct err *reterr)
{
    _cleanup_free_ char *data = storage_volume_path(st, name);
    int r = usage_of_tree(AT_FDCWD, data, ret);

    return r < 0 ? err_sys(reterr, -r, "size of %s", data) : 0;
}

/* ---- filling ---- */

static int is_empty(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
    struct dirent *e;
    DIR *d;

    if (fd < 0)
        return -errno;
    d = fdopendir(fd);
    if (!d) {
        fd_close(fd);
        return -ENOMEM;
    }
    while (n == 0 && (e = readdir(d)))
        n += !streq(e->d_name, ".") && !streq(e->d_name, "..");
    closedir(d);
    return n == 0;
}

/* A file of the lines, at its beginning. */
static int lines_fd(char *const *lines)
{
    _cleanup_close_ int fd = memfd_create("lowers", MFD_CLOEXEC);
    _cleanup_buf_ struct buf b = {0};

    for (size_t i = 0; lines[i]; i++)
        buf_printf(&b, "%s\n", lines[i]);
    if (fd < 0 || write(fd, buf_head(&b), buf_size(&b)) != (ssize_t)buf_size(&b) ||
        lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int spawn_fill(const char *worker, const char *target, int in_fd, int report_fd, int dir_fd,
                      pid_t *ret)
{
    char *argv[] = {(char *)"containerd-lite-layer", (char *)"fill", (char *)target, NULL};
    char *envp[] = {NULL};
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none;
    int r;

    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, in_fd, 0);
    posix_spawn_file_actions_adddup2(&fa, report_fd, LAYER_FD_REPORT);
    posix_spawn_file_actions_adddup2(&fa, dir_fd, LAYER_FD_DIR);
    r = posix_spawn(ret, worker, &fa, &attr, argv, envp);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    return -r;
}

/* Descriptors that stand for 3 and 4 must not be those numbers themselves: dup2 in order. */
static int high(int fd)
{
    int r = fcntl(fd, F_DUPFD_CLOEXEC, 16);

    return r < 0 ? -errno : r;
}

static int read_report(int fd, struct err *reterr)
{
    _cleanup_buf_ struct buf b = {0};
    _cleanup_free_ char *text = NULL;
    ssize_t n;

    while (buf_size(&b) < 16 * LAYER_LINE_MAX &&
           ((n = read(fd, buf_reserve(&b, LAYER_LINE_MAX), LAYER_LINE_MAX)) > 0 ||
            (n < 0 && errno == EINTR))) {
        if (n > 0)
            b.len += (size_t)n;
    }
    text = buf_take_str(&b);
    if (str_starts(text, "ok "))
        return 0;
    text[strcspn(text, "\n")] = '\0';
    return err_set(reterr, ERR_SYSTEM, EIO, "%s",
                   str_starts(text, "error ") ? text + strlen("error ")
                                              : "the worker that fills a volume died");
}

static int run_fill(const char *worker, char *const *lowers, const char *target, int dir,
                    struct err *reterr)
{
    _cleanup_close_ int lines = lines_fd(lowers), in = -EBADF, out = -EBADF, to = -EBADF;
    _cleanup_close_ int from_worker = -EBADF, list = -EBADF;
    int pair[2], r;
    pid_t pid;

    if (lines < 0 || pipe2(pair, O_CLOEXEC) < 0)
        return err_sys(reterr, errno, "cannot talk to the worker");
    from_worker = pair[0];
    in = pair[1];
    out = high(in);
    to = high(dir);
    list = high(lines);
    in = fd_close(in);
    if (out < 0 || to < 0 || list < 0)
        return err_sys(reterr, EMFILE, "cannot talk to the worker");
    r = spawn_fill(worker, target, list, out, to, &pid);
    if (r < 0)
        return err_sys(reterr, -r, "cannot run %s", worker);
    out = fd_close(out);
    r = read_report(from_worker, reterr);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return r;
}

/* The lock is on _data's parent, which nobody else has open; the mark outlives a crash. */
int storage_volume_fill(struct storage *st, const char *name, const char *worker,
                        char *const *lowers, const char *target, struct err *reterr)
{
    _cleanup_free_ char *path = volume_dir(st, name);
    _cleanup_close_ int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), data = -EBADF;
    _cleanup_close_ int mark = -EBADF;
    int r;

    if (parent < 0)
        return err_sys(reterr, errno, "volume %s", path);
    data = openat(parent, DATA, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (data < 0)
        return err_sys(reterr, errno, "volume %s/" DATA, path);
    if (is_empty(data) == 0 && faccessat(parent, FILLING, F_OK, 0) < 0)
        return 0; /* the common case costs no lock */
    while ((r = flock(parent, LOCK_EX)) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return err_sys(reterr, errno, "lock %s", path);
    if (is_empty(data) == 0 && faccessat(parent, FILLING, F_OK, 0) < 0)
        return 0;
    mark = openat(parent, FILLING, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (mark < 0)
        return err_sys(reterr, errno, "create %s/" FILLING, path);
    r = run_fill(worker, lowers, target, data, reterr);
    if (r < 0)
        return err_wrap(reterr, "failed to populate volume");
    return unlinkat(parent, FILLING, 0) < 0 ? err_sys(reterr, errno, "remove %s/" FILLING, path)
                                            : 0;
}
