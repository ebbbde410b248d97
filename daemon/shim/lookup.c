#include "lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failure.h"

/* 0, or -errno: -ENOENT and the like from stat(2), -EISDIR, -EACCES. */
static int check(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    /* root may access(2) anything; without any x bit exec fails even for root. */
    if (!(st.st_mode & 0111) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
        return -EACCES;
    return 0;
}

static int check_given(const char *name, struct err *reterr)
{
    struct stat st;
    int r = check(name);

    if (r >= 0)
        return 0;
    if (stat(name, &st) < 0)
        return err_set(reterr, ERR_INVALID, -r, "exec: \"%s\": stat %s: %s", name, name,
                       err_text(-r));
    /* By the text clients choose their exit code, 126; those before Docker 23 know no directories.
     */
    return err_set(reterr, ERR_INVALID, -r, "exec: \"%s\": %s%s", name, err_text(-r),
                   r == -EISDIR ? ": permission denied" : "");
}

int lookup_program(const char *name, const char *path, char ret[PATH_MAX], struct err *reterr)
{
    size_t len = strlen(name);

    if (len >= PATH_MAX)
        return err_set(reterr, ERR_INVALID, ENAMETOOLONG, "exec: \"%.64s...\": file name too long",
                       name);
    if (strchr(name, '/')) {
        memcpy(ret, name, len + 1);
        return check_given(name, reterr);
    }
    for (const char *p = path; p && len > 0;) {
        size_t n = strcspn(p, ":");

        /* Like Go, nothing is run from the working directory by a relative PATH. */
        if (n > 0 && *p == '/' && n + 1 + len < PATH_MAX) {
            memcpy(ret, p, n);
            ret[n] = '/';
            memcpy(ret + n + 1, name, len + 1);
            if (check(ret) == 0)
                return 0;
        }
        p = p[n] ? p + n + 1 : NULL;
    }
    return err_set(reterr, ERR_INVALID, ENOENT, "exec: \"%s\": executable file not found in $PATH",
                   name);
}
