#include "challenge.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "str.h"

void challenge_done(struct challenge *c)
{
    free(c->scheme);
    free(c->realm);
    free(c->service);
    free(c->scope);
    free(c->error);
    *c = (struct challenge){0};
}

static void skip_blanks(const char **p)
{
    *p += strspn(*p, " \t");
}

/* RFC 9110, 5.6.2; NULL if there is none. */
static char *take_token(const char **p)
{
    const char *start = *p;

    while (isalnum((unsigned char)**p) || (**p && strchr("!#$%&'*+-.^_`|~", **p)))
        (*p)++;
    return *p > start ? xstrndup(start, (size_t)(*p - start)) : NULL;
}

/* After the opening quote; NULL if there is no closing one. */
static char *take_quoted(const char **p)
{
    struct buf b = {0};

    for (; **p && **p != '"'; (*p)++) {
        if (**p == '\\' && (*p)[1])
            (*p)++;
        buf_append(&b, *p, 1);
    }
    if (**p != '"') {
        buf_done(&b);
        return NULL;
    }
    (*p)++;
    return buf_take_str(&b);
}

static void set_parameter(struct challenge *c, const char *name, char *value)
{
    const struct {
        const char *name;
        char **field;
    } fields[] = {
        {"realm", &c->realm}, {"service", &c->service}, {"scope", &c->scope}, {"error", &c->error}};

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (strcasecmp(fields[i].name, name) == 0 && !*fields[i].field) {
            *fields[i].field = value;
            return;
        }
    }
    free(value);
}

/* name "=" (token / quoted-string); false, and *p where it was, if there is no parameter here. */
static bool take_parameter(const char **p, struct challenge *c)
{
    const char *at = *p;
    _cleanup_free_ char *name = take_token(&at);
    char *value;

    skip_blanks(&at);
    if (!name || *at != '=')
        return false;
    at++;
    skip_blanks(&at);
    if (*at == '"') {
        at++;
        value = take_quoted(&at);
    } else {
        value = take_token(&at);
    }
    if (!value)
        return false;
    set_parameter(c, name, value);
    *p = at;
    return true;
}

static void take_parameters(const char **p, struct challenge *c)
{
    const char *at = *p;

    skip_blanks(&at);
    while (take_parameter(&at, c)) {
        skip_blanks(&at);
        *p = at;
        if (*at != ',')
            return;
        at += strspn(at, ", \t");
    }
}

size_t challenge_parse(const char *header, struct challenge ret[CHALLENGES_MAX])
{
    const char *p = header;
    size_t n = 0;

    while (n < CHALLENGES_MAX) {
        struct challenge c = {0};

        p += strspn(p, ", \t");
        c.scheme = take_token(&p);
        if (!c.scheme || (*p && !strchr(", \t", *p))) {
            challenge_done(&c);
            break;
        }
        for (char *s = c.scheme; *s; s++)
            *s = (char)tolower((unsigned char)*s);
        take_parameters(&p, &c);
        ret[n++] = c;
        skip_blanks(&p);
        if (*p && *p != ',')
            break;
    }
    return n;
}
