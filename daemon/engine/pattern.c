#include "pattern.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_MAX 1024
#define DEPTH_MAX 32 /* groups in groups */
#define COPIES_MAX 1000
#define TIMES_MAX 1000 /* of one interval, as in Go */

struct sizes {
    size_t before, last; /* of what comes before the last atom, and of that */
    size_t outer[DEPTH_MAX];
    unsigned depth;
};

/* The last character of the bracket expression at p. */
static const char *bracket_end(const char *p)
{
    p += p[1] == '^' ? 2 : 1;
    p += *p == ']';
    for (; *p && *p != ']'; p++) {
        const char close[] = {p[1], ']', '\0'}, *end;

        if (*p != '[' || !p[1] || !strchr(".:=", p[1]))
            continue;
        end = strstr(p + 2, close);
        if (!end)
            return p + strlen(p) - 1;
        p = end + 1;
    }
    return *p ? p : p - 1;
}

/* "{n}", "{n,}", "{n,m}": its last character and how many copies; NULL: it is none. */
static const char *interval_end(const char *p, size_t *ret_times)
{
    char *end;
    unsigned long n = strtoul(p + 1, &end, 10), m = n + 1;

    if (*end == ',') {
        const char *second = end + 1;

        m = strtoul(second, &end, 10);
        m = end == second ? n + 1 : m;
    }
    *ret_times = n > TIMES_MAX || m > TIMES_MAX ? TIMES_MAX + 1 : (n > m ? n : m) + 1;
    return *end == '}' ? end : NULL;
}

static void atom(struct sizes *s, size_t size)
{
    s->before += s->last;
    s->last = size;
}

static bool open_group(struct sizes *s)
{
    if (s->depth == DEPTH_MAX)
        return false;
    atom(s, 0);
    s->outer[s->depth++] = s->before;
    s->before = 0;
    return true;
}

static void close_group(struct sizes *s)
{
    if (s->depth == 0) {
        atom(s, 1);
        return;
    }
    s->last += s->before + 1;
    s->before = s->outer[--s->depth];
}

/* One element at p; returns its last character, NULL if it is refused. */
static const char *take(struct sizes *s, const char *p)
{
    const char *end = p;
    size_t times;

    switch (*p) {
    case '(':
        return open_group(s) ? p : NULL;
    case ')':
        close_group(s);
        return p;
    case '{':
        end = interval_end(p, &times);
        if (end)
            s->last *= times;
        else
            atom(s, 1);
        return end ? end : p;
    case '+': /* a copy and the copies behind it */
        s->last *= 2;
        return p;
    case '*':
    case '?':
        return p;
    case '[':
        end = bracket_end(p);
        break;
    case '\\':
        if (isdigit((unsigned char)p[1]))
            return NULL;
        end += p[1] != '\0';
        break;
    default:
        break;
    }
    atom(s, 1);
    return end;
}

static bool is_affordable(const char *pattern)
{
    struct sizes s = {0};

    if (strlen(pattern) > LENGTH_MAX)
        return false;
    for (const char *p = pattern; *p; p++) {
        p = take(&s, p);
        if (!p || s.before + s.last > COPIES_MAX)
            return false;
    }
    return true;
}

int pattern_compile(const char *pattern, regex_t *ret)
{
    return is_affordable(pattern) && regcomp(ret, pattern, REG_EXTENDED | REG_NOSUB) == 0 ? 0
                                                                                          : -EINVAL;
}

bool pattern_found(const regex_t *re, const char *s)
{
    return regexec(re, s, 0, NULL, 0) == 0;
}
