#include "logset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "logpack.h"
#include "path.h"
#include "str.h"

static void closedirp(DIR **d)
{
    if (*d)
        closedir(*d);
}

/* The directory of base, whose last part *ret_leaf becomes. */
static DIR *open_set(const char *base, const char **ret_leaf)
{
    const char *slash = strrchr(base, '/');
    _cleanup_free_ char *dir = xstrndup(base, (size_t)(slash - base));

    *ret_leaf = slash + 1;
    return opendir(dir);
}

/* N of LEAF.N, or 0 for other names. */
static uint64_t number_of(const char *name, const char *leaf)
{
    size_t n = strlen(leaf);
    int64_t v;

    if (strncmp(name, leaf, n) != 0 || name[n] != '.' ||
        str_parse_i64(name + n + 1, 1, INT64_MAX - 1, &v) < 0)
        return 0;
    return (uint64_t)v;
}

static int find_numbers(DIR *d, const char *leaf, uint64_t *ret_first, uint64_t *ret_last)
{
    const struct dirent *e;

    *ret_first = UINT64_MAX;
    *ret_last = 0;
    rewinddir(d);
    while ((e = readdir(d))) {
        uint64_t n = number_of(e->d_name, leaf);

        if (n > *ret_last)
            *ret_last = n;
        if (n > 0 && n < *ret_first)
            *ret_first = n;
    }
    return *ret_last > 0 ? 0 : -ENOENT;
}

int log_set_numbers(const char *base, uint64_t *ret_first, uint64_t *ret_last)
{
    const char *leaf;
    _cleanup_(closedirp) DIR *d = open_set(base, &leaf);

    return d ? find_numbers(d, leaf, ret_first, ret_last) : -ENOENT;
}

/* True if the log may still need number n. */
static bool is_wanted(uint64_t n, uint64_t last, uint64_t files)
{
    return last < files || n > last - files;
}

static void settle_one(int dirfd, const char *leaf, uint64_t n, bool wanted)
{
    char name[NAME_MAX + 1], temporary[NAME_MAX + 1];
    struct err err = {0};

    snprintf(name, sizeof(name), "%s.%llu", leaf, (unsigned long long)n);
    snprintf(temporary, sizeof(temporary), "%s.packing", leaf);
    if (!wanted)
        unlinkat(dirfd, name, 0);
    else if (log_file_pack(dirfd, name, temporary, &err) < 0 && err.errnum != ENOENT)
        log_warn("%s", err.message);
}

void log_set_settle(const char *base, uint64_t files)
{
    const char *leaf;
    _cleanup_(closedirp) DIR *d = open_set(base, &leaf);
    uint64_t first, last, n;

    if (!d || find_numbers(d, leaf, &first, &last) < 0)
        return;
    if (last - first > LOG_SET_MAX)
        first = last - LOG_SET_MAX;
    for (n = first; n < last; n++) {
        uint64_t now_first, now_last;

        settle_one(dirfd(d), leaf, n, is_wanted(n, last, files));
        /* The shim may have removed it meanwhile: then it must not come back. */
        if (find_numbers(d, leaf, &now_first, &now_last) < 0)
            return;
        last = now_last;
        if (!is_wanted(n, last, files))
            settle_one(dirfd(d), leaf, n, false);
    }
}
