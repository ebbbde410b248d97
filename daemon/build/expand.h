/* Variables and quotes in the arguments of a Dockerfile's instructions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define EXPAND_MAX (1 << 20) /* bytes that one word may become */
#define EXPAND_DEPTH 32      /* ${a:-${b:-...}} */
#define EXPAND_WORDS 4096    /* of one instruction */

/* The value of a variable, borrowed until the next call, or NULL. */
typedef const char *expand_lookup_fn(void *arg, const char *name);

struct expander {
    char escape;
    expand_lookup_fn *lookup;
    void *arg;
    size_t *left; /* bytes that may still come out, counted down; NULL: as many as there are */
    bool text;    /* quotes mean nothing, and the escape only before '$': here-documents */
};

/* $name, ${name}, ${name:-word}, ${name-word}, ${name:+word}, ${name+word}, ${name:?word}; quotes
 * are taken off.  Caller frees *ret. */
int expand_word(const struct expander *x, const char *word, char **ret, struct err *reterr);
/* The same, then cut at blanks outside quotes; *ret: strv, NULL if there are none. */
int expand_words(const struct expander *x, const char *text, char ***ret, struct err *reterr);
/* Cut at blanks outside quotes; quotes and variables stay. */
int words_split(const char *text, char escape, char ***ret, struct err *reterr);

/* `NAME=value ...`, or the old `NAME the rest`, of ENV and LABEL (what): name, value, name, value
 * ... not expanded yet. */
int words_pairs(const char *what, const char *text, char escape, char ***ret, struct err *reterr);
