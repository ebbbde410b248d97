#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "pack.h"
#include "str.h"

#define FLUSH_AT (64 * 1024)
#define CAPABILITY_MAX 64

/* A directory being compared.  One that only holds a change is named as changed too, before it. */
struct level {
    struct level *up;
    size_t len; /* of its path */
    bool told;
};

struct differ {
    const struct stack *stack;
    const struct options *opt;
    struct walk_path path;
    struct buf out;
    int64_t count;
};

static int flush(struct differ *d, struct err *reterr)
{
    int r = fd_write_all(STDOUT_FILENO, buf_head(&d->out), buf_size(&d->out));

    buf_consume(&d->out, buf_size(&d->out));
    return r < 0 ? err_sys(reterr, -r, "write changes") : 0;
}

static int put_record(struct differ *d, char kind, size_t len, struct err *reterr)
{
    if (++d->count > d->opt->limits.max_entries)
        return err_set(reterr, ERR_INVALID, EFBIG, "more than %lld changes",
                       (long long)d->opt->limits.max_entries);
    buf_append(&d->out, &kind, 1);
    buf_append(&d->out, "/", 1);
    buf_append(&d->out, d->path.text, len);
    buf_append(&d->out, "", 1);
    return buf_size(&d->out) < FLUSH_AT ? 0 : flush(d, reterr);
}

static int put(struct differ *d, struct level *in, char kind, struct err *reterr)
{
    struct level *outermost;
    int r = 0;

    /* The root is never named. */
    do {
        outermost = NULL;
        for (struct level *l = in; l && !l->told && l->len > 0; l = l->up)
            outermost = l;
        if (outermost) {
            outermost->told = true;
            r = put_record(d, 'C', outermost->len, reterr);
        }
    } while (r >= 0 && outermost);
    return r < 0 ? r : put_record(d, kind, d->path.len, reterr);
}

static ssize_t read_capability(const struct stack *s, unsigned layer, const char *path,
                               char ret[CAPABILITY_MAX])
{
    _cleanup_close_ int fd = stack_open(s, layer, path, O_NONBLOCK);
    ssize_t n = fd < 0 ? 0 : fgetxattr(fd, "security.capability", ret, CAPABILITY_MAX);

    return n < 0 ? 0 : n;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* What Docker compares.  Of a directory neither size nor time: they change with its names. */
bool stack_differs(const struct stack *s, const struct options *o, const char *path,
                   const struct node *new, const struct node *old)
{
    const struct stat *a = &new->sb, *b = &old->sb;
    char cap_a[CAPABILITY_MAX], cap_b[CAPABILITY_MAX];
    ssize_t len;

    if (a->st_mode != b->st_mode || id_map_inside(&o->uids, a->st_uid) != b->st_uid ||
        id_map_inside(&o->gids, a->st_gid) != b->st_gid || a->st_rdev != b->st_rdev)
        return true;
    if (S_ISDIR(a->st_mode))
        return false;
    if (a->st_size != b->st_size || !same_time(&a->st_mtim, &b->st_mtim))
        return true;
    if (!S_ISREG(a->st_mode))
        return false;
    len = read_capability(s, new->layer, path, cap_a);
    return len != read_capability(s, old->layer, path, cap_b) ||
           memcmp(cap_a, cap_b, (size_t)len) != 0;
}

static int diff_children(struct differ *d, const struct spot *below, struct level *level,
                         struct err *reterr);

static int diff_name(struct differ *d, const struct spot *below, struct level *in,
                     struct err *reterr)
{
    static const struct spot top = {{0}, 1};
    struct level level = {in, d->path.len, false};
    struct node new, old;
    int r = stack_lookup(d->stack, &top, d->path.text, &new, reterr);

    if (r >= 0)
        r = stack_lookup(d->stack, below, d->path.text, &old, reterr);
    if (r < 0)
        return r;
    if (!new.there)
        return old.there ? put(d, in, 'D', reterr) : 0;
    if (!old.there || stack_differs(d->stack, d->opt, d->path.text, &new, &old)) {
        r = put(d, in, old.there ? 'C' : 'A', reterr);
        level.told = true;
    }
    if (r < 0 || !S_ISDIR(new.sb.st_mode))
        return r;
    return diff_children(d, &old.dir, &level, reterr);
}

/* The names of the upper directory, and with an opaque one those that it hides; a whole tree has
 * nothing but opaque ones. */
static int diff_children(struct differ *d, const struct spot *below, struct level *level,
                         struct err *reterr)
{
    struct spot listed = {{0}, 1};
    struct listing names = {0};
    int r = stack_is_opaque(d->stack, 0, d->path.text, reterr);

    if (r > 0 || (r == 0 && d->opt->base.whole)) {
        memcpy(listed.layers + 1, below->layers, below->n * sizeof(below->layers[0]));
        listed.n += below->n;
    }
    if (r >= 0)
        r = stack_list(d->stack, &listed, d->path.text, &names, reterr);
    for (size_t i = 0; r >= 0 && i < names.n; i++) {
        int was = r = walk_path_push(&d->path, listing_name(&names, i), reterr);

        if (r < 0)
            break;
        r = diff_name(d, below, level, reterr);
        walk_path_pop(&d->path, was);
    }
    listing_done(&names);
    return r < 0 ? r : 0;
}

int list_changes(const struct stack *s, const struct options *o, int64_t *ret_count,
                 struct err *reterr)
{
    struct differ d = {.stack = s, .opt = o};
    struct level root = {.told = true};
    struct spot below;
    int r;

    stack_root(s, 1, s->n, &below);
    r = diff_children(&d, &below, &root, reterr);
    if (r >= 0)
        r = flush(&d, reterr);
    buf_done(&d.out);
    *ret_count = d.count;
    return r;
}
