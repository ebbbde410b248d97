#include "heredoc.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "buf.h"
#include "str.h"

struct marker {
    char *name; /* owned */
    bool quoted, strip;
};

/* Behind "<<": 1 and *p behind the name, or 0 if it is something else. */
static int read_marker(const char **p, struct marker *ret)
{
    const char *s = *p, *name;
    char quote = 0;

    ret->strip = *s == '-';
    s += ret->strip;
    if (*s == '"' || *s == '\'')
        quote = *s++;
    name = s;
    while (isalnum((unsigned char)*s) || (*s && strchr("_.-", *s)))
        s++;
    if (s == name || (quote && *s != quote))
        return 0;
    ret->quoted = quote;
    ret->name = xstrndup(name, (size_t)(s - name));
    *p = s + (quote != 0);
    return 1;
}

/* The next marker at or behind *p: it begins a word, or follows the number of a descriptor that
 * does. */
static int next_marker(const char **p, char escape, struct marker *ret)
{
    bool begins = true; /* nothing but digits since the last blank */
    char quote = 0;

    for (const char *s = *p; *s; s++) {
        if (begins && !quote && s[0] == '<' && s[1] == '<' && s[2] != '<') {
            s += 2;
            if (read_marker(&s, ret)) {
                *p = s;
                return 1;
            }
        }
        if (!*s)
            break;
        begins = !quote && (isspace((unsigned char)*s) || (begins && isdigit((unsigned char)*s)));
        if (*s == escape && s[1] && quote != '\'')
            s++;
        else if (quote)
            quote = *s == quote ? 0 : quote;
        else if (*s == '"' || *s == '\'')
            quote = *s;
    }
    return 0;
}

static int read_content(struct heredoc *h, bool strip, struct lines *l, struct err *reterr)
{
    _cleanup_buf_ struct buf out = {0};
    unsigned first = l->number;
    const char *line;
    size_t len;

    while ((line = lines_raw(l, &len))) {
        while (strip && len > 0 && *line == '\t') {
            line++;
            len--;
        }
        if (len == strlen(h->name) && memcmp(line, h->name, len) == 0) {
            h->content = buf_take_str(&out);
            return 0;
        }
        buf_append(&out, line, len);
        buf_append(&out, "\n", 1);
    }
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "dockerfile parse error line %u: unterminated heredoc", first);
}

int heredocs_take(struct instruction *ins, struct lines *l, struct err *reterr)
{
    const char *p = ins->args;
    struct marker m;

    while (next_marker(&p, l->escape, &m)) {
        struct heredoc *h;
        int r;

        ins->heredocs = xrealloc(ins->heredocs, (ins->n_heredocs + 1) * sizeof(*ins->heredocs));
        h = &ins->heredocs[ins->n_heredocs++];
        *h = (struct heredoc){.name = m.name, .expand = !m.quoted};
        if (ins->n_heredocs > DOCKERFILE_HEREDOCS)
            return err_set(reterr, ERR_INVALID, E2BIG, "more than %d here-documents",
                           DOCKERFILE_HEREDOCS);
        r = read_content(h, m.strip, l, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}
