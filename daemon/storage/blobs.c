#include "blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "storage_impl.h"
#include "str.h"

#define DIGEST_LEN ID_LEN

static int check(const char *digest, struct err *reterr)
{
    if (!str_is_hex(digest, DIGEST_LEN))
        return err_set(reterr, ERR_INVALID, EINVAL, "bad digest");
    return 0;
}

static int fail(const struct storage *st, const char *what, const char *dir, const char *digest,
                struct err *reterr)
{
    return err_sys(reterr, errno, "%s %s/%s/%s", what, st->root, dir, digest);
}

int blob_open(struct storage *st, const char *digest, int64_t *ret_size, struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    struct stat sb;
    int r = check(digest, reterr);

    if (r < 0)
        return r;
    fd = openat(st->blobs_fd, digest, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &sb) < 0)
        return fail(st, "open", BLOBS_SHA256_DIR, digest, reterr);
    if (ret_size)
        *ret_size = sb.st_size;
    return TAKE_FD(fd);
}

int64_t blob_size(struct storage *st, const char *digest)
{
    struct stat sb;
    int r = check(digest, NULL);

    if (r < 0)
        return r;
    return fstatat(st->blobs_fd, digest, &sb, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : sb.st_size;
}

int blob_commit(struct storage *st, int dirfd, const char *name, const char *digest, int64_t size,
                struct err *reterr)
{
    struct stat sb;
    int r = check(digest, reterr);

    if (r < 0)
        return r;
    if (fstatat(dirfd, name, &sb, AT_SYMLINK_NOFOLLOW) < 0 || fchmodat(dirfd, name, 0600, 0) < 0)
        return fail(st, "commit", BLOBS_SHA256_DIR, digest, reterr);
    if (!S_ISREG(sb.st_mode))
        return err_set(reterr, ERR_INVALID, EINVAL, "blob sha256:%s is no file", digest);
    if (sb.st_size != size)
        return err_set(reterr, ERR_SYSTEM, EBADMSG,
                       "blob sha256:%s has %" PRIi64 " bytes instead of %" PRIi64, digest,
                       (int64_t)sb.st_size, size);
    if (renameat2(dirfd, name, st->blobs_fd, digest, RENAME_NOREPLACE) < 0 && errno != EEXIST)
        return fail(st, "rename to", BLOBS_SHA256_DIR, digest, reterr);
    return 0;
}

int blob_partial_commit(struct storage *st, const char *digest, int64_t size, struct err *reterr)
{
    int r = check(digest, reterr);

    if (r < 0)
        return r;
    if (blob_size(st, digest) < 0) {
        r = blob_commit(st, st->partial_fd, digest, digest, size, reterr);
        /* Of two that commit the same download the slower one finds the blob instead. */
        if (r == -ENOENT && blob_size(st, digest) >= 0)
            return 0;
        if (r < 0)
            return r;
    }
    return blob_partial_remove(st, digest, reterr);
}

int blobs_fsync(struct storage *st, struct err *reterr)
{
    return fsync(st->blobs_fd) < 0 ? err_sys(reterr, errno, "fsync %s/" BLOBS_SHA256_DIR, st->root)
                                   : 0;
}

int blob_remove(struct storage *st, const char *digest, char **ret_trash, struct err *reterr)
{
    return storage_remove_named(st, st->blobs_fd, BLOBS_SHA256_DIR, digest, ret_trash, reterr);
}

int blob_orphans(struct storage *st, bool (*known)(void *arg, const char *digest), void *arg,
                 char ***ret, struct err *reterr)
{
    return storage_unknown(st, st->blobs_fd, BLOBS_SHA256_DIR, known, arg, ret, reterr);
}

int blob_partial_orphans(struct storage *st, bool (*known)(void *arg, const char *digest),
                         void *arg, char ***ret, struct err *reterr)
{
    return storage_unknown(st, st->partial_fd, BLOBS_PARTIAL_DIR, known, arg, ret, reterr);
}

/* ---- downloads that are not complete ---- */

int blob_partial_open(struct storage *st, const char *digest, int64_t *ret_offset,
                      struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    struct stat sb;
    int r = check(digest, reterr);

    if (r < 0)
        return r;
    fd = openat(st->partial_fd, digest, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fstat(fd, &sb) < 0)
        return fail(st, "open", BLOBS_PARTIAL_DIR, digest, reterr);
    if (ret_offset)
        *ret_offset = sb.st_size;
    return TAKE_FD(fd);
}

int blob_partial_remove(struct storage *st, const char *digest, struct err *reterr)
{
    int r = check(digest, reterr);

    if (r < 0)
        return r;
    if (unlinkat(st->partial_fd, digest, 0) < 0 && errno != ENOENT)
        return fail(st, "remove", BLOBS_PARTIAL_DIR, digest, reterr);
    return 0;
}

int blob_partial_trash(struct storage *st, const char *digest, char **ret_trash, struct err *reterr)
{
    return storage_remove_named(st, st->partial_fd, BLOBS_PARTIAL_DIR, digest, ret_trash, reterr);
}

static int64_t age_of(const struct stat *sb)
{
    return time_now_ns() - ((int64_t)sb->st_mtim.tv_sec * 1000000000 + sb->st_mtim.tv_nsec);
}

static int sweep_one(struct storage *st, const char *name, char ***ret_trash, struct err *reterr)
{
    _cleanup_free_ char *trash = NULL;
    int r = storage_remove_named(st, st->partial_fd, BLOBS_PARTIAL_DIR, name,
                                 ret_trash ? &trash : NULL, reterr);

    if (trash)
        *ret_trash = strv_append(*ret_trash, trash);
    return r;
}

int blob_partial_sweep(struct storage *st, int64_t max_age_ns,
                       bool (*busy)(void *arg, const char *digest), void *arg, int64_t *ret_bytes,
                       char ***ret_trash, struct err *reterr)
{
    _cleanup_(strv_freep) char **all = NULL;
    int r = storage_list_dir(st->partial_fd, &all);

    if (r < 0)
        return err_sys(reterr, -r, "list %s/" BLOBS_PARTIAL_DIR, st->root);
    for (size_t i = 0; r >= 0 && all && all[i]; i++) {
        struct stat sb;

        if (fstatat(st->partial_fd, all[i], &sb, AT_SYMLINK_NOFOLLOW) < 0 ||
            age_of(&sb) < max_age_ns || (busy && busy(arg, all[i])))
            continue;
        r = sweep_one(st, all[i], ret_trash, reterr);
        if (r >= 0)
            *ret_bytes += sb.st_blocks * 512;
    }
    return r;
}

int64_t blob_partial_usage(struct storage *st)
{
    _cleanup_(strv_freep) char **all = NULL;
    int64_t sum = 0;

    if (storage_list_dir(st->partial_fd, &all) < 0)
        return 0;
    for (size_t i = 0; all && all[i]; i++) {
        struct stat sb;

        if (fstatat(st->partial_fd, all[i], &sb, AT_SYMLINK_NOFOLLOW) == 0)
            sum += sb.st_blocks * 512;
    }
    return sum;
}
