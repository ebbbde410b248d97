#include "pack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fd.h"
#include "files.h"
#include "map.h"
#include "report.h"
#include "str.h"
#include "tarout.h"
#include "whiteout.h"

#define READ_SIZE (256 * 1024)

struct packer {
    const struct options *opt; /* borrowed */
    const struct stack *stack; /* borrowed */
    struct tarout out;
    struct archive_entry *entry; /* owned, used for one after the other */
    struct walk_path path;
    struct map links; /* "dev:inode" of what has several names -> the first of them, owned */
    dev_t devs[STACK_MAX];
    int64_t entries, bytes;
    char names[XATTR_LIST_MAX + 1], data[READ_SIZE];
};

int packer_new(const struct options *o, struct packer **ret, struct err *reterr)
{
    _cleanup_(packer_freep) struct packer *p = xcalloc(1, sizeof(*p));
    int r;

    p->opt = o;
    p->entry = archive_entry_new();
    r = p->entry ? tarout_init(&p->out, reterr) : err_sys(reterr, ENOMEM, "libarchive");
    if (r >= 0)
        *ret = TAKE_PTR(p);
    return r;
}

void packer_free(struct packer *p)
{
    struct map_entry *e;

    for (size_t i = 0; (e = map_next(&p->links, &i));)
        free(e->value);
    map_done(&p->links);
    archive_entry_free(p->entry);
    tarout_done(&p->out);
    free(p);
}

/* ---- extended attributes ---- */

/* What a file of a user namespace says of its root is of that namespace: outside it the same
 * capabilities are those of the plain form (capabilities(7)). */
static size_t plain_capability(char *value, size_t size)
{
    uint32_t magic;

    if (size != XATTR_CAPS_SZ_3)
        return size;
    memcpy(&magic, value, sizeof(magic));
    if ((magic & VFS_CAP_REVISION_MASK) != VFS_CAP_REVISION_3)
        return size;
    magic = (magic & ~(uint32_t)VFS_CAP_REVISION_MASK) | VFS_CAP_REVISION_2;
    memcpy(value, &magic, sizeof(magic));
    return XATTR_CAPS_SZ_2;
}

static int add_xattr(struct packer *p, int fd, const char *name, struct err *reterr)
{
    ssize_t size;

    /* Half of such a file is elsewhere; our own mounts never make them. */
    if (!p->opt->tree &&
        (streq(name, "trusted.overlay.redirect") || streq(name, "trusted.overlay.metacopy")))
        return err_set(reterr, ERR_SYSTEM, ENOTSUP, "%s: has %s, which no archive can hold",
                       p->path.text, name);
    if (!entry_wants_xattr(name))
        return 0;
    size = fgetxattr(fd, name, p->data, sizeof(p->data));
    if (size < 0)
        return errno == ENODATA ? 0
                                : err_sys(reterr, errno, "attribute %s of %s", name, p->path.text);
    if (streq(name, "security.capability"))
        size = (ssize_t)plain_capability(p->data, (size_t)size);
    archive_entry_xattr_add_entry(p->entry, name, p->data, (size_t)size);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_xattrs(struct packer *p, int fd, struct err *reterr)
{
    ssize_t len = flistxattr(fd, p->names, XATTR_LIST_MAX);
    const char *names[XATTRS_MAX];
    size_t n = 0;

    if (len < 0)
        return errno == ENOTSUP ? 0 : err_sys(reterr, errno, "attributes of %s", p->path.text);
    p->names[len] = '\0';
    for (const char *s = p->names; s < p->names + len; s += strlen(s) + 1) {
        if (n == XATTRS_MAX)
            return err_set(reterr, ERR_INVALID, E2BIG, "%s: too many extended attributes",
                           p->path.text);
        names[n++] = s;
    }
    /* File systems list them in the order of their making, or of a hash. */
    qsort(names, n, sizeof(*names), by_name);
    /* libarchive writes them last in, first out. */
    while (n > 0) {
        int r = add_xattr(p, fd, names[--n], reterr);

        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- entries ---- */

static int begin_entry(struct packer *p, const char *path, mode_t mode, struct err *reterr)
{
    if (++p->entries > p->opt->limits.max_entries)
        return err_set(reterr, ERR_INVALID, EFBIG, "more than %lld files",
                       (long long)p->opt->limits.max_entries);
    archive_entry_clear(p->entry);
    archive_entry_copy_pathname(p->entry, path);
    archive_entry_set_mode(p->entry, mode);
    archive_entry_set_size(p->entry, 0);
    archive_entry_set_mtime(p->entry, 0, 0);
    return 0;
}

static int begin_node(struct packer *p, const struct node *node, struct err *reterr)
{
    const struct stat *sb = &node->sb;
    bool top = node->layer == 0;
    int r = begin_entry(p, p->path.text, sb->st_mode, reterr);

    if (r < 0)
        return r;
    archive_entry_set_uid(p->entry, top ? id_map_inside(&p->opt->uids, sb->st_uid) : sb->st_uid);
    archive_entry_set_gid(p->entry, top ? id_map_inside(&p->opt->gids, sb->st_gid) : sb->st_gid);
    /* Whole seconds, as Docker's layers have them: a fraction would cost each file a pax header. */
    archive_entry_set_mtime(p->entry, sb->st_mtim.tv_sec, 0);
    return 0;
}

/* dir/.wh.name; "dir/.wh..wh..opq" if name is NULL and path is the directory. */
static int put_whiteout(struct packer *p, const char *path, const char *name, struct err *reterr)
{
    size_t dir = name ? strlen(path) - strlen(name) : strlen(path);
    _cleanup_free_ char *text = xasprintf("%.*s%s%s", (int)dir, path, name || dir == 0 ? "" : "/",
                                          name ? WHITEOUT : WHITEOUT_OPAQUE);
    _cleanup_free_ char *full = name ? xasprintf("%s%s", text, name) : NULL;
    int r = begin_entry(p, full ? full : text, S_IFREG | 0600, reterr);

    return r < 0 ? r : tarout_header(&p->out, p->entry, reterr);
}

/* 1 if the file was already packed under another name, which it then refers to. */
static int put_link(struct packer *p, const struct node *node, struct err *reterr)
{
    const char *first;
    char key[64];
    int r;

    if (node->sb.st_nlink < 2 || S_ISDIR(node->sb.st_mode))
        return 0;
    snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)node->sb.st_dev,
             (unsigned long long)node->sb.st_ino);
    first = map_get(&p->links, key);
    if (!first) {
        map_put(&p->links, key, xstrdup(p->path.text));
        return 0;
    }
    r = begin_node(p, node, reterr);
    if (r < 0)
        return r;
    archive_entry_copy_hardlink(p->entry, first);
    r = tarout_header(&p->out, p->entry, reterr);
    return r < 0 ? r : 1;
}

/* A file that shrinks meanwhile is filled up with zeros by libarchive; one that grows is cut. */
static int put_data(struct packer *p, int fd, int64_t size, struct err *reterr)
{
    while (size > 0) {
        size_t want = size < READ_SIZE ? (size_t)size : READ_SIZE;
        ssize_t n = read(fd, p->data, want);
        int r;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(reterr, errno, "read %s", p->path.text);
        if (n == 0)
            return 0;
        r = tarout_data(&p->out, p->data, (size_t)n, reterr);
        if (r < 0)
            return r;
        size -= n;
        report_progress(p->out.length);
    }
    return 0;
}

static int put_file(struct packer *p, const struct node *node, struct err *reterr)
{
    /* Not waiting: what was a file a moment ago may be a fifo now. */
    _cleanup_close_ int fd = stack_open(p->stack, node->layer, p->path.text, O_NONBLOCK);
    struct node now = *node;
    int r;

    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return 0;
    if (fd < 0 || fstat(fd, &now.sb) < 0)
        return err_sys(reterr, fd < 0 ? -fd : errno, "open %s", p->path.text);
    if (!S_ISREG(now.sb.st_mode))
        return 0;
    r = put_link(p, &now, reterr);
    if (r != 0)
        return r;
    p->bytes += now.sb.st_size;
    if (p->bytes > p->opt->limits.max_bytes)
        return err_set(reterr, ERR_INVALID, EFBIG, "more than %lld bytes",
                       (long long)p->opt->limits.max_bytes);
    r = begin_node(p, &now, reterr);
    if (r >= 0)
        r = add_xattrs(p, fd, reterr);
    if (r < 0)
        return r;
    archive_entry_set_size(p->entry, now.sb.st_size);
    r = tarout_header(&p->out, p->entry, reterr);
    return r < 0 ? r : put_data(p, fd, now.sb.st_size, reterr);
}

static int put_symlink(struct packer *p, const struct node *node, struct err *reterr)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(p->stack->fds[node->layer], p->path.text, target, sizeof(target) - 1);
    int r;

    if (n < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EINVAL
                   ? 0
                   : err_sys(reterr, errno, "read link %s", p->path.text);
    target[n] = '\0';
    r = put_link(p, node, reterr);
    if (r != 0)
        return r;
    r = begin_node(p, node, reterr);
    if (r < 0)
        return r;
    archive_entry_copy_symlink(p->entry, target);
    return tarout_header(&p->out, p->entry, reterr);
}

static int put_node(struct packer *p, const struct node *node, struct err *reterr)
{
    int r = put_link(p, node, reterr);

    if (r != 0)
        return r;
    r = begin_node(p, node, reterr);
    if (r < 0)
        return r;
    archive_entry_set_rdev(p->entry, node->sb.st_rdev);
    return tarout_header(&p->out, p->entry, reterr);
}

/* A socket means nothing without the process that listens. */
static int skip(struct packer *p, const struct node *node, struct err *reterr)
{
    (void)p;
    (void)node;
    (void)reterr;
    return 0;
}

static int pack_children(struct packer *p, const struct spot *dir, struct err *reterr);

/* A directory on the way, of a whole tree: its entry follows when something in it has changed. */
struct level {
    struct level *up;
    size_t len; /* of its path */
    bool told;
};

/* 1: it is there. */
static int put_dir_entry(struct packer *p, const struct node *node, struct err *reterr)
{
    _cleanup_close_ int fd = stack_open(p->stack, node->layer, p->path.text, O_DIRECTORY);
    int r;

    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return 0;
    if (fd < 0)
        return err_sys(reterr, -fd, "open %s", p->path.text);
    r = begin_node(p, node, reterr);
    if (r >= 0)
        r = add_xattrs(p, fd, reterr);
    if (r >= 0)
        r = tarout_header(&p->out, p->entry, reterr);
    return r < 0 ? r : 1;
}

static int put_dir(struct packer *p, const struct node *node, struct err *reterr)
{
    int r = put_dir_entry(p, node, reterr);

    if (r <= 0)
        return r;
    r = p->opt->tree ? 0 : stack_is_opaque(p->stack, node->layer, p->path.text, reterr);
    if (r > 0)
        r = put_whiteout(p, p->path.text, NULL, reterr);
    /* What is mounted there is not of this tree. */
    if (r < 0 || node->sb.st_dev != p->devs[node->layer])
        return r;
    return pack_children(p, &node->dir, reterr);
}

static const struct {
    mode_t type;
    int (*put)(struct packer *p, const struct node *node, struct err *reterr);
} kinds[] = {
    {S_IFREG, put_file}, {S_IFDIR, put_dir},  {S_IFLNK, put_symlink}, {S_IFCHR, put_node},
    {S_IFBLK, put_node}, {S_IFIFO, put_node}, {S_IFSOCK, skip},
};

static int check_name(const struct packer *p, const char *name, struct err *reterr)
{
    return !str_starts(name, WHITEOUT)
               ? 0
               : err_set(reterr, ERR_INVALID, EINVAL,
                         "%s: a layer cannot hold a name that begins with " WHITEOUT, p->path.text);
}

static int put_kind(struct packer *p, const struct node *node, struct err *reterr)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (kinds[i].type == (node->sb.st_mode & S_IFMT))
            return kinds[i].put(p, node, reterr);
    }
    return 0;
}

static int pack_name(struct packer *p, const struct spot *dir, const char *name, struct err *reterr)
{
    struct node node;
    int r = stack_lookup(p->stack, dir, p->path.text, &node, reterr);

    if (r < 0)
        return r;
    if (node.whiteout && !p->opt->tree)
        return put_whiteout(p, p->path.text, name, reterr);
    if (!node.there)
        return 0;
    r = p->opt->tree ? 0 : check_name(p, name, reterr);
    return r < 0 ? r : put_kind(p, &node, reterr);
}

static int pack_children(struct packer *p, const struct spot *dir, struct err *reterr)
{
    struct listing names;
    int r = stack_list(p->stack, dir, p->path.text, &names, reterr);

    for (size_t i = 0; r >= 0 && i < names.n; i++) {
        int was = r = walk_path_push(&p->path, listing_name(&names, i), reterr);

        if (r < 0)
            break;
        r = pack_name(p, dir, listing_name(&names, i), reterr);
        walk_path_pop(&p->path, was);
        report_progress(p->out.length);
    }
    listing_done(&names);
    return r < 0 ? r : 0;
}

/* ---- what a whole tree changes ---- */

static const struct spot whole = {{0}, 1};

/* The root never has an entry. */
static int put_parents(struct packer *p, struct level *l, struct err *reterr)
{
    size_t len = p->path.len;
    struct node node;
    char cut;
    int r;

    if (!l || l->told || l->len == 0)
        return 0;
    r = put_parents(p, l->up, reterr);
    if (r < 0)
        return r;
    l->told = true;
    cut = p->path.text[l->len];
    p->path.text[l->len] = '\0';
    p->path.len = l->len;
    r = stack_lookup(p->stack, &whole, p->path.text, &node, reterr);
    if (r >= 0 && node.there && S_ISDIR(node.sb.st_mode))
        r = put_dir_entry(p, &node, reterr);
    p->path.text[l->len] = cut;
    p->path.len = len;
    return r < 0 ? r : 0;
}

static int put_changed(struct packer *p, const struct node *node, const char *name,
                       struct level *in, struct err *reterr)
{
    int r = check_name(p, name, reterr);

    if (r >= 0)
        r = put_parents(p, in, reterr);
    if (r < 0)
        return r;
    return S_ISDIR(node->sb.st_mode) ? put_dir_entry(p, node, reterr) : put_kind(p, node, reterr);
}

static int pack_changes(struct packer *p, const struct spot *below, struct level *level,
                        struct err *reterr);

static int pack_change(struct packer *p, const struct spot *below, const char *name,
                       struct level *in, struct err *reterr)
{
    struct level level = {in, p->path.len, false};
    struct node new, old;
    int r = stack_lookup(p->stack, &whole, p->path.text, &new, reterr);

    if (r >= 0)
        r = stack_lookup(p->stack, below, p->path.text, &old, reterr);
    if (r < 0 || (!new.there && !old.there))
        return r;
    if (!new.there) {
        r = put_parents(p, in, reterr);
        return r < 0 ? r : put_whiteout(p, p->path.text, name, reterr);
    }
    if (!old.there || stack_differs(p->stack, p->opt, p->path.text, &new, &old)) {
        r = put_changed(p, &new, name, in, reterr);
        level.told = true;
    }
    if (r < 0 || !S_ISDIR(new.sb.st_mode) || new.sb.st_dev != p->devs[0])
        return r;
    return pack_changes(p, &old.dir, &level, reterr);
}

static int pack_changes(struct packer *p, const struct spot *below, struct level *level,
                        struct err *reterr)
{
    struct spot listed = whole;
    struct listing names = {0};
    int r;

    memcpy(listed.layers + 1, below->layers, below->n * sizeof(below->layers[0]));
    listed.n += below->n;
    r = stack_list(p->stack, &listed, p->path.text, &names, reterr);
    for (size_t i = 0; r >= 0 && i < names.n; i++) {
        int was = r = walk_path_push(&p->path, listing_name(&names, i), reterr);

        if (r < 0)
            break;
        r = pack_change(p, below, listing_name(&names, i), level, reterr);
        walk_path_pop(&p->path, was);
        report_progress(p->out.length);
    }
    listing_done(&names);
    return r < 0 ? r : 0;
}

int packer_run(struct packer *p, const struct stack *s, struct packed *ret, struct err *reterr)
{
    struct spot root;
    int r = 0;

    p->stack = s;
    for (unsigned i = 0; i < s->n; i++) {
        struct stat sb;

        if (fstat(s->fds[i], &sb) < 0)
            return err_sys(reterr, errno, "stat layer");
        p->devs[i] = sb.st_dev;
    }
    if (p->opt->base.whole)
        stack_root(s, 1, s->n, &root);
    else
        stack_root(s, 0, p->opt->tree ? s->n : 1, &root);
    p->out.tell = p->opt->tell;
    r = tarout_start(&p->out, reterr);
    if (r >= 0)
        r = p->opt->base.whole ? pack_changes(p, &root, &(struct level){.told = true}, reterr)
                               : pack_children(p, &root, reterr);
    if (r >= 0)
        r = tarout_finish(&p->out, ret->diff_id, reterr);
    ret->bytes = p->bytes;
    ret->length = p->out.length;
    return r;
}
