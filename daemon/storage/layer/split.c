#include "split.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decode.h"
#include "fd.h"
#include "files.h"
#include "path.h"
#include "report.h"
#include "str.h"
#include "tree.h"
#include "writeback.h"

/* pax(1): every tar of today has it in its first header. */
#define USTAR_MAGIC "ustar"
#define USTAR_MAGIC_AT 257

/* A link is made when all files are there: it may come before what it points to. */
struct link {
    char *path, *target; /* owned, clean */
};

struct split {
    struct source *src; /* borrowed */
    const struct limits *limits;
    struct tree tree;
    struct link *links; /* owned */
    size_t n_links, room_links;
    int64_t entries, written;
};

static void remember_link(struct split *s, const char *path, const char *target)
{
    if (s->n_links == s->room_links) {
        s->room_links = s->room_links ? s->room_links * 2 : 16;
        s->links = xrealloc(s->links, s->room_links * sizeof(*s->links));
    }
    s->links[s->n_links++] = (struct link){xstrdup(path), xstrdup(target)};
}

/* The lexical meaning of a symlink's target: "../x/layer.tar" seen from "y/layer.tar" is
 * "x/layer.tar".  Leaving the archive is an error. */
static int resolve_symlink(const char *path, const char *target, char ret[PATH_MAX],
                           struct err *reterr)
{
    _cleanup_free_ char *dir = xstrdup(path), *joined = NULL, *clean = NULL;
    char *slash = strrchr(dir, '/');

    if (slash)
        *slash = '\0';
    joined = target[0] == '/' || !slash ? xstrdup(target) : xasprintf("%s/%s", dir, target);
    clean = path_clean(joined);
    if (tree_clean(clean, ret, reterr) < 0)
        return err_wrap(reterr, "link %s", path);
    return 0;
}

static int too_large(const struct split *s, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EFBIG, "archive is larger than %lld bytes",
                   (long long)s->limits->max_bytes);
}

/* A file with holes does not grow steadily: nobody follows it. */
static bool begins_like_layer(struct archive_entry *e, const char *data, size_t len)
{
    if (archive_entry_sparse_count(e) > 0)
        return false;
    if (decode_find(data, len))
        return true;
    return len > USTAR_MAGIC_AT + strlen(USTAR_MAGIC) &&
           memcmp(data + USTAR_MAGIC_AT, USTAR_MAGIC, strlen(USTAR_MAGIC)) == 0;
}

static int write_file(struct split *s, int fd, const char *path, struct archive_entry *e,
                      struct err *reterr)
{
    struct writeback wb = {0};
    bool told = false;
    const void *data;
    int64_t offset, end = 0;
    size_t len;
    int r;

    while ((r = source_data(s->src, path, &data, &len, &offset, reterr)) > 0) {
        if (offset == 0 && begins_like_layer(e, data, len))
            told = report_file(archive_entry_size(e), path);
        s->written += (int64_t)len;
        if (s->written > s->limits->max_bytes)
            return too_large(s, reterr);
        if (lseek(fd, offset, SEEK_SET) < 0)
            return err_sys(reterr, errno, "seek %s", path);
        r = fd_write_all(fd, data, len);
        if (r < 0)
            return err_sys(reterr, -r, "write %s", path);
        end = offset + (int64_t)len;
        if (told)
            report_wrote(end);
        writeback_push(&wb, fd, end, false);
        report_progress(source_length(s->src));
    }
    writeback_push(&wb, fd, end, true);
    return r;
}

static int split_file(struct split *s, const char *path, struct archive_entry *e,
                      struct err *reterr)
{
    _cleanup_close_ int fd = -EBADF;
    const char *base;
    int dirfd = tree_parent(&s->tree, path, true, &base, reterr);
    int r = dirfd < 0 ? dirfd
                      : entry_check_size(e, dirfd, path, s->limits->max_bytes - s->written, reterr);

    if (r < 0)
        return r == -EFBIG ? too_large(s, reterr) : r;
    if (unlinkat(dirfd, base, 0) < 0 && errno != ENOENT)
        return err_sys(reterr, errno, "replace %s", path);
    fd = openat(dirfd, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(reterr, errno, "create %s", path);
    return write_file(s, fd, path, e, reterr);
}

static int split_entry(struct split *s, struct archive_entry *e, struct err *reterr)
{
    const char *name = archive_entry_pathname(e);
    char path[PATH_MAX], target[PATH_MAX];
    int r;

    if (!name)
        return err_set(reterr, ERR_INVALID, EINVAL, "entry without a name");
    r = tree_clean(name, path, reterr);
    if (r < 0)
        return r;
    if (!*path)
        return 0;
    if (archive_entry_hardlink(e)) {
        r = tree_clean(archive_entry_hardlink(e), target, reterr);
        if (r >= 0)
            remember_link(s, path, target);
        return r;
    }
    if (archive_entry_filetype(e) == AE_IFLNK) {
        const char *to = archive_entry_symlink(e);

        r = to ? resolve_symlink(path, to, target, reterr) : 0;
        if (r >= 0 && to)
            remember_link(s, path, target);
        return r;
    }
    /* Directories come into being with their files; nothing else has a place in an image archive.
     */
    return archive_entry_filetype(e) == AE_IFREG ? split_file(s, path, e, reterr) : 0;
}

/* 1 if made (or cannot be), 0 if the target is not there yet. */
static int try_link(struct split *s, const struct link *l, struct err *reterr)
{
    _cleanup_close_ int from = -EBADF;
    const char *base, *to_base;
    int fd = tree_parent(&s->tree, l->target, false, &base, NULL), to;

    if (fd < 0)
        return 0;
    from = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    to = tree_parent(&s->tree, l->path, true, &to_base, reterr);
    if (from < 0 || to < 0)
        return to < 0 ? to : err_sys(reterr, errno, "dup");
    if (linkat(from, base, to, to_base, 0) == 0 || errno == EEXIST)
        return 1;
    if (errno == ENOENT)
        return 0;
    return errno == EPERM ? 1 /* a directory */ : err_sys(reterr, errno, "link %s", l->path);
}

/* Links to links settle in as many rounds as the chain is long; a round that makes nothing ends it.
 */
static int make_links(struct split *s, struct err *reterr)
{
    size_t left = s->n_links, before;

    do {
        before = left;
        for (size_t i = 0; i < left;) {
            int r = try_link(s, &s->links[i], reterr);

            if (r < 0)
                return r;
            if (r > 0) {
                struct link done = s->links[i];

                s->links[i] = s->links[--left];
                s->links[left] = done;
            } else {
                i++;
            }
        }
    } while (left > 0 && left < before);
    return 0;
}

static int split_entries(struct split *s, struct err *reterr)
{
    struct archive_entry *e;
    int r;

    while ((r = source_next(s->src, &e, reterr)) > 0) {
        if (++s->entries > s->limits->max_entries)
            return err_set(reterr, ERR_INVALID, EFBIG, "archive has more than %lld entries",
                           (long long)s->limits->max_entries);
        r = split_entry(s, e, reterr);
        if (r < 0)
            return r;
    }
    return r;
}

int split_archive(struct source *src, const struct limits *limits, int64_t *ret_bytes,
                  struct err *reterr)
{
    struct split s = {.src = src, .limits = limits};
    int r = tree_open(&s.tree, reterr);

    if (r >= 0)
        r = source_start(src, reterr);
    if (r >= 0)
        r = split_entries(&s, reterr);
    if (r >= 0)
        r = make_links(&s, reterr);
    if (r >= 0)
        r = source_finish(src, NULL, NULL, reterr);
    if (r >= 0)
        *ret_bytes = s.written;
    for (size_t i = 0; i < s.n_links; i++) {
        free(s.links[i].path);
        free(s.links[i].target);
    }
    free(s.links);
    tree_done(&s.tree);
    return r;
}
