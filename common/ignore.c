#include "ignore.h"

#include <errno.h>
#include <string.h>

#include "mem.h"
#include "path.h"
#include "str.h"

struct ignore_pattern {
    char *text;  /* owned: clean, relative */
    bool wanted; /* began with "!" */
};

static void add(struct ignore *ig, const char *line, size_t len)
{
    _cleanup_free_ char *rooted = NULL, *clean = NULL;
    struct ignore_pattern *p;
    bool wanted = *line == '!';

    line += wanted;
    len -= wanted;
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    if (len == 0)
        return;
    rooted = xasprintf("/%.*s", (int)len, line);
    clean = path_clean(rooted);
    if (!clean[1])
        return; /* the context itself is never left out */
    ig->list = xrealloc(ig->list, (ig->n + 1) * sizeof(*ig->list));
    p = &ig->list[ig->n++];
    *p = (struct ignore_pattern){.text = xstrdup(clean + 1), .wanted = wanted};
    ig->exceptions |= wanted;
}

int ignore_parse(const char *text, struct ignore *ret)
{
    struct ignore ig = {0};

    if (str_starts(text, "\xef\xbb\xbf"))
        text += 3;
    while (*text) {
        size_t line = strcspn(text, "\n"), len = line;
        const char *p = text;

        text += line + (text[line] == '\n');
        if (*p == '#')
            continue;
        while (len > 0 && strchr(" \t\r", p[len - 1]))
            len--;
        while (len > 0 && strchr(" \t", *p)) {
            p++;
            len--;
        }
        if (len > 0)
            add(&ig, p, len);
        if (ig.n > IGNORE_PATTERNS_MAX) {
            ignore_done(&ig);
            return -E2BIG;
        }
    }
    *ret = ig;
    return 0;
}

void ignore_done(struct ignore *ig)
{
    for (size_t i = 0; i < ig->n; i++)
        free(ig->list[i].text);
    free(ig->list);
    *ig = (struct ignore){0};
}

/* ---- patterns ---- */

/* "[a-z]" at p: behind it, or NULL if it never ends; *ret: does c belong to it? */
static const char *match_class(const char *p, char c, bool *ret)
{
    bool not = p[1] == '^', in = false;

    p += 1 + not ;
    do {
        char lo = *p == '\\' && p[1] ? *++p : *p, hi = lo;

        if (!*p)
            return NULL;
        p++;
        if (*p == '-' && p[1] && p[1] != ']') {
            p++;
            hi = *p == '\\' && p[1] ? *++p : *p;
            p++;
        }
        in |= lo <= c && c <= hi;
    } while (*p != ']');
    *ret = in != not ;
    return p + 1;
}

/* One step of a pattern that is neither "*" nor "**": behind it, or NULL if c does not fit. */
static const char *match_one(const char *p, char c)
{
    bool in;

    if (*p == '?')
        return c && c != '/' ? p + 1 : NULL;
    if (*p == '[') {
        p = c && c != '/' ? match_class(p, c, &in) : NULL;
        return p && in ? p : NULL;
    }
    if (*p == '\\' && p[1])
        p++;
    return *p == c ? p + 1 : NULL;
}

/* Does the pattern fit a beginning of the path that ends at its end, or before a slash?  Two places
 * to come back to, one for the last "*" and one for the last "**", keep it from taking exponential
 * time. */
static bool match_prefix(const char *p, const char *s)
{
    const char *star = NULL, *star_at = NULL, *stars = NULL, *stars_at = NULL;
    bool whole = false;

    for (;;) {
        const char *next;

        if (p[0] == '*' && p[1] == '*') {
            p += 2;
            whole = *p == '/'; /* any number of directories, none too */
            p += whole;
            stars = p;
            stars_at = s;
            star = NULL;
            continue;
        }
        if (*p == '*') {
            star = ++p;
            star_at = s;
            continue;
        }
        if (!*p && (!*s || *s == '/'))
            return true;
        next = *p && *s ? match_one(p, *s) : NULL;
        if (next) {
            p = next;
            s++;
        } else if (star && *star_at && *star_at != '/') {
            p = star;
            s = ++star_at;
        } else if (stars && *stars_at) {
            stars_at = whole ? strchrnul(stars_at, '/') : stars_at;
            if (!*stars_at)
                return false;
            p = stars;
            s = ++stars_at;
            star = NULL;
        } else {
            return false;
        }
    }
}

bool ignore_match(const struct ignore *ig, const char *path)
{
    bool out = false;

    for (size_t i = 0; i < ig->n; i++) {
        /* One that would change nothing need not be looked at. */
        if (ig->list[i].wanted == out && match_prefix(ig->list[i].text, path))
            out = !ig->list[i].wanted;
    }
    return out;
}

bool ignore_may_hold(const struct ignore *ig, const char *dir)
{
    size_t n = strlen(dir);

    for (size_t i = 0; i < ig->n; i++) {
        const char *text = ig->list[i].text;

        if (!ig->list[i].wanted)
            continue;
        if (strpbrk(text, "*?[\\") || (strncmp(text, dir, n) == 0 && text[n] == '/'))
            return true;
    }
    return false;
}
