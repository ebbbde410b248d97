#include "copy_path.h"

#include <errno.h>
#include <string.h>

#include "mem.h"
#include "path.h"
#include "str.h"

char *copy_base(const char *path)
{
    size_t end = strlen(path), start;

    if (end == 0)
        return xstrdup(".");
    while (end > 0 && path[end - 1] == '/')
        end--;
    if (end == 0)
        return xstrdup("/");
    start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return xstrndup(path + start, end - start);
}

char *copy_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *head = xstrndup(path, slash ? (size_t)(slash - path) + 1 : 0);

    return path_clean(head);
}

bool copy_has_slash(const char *path)
{
    return *path && path[strlen(path) - 1] == '/';
}

bool copy_is_inside(const char *path)
{
    _cleanup_free_ char *base = copy_base(path);

    return streq(base, ".");
}

static bool is_directory_only(const char *path)
{
    return copy_has_slash(path) || copy_is_inside(path);
}

static char *with_end(char *text, const char *end)
{
    char *out = xasprintf("%s%s", text, end);

    free(text);
    return out;
}

char *copy_keep_end(const char *clean, const char *path)
{
    char *out = xstrdup(clean);

    if (!copy_is_inside(clean) && copy_is_inside(path))
        out = with_end(out, copy_has_slash(out) ? "." : "/.");
    if (!copy_has_slash(out) && copy_has_slash(path))
        out = with_end(out, "/");
    return out;
}

void copy_split(const char *path, char **ret_dir, char **ret_base)
{
    char *clean = path_clean(path);

    if (copy_is_inside(path))
        clean = with_end(clean, "/.");
    *ret_dir = copy_dir(clean);
    *ret_base = copy_base(clean);
    free(clean);
}

char *copy_rebase_name(const char *path, char **resolved)
{
    _cleanup_free_ char *mine = copy_base(path), *theirs = NULL;

    if (copy_is_inside(path) && !copy_is_inside(*resolved))
        *resolved = with_end(*resolved, "/.");
    if (copy_has_slash(path) && !copy_has_slash(*resolved))
        *resolved = with_end(*resolved, "/");
    theirs = copy_base(*resolved);
    return streq(mine, theirs) ? NULL : TAKE_PTR(mine);
}

void copy_end_done(struct copy_end *e)
{
    free(e->path);
    free(e->rebase);
    *e = (struct copy_end){0};
}

int copy_arrange(const struct copy_end *src, const struct copy_end *dst, char **ret_dir,
                 char **ret_from, char **ret_as, struct err *reterr)
{
    _cleanup_free_ char *src_dir = NULL, *src_base = NULL, *dst_dir = NULL, *dst_base = NULL;

    *ret_from = *ret_as = NULL;
    if (dst->exists && dst->dir) {
        *ret_dir = xstrdup(dst->path);
        return 0;
    }
    if (dst->exists && src->dir)
        return err_set(reterr, ERR_INVALID, EISDIR, "cannot copy directory");
    if (!dst->exists && !src->dir && is_directory_only(dst->path))
        return err_set(reterr, ERR_INVALID, ENOENT, "no such directory");
    copy_split(src->path, &src_dir, &src_base);
    copy_split(dst->path, &dst_dir, &dst_base);
    if (src->rebase) {
        free(src_base);
        src_base = xstrdup(src->rebase);
    }
    *ret_dir = TAKE_PTR(dst_dir);
    /* The names of an archive of the root begin with nothing. */
    *ret_from = streq(src_base, "/") ? xstrdup("") : TAKE_PTR(src_base);
    *ret_as = TAKE_PTR(dst_base);
    return 0;
}
