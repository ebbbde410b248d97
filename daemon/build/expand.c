#include "expand.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "buf.h"
#include "str.h"

struct state {
    const struct expander *x;
    const char *p;
    struct buf out;
    char ***words; /* cut at blanks into these; NULL: no cutting */
    size_t n_words;
    bool in_word;
    unsigned depth;
};

static int bad(const char *why, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "%s", why);
}

static int put(struct state *s, const char *text, size_t len, struct err *reterr)
{
    if (buf_size(&s->out) + len > EXPAND_MAX)
        return err_set(reterr, ERR_INVALID, EFBIG, "a word becomes longer than %d bytes",
                       EXPAND_MAX);
    if (s->x->left && len > *s->x->left)
        return err_set(reterr, ERR_INVALID, EFBIG, "the words together become too long");
    if (s->x->left)
        *s->x->left -= len;
    buf_append(&s->out, text, len);
    s->in_word = true;
    return 0;
}

static int end_word(struct state *s, struct err *reterr)
{
    _cleanup_free_ char *word = NULL;

    if (!s->in_word)
        return 0;
    if (++s->n_words > EXPAND_WORDS)
        return err_set(reterr, ERR_INVALID, E2BIG, "more than %d words", EXPAND_WORDS);
    word = buf_take_str(&s->out);
    *s->words = strv_append(*s->words, word);
    s->in_word = false;
    return 0;
}

/* What a variable stands for; blanks in it cut words, unless it is quoted. */
static int put_value(struct state *s, const char *value, bool quoted, struct err *reterr)
{
    int r = 0;

    if (!s->words || quoted)
        return put(s, value, strlen(value), reterr);
    for (; r >= 0 && *value; value++)
        r = isspace((unsigned char)*value) ? end_word(s, reterr) : put(s, value, 1, reterr);
    return r;
}

/* ---- variables ---- */

static size_t name_length(const char *p)
{
    size_t n = 0;

    if (isalpha((unsigned char)*p) || *p == '_') {
        while (isalnum((unsigned char)p[n]) || p[n] == '_')
            n++;
    } else if (isdigit((unsigned char)*p)) {
        while (isdigit((unsigned char)p[n]))
            n++;
    } else if (*p && strchr("@*#?-$!", *p)) {
        n = 1;
    }
    return n;
}

static int expand_until(struct state *s, char stop, bool quoted, struct err *reterr);

/* The word behind a modifier, up to its brace. */
static int default_word(struct state *s, char **ret, struct err *reterr)
{
    struct state sub = {.x = s->x, .p = s->p, .depth = s->depth + 1};
    int r = sub.depth > EXPAND_DEPTH ? bad("variables are nested too deeply", reterr)
                                     : expand_until(&sub, '}', false, reterr);

    if (r >= 0 && *sub.p != '}')
        r = bad("syntax error: missing '}'", reterr);
    if (r >= 0) {
        s->p = sub.p + 1;
        *ret = buf_take_str(&sub.out);
    }
    buf_done(&sub.out);
    return r;
}

static int put_modified(struct state *s, const char *name, bool quoted, struct err *reterr)
{
    const char *value = s->x->lookup(s->x->arg, name);
    _cleanup_free_ char *word = NULL, *kept = xstrdup_null(value);
    bool colon = *s->p == ':', use;
    char how;
    int r;

    if (colon)
        s->p++;
    how = *s->p;
    if (!how || !strchr("-+?", how))
        return err_set(reterr, ERR_INVALID, EINVAL, "unsupported modifier (%c) in substitution",
                       how ? how : ' ');
    s->p++;
    r = default_word(s, &word, reterr);
    if (r < 0)
        return r;
    use = kept && !(colon && !*kept); /* is it set, in the sense of the modifier? */
    if (how == '+')
        return put_value(s, use ? word : "", quoted, reterr);
    if (how == '?' && !use)
        return err_set(reterr, ERR_INVALID, EINVAL, "%s: %s", name,
                       *word ? word : "not allowed to be unset");
    return put_value(s, use ? kept : word, quoted, reterr);
}

/* At '$'. */
static int put_variable(struct state *s, bool quoted, struct err *reterr)
{
    bool brace = s->p[1] == '{';
    const char *start = s->p + (brace ? 2 : 1);
    size_t n = name_length(start);
    _cleanup_free_ char *name = xstrndup(start, n);
    const char *value;

    if (n == 0 && !brace) {
        s->p++;
        return put(s, "$", 1, reterr);
    }
    if (n == 0)
        return bad("syntax error: bad substitution", reterr);
    s->p = start + n;
    if (brace && *s->p != '}' && *s->p)
        return put_modified(s, name, quoted, reterr);
    if (brace && !*s->p)
        return bad("syntax error: missing '}'", reterr);
    s->p += brace;
    value = s->x->lookup(s->x->arg, name);
    return put_value(s, value ? value : "", quoted, reterr);
}

/* ---- quotes ---- */

static int put_single(struct state *s, struct err *reterr)
{
    const char *end = strchr(s->p + 1, '\'');
    int r;

    if (!end)
        return bad("unexpected end of statement while looking for matching single-quote", reterr);
    r = put(s, s->p + 1, (size_t)(end - s->p - 1), reterr);
    s->p = end + 1;
    return r;
}

static int put_double(struct state *s, struct err *reterr)
{
    int r = put(s, "", 0, reterr);

    s->p++;
    while (r >= 0 && *s->p && *s->p != '"') {
        char next = s->p[1];

        if (*s->p == '$') {
            r = put_variable(s, true, reterr);
            continue;
        }
        if (*s->p == s->x->escape && next && (next == '"' || next == '$' || next == s->x->escape))
            s->p++;
        r = put(s, s->p++, 1, reterr);
    }
    if (r >= 0 && *s->p != '"')
        return bad("unexpected end of statement while looking for matching double-quote", reterr);
    s->p++;
    return r;
}

static int expand_text(struct state *s, struct err *reterr)
{
    int r = 0;

    while (r >= 0 && *s->p) {
        if (*s->p == '$') {
            r = put_variable(s, true, reterr);
            continue;
        }
        s->p += *s->p == s->x->escape && s->p[1] == '$';
        r = put(s, s->p++, 1, reterr);
    }
    return r;
}

static int expand_until(struct state *s, char stop, bool quoted, struct err *reterr)
{
    int r = 0;

    while (r >= 0 && *s->p && (!stop || *s->p != stop)) {
        if (*s->p == '\'') {
            r = put_single(s, reterr);
        } else if (*s->p == '"') {
            r = put_double(s, reterr);
        } else if (*s->p == '$') {
            r = put_variable(s, quoted, reterr);
        } else if (*s->p == s->x->escape && s->p[1]) {
            r = put(s, s->p + 1, 1, reterr);
            s->p += 2;
        } else if (*s->p == s->x->escape) {
            s->p++; /* at the end it escapes nothing */
        } else if (s->words && isspace((unsigned char)*s->p)) {
            r = end_word(s, reterr);
            s->p++;
        } else {
            r = put(s, s->p++, 1, reterr);
        }
    }
    return r;
}

/* ---- the calls ---- */

int expand_word(const struct expander *x, const char *word, char **ret, struct err *reterr)
{
    struct state s = {.x = x, .p = word};
    int r = x->text ? expand_text(&s, reterr) : expand_until(&s, '\0', false, reterr);

    if (r >= 0)
        *ret = buf_take_str(&s.out);
    buf_done(&s.out);
    return r < 0 ? err_wrap(reterr, "failed to process \"%.200s\"", word) : 0;
}

int expand_words(const struct expander *x, const char *text, char ***ret, struct err *reterr)
{
    _cleanup_(strv_freep) char **words = NULL;
    struct state s = {.x = x, .p = text, .words = &words};
    int r = expand_until(&s, '\0', false, reterr);

    if (r >= 0)
        r = end_word(&s, reterr);
    buf_done(&s.out);
    if (r < 0)
        return err_wrap(reterr, "failed to process \"%.200s\"", text);
    *ret = TAKE_PTR(words);
    return 0;
}

/* The end of the word that begins at p, which is no blank: quotes hold blanks together. */
static const char *word_end(const char *p, char escape)
{
    char quote = 0;

    for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
        if (*p == escape && p[1] && quote != '\'')
            p++;
        else if (quote && *p == quote)
            quote = 0;
        else if (!quote && (*p == '"' || *p == '\''))
            quote = *p;
    }
    return p;
}

int words_split(const char *text, char escape, char ***ret, struct err *reterr)
{
    _cleanup_(strv_freep) char **words = NULL;
    size_t n = 0;

    for (;;) {
        _cleanup_free_ char *word = NULL;
        const char *end;

        while (isspace((unsigned char)*text))
            text++;
        if (!*text)
            break;
        if (++n > EXPAND_WORDS)
            return err_set(reterr, ERR_INVALID, E2BIG, "more than %d words", EXPAND_WORDS);
        end = word_end(text, escape);
        word = xstrndup(text, (size_t)(end - text));
        words = strv_append(words, word);
        text = end;
    }
    *ret = TAKE_PTR(words);
    return 0;
}

int words_pairs(const char *what, const char *text, char escape, char ***ret, struct err *reterr)
{
    _cleanup_(strv_freep) char **words = NULL, **out = NULL;
    int r = words_split(text, escape, &words, reterr);

    if (r < 0)
        return r;
    if (!words)
        return err_set(reterr, ERR_INVALID, EINVAL, "%s requires at least one argument", what);
    if (!strchr(words[0], '=')) { /* the old form */
        const char *rest = strstr(text, words[0]) + strlen(words[0]);

        while (isspace((unsigned char)*rest))
            rest++;
        if (!*rest)
            return err_set(reterr, ERR_INVALID, EINVAL, "%s must have two arguments", what);
        *ret = strv_append(strv_append(NULL, words[0]), rest);
        return 0;
    }
    for (size_t i = 0; words[i]; i++) {
        char *eq = strchr(words[i], '=');

        if (!eq)
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "Syntax error - can't find = in \"%s\". Must be of the form: name=value",
                           words[i]);
        *eq = '\0';
        if (!*words[i])
            return err_set(reterr, ERR_INVALID, EINVAL, "%s names can not be blank", what);
        out = strv_append(strv_append(out, words[i]), eq + 1);
    }
    *ret = TAKE_PTR(out);
    return 0;
}
