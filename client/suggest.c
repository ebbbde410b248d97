#include "suggest.h"

#include <string.h>

#include "cli.h"
#include "help.h"
#include "str.h"

#define WORD_MAX 32  /* longer ones are no command mistyped */
#define SHORT_WORD 5 /* in one shorter than this a single letter may be wrong, else two */

static size_t least(size_t a, size_t b, size_t c)
{
    size_t d = a < b ? a : b;

    return d < c ? d : c;
}

/* Letters to insert, delete, replace or swap with their neighbour (optimal string alignment). */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][WORD_MAX + 1], *old = rows[0], *last = rows[1], *now = rows[2], *spare;

    for (size_t j = 0; j <= b_len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] = least(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], old[j - 2] + 1, now[j]);
        }
        spare = old;
        old = last;
        last = now;
        now = spare;
    }
    return last[b_len];
}

static bool alike(const char *name, size_t len, const char *word)
{
    size_t word_len = strlen(word);

    if (len > WORD_MAX || word_len > WORD_MAX || word_len == 0)
        return false;
    if (word_len < len && word_len > 1 && memcmp(name, word, word_len) == 0)
        return true;
    return word_len > 1 && distance(name, len, word, word_len) <= (word_len < SHORT_WORD ? 1 : 2);
}

static void suggest(struct buf *out, const char *name, size_t len)
{
    buf_printf(out, "%s\n\t%.*s", buf_size(out) ? "" : "\n\nDid you mean this?", (int)len, name);
}

/* The part of a name that the word stands for: all of "ps", "ls" of "container ls" in a group. */
static const char *relevant(const char *group, const char *name, size_t *len)
{
    size_t group_len = group ? strlen(group) : 0;

    if (!group)
        return memchr(name, ' ', *len) ? NULL : name;
    if (*len <= group_len + 1 || memcmp(name, group, group_len) != 0 || name[group_len] != ' ')
        return NULL;
    *len -= group_len + 1;
    return name + group_len + 1;
}

void suggest_commands(const char *group, const char *word, struct buf *out)
{
    const char *name;

    for (size_t i = 0; !group && (name = help_group_name(i)); i++) {
        if (alike(name, strlen(name), word))
            suggest(out, name, strlen(name));
    }
    for (const struct command *cmd = commands; cmd->names; cmd++) {
        for (const char *s = cmd->names; *s;) {
            size_t whole = strcspn(s, "|"), len = whole;

            name = cmd->help ? relevant(group, s, &len) : NULL;
            if (name && alike(name, len, word))
                suggest(out, name, len);
            s += whole + (s[whole] == '|');
        }
    }
}
