/* Where stages begin, and what they are made from. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "dockerfile.h"
#include "expand.h"
#include "str.h"

static int bad(const struct instruction *ins, const char *why, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "dockerfile parse error line %u: %s", ins->line,
                   why);
}

static bool name_valid(const char *name)
{
    if (!islower((unsigned char)*name))
        return false;
    for (; *name; name++) {
        if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) &&
            !strchr("-_.", *name))
            return false;
    }
    return true;
}

static int read_name(struct build_stage *s, const char *word, struct err *reterr)
{
    s->name = xstrdup(word);
    for (char *p = s->name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (name_valid(s->name))
        return 0;
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "dockerfile parse error line %u: invalid name for build stage: \"%s\", name "
                   "can't start with a number or contain symbols",
                   s->from->line, word);
}

static int read_from(struct build_stage *s, char escape, struct err *reterr)
{
    static const char *const flags[] = {"platform", NULL};
    _cleanup_(strv_freep) char **words = NULL;
    size_t n;
    int r = instruction_check_flags(s->from, flags, reterr);

    if (r >= 0)
        r = words_split(s->from->args, escape, &words, reterr);
    if (r < 0)
        return r;
    n = strv_len(words);
    if (n != 1 && !(n == 3 && strcasecmp(words[1], "as") == 0))
        return bad(s->from, "FROM requires either one or three arguments", reterr);
    s->base = xstrdup(words[0]);
    s->platform = xstrdup_null(instruction_flag(s->from, "platform"));
    return n == 3 ? read_name(s, words[2], reterr) : 0;
}

/* That of the last stage, by one before it. */
static bool name_is_taken(const struct build_stages *s)
{
    const char *name = s->list[s->n - 1].name;

    for (size_t i = 0; name && i + 1 < s->n; i++) {
        if (s->list[i].name && streq(s->list[i].name, name))
            return true;
    }
    return false;
}

int build_stages_find(const struct dockerfile *d, struct build_stages *ret, struct err *reterr)
{
    struct build_stages s = {.args = d->list};
    int r = 0;

    for (size_t i = 0; r >= 0 && i < d->n; i++) {
        const struct instruction *ins = &d->list[i];

        if (ins->kind == INS_FROM) {
            s.list = xrealloc(s.list, (s.n + 1) * sizeof(*s.list));
            s.list[s.n++] = (struct build_stage){.from = ins, .first = ins + 1};
            r = read_from(&s.list[s.n - 1], d->escape, reterr);
            if (r >= 0 && name_is_taken(&s))
                r = bad(ins, "a stage name already used", reterr);
        } else if (s.n > 0) {
            s.list[s.n - 1].n++;
        } else if (ins->kind == INS_ARG) {
            s.n_args++;
        } else {
            r = err_set(reterr, ERR_INVALID, EINVAL, "no build stage in current context");
        }
    }
    if (r >= 0 && s.n == 0)
        r = err_set(reterr, ERR_INVALID, EINVAL, "no build stage in current context");
    if (r < 0) {
        build_stages_done(&s);
        return r;
    }
    *ret = s;
    return 0;
}

void build_stages_done(struct build_stages *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->list[i].base);
        free(s->list[i].name);
        free(s->list[i].platform);
    }
    free(s->list);
    *s = (struct build_stages){0};
}

int build_stages_index(const struct build_stages *s, size_t n, const char *name)
{
    int64_t number;

    for (size_t i = n; i-- > 0;) {
        if (s->list[i].name && strcasecmp(s->list[i].name, name) == 0)
            return (int)i;
    }
    if (n > 0 && str_parse_i64(name, 0, (int64_t)n - 1, &number) >= 0)
        return (int)number;
    return -ENOENT;
}
