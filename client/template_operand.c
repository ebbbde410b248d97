/* The parser's operands: fields, variables, literals, functions, parentheses. */
#include <stdio.h>
#include <stdlib.h>

#include "str.h"
#include "template_parse.h"

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

int parse_quoted(struct parser *p, struct node *n)
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
                return parse_fail(p, "invalid syntax in string", "");
            }
            buf_append(&b, &to[escape - from], 1);
            p->s++;
        } else {
            buf_append(&b, p->s, 1);
        }
    }
    if (*p->s != quote) {
        buf_done(&b);
        return parse_fail(
            p, quote == '"' ? "unterminated quoted string" : "unterminated raw quoted string", "");
    }
    p->s++;
    n->text = buf_take_str(&b);
    n->value = json_string(n->text);
    return n->value ? 0 : parse_fail(p, "invalid UTF-8 in string", "");
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
        return parse_fail(p, "bad number syntax: ", p->s);
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

        return parse_fail(p, what, "");
    }
    return 0;
}

static int parse_paren(struct parser *p, struct node *n)
{
    int r;

    p->s++;
    r = parse_pipe(p, &n->pipe);
    if (r < 0)
        return r;
    skip_space(p);
    if (*p->s != ')')
        return parse_fail(p, "unclosed left paren", "");
    p->s++;
    return 0;
}

static int check_variable(struct parser *p, const char *name)
{
    _cleanup_free_ char *what = NULL;

    for (size_t i = 0; i < p->n_vars; i++) {
        if (streq(p->vars[i], name))
            return 0;
    }
    if (streq(name, "$"))
        return 0;
    what = xasprintf("undefined variable \"%s\"", name);
    return parse_fail(p, what, "");
}

int parse_operand(struct parser *p, struct node **ret)
{
    struct node *n = parse_new_node(p, NODE_LITERAL);
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
        r = check_variable(p, n->text);
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

        return *p->s ? parse_fail(p, "unexpected character in action: ", c)
                     : parse_fail(p, "unclosed action", "");
    }
    if (r == 0)
        parse_fields(p, n);
    return r;
}
