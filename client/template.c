/* The parser: recursive descent over the text, one node per syntax element. */
#include "template.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "str.h"
#include "template_internal.h"

#define NESTING_MAX 64

struct parser {
    struct template *t;
    const char *s;  /* where we are in t->source */
    bool trim_next; /* "-}}" was seen: the next text loses its leading white space */
    int depth;
    int loops; /* ranges whose body this is in */
    struct err *reterr;
};

/* What ended a list of nodes. */
enum list_end { END_EOF, END_END, END_ELSE };

static int fail(struct parser *p, const char *fmt, const char *arg)
{
    char what[256];
    int line = 1;

    for (const char *c = p->t->source; c < p->s; c++)
        line += *c == '\n';
    snprintf(what, sizeof(what), "%s%s", fmt, arg);
    return err_set(p->reterr, ERR_INVALID, EINVAL, "template: :%d: %s", line, what);
}

static struct node *new_node(struct parser *p, enum node_kind kind)
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

static void skip_space(struct parser *p)
{
    while (*p->s && strchr(" \t\r\n", *p->s))
        p->s++;
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static size_t name_length(const char *s)
{
    size_t n = 0;

    while (is_name(s[n]))
        n++;
    return n;
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
        return fail(p, *p->s ? "unexpected token in action: " : "unclosed action",
                    *p->s ? p->s : "");
    p->trim_next = *p->s == '-';
    p->s += p->trim_next ? 3 : 2;
    return 0;
}

/* .A.B after an operand.  Go reports a chain at its second field. */
static void parse_fields(struct parser *p, struct node *n)
{
    for (int i = 0; p->s[0] == '.' && is_name(p->s[1]); i++) {
        size_t len = name_length(p->s + 1);
        _cleanup_free_ char *name = xstrndup(p->s + 1, len);

        if (i == 1)
            n->pos = (size_t)(p->s - p->t->source);
        n->fields = strv_append(n->fields, name);
        p->s += 1 + len;
    }
}

static int parse_quoted(struct parser *p, struct node *n)
{
    static const char from[] = "ntr\"\\'ab", to[] = "\n\t\r\"\\'\a\b";
    char quote = *p->s++;
    struct buf b = {0};

    for (; *p->s && *p->s != quote; p->s++) {
        const char *escape = NULL;

        if (*p->s == '\\' && quote == '"') {
            escape = p->s[1] ? strchr(from, p->s[1]) : NULL;
            if (!escape) {
                buf_done(&b);
                return fail(p, "invalid syntax in string", "");
            }
            buf_append(&b, &to[escape - from], 1);
            p->s++;
        } else {
            buf_append(&b, p->s, 1);
        }
    }
    if (*p->s != quote) {
        buf_done(&b);
        return fail(
            p, quote == '"' ? "unterminated quoted string" : "unterminated raw quoted string", "");
    }
    p->s++;
    n->text = buf_take_str(&b);
    n->value = json_string(n->text);
    return n->value ? 0 : fail(p, "invalid UTF-8 in string", "");
}

static int parse_number(struct parser *p, struct node *n)
{
    char *end;
    long long v = strtoll(p->s, &end, 0);

    if (*end == '.' || *end == 'e')
        n->value = json_real(strtod(p->s, &end));
    else
        n->value = json_integer(v);
    if (is_name(*end))
        return fail(p, "bad number syntax: ", p->s);
    p->s = end;
    return 0;
}

static int parse_word(struct parser *p, struct node *n)
{
    static const char *const constants[] = {"true", "false", "nil"};
    size_t len = name_length(p->s);

    n->text = xstrndup(p->s, len);
    p->s += len;
    for (size_t i = 0; i < ARRAY_SIZE(constants); i++) {
        if (!streq(n->text, constants[i]))
            continue;
        n->kind = NODE_LITERAL;
        n->value = i == 2 ? NULL : json_boolean(i == 0);
        return 0;
    }
    n->kind = NODE_FUNCTION;
    if (!template_has_function(n->text)) {
        _cleanup_free_ char *what = xasprintf("function \"%s\" not defined", n->text);

        return fail(p, what, "");
    }
    return 0;
}

static int parse_pipe(struct parser *p, struct node **ret);

static int parse_paren(struct parser *p, struct node *n)
{
    int r;

    p->s++;
    r = parse_pipe(p, &n->pipe);
    if (r < 0)
        return r;
    skip_space(p);
    if (*p->s != ')')
        return fail(p, "unclosed left paren", "");
    p->s++;
    return 0;
}

static int parse_operand(struct parser *p, struct node **ret)
{
    struct node *n = new_node(p, NODE_LITERAL);
    int r = 0;

    *ret = n;
    if (*p->s == '.' && is_name(p->s[1]) && !isdigit((unsigned char)p->s[1])) {
        n->kind = NODE_FIELD;
    } else if (*p->s == '.') {
        n->kind = NODE_DOT;
        p->s++;
        return 0;
    } else if (*p->s == '$') {
        size_t len = 1 + name_length(p->s + 1);

        n->kind = NODE_VARIABLE;
        n->text = xstrndup(p->s, len);
        p->s += len;
    } else if (*p->s == '"' || *p->s == '`') {
        return parse_quoted(p, n);
    } else if (*p->s == '(') {
        n->kind = NODE_PAREN;
        r = parse_paren(p, n);
    } else if (isdigit((unsigned char)*p->s) ||
               ((*p->s == '+' || *p->s == '-') && isdigit((unsigned char)p->s[1]))) {
        return parse_number(p, n);
    } else if (is_name(*p->s)) {
        return parse_word(p, n);
    } else {
        char c[2] = {*p->s, '\0'};

        return *p->s ? fail(p, "unexpected character in action: ", c)
                     : fail(p, "unclosed action", "");
    }
    if (r == 0)
        parse_fields(p, n);
    return r;
}

static int parse_command(struct parser *p, struct node **ret)
{
    struct node *cmd = new_node(p, NODE_COMMAND), **tail = &cmd->args;

    *ret = cmd;
    while (!at_close(p) && *p->s != '|' && *p->s != ')') {
        int r = parse_operand(p, tail);

        if (r < 0)
            return r;
        tail = &(*tail)->next;
    }
    return cmd->args ? 0 : fail(p, "missing value for command", "");
}

/* "$x :=", "$x =" or "$i, $x :=" in front of a pipeline. */
static void parse_declaration(struct parser *p, struct node *pipe)
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
        return;
    }
    free(names[0]);
    free(names[1]);
    p->s = start;
}

static int parse_pipe(struct parser *p, struct node **ret)
{
    struct node *pipe = new_node(p, NODE_PIPE), **tail = &pipe->args;
    int r;

    *ret = pipe;
    if (++p->depth > NESTING_MAX)
        return fail(p, "nested too deeply", "");
    skip_space(p);
    parse_declaration(p, pipe);
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
    enum list_end end;
    int r;

    if (at_close(p))
        return fail(p, "missing value for ", name);
    r = parse_pipe(p, &n->pipe);
    if (r == 0)
        r = take_close(p);
    if (r < 0)
        return r;
    if (++p->depth > NESTING_MAX)
        return fail(p, "nested too deeply", "");
    p->loops += n->kind == NODE_RANGE;
    r = parse_list(p, &n->body, &end);
    p->loops -= n->kind == NODE_RANGE;
    if (r == 0 && end == END_ELSE) {
        if (take_keyword(p, "if")) {
            /* {{else if}} is an if in the else list that shares its {{end}}. */
            n->otherwise = new_node(p, NODE_IF);
            p->depth--;
            return parse_control(p, n->otherwise, "if");
        }
        r = take_close(p);
        if (r == 0)
            r = parse_list(p, &n->otherwise, &end);
    }
    if (r == 0 && end != END_END)
        return fail(p, end == END_EOF ? "unexpected EOF" : "unexpected {{else}}", "");
    p->depth--;
    return r;
}

/* "break" or "continue", of kind, has been read. */
static int parse_jump(struct parser *p, struct node **ret, enum node_kind kind)
{
    if (p->loops == 0)
        return fail(p,
                    kind == NODE_BREAK ? "{{break}} outside {{range}}"
                                       : "{{continue}} outside {{range}}",
                    "");
    *ret = new_node(p, kind);
    return take_close(p);
}

/* After "{{": one action, or 1 with *ret_end set if it ends the list. */
static int parse_action(struct parser *p, struct node **ret, enum list_end *ret_end)
{
    static const struct {
        const char *word;
        enum node_kind kind;
    } controls[] = {{"if", NODE_IF}, {"range", NODE_RANGE}, {"with", NODE_WITH}};
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
            *ret = new_node(p, controls[i].kind);
            return parse_control(p, *ret, controls[i].word);
        }
    }
    if (take_keyword(p, "break"))
        return parse_jump(p, ret, NODE_BREAK);
    if (take_keyword(p, "continue"))
        return parse_jump(p, ret, NODE_CONTINUE);
    n = new_node(p, NODE_ACTION);
    *ret = n;
    r = parse_pipe(p, &n->pipe);
    return r < 0 ? r : take_close(p);
}

/* Text up to the next "{{", which is taken too; *ret_action tells whether there is one. */
static struct node *parse_text(struct parser *p, bool *ret_action)
{
    struct node *n = new_node(p, NODE_TEXT);
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
        return fail(p, "unclosed comment", "");
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
            r = fail(p, "missing value for command", "");
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
        r = fail(&p, end == END_END ? "unexpected {{end}}" : "unexpected {{else}}", "");
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
