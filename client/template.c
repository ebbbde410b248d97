/* The parser: recursive descent over the text, one node per syntax element. */
#include "template.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "str.h"
#include "template_parse.h"

/* What ended a list of nodes. */
enum list_end { END_EOF, END_END, END_ELSE };

int parse_fail(struct parser *p, const char *fmt, const char *arg)
{
    char what[256];
    int line = 1;

    for (const char *c = p->t->source; c < p->s; c++)
        line += *c == '\n';
    snprintf(what, sizeof(what), "%s%s", fmt, arg);
    return err_set(p->reterr, ERR_INVALID, EINVAL, "template: :%d: %s", line, what);
}

struct node *parse_new_node(struct parser *p, enum node_kind kind)
{
    struct node *n = xcalloc(1, sizeof(*n));

    n->kind = kind;
    n->pos = (size_t)(p->s - p->t->source);
    n->all = p->t->all;
    p->t->all = n;
    return n;
}

void template_free(struct template *t)
{
    struct node *n, *next;

    if (!t)
        return;
    for (n = t->all; n; n = next) {
        next = n->all;
        free(n->text);
        strv_free(n->fields);
        json_decref(n->value);
        free(n->vars[0]);
        free(n->vars[1]);
        free(n);
    }
    free(t->source);
    free(t);
}

/* At "}}" or "-}}"? */
static bool at_close(struct parser *p)
{
    skip_space(p);
    return strncmp(p->s, "}}", 2) == 0 || strncmp(p->s, "-}}", 3) == 0;
}

static int take_close(struct parser *p)
{
    if (!at_close(p))
        return parse_fail(p, *p->s ? "unexpected token in action: " : "unclosed action",
                          *p->s ? p->s : "");
    p->trim_next = *p->s == '-';
    p->s += p->trim_next ? 3 : 2;
    return 0;
}

static int parse_command(struct parser *p, struct node **ret)
{
    struct node *cmd = parse_new_node(p, NODE_COMMAND), **tail = &cmd->args;

    *ret = cmd;
    while (!at_close(p) && *p->s != '|' && *p->s != ')') {
        int r = parse_operand(p, tail);

        if (r < 0)
            return r;
        tail = &(*tail)->next;
    }
    return cmd->args ? 0 : parse_fail(p, "missing value for command", "");
}

/* "$x :=", "$x =" or "$i, $x :=" in front of a pipeline. */
static int parse_declaration(struct parser *p, struct node *pipe)
{
    const char *start = p->s;
    char *names[2] = {NULL, NULL};

    for (int i = 0; i < 2 && *p->s == '$'; i++) {
        size_t len = 1 + name_length(p->s + 1);

        names[i] = xstrndup(p->s, len);
        p->s += len;
        skip_space(p);
        if (*p->s != ',')
            break;
        p->s++;
        skip_space(p);
    }
    if (names[0] && (strncmp(p->s, ":=", 2) == 0 || *p->s == '=')) {
        pipe->assign = *p->s == '=';
        p->s += pipe->assign ? 1 : 2;
        pipe->vars[0] = names[0];
        pipe->vars[1] = names[1];
        for (int i = 0; i < 2 && names[i]; i++) {
            if (p->n_vars == VARIABLES_DECLARED_MAX)
                return parse_fail(p, "too many variables", "");
            p->vars[p->n_vars++] = names[i];
        }
        return 0;
    }
    free(names[0]);
    free(names[1]);
    p->s = start;
    return 0;
}

int parse_pipe(struct parser *p, struct node **ret)
{
    struct node *pipe = parse_new_node(p, NODE_PIPE), **tail = &pipe->args;
    int r;

    *ret = pipe;
    if (++p->depth > NESTING_MAX)
        return parse_fail(p, "nested too deeply", "");
    skip_space(p);
    r = parse_declaration(p, pipe);
    if (r < 0)
        return r;
    for (;;) {
        r = parse_command(p, tail);
        if (r < 0)
            return r;
        tail = &(*tail)->next;
        skip_space(p);
        if (*p->s != '|')
            break;
        p->s++;
    }
    p->depth--;
    return 0;
}

static int parse_list(struct parser *p, struct node **tail, enum list_end *ret_end);

static bool take_keyword(struct parser *p, const char *word)
{
    size_t n = strlen(word);

    skip_space(p);
    if (strncmp(p->s, word, n) != 0 || is_name(p->s[n]))
        return false;
    p->s += n;
    return true;
}

/* After "if", "range" or "with": the pipeline, the body, and what follows an else. */
static int parse_control(struct parser *p, struct node *n, const char *name)
{
    size_t outer = p->n_vars;
    enum list_end end;
    int r;

    if (at_close(p))
        return parse_fail(p, "missing value for ", name);
    r = parse_pipe(p, &n->pipe);
    if (r == 0)
        r = take_close(p);
    if (r < 0)
        return r;
    if (++p->depth > NESTING_MAX)
        return parse_fail(p, "nested too deeply", "");
    p->loops += n->kind == NODE_RANGE;
    r = parse_list(p, &n->body, &end);
    p->loops -= n->kind == NODE_RANGE;
    if (r == 0 && end == END_ELSE) {
        if (take_keyword(p, "if")) {
            /* {{else if}} is an if in the else list that shares its {{end}}. */
            n->otherwise = parse_new_node(p, NODE_IF);
            p->depth--;
            r = parse_control(p, n->otherwise, "if");
            p->n_vars = outer;
            return r;
        }
        r = take_close(p);
        if (r == 0)
            r = parse_list(p, &n->otherwise, &end);
    }
    if (r == 0 && end != END_END)
        return parse_fail(p, end == END_EOF ? "unexpected EOF" : "unexpected {{else}}", "");
    p->depth--;
    p->n_vars = outer;
    return r;
}

/* "break" or "continue", of kind, has been read. */
static int parse_jump(struct parser *p, struct node **ret, enum node_kind kind)
{
    if (p->loops == 0)
        return parse_fail(p,
                          kind == NODE_BREAK ? "{{break}} outside {{range}}"
                                             : "{{continue}} outside {{range}}",
                          "");
    *ret = parse_new_node(p, kind);
    return take_close(p);
}

/* The quoted name of a template. */
static int parse_name(struct parser *p, struct node *n)
{
    skip_space(p);
    if (*p->s != '"' && *p->s != '`')
        return parse_fail(p, "unexpected token in template clause: ", p->s);
    return parse_quoted(p, n);
}

/* Body and end of a definition of `name`. */
static int parse_body(struct parser *p, const char *name)
{
    struct node *n = parse_new_node(p, NODE_DEFINE);
    struct parser outer = *p;
    enum list_end end;
    int r;

    n->text = xstrdup(name);
    for (const struct node *d = p->t->defined; d; d = d->next) {
        if (streq(d->text, name))
            return parse_fail(p, "multiple definition of template ", name);
    }
    n->next = p->t->defined;
    p->t->defined = n;
    p->loops = 0;
    p->n_vars = 0;
    p->depth++;
    r = p->depth > NESTING_MAX ? parse_fail(p, "nested too deeply", "")
                               : parse_list(p, &n->body, &end);
    p->depth--;
    p->loops = outer.loops;
    p->n_vars = outer.n_vars;
    if (r == 0 && end != END_END)
        return parse_fail(p, end == END_EOF ? "unexpected EOF" : "unexpected {{else}}", "");
    return r;
}

/* {{define "name"}} ... {{end}}, which leaves nothing in its place. */
static int parse_define(struct parser *p)
{
    struct node *name = parse_new_node(p, NODE_LITERAL);
    int r;

    if (p->depth > 0)
        return parse_fail(p, "unexpected {{define}}", "");
    r = parse_name(p, name);
    if (r == 0)
        r = take_close(p);
    return r < 0 ? r : parse_body(p, name->text);
}

/* {{template "name" PIPE}}, and {{block "name" PIPE}} ... {{end}}, which defines it, too. */
static int parse_template(struct parser *p, struct node *n, bool block)
{
    int r = parse_name(p, n);

    if (r == 0 && !at_close(p))
        r = parse_pipe(p, &n->pipe);
    else if (r == 0 && block)
        r = parse_fail(p, "missing value for block clause", "");
    if (r == 0)
        r = take_close(p);
    return r == 0 && block ? parse_body(p, n->text) : r;
}

/* After "{{": one action, or 1 with *ret_end set if it ends the list. */
static int parse_action(struct parser *p, struct node **ret, enum list_end *ret_end)
{
    static const struct {
        const char *word;
        enum node_kind kind;
    } controls[] = {{"if", NODE_IF}, {"range", NODE_RANGE}, {"with", NODE_WITH}};
    bool block = false;
    struct node *n;
    int r;

    if (take_keyword(p, "end")) {
        *ret_end = END_END;
        r = take_close(p);
        return r < 0 ? r : 1;
    }
    if (take_keyword(p, "else")) {
        *ret_end = END_ELSE;
        return 1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
        if (take_keyword(p, controls[i].word)) {
            *ret = parse_new_node(p, controls[i].kind);
            return parse_control(p, *ret, controls[i].word);
        }
    }
    if (take_keyword(p, "define"))
        return parse_define(p);
    if (take_keyword(p, "template") || (block = take_keyword(p, "block"))) {
        *ret = parse_new_node(p, NODE_TEMPLATE);
        return parse_template(p, *ret, block);
    }
    if (take_keyword(p, "break"))
        return parse_jump(p, ret, NODE_BREAK);
    if (take_keyword(p, "continue"))
        return parse_jump(p, ret, NODE_CONTINUE);
    n = parse_new_node(p, NODE_ACTION);
    *ret = n;
    r = parse_pipe(p, &n->pipe);
    return r < 0 ? r : take_close(p);
}

/* Text up to the next "{{", which is taken too; *ret_action tells whether there is one. */
static struct node *parse_text(struct parser *p, bool *ret_action)
{
    struct node *n = parse_new_node(p, NODE_TEXT);
    const char *start = p->s, *open = strstr(p->s, "{{"), *end = open ? open : p->s + strlen(p->s);

    *ret_action = open;
    p->s = end + (open ? 2 : 0);
    while (p->trim_next && start < end && strchr(" \t\r\n", *start))
        start++;
    p->trim_next = false;
    if (open && p->s[0] == '-' && p->s[1] && strchr(" \t\r\n", p->s[1])) {
        p->s++;
        while (end > start && strchr(" \t\r\n", end[-1]))
            end--;
    }
    n->text = xstrndup(start, (size_t)(end - start));
    return n;
}

static int skip_comment(struct parser *p)
{
    const char *end = strstr(p->s, "*/");

    if (!end)
        return parse_fail(p, "unclosed comment", "");
    p->s = end + 2;
    return take_close(p);
}

static int parse_list(struct parser *p, struct node **tail, enum list_end *ret_end)
{
    for (;;) {
        bool action;
        int r;

        *tail = parse_text(p, &action);
        tail = &(*tail)->next;
        if (!action) {
            *ret_end = END_EOF;
            return 0;
        }
        skip_space(p);
        if (strncmp(p->s, "/*", 2) == 0) {
            r = skip_comment(p);
        } else if (at_close(p)) {
            r = parse_fail(p, "missing value for command", "");
        } else {
            r = parse_action(p, tail, ret_end);
            if (*tail)
                tail = &(*tail)->next;
        }
        if (r != 0)
            return r < 0 ? r : 0;
    }
}

struct template *template_parse(const char *text, struct err *reterr)
{
    struct template *t = xcalloc(1, sizeof(*t));
    struct parser p = {.t = t, .reterr = reterr};
    enum list_end end;
    int r;

    t->source = xstrdup(text);
    p.s = t->source;
    r = parse_list(&p, &t->root, &end);
    if (r == 0 && end != END_EOF)
        r = parse_fail(&p, end == END_END ? "unexpected {{end}}" : "unexpected {{else}}", "");
    if (r < 0) {
        template_free(t);
        return NULL;
    }
    return t;
}

bool template_uses(const struct template *t, const char *field)
{
    for (const struct node *n = t->all; n; n = n->all) {
        if (n->kind == NODE_DOT) /* {{json .}}: all of them */
            return true;
        if (n->kind == NODE_FIELD && n->fields && streq(n->fields[0], field))
            return true;
    }
    return false;
}
