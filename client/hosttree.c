#include "hosttree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fd.h"
#include "path.h"
#include "str.h"
#include "tar.h"

#define LINKS_MAX 40   /* on the way to one file, as the kernel */
#define DEPTH_MAX 128  /* of what needs what, and of directories */
#define SCRIPT_MAX 256 /* of "#!/bin/sh -e" */
#define COPY_SIZE (256 << 10)

void host_tree_init(struct host_tree *t)
{
    *t = (struct host_tree){0};
    ldso_open(&t->ldso);
}

void host_tree_done(struct host_tree *t)
{
    struct map_entry *e;

    for (size_t i = 0; i < t->n; i++) {
        free(t->files[i].path);
        free(t->files[i].target);
        free(t->files[i].data);
    }
    free(t->files);
    for (size_t i = 0; (e = map_next(&t->inodes, &i));)
        free(e->value);
    map_done(&t->inodes);
    map_done(&t->paths);
    ldso_close(&t->ldso);
}

/* ---- names ---- */

static bool is_there(const struct host_tree *t, const char *path)
{
    return map_get(&t->paths, path + (*path == '/')) != NULL;
}

/* path: absolute.  target and data are taken over. */
static int put(struct host_tree *t, const char *path, const struct stat *sb, char *target,
               char *data, struct err *reterr)
{
    if (t->n >= HOST_FILES_MAX) {
        free(target);
        free(data);
        return err_set(reterr, ERR_INVALID, E2BIG, "more than %d files", HOST_FILES_MAX);
    }
    t->files = xrealloc(t->files, (t->n + 1) * sizeof(*t->files));
    t->files[t->n++] =
        (struct host_file){.path = xstrdup(path + 1), .target = target, .data = data, .sb = *sb};
    map_put(&t->paths, path + 1, t);
    return 0;
}

static int put_link(struct host_tree *t, const char *path, const struct stat *sb, char **ret,
                    struct err *reterr)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n < 0)
        return err_sys(reterr, errno, "read link %s", path);
    target[n] = '\0';
    *ret = xstrdup(target);
    return is_there(t, path) ? 0 : put(t, path, sb, xstrdup(target), NULL, reterr);
}

static void cut_last(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash)
        *slash = '\0';
}

/* Put the directories and symlinks on the way to name, which is absolute; *ret is where it really
 * is, *ret_sb what. */
static int walk(struct host_tree *t, const char *name, char **ret, struct stat *ret_sb,
                struct err *reterr)
{
    _cleanup_free_ char *rest = xstrdup(name), *at = xstrdup("");
    unsigned links = 0;

    *ret_sb = (struct stat){.st_mode = S_IFDIR | 0755};
    while (*rest) {
        size_t skip = strspn(rest, "/"), len = strcspn(rest + skip, "/");
        _cleanup_free_ char *word = xstrndup(rest + skip, len), *next = NULL, *target = NULL;
        int r;

        memmove(rest, rest + skip + len, strlen(rest + skip + len) + 1);
        if (streq(word, "") || streq(word, "."))
            continue;
        if (streq(word, "..")) {
            cut_last(at);
            continue;
        }
        next = xasprintf("%s/%s", at, word);
        if (lstat(next, ret_sb) < 0)
            return err_set(reterr, ERR_NOT_FOUND, errno, "%s: %s", name, err_text(errno));
        if (!S_ISLNK(ret_sb->st_mode)) {
            r = S_ISDIR(ret_sb->st_mode) && !is_there(t, next)
                    ? put(t, next, ret_sb, NULL, NULL, reterr)
                    : 0;
            free(at);
            at = TAKE_PTR(next);
        } else {
            char *longer;

            if (++links > LINKS_MAX)
                return err_set(reterr, ERR_INVALID, ELOOP, "%s: %s", name, err_text(ELOOP));
            r = put_link(t, next, ret_sb, &target, reterr);
            if (r < 0)
                return r;
            if (*target == '/')
                *at = '\0';
            longer = xasprintf("%s/%s", target, rest);
            free(rest);
            rest = longer;
        }
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(at);
    return 0;
}

/* ---- what a file needs ---- */

static int add_path(struct host_tree *t, const char *name, const struct ldso_object *by,
                    unsigned depth, struct err *reterr);

static bool same_kind(const char *path, const struct elf_info *want)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    _cleanup_elf_ struct elf_info e = {0};

    return fd >= 0 && elf_read(fd, &e) > 0 && e.bits == want->bits && e.machine == want->machine;
}

/* Every copy that the cache names: which of them the loader likes best depends on the processor. */
static int add_cached(struct host_tree *t, const struct ldso_object *o, const char *name,
                      unsigned depth, struct err *reterr)
{
    _cleanup_(strv_freep) char **list =
        t->ldso.cache ? ldso_cached(t->ldso.cache, t->ldso.len, name) : NULL;
    int r = 0;

    for (size_t i = 0; r >= 0 && list && list[i]; i++) {
        if (same_kind(list[i], o->elf))
            r = add_path(t, list[i], o, depth + 1, reterr);
    }
    return r;
}

static int add_library(struct host_tree *t, const struct ldso_object *o, const char *name,
                       const char *program, unsigned depth, struct err *reterr)
{
    _cleanup_(strv_freep) char **list = ldso_candidates(&t->ldso, o, name);
    int r;

    for (size_t i = 0; list && list[i]; i++) {
        if (!same_kind(list[i], o->elf))
            continue;
        r = add_path(t, list[i], o, depth + 1, reterr);
        return r < 0 ? r : add_cached(t, o, name, depth, reterr);
    }
    return err_set(reterr, ERR_NOT_FOUND, ENOENT, "%s needs %s, which is not on this host", program,
                   name);
}

static int add_needed(struct host_tree *t, const char *real, const struct elf_info *elf,
                      const struct ldso_object *by, unsigned depth, struct err *reterr)
{
    _cleanup_free_ char *dir = xstrdup(real);
    struct ldso_object o = {.by = by, .dir = dir, .elf = elf};
    int r = 0;

    cut_last(dir);
    if (elf->interp)
        r = add_path(t, elf->interp, NULL, depth + 1, reterr);
    for (size_t i = 0; r >= 0 && elf->needed && elf->needed[i]; i++)
        r = add_library(t, &o, elf->needed[i], real, depth, reterr);
    return r;
}

/* "#!/usr/bin/perl -w" needs that. */
static int add_interpreter(struct host_tree *t, int fd, unsigned depth, struct err *reterr)
{
    char line[SCRIPT_MAX + 1];
    ssize_t n = pread(fd, line, SCRIPT_MAX, 0);
    char *name;

    if (n < 3 || line[0] != '#' || line[1] != '!')
        return 0;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    name = line + 2 + strspn(line + 2, " \t");
    name[strcspn(name, " \t")] = '\0';
    /* One of a directory's files that does not run here either is no reason to refuse the others.
     */
    if (*name != '/' || (depth > 0 && access(name, F_OK) < 0))
        return 0;
    return add_path(t, name, NULL, depth + 1, reterr);
}

static int add_needs(struct host_tree *t, const char *real, const struct ldso_object *by,
                     unsigned depth, struct err *reterr)
{
    _cleanup_close_ int fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    _cleanup_elf_ struct elf_info elf = {0};
    int r;

    if (fd < 0)
        return err_sys(reterr, errno, "open %s", real);
    r = elf_read(fd, &elf);
    if (r < 0)
        return err_set(reterr, ERR_INVALID, -r, "%s: %s", real,
                       r == -EBADMSG ? "a broken ELF file" : err_text(-r));
    return r > 0 ? add_needed(t, real, &elf, by, depth, reterr)
                 : add_interpreter(t, fd, depth, reterr);
}

/* ---- files and directories ---- */

static int put_file(struct host_tree *t, const char *real, const struct stat *sb,
                    struct err *reterr)
{
    char key[64];
    const char *first;

    if (sb->st_nlink < 2)
        return put(t, real, sb, NULL, NULL, reterr);
    snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)sb->st_dev,
             (unsigned long long)sb->st_ino);
    first = map_get(&t->inodes, key);
    if (!first)
        map_put(&t->inodes, key, xstrdup(real + 1));
    return put(t, real, sb, first ? xstrdup(first) : NULL, NULL, reterr);
}

static int add_children(struct host_tree *t, const char *real, unsigned depth, struct err *reterr)
{
    struct dirent **list;
    int n = scandir(real, &list, NULL, alphasort), r = 0;

    if (n < 0)
        return err_sys(reterr, errno, "read %s", real);
    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", real, list[i]->d_name);
        struct stat sb;

        if (r >= 0 && !streq(list[i]->d_name, ".") && !streq(list[i]->d_name, "..") &&
            lstat(path, &sb) == 0) {
            _cleanup_free_ char *target = NULL;

            /* A link's target is not asked for by who asks for its directory. */
            if (S_ISLNK(sb.st_mode))
                r = put_link(t, path, &sb, &target, reterr);
            else if (S_ISREG(sb.st_mode) || S_ISDIR(sb.st_mode))
                r = add_path(t, path, NULL, depth + 1, reterr);
        }
        free(list[i]);
    }
    free(list);
    return r;
}

static int add_path(struct host_tree *t, const char *name, const struct ldso_object *by,
                    unsigned depth, struct err *reterr)
{
    _cleanup_free_ char *real = NULL;
    struct stat sb;
    int r;

    if (depth > DEPTH_MAX)
        return err_set(reterr, ERR_INVALID, ELOOP, "%s: too deep", name);
    r = walk(t, name, &real, &sb, reterr);
    if (r < 0)
        return r;
    if (S_ISDIR(sb.st_mode))
        return add_children(t, real, depth, reterr);
    if (!S_ISREG(sb.st_mode))
        return err_set(reterr, ERR_INVALID, EINVAL, "%s is neither a file nor a directory", name);
    if (is_there(t, real))
        return 0;
    r = put_file(t, real, &sb, reterr);
    return r < 0 ? r : add_needs(t, real, by, depth, reterr);
}

/* Where PATH has it, or the absolute form of a name with a slash. */
static char *find_program(const char *name)
{
    _cleanup_free_ char *path = xstrdup(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
    char *dir, *save;

    if (*name == '/')
        return xstrdup(name);
    if (strchr(name, '/')) {
        _cleanup_free_ char *cwd = getcwd(NULL, 0);

        return cwd ? path_join(cwd, name) : NULL;
    }
    for (dir = strtok_r(path, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
        _cleanup_free_ char *full = path_join(dir, name);
        struct stat sb;

        if (*dir == '/' && stat(full, &sb) == 0 && S_ISREG(sb.st_mode) && access(full, X_OK) == 0)
            return TAKE_PTR(full);
    }
    return NULL;
}

int host_tree_add(struct host_tree *t, const char *name, char **ret, struct err *reterr)
{
    _cleanup_free_ char *found = find_program(name);
    _cleanup_free_ char *path = found ? path_clean(found) : NULL;
    int r;

    if (!path)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "%s: not found in PATH", name);
    r = add_path(t, path, NULL, 0, reterr);
    if (r >= 0 && ret)
        *ret = TAKE_PTR(path);
    return r;
}

/* ---- what no image should be without ---- */

static void put_made(struct host_tree *t, const char *path, mode_t mode, const char *data)
{
    struct stat sb = {.st_mode = mode, .st_size = data ? (off_t)strlen(data) : 0};

    if (!is_there(t, path))
        put(t, path, &sb, NULL, xstrdup_null(data), NULL);
}

/* /bin -> usr/bin, /lib -> usr/lib: scripts and habits go that way. */
static void add_shortcuts(struct host_tree *t)
{
    static const char *const names[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char target[PATH_MAX];
        ssize_t n = readlink(names[i], target, sizeof(target) - 1);
        struct err ignored;
        struct stat sb;

        if (n <= 0)
            continue;
        target[n] = '\0';
        if (is_there(t, target) && !is_there(t, names[i]) && lstat(names[i], &sb) == 0)
            put(t, names[i], &sb, xstrdup(target), NULL, &ignored);
    }
}

void host_tree_add_base(struct host_tree *t)
{
    struct err ignored;

    add_shortcuts(t);
    put_made(t, "/etc", S_IFDIR | 0755, NULL);
    put_made(t, "/root", S_IFDIR | 0700, NULL);
    put_made(t, "/tmp", S_IFDIR | 01777, NULL);
    put_made(t, "/etc/passwd", S_IFREG | 0644, "root:x:0:0:root:/root:/bin/sh\n");
    put_made(t, "/etc/group", S_IFREG | 0644, "root:x:0:\n");
    /* Libraries in places that only the cache knows. */
    if (t->ldso.cache)
        add_path(t, LDSO_CACHE, NULL, 0, &ignored);
}

/* ---- writing ---- */

static int flush(int fd, struct buf *out, struct err *reterr)
{
    int r = fd_write_all(fd, buf_head(out), buf_size(out));

    buf_consume(out, buf_size(out));
    return r < 0 ? err_sys(reterr, -r, "write the archive") : 0;
}

static int copy(int from, int to, int64_t size, const char *path, struct err *reterr)
{
    _cleanup_free_ char *data = xmalloc(COPY_SIZE);

    while (size > 0) {
        ssize_t n = read(from, data, size < COPY_SIZE ? (size_t)size : COPY_SIZE);
        int r;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_sys(reterr, n < 0 ? errno : EIO, "read /%s", path);
        r = fd_write_all(to, data, (size_t)n);
        if (r < 0)
            return err_sys(reterr, -r, "write the archive");
        size -= n;
    }
    return 0;
}

/* Its strings are borrowed. */
static struct tar_entry entry_of(const struct host_file *f)
{
    enum tar_type type = S_ISDIR(f->sb.st_mode)   ? TAR_DIRECTORY
                         : S_ISLNK(f->sb.st_mode) ? TAR_SYMLINK
                         : f->target              ? TAR_HARDLINK
                                                  : TAR_FILE;

    return (struct tar_entry){.type = (char)type,
                              .name = f->path,
                              .link = f->target,
                              .mode = f->sb.st_mode,
                              .uid = f->sb.st_uid,
                              .gid = f->sb.st_gid,
                              .size = type == TAR_FILE ? f->sb.st_size : 0,
                              .mtime = f->sb.st_mtime};
}

static int write_file(const struct host_file *f, int to, struct buf *out, struct err *reterr)
{
    _cleanup_free_ char *path = xasprintf("/%s", f->path);
    _cleanup_close_ int fd = f->data || f->target || !S_ISREG(f->sb.st_mode)
                                 ? -EBADF
                                 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct tar_entry e = entry_of(f);
    char capability[64];
    ssize_t n;
    int r;

    if (f->data || f->target || S_ISDIR(f->sb.st_mode)) {
        tar_put_header(out, &e);
        if (f->data) {
            buf_append_str(out, f->data);
            tar_pad(out, e.size);
        }
        return flush(to, out, reterr);
    }
    if (fd < 0)
        return err_sys(reterr, errno, "open %s", path);
    n = fgetxattr(fd, "security.capability", capability, sizeof(capability));
    if (n > 0) {
        e.capability = capability;
        e.capability_len = (size_t)n;
    }
    tar_put_header(out, &e);
    r = flush(to, out, reterr);
    if (r >= 0)
        r = copy(fd, to, e.size, f->path, reterr);
    tar_pad(out, e.size);
    return r;
}

int host_tree_write(const struct host_tree *t, int fd, struct err *reterr)
{
    _cleanup_buf_ struct buf out = {0};
    int r = 0;

    for (size_t i = 0; r >= 0 && i < t->n; i++)
        r = write_file(&t->files[i], fd, &out, reterr);
    tar_end(&out);
    return r < 0 ? r : flush(fd, &out, reterr);
}
