#include "dockerfile.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "check.h"
#include "heredoc.h"
#include "json.h"
#include "lines.h"
#include "str.h"

enum { JSON_FORM = 1, FLAGS = 2, MAY_BE_EMPTY = 4, HEREDOCS = 8 };

static const struct keyword {
    const char *name;
    unsigned what;
} keywords[] = {
    [INS_ADD] = {"ADD", JSON_FORM | FLAGS | HEREDOCS},
    [INS_ARG] = {"ARG", 0},
    [INS_CMD] = {"CMD", JSON_FORM | MAY_BE_EMPTY},
    [INS_COPY] = {"COPY", JSON_FORM | FLAGS | HEREDOCS},
    [INS_ENTRYPOINT] = {"ENTRYPOINT", JSON_FORM | MAY_BE_EMPTY},
    [INS_ENV] = {"ENV", 0},
    [INS_EXPOSE] = {"EXPOSE", 0},
    [INS_FROM] = {"FROM", FLAGS},
    [INS_HEALTHCHECK] = {"HEALTHCHECK", FLAGS},
    [INS_LABEL] = {"LABEL", 0},
    [INS_MAINTAINER] = {"MAINTAINER", 0},
    [INS_ONBUILD] = {"ONBUILD", 0},
    [INS_RUN] = {"RUN", JSON_FORM | FLAGS | HEREDOCS},
    [INS_SHELL] = {"SHELL", JSON_FORM},
    [INS_STOPSIGNAL] = {"STOPSIGNAL", 0},
    [INS_USER] = {"USER", 0},
    [INS_VOLUME] = {"VOLUME", JSON_FORM},
    [INS_WORKDIR] = {"WORKDIR", 0},
};

static const char *skip_blanks(const char *p)
{
    while (isspace((unsigned char)*p))
        p++;
    return p;
}

/* ---- flags ---- */

/* One word with its quotes taken off; *p is behind it then. */
static char *flag_word(const char **p, char escape)
{
    char *out = xmalloc(strlen(*p) + 1), *w = out, quote = 0;
    const char *s = *p;

    for (; *s && (quote || !isspace((unsigned char)*s)); s++) {
        if (*s == escape && s[1] && quote != '\'')
            *w++ = *++s;
        else if (quote && *s == quote)
            quote = 0;
        else if (!quote && (*s == '"' || *s == '\''))
            quote = *s;
        else
            *w++ = *s;
    }
    *w = '\0';
    *p = s;
    return out;
}

/* The words that begin with "--"; "--" alone ends them. */
static const char *take_flags(struct instruction *ins, const char *p, char escape)
{
    while (str_starts(p, "--")) {
        _cleanup_free_ char *word = flag_word(&p, escape);

        p = skip_blanks(p);
        if (streq(word, "--"))
            break;
        ins->flags = strv_append(ins->flags, word);
    }
    return p;
}

static size_t name_length(const char *flag)
{
    return strcspn(flag, "=");
}

const char *instruction_flag(const struct instruction *ins, const char *name)
{
    for (size_t i = 0; ins->flags && ins->flags[i]; i++) {
        const char *flag = ins->flags[i] + 2;
        size_t n = name_length(flag);

        if (n == strlen(name) && memcmp(flag, name, n) == 0)
            return flag[n] ? flag + n + 1 : "";
    }
    return NULL;
}

static bool is_known(const char *flag, const char *const *names)
{
    for (; *names; names++) {
        if (strlen(*names) == name_length(flag) && str_starts(flag, *names))
            return true;
    }
    return false;
}

int instruction_check_flags(const struct instruction *ins, const char *const *names,
                            struct err *reterr)
{
    for (size_t i = 0; ins->flags && ins->flags[i]; i++) {
        const char *flag = ins->flags[i] + 2;
        size_t n = name_length(flag);

        if (!is_known(flag, names))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "dockerfile parse error line %u: unknown flag: %.*s", ins->line, (int)n,
                           flag);
        for (size_t k = 0; k < i; k++) {
            if (name_length(ins->flags[k] + 2) == n && memcmp(ins->flags[k] + 2, flag, n) == 0)
                return err_set(reterr, ERR_INVALID, EINVAL,
                               "dockerfile parse error line %u: duplicate flag specified: %.*s",
                               ins->line, (int)n, flag);
        }
    }
    return 0;
}

/* ---- one instruction ---- */

/* `["a","b"]` as it stands; what is no such array is in shell form. */
static void take_json(struct instruction *ins)
{
    _cleanup_json_ json_t *v = *ins->args == '[' ? json_loads(ins->args, 0, NULL) : NULL;
    json_t *item;
    size_t i;

    if (!json_is_array(v))
        return;
    json_array_foreach (v, i, item) {
        if (!json_is_string(item))
            return;
    }
    ins->is_json = true;
    json_array_foreach (v, i, item)
        ins->json = strv_append(ins->json, json_string_value(item));
}

static int find_keyword(struct instruction *ins, const char *word, size_t len, struct err *reterr)
{
    char capitals[32];

    for (size_t i = 0; i < ARRAY_SIZE(keywords); i++) {
        if (strlen(keywords[i].name) == len && strncasecmp(keywords[i].name, word, len) == 0) {
            ins->kind = (enum instruction_kind)i;
            ins->keyword = keywords[i].name;
            return 0;
        }
    }
    for (size_t i = 0; i <= len && i < sizeof(capitals); i++)
        capitals[i] = i < len ? (char)toupper((unsigned char)word[i]) : '\0';
    capitals[sizeof(capitals) - 1] = '\0';
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "dockerfile parse error line %u: unknown instruction: %s", ins->line, capitals);
}

int instruction_parse(const char *line, char escape, struct instruction *ret, struct err *reterr)
{
    const char *p = skip_blanks(line), *word = p;
    unsigned what;
    size_t len;
    int r;

    while (*p && !isspace((unsigned char)*p))
        p++;
    r = find_keyword(ret, word, (size_t)(p - word), reterr);
    if (r < 0)
        return r;
    what = keywords[ret->kind].what;
    p = skip_blanks(p);
    if (what & FLAGS)
        p = take_flags(ret, p, escape);
    len = strlen(p);
    while (len > 0 && isspace((unsigned char)p[len - 1]))
        len--;
    ret->args = xstrndup(p, len);
    ret->original = xstrdup(word);
    if (len == 0 && !(what & MAY_BE_EMPTY))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "dockerfile parse error line %u: %s requires at least one argument",
                       ret->line, ret->keyword);
    if (what & JSON_FORM)
        take_json(ret);
    return 0;
}

void instruction_done(struct instruction *ins)
{
    for (size_t i = 0; i < ins->n_heredocs; i++) {
        free(ins->heredocs[i].name);
        free(ins->heredocs[i].content);
    }
    free(ins->heredocs);
    strv_free(ins->flags);
    strv_free(ins->json);
    free(ins->original);
    free(ins->args);
    *ins = (struct instruction){0};
}

/* ---- the whole ---- */

static int add(struct dockerfile *d, struct lines *l, const char *line, unsigned number,
               struct err *reterr)
{
    struct instruction *ins;
    int r;

    if (d->n == DOCKERFILE_INSTRUCTIONS)
        return err_set(reterr, ERR_INVALID, E2BIG, "the Dockerfile has more than %d instructions",
                       DOCKERFILE_INSTRUCTIONS);
    d->list = xrealloc(d->list, (d->n + 1) * sizeof(*d->list));
    ins = &d->list[d->n++];
    *ins = (struct instruction){.line = number};
    r = instruction_parse(line, l->escape, ins, reterr);
    if (r >= 0 && (keywords[ins->kind].what & HEREDOCS) && !ins->is_json)
        r = heredocs_take(ins, l, reterr);
    return r < 0 ? r : instruction_check(ins, l->escape, reterr);
}

int dockerfile_parse(const char *text, size_t len, struct dockerfile *ret, struct err *reterr)
{
    _cleanup_dockerfile_ struct dockerfile d = {0};
    struct lines l;
    int r = lines_init(&l, text, len, reterr);

    while (r >= 0) {
        _cleanup_free_ char *line = NULL;
        unsigned number = 0;

        r = lines_next(&l, &line, &number, reterr);
        if (r <= 0)
            break;
        r = add(&d, &l, line, number, reterr);
    }
    if (r < 0)
        return r;
    if (d.n == 0 && len > 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "failed to parse Dockerfile: file with no instructions");
    if (d.n == 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "the Dockerfile (%s) cannot be empty",
                       "Dockerfile");
    d.escape = l.escape;
    *ret = d;
    d = (struct dockerfile){0};
    return 0;
}

void dockerfile_done(struct dockerfile *d)
{
    for (size_t i = 0; i < d->n; i++)
        instruction_done(&d->list[i]);
    free(d->list);
    *d = (struct dockerfile){0};
}
