/* The sources of COPY and ADD as one tar whose names are relative to the destination: what is in a
 * directory, a file by its last name, what is in an archive.  All of it is root's. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <unistd.h>

#include "copy_give.h"
#include "fd.h"
#include "layer_protocol.h"
#include "path.h"
#include "str.h"
#include "tree.h"

#define PICK_SOURCES_MAX 65536 /* that patterns may stand for */

struct picker {
    struct giver *g;
    const struct view *view;
    bool extract;
    char **found; /* owned: paths, clean, without the first slash */
    size_t n_found, room;
    struct pick_result *ret;
};

/* ---- patterns ---- */

static int add_found(struct picker *p, const char *path, struct err *reterr)
{
    if (p->n_found == PICK_SOURCES_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG, "more than %d sources", PICK_SOURCES_MAX);
    if (p->n_found == p->room) {
        p->room = p->room ? p->room * 2 : 16;
        p->found = xrealloc(p->found, p->room * sizeof(*p->found));
    }
    p->found[p->n_found++] = xstrdup(path);
    return 0;
}

static bool exists(const struct picker *p, const char *path)
{
    _cleanup_close_ int fd = view_open(p->view, path, O_PATH | O_NOFOLLOW);

    return fd >= 0;
}

static int match_from(struct picker *p, const char *dir, const char *pattern, struct err *reterr);

static int match_rest(struct picker *p, const char *dir, const char *name, const char *rest,
                      struct err *reterr)
{
    _cleanup_free_ char *path = *dir ? path_join(dir, name) : xstrdup(name);

    if (strlen(path) >= PATH_MAX)
        return err_set(reterr, ERR_INVALID, ENAMETOOLONG, "%.200s...: path is too long", path);
    if (*rest)
        return match_from(p, path, rest, reterr);
    return exists(p, path) ? add_found(p, path, reterr) : 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of a directory, sorted; NULL if it is none. */
static char **list_names(const struct picker *p, const char *dir)
{
    int fd = view_open(p->view, *dir ? dir : "/", O_RDONLY | O_DIRECTORY);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    char **names = NULL;
    size_t n = 0, room = 0;
    struct dirent *e;

    if (!d) {
        fd_close(fd);
        return NULL;
    }
    while ((e = readdir(d)) && n < PICK_SOURCES_MAX) {
        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
            continue;
        if (n + 1 >= room) {
            room = room ? room * 2 : 64;
            names = xrealloc(names, room * sizeof(*names));
        }
        names[n++] = xstrdup(e->d_name);
        names[n] = NULL;
    }
    closedir(d);
    if (n > 0)
        qsort(names, n, sizeof(*names), compare);
    return names;
}

static bool has_wildcard(const char *s)
{
    for (; *s; s++) {
        if (*s == '\\' && s[1])
            s++;
        else if (strchr("*?[", *s))
            return true;
    }
    return false;
}

/* One component after the other, below dir. */
static int match_from(struct picker *p, const char *dir, const char *pattern, struct err *reterr)
{
    size_t n = strcspn(pattern, "/");
    _cleanup_free_ char *part = xstrndup(pattern, n);
    const char *rest = pattern + n + (pattern[n] == '/');
    _cleanup_(strv_freep) char **names = NULL;
    int r = 0;

    if (!has_wildcard(part))
        return match_rest(p, dir, part, rest, reterr);
    names = list_names(p, dir);
    for (size_t i = 0; r >= 0 && names && names[i]; i++) {
        if (fnmatch(part, names[i], FNM_PATHNAME) == 0)
            r = match_rest(p, dir, names[i], rest, reterr);
    }
    return r;
}

static int find(struct picker *p, const char *source, struct err *reterr)
{
    _cleanup_free_ char *rooted = xasprintf("/%s", source), *clean = path_clean(rooted);

    return has_wildcard(clean) ? match_from(p, "", clean + 1, reterr)
                               : add_found(p, clean + 1, reterr);
}

/* ---- archives ---- */

struct reading {
    int fd;
    char data[64 << 10];
};

static la_ssize_t read_some(struct archive *a, void *arg, const void **ret)
{
    struct reading *in = arg;
    ssize_t n;

    do {
        n = read(in->fd, in->data, sizeof(in->data));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        archive_set_error(a, errno, "read");
    *ret = in->data;
    return n;
}

static struct archive *reader_new(struct reading *in)
{
    struct archive *a = archive_read_new();

    archive_read_support_filter_gzip(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_format_tar(a);
    archive_read_open(a, in, NULL, read_some, NULL);
    return a;
}

static int copy_entry(struct picker *p, struct archive *a, struct archive_entry *e,
                      struct err *reterr)
{
    struct archive_entry *was = p->g->entry;
    char name[PATH_MAX];
    int r = tree_clean(archive_entry_pathname(e) ?: "", name, reterr);
    la_ssize_t n;

    if (r < 0 || !*name)
        return r;
    if (++p->g->entries > LAYER_MAX_ENTRIES)
        return err_set(reterr, ERR_INVALID, EFBIG, "more than %lld files", LAYER_MAX_ENTRIES);
    archive_entry_copy_pathname(e, name);
    archive_entry_sparse_clear(e);
    p->g->entry = e;
    r = giver_header(p->g, reterr);
    p->g->entry = was;
    while (r >= 0 && (n = archive_read_data(a, p->g->data, sizeof(p->g->data))) != 0) {
        p->ret->bytes += n;
        if (n < 0)
            r = err_set(reterr, ERR_INVALID, EINVAL, "%s: %s", p->g->path, archive_error_string(a));
        else if (p->ret->bytes > LAYER_MAX_BYTES)
            r = err_set(reterr, ERR_INVALID, EFBIG, "archive is larger than %lld bytes",
                        LAYER_MAX_BYTES);
        else
            r = giver_bytes(p->g, p->g->data, (size_t)n, reterr);
    }
    return r;
}

/* 1 if it was an archive, whose entries are copied; 0 if it is none: nothing was done. */
static int put_archive(struct picker *p, int fd, struct err *reterr)
{
    _cleanup_free_ struct reading *in = xcalloc(1, sizeof(*in));
    struct archive_entry *e;
    struct archive *a;
    int r = 1, got;

    in->fd = fd;
    a = reader_new(in);
    got = archive_read_next_header(a, &e);
    if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
        r = 0;
    while (r > 0 && (got == ARCHIVE_OK || got == ARCHIVE_WARN)) {
        int c = copy_entry(p, a, e, reterr);

        if (c < 0)
            r = c;
        else
            got = archive_read_next_header(a, &e);
    }
    if (r > 0 && got != ARCHIVE_EOF)
        r = err_set(reterr, ERR_INVALID, EINVAL, "%s: %s", p->g->path, archive_error_string(a));
    archive_read_free(a);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(reterr, errno, "seek in %s", p->g->path);
    return r;
}

/* ---- sources ---- */

static void set_path(struct giver *g, const char *path)
{
    g->len = strlen(path);
    memcpy(g->path, path, g->len + 1);
}

static int put_plain(struct picker *p, const char *path, const struct stat *sb, struct err *reterr)
{
    _cleanup_close_ int fd = view_open(p->view, path, O_RDONLY | O_NONBLOCK);
    struct stat now;
    int r = 0;

    if (fd < 0 || fstat(fd, &now) < 0)
        return err_sys(reterr, fd < 0 ? -fd : errno, "open %s", path);
    if (!S_ISREG(now.st_mode) || now.st_ino != sb->st_ino)
        return err_set(reterr, ERR_CONFLICT, EBUSY, "%s changed while it was read", path);
    if (p->extract)
        r = put_archive(p, fd, reterr);
    if (r != 0)
        return r < 0 ? r : 0;
    p->ret->plain++;
    return giver_put_file(p->g, fd, &now, reterr);
}

static int put_source(struct picker *p, const char *path, struct err *reterr)
{
    _cleanup_close_ int fd = view_open(p->view, *path ? path : "/", O_PATH);
    const char *base = strrchr(path, '/');
    struct stat sb;

    if (fd < 0 || fstat(fd, &sb) < 0)
        return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP
                   ? err_set(reterr, ERR_NOT_FOUND, ENOENT, "stat %s: file does not exist", path)
                   : err_sys(reterr, fd < 0 ? -fd : errno, "stat %s", path);
    if (S_ISDIR(sb.st_mode)) {
        set_path(p->g, "");
        return giver_put_children(p->g, fd, reterr);
    }
    set_path(p->g, base ? base + 1 : path);
    if (S_ISREG(sb.st_mode))
        return put_plain(p, path, &sb, reterr);
    p->ret->plain++;
    return giver_put_node(p->g, &sb, reterr);
}

static int pick_all(struct picker *p, char *const *sources, struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && sources[i]; i++)
        r = find(p, sources[i], reterr);
    if (r >= 0 && p->n_found == 0)
        r = err_set(reterr, ERR_INVALID, ENOENT, "no source files were specified");
    if (r >= 0)
        r = giver_open(p->g, reterr);
    for (size_t i = 0; r >= 0 && i < p->n_found; i++)
        r = put_source(p, p->found[i], reterr);
    if (r >= 0)
        r = giver_close(p->g, reterr);
    p->ret->sources = (int64_t)p->n_found;
    return r < 0 ? r : sha_hex(&p->g->sha, p->ret->digest, reterr);
}

int giver_pick(struct giver *g, const struct view *v, char *const *sources, bool extract,
               struct pick_result *ret, struct err *reterr)
{
    struct picker p = {.g = g, .view = v, .extract = extract, .ret = ret};
    int r = pick_all(&p, sources, reterr);

    for (size_t i = 0; i < p.n_found; i++)
        free(p.found[i]);
    free(p.found);
    return r;
}
