#pragma once

#include <stdbool.h>

#include "template.h"
#include "template_types.h"

enum node_kind {
    NODE_TEXT,   /* text */
    NODE_ACTION, /* pipe */
    NODE_IF,     /* pipe, body, otherwise */
    NODE_RANGE,  /* pipe, body, otherwise */
    NODE_WITH,   /* pipe, body, otherwise */
    NODE_BREAK,  /* of the range around it */
    NODE_CONTINUE,
    NODE_PIPE,     /* args: commands; vars[]: declared variables */
    NODE_COMMAND,  /* args: operands */
    NODE_DOT,      /* . */
    NODE_FIELD,    /* .A.B: fields */
    NODE_VARIABLE, /* $x.A: text is the name, fields */
    NODE_PAREN,    /* (pipe).A: pipe, fields */
    NODE_LITERAL,  /* value; NULL is nil */
    NODE_FUNCTION, /* text */
    NODE_DEFINE,   /* text is the name, body; next is another definition */
    NODE_TEMPLATE, /* text is the name; pipe may be NULL */
};

struct node {
    enum node_kind kind;
    size_t pos;
    char *text;    /* owned */
    char **fields; /* owned */
    json_t *value; /* owned */
    char *vars[2]; /* owned */
    bool assign;   /* "=" and not ":=" */
    struct node *pipe, *args, *body, *otherwise;
    struct node *next; /* sibling in a list */
    struct node *all;  /* every node of the template, for template_free() */
};

struct template
{
    char *source;
    struct node *root;    /* list */
    struct node *defined; /* list of NODE_DEFINE */
    struct node *all;
};

/* A value during execution: json is an owned reference, NULL for nil. */
struct value {
    json_t *json;
    const char *key; /* the field it came from: tells what Go type a null has; borrowed */
    bool absent;     /* a member that Go's struct has but the text left out, being empty */
    const struct go_type *type; /* of the structs in it; NULL: none */
    unsigned levels;            /* maps that are still around them */
};

/* v with a reference of its own. */
struct value value_ref(const struct value *v);
/* Member `name` of v, or an element of it (NULL); json is borrowed, the result is owned. */
struct value value_member(const struct value *v, json_t *json, const char *name);
/* A number, flag or text that v's struct has and the text left out, being zero; false: there is
 * none of this name. */
bool value_zero_member(const struct value *v, const char *name, struct value *ret);
struct value value_element(const struct value *v, json_t *json);

/* A member of this name is optional in the Engine API: what is not there reads as null. */
bool value_is_optional(const char *key);

/* As {{x}} prints it. */
void value_print(const struct value *v, struct buf *out);
bool value_truth(const struct value *v);

typedef int template_fn(const struct value *args, size_t n, struct value *ret, struct err *reterr);

/* ---- template_text.c ---- */

template_fn fn_html, fn_join, fn_json, fn_lower, fn_pad, fn_print, fn_printf, fn_println, fn_split,
    fn_title, fn_truncate, fn_upper, fn_urlquery;

/* -EINVAL with this text. */
int template_bad(struct err *reterr, const char *why);

/* Call a function; the arguments stay the caller's.  -ENOENT if there is none of this name. */
int template_call(const char *name, const struct value *args, size_t n, bool header,
                  struct value *ret, struct err *reterr);
bool template_has_function(const char *name);
