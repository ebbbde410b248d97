/* What the two halves of the parser share. */
#pragma once

#include <ctype.h>
#include <string.h>

#include "template_internal.h"

#define NESTING_MAX 64
#define VARIABLES_DECLARED_MAX 32

struct parser {
    struct template *t;
    const char *s;  /* where we are in t->source */
    bool trim_next; /* "-}}" was seen: the next text loses its leading white space */
    int depth;
    int loops;                                /* ranges whose body this is in */
    const char *vars[VARIABLES_DECLARED_MAX]; /* in scope, beside "$"; borrowed from the nodes */
    size_t n_vars;
    struct err *reterr;
};

/* -EINVAL with the line, what is wrong, and `arg` behind it. */
int parse_fail(struct parser *p, const char *fmt, const char *arg);
struct node *parse_new_node(struct parser *p, enum node_kind kind);
int parse_operand(struct parser *p, struct node **ret);
/* At a quote: text and value of n. */
int parse_quoted(struct parser *p, struct node *n);
/* Commands with "|" between. */
int parse_pipe(struct parser *p, struct node **ret);

static inline void skip_space(struct parser *p)
{
    while (*p->s && strchr(" \t\r\n", *p->s))
        p->s++;
}

static inline bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static inline size_t name_length(const char *s)
{
    size_t n = 0;

    while (is_name(s[n]))
        n++;
    return n;
}
