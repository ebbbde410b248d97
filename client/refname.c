#include "refname.h"

#include <errno.h>
#include <string.h>

#include "mem.h"
#include "str.h"

static bool is_domain(const char *s, size_t len)
{
    return memchr(s, '.', len) || memchr(s, ':', len) ||
           (len == 9 && strncmp(s, "localhost", len) == 0);
}

static char *familiar_repository(const char *repository)
{
    if (str_starts(repository, "docker.io/library/"))
        return xstrdup(repository + strlen("docker.io/library/"));
    return xstrdup(repository + (str_starts(repository, "docker.io/") ? strlen("docker.io/") : 0));
}

static char *full_repository(const char *name)
{
    const char *slash = strchr(name, '/');

    if (slash && str_starts(name, "index.docker.io/"))
        return xasprintf("docker.io%s", slash);
    if (slash && is_domain(name, (size_t)(slash - name)))
        return str_starts(name, "docker.io/") && !strchr(slash + 1, '/')
                   ? xasprintf("docker.io/library%s", slash)
                   : xstrdup(name);
    return xasprintf("docker.io/%s%s", slash ? "" : "library/", name);
}

int refname_parse(const char *text, struct refname *ret)
{
    const char *at = strchr(text, '@'), *slash, *colon;
    _cleanup_free_ char *name = at ? xstrndup(text, (size_t)(at - text)) : xstrdup(text);
    _cleanup_free_ char *tag = NULL, *short_name = NULL;

    slash = strrchr(name, '/');
    colon = strrchr(slash ? slash : name, ':');
    if (colon) {
        tag = xstrdup(colon + 1);
        name[colon - name] = '\0';
    }
    if (!*name)
        return -EINVAL;
    ret->repository = full_repository(name);
    short_name = familiar_repository(ret->repository);
    ret->tag = at ? xstrdup(at + 1) : tag ? TAKE_PTR(tag) : xstrdup("latest");
    ret->familiar = xasprintf(at ? "%s@%s" : "%s:%s", short_name, ret->tag);
    return 0;
}

void refname_done(struct refname *r)
{
    free(r->repository);
    free(r->tag);
    free(r->familiar);
    *r = (struct refname){0};
}
