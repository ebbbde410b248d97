#include "trusted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "path.h"
#include "str.h"

#define OTHERS (S_IWGRP | S_IWOTH) /* with access lists, too: their mask is the group's bits */

bool trusted_stat(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & OTHERS);
}

static int refuse(const char *path, const struct stat *st, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EPERM,
                   "%s (owner %u, mode %04o) can be changed by others than root", path,
                   (unsigned)st->st_uid, (unsigned)st->st_mode & 07777);
}

static int check_one(const char *path, struct err *reterr)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return err_sys(reterr, errno, "%s", path);
    if (S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX))
        st.st_mode &= ~(mode_t)OTHERS;
    return trusted_stat(&st) ? 0 : refuse(path, &st, reterr);
}

/* real: no links in it.  From the root on: below a directory that only we can change, what lstat(2)
 * tells stays true. */
static int check_way(const char *real, struct err *reterr)
{
    int r = check_one("/", reterr);

    for (const char *p = real; r >= 0 && *p;) {
        _cleanup_free_ char *path = NULL;

        p += strspn(p, "/");
        p += strcspn(p, "/");
        path = xstrndup(real, (size_t)(p - real));
        r = check_one(path, reterr);
    }
    return r;
}

int trusted_dir(const char *path, char **ret, struct err *reterr)
{
    _cleanup_free_ char *head = path_clean(path);
    _cleanup_free_ char *real = NULL;
    size_t n = strlen(head);
    int r;

    while (!(real = realpath(head, NULL))) {
        char *slash = strrchr(head, '/');

        if (errno != ENOENT || !slash)
            return err_sys(reterr, errno, "%s", path);
        slash[slash == head ? 1 : 0] = '\0';
    }
    r = check_way(real, reterr);
    if (r >= 0) {
        _cleanup_free_ char *clean = path_clean(path);

        *ret = strlen(head) < n ? path_join(real, clean + strlen(head)) : TAKE_PTR(real);
    }
    return r;
}

int trusted_files(const char *dir, struct err *reterr)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    struct stat st;

    if (!d || fstat(fd, &st) < 0)
        return err_sys(reterr, errno, "%s", dir);
    if (!trusted_stat(&st))
        r = refuse(dir, &st, reterr);
    while (r >= 0 && (e = readdir(d))) {
        _cleanup_free_ char *path = path_join(dir, e->d_name);

        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
            continue;
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            r = err_sys(reterr, errno, "%s", path);
        else if (!S_ISREG(st.st_mode))
            r = err_set(reterr, ERR_INVALID, EPERM, "%s is no file", path);
        else if (!trusted_stat(&st))
            r = refuse(path, &st, reterr);
    }
    closedir(d);
    return r;
}
