/* The evaluator. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "str.h"
#include "template_internal.h"

#define VARIABLES_MAX 32
#define ARGUMENTS_MAX 16
#define TEMPLATE_DEPTH_MAX 100

/* What a list of nodes returns beside 0 and errors, for the range around it. */
enum { JUMP_BREAK = 1, JUMP_CONTINUE };

struct variable {
    const char *name; /* borrowed from the node */
    struct value value;
};

struct exec {
    const struct template *t;
    const struct template_data *data;
    struct variable *vars; /* VARIABLES_MAX of the template that runs */
    size_t n_vars;
    unsigned depth; /* templates that are under way, one from within another */
    struct buf *out;
    struct err *reterr;
};

static void value_drop(struct value *v)
{
    json_decref(v->json);
    *v = (struct value){0};
}

/* "template: :1:2: executing "" at <.Foo>: why" */
static int fail(struct exec *x, const struct node *n, const char *why)
{
    char text[200] = "";
    size_t line = 1, start = 0;
    int len = snprintf(text, sizeof(text), "%s", n->text ? n->text : "");

    for (size_t i = 0; i < n->pos && x->t->source[i]; i++) {
        if (x->t->source[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    for (size_t i = 0; n->fields && n->fields[i] && (size_t)len < sizeof(text); i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, ".%s", n->fields[i]);
    return err_set(x->reterr, ERR_INVALID, EINVAL, "template: :%zu:%zu: executing \"\" at <%s>: %s",
                   line, n->pos - start, text, why);
}

static int get_field(struct exec *x, const struct node *n, struct value *v, const char *name)
{
    char why[200];
    json_t *member = json_get(v->json, name);
    struct value zero;

    if (!member && json_is_object(v->json))
        member = json_object_get(v->json, name); /* a null by its exact name */
    if (member) {
        struct value m = value_member(v, member, name);

        json_decref(v->json);
        *v = m;
        return 0;
    }
    if (json_is_object(v->json) && value_zero_member(v, name, &zero)) {
        json_decref(v->json);
        *v = zero;
        return 0;
    }
    if (json_is_object(v->json) && value_is_optional(name) && !x->data->type_name) {
        json_decref(v->json);
        *v = (struct value){.json = json_null(), .key = name, .absent = true};
        return 0;
    }
    if (v->absent)
        snprintf(why, sizeof(why), "map has no entry for key \"%s\"", v->key);
    else if (json_is_null(v->json) || !v->json)
        snprintf(why, sizeof(why), "nil data; no entry for key \"%s\"", name);
    else if (x->data->type_name && v->json == x->data->root)
        snprintf(why, sizeof(why), "can't evaluate field %s in type %s", name, x->data->type_name);
    else if (!json_is_object(v->json))
        snprintf(why, sizeof(why), "can't evaluate field %s in type interface {}", name);
    else
        snprintf(why, sizeof(why), "map has no entry for key \"%s\"", name);
    return fail(x, n, why);
}

static int follow_fields(struct exec *x, const struct node *n, struct value *v)
{
    for (size_t i = 0; n->fields && n->fields[i]; i++) {
        int r = get_field(x, n, v, n->fields[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

static struct value *find_variable(struct exec *x, const char *name)
{
    for (size_t i = x->n_vars; i > 0; i--) {
        if (streq(x->vars[i - 1].name, name))
            return &x->vars[i - 1].value;
    }
    return NULL;
}

static int push_variable(struct exec *x, const struct node *n, const char *name,
                         const struct value *v)
{
    if (x->n_vars == VARIABLES_MAX)
        return fail(x, n, "too many variables");
    x->vars[x->n_vars++] = (struct variable){name, value_ref(v)};
    return 0;
}

static void pop_variables(struct exec *x, size_t n)
{
    while (x->n_vars > n)
        value_drop(&x->vars[--x->n_vars].value);
}

static int eval_pipe(struct exec *x, const struct node *pipe, const struct value *dot,
                     struct value *ret);

static int eval_function(struct exec *x, const struct node *n, const struct value *args,
                         size_t count, struct value *ret)
{
    struct err why = {0};
    _cleanup_free_ char *message = NULL;
    int r = template_call(n->text, args, count, x->data->header, ret, &why);

    if (r == 0)
        return 0;
    message = xasprintf("error calling %s: %s", n->text, why.message);
    return fail(x, n, message);
}

/* .Label "key": the arguments look into the table of methods. */
static int call_method(struct exec *x, const struct node *n, const struct value *args, size_t count,
                       struct value *ret)
{
    const json_t *table = n->fields[1] ? NULL : json_object_get(x->data->methods, n->fields[0]);
    const char *key = count == 1 ? json_string_value(args[0].json) : NULL;
    _cleanup_free_ char *why = NULL;
    json_t *found;

    if (!table || !key) {
        why = xasprintf("%s is not a method but has arguments", n->fields[0]);
        return fail(x, n, why);
    }
    found = json_object_get(table, key);
    if (x->data->header) {
        /* The last part of the label's name, as Docker titles such a column. */
        const char *dot = strrchr(key, '.');
        _cleanup_free_ char *title = xstrdup(dot ? dot + 1 : key);

        for (char *c = title; *c; c++)
            *c = (char)(*c == '-' || *c == '_' ? ' ' : *c);
        ret->json = json_string(title);
        return 0;
    }
    ret->json = found ? json_incref(found) : json_string("");
    return 0;
}

static int eval_operand(struct exec *x, const struct node *n, const struct value *dot,
                        struct value *ret)
{
    struct value v = {0};
    const struct value *var;
    int r = 0;

    switch (n->kind) {
    case NODE_LITERAL:
        v.json = json_incref(n->value);
        break;
    case NODE_DOT:
    case NODE_FIELD:
        v = value_ref(dot);
        break;
    case NODE_VARIABLE:
        var = find_variable(x, n->text);
        if (!var)
            return fail(x, n, "undefined variable");
        v = value_ref(var);
        break;
    case NODE_PAREN:
        r = eval_pipe(x, n->pipe, dot, &v);
        break;
    default:
        return eval_function(x, n, NULL, 0, ret);
    }
    if (r == 0)
        r = follow_fields(x, n, &v);
    if (r < 0)
        value_drop(&v);
    else
        *ret = v;
    return r;
}

/* One command of a pipeline; `piped` is the value of the command before it, or NULL. */
static int eval_command(struct exec *x, const struct node *cmd, const struct value *dot,
                        const struct value *piped, struct value *ret)
{
    struct value args[ARGUMENTS_MAX + 1] = {{0}};
    const struct node *first = cmd->args;
    size_t n = 0;
    int r = 0;

    if (!first->next && !piped)
        return eval_operand(x, first, dot, ret);
    for (const struct node *a = first->next; a && r == 0; a = a->next) {
        if (n == ARGUMENTS_MAX)
            r = fail(x, a, "too many arguments");
        else
            r = eval_operand(x, a, dot, &args[n++]);
    }
    if (r == 0 && piped)
        args[n++] = value_ref(piped);
    if (r == 0 && first->kind == NODE_FUNCTION)
        r = eval_function(x, first, args, n, ret);
    else if (r == 0 && first->kind == NODE_FIELD)
        r = call_method(x, first, args, n, ret);
    else if (r == 0)
        r = fail(x, first, "can't give argument to non-function");
    for (size_t i = 0; i < n; i++)
        value_drop(&args[i]);
    return r;
}

static int eval_pipe(struct exec *x, const struct node *pipe, const struct value *dot,
                     struct value *ret)
{
    struct value v = {0};
    bool first = true;

    for (const struct node *cmd = pipe->args; cmd; cmd = cmd->next) {
        struct value next = {0};
        int r = eval_command(x, cmd, dot, first ? NULL : &v, &next);

        value_drop(&v);
        if (r < 0)
            return r;
        v = next;
        first = false;
    }
    *ret = v;
    return 0;
}

/* A pipeline whose variables (other than range's) are set to its value. */
static int eval_declaring(struct exec *x, const struct node *pipe, const struct value *dot,
                          struct value *ret)
{
    int r = eval_pipe(x, pipe, dot, ret);
    struct value *old;

    if (r < 0 || !pipe->vars[0])
        return r;
    if (!pipe->assign)
        r = push_variable(x, pipe, pipe->vars[0], ret);
    else if ((old = find_variable(x, pipe->vars[0]))) {
        struct value fresh = value_ref(ret);

        value_drop(old);
        *old = fresh;
    }
    if (r < 0)
        value_drop(ret);
    return r;
}

static int exec_list(struct exec *x, const struct node *n, const struct value *dot);

static int exec_element(struct exec *x, const struct node *n, const struct value *of, json_t *key,
                        json_t *item)
{
    const struct node *pipe = n->pipe;
    size_t mark = x->n_vars;
    struct value k = {.json = key}, v = value_element(of, item);
    int r = 0;

    if (pipe->vars[0])
        r = push_variable(x, pipe, pipe->vars[0], pipe->vars[1] ? &k : &v);
    if (r == 0 && pipe->vars[1])
        r = push_variable(x, pipe, pipe->vars[1], &v);
    if (r == 0)
        r = exec_list(x, n->body, &v);
    pop_variables(x, mark);
    value_drop(&v);
    return r == JUMP_CONTINUE ? 0 : r;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Maps are walked in the order of their keys. */
static int range_object(struct exec *x, const struct node *n, const struct value *of)
{
    json_t *object = of->json;
    size_t count = json_object_size(object), i = 0;
    _cleanup_free_ const char **keys = xcalloc(count + 1, sizeof(*keys));
    const char *key;
    json_t *item;
    int r = 0;

    json_object_foreach (object, key, item)
        keys[i++] = key;
    qsort(keys, count, sizeof(*keys), compare_keys);
    for (i = 0; i < count && r == 0; i++) {
        _cleanup_json_ json_t *k = json_string(keys[i]);

        r = exec_element(x, n, of, k, json_object_get(object, keys[i]));
    }
    return r == JUMP_BREAK ? 0 : r;
}

static int range_array(struct exec *x, const struct node *n, const struct value *of)
{
    json_t *item;
    size_t i;
    int r = 0;

    json_array_foreach (of->json, i, item) {
        _cleanup_json_ json_t *index = json_integer((json_int_t)i);

        r = exec_element(x, n, of, index, item);
        if (r != 0)
            break;
    }
    return r == JUMP_BREAK ? 0 : r;
}

static int exec_range(struct exec *x, const struct node *n, const struct value *dot)
{
    struct value v = {0};
    int r = eval_pipe(x, n->pipe, dot, &v);

    if (r < 0)
        return r;
    if (!value_truth(&v)) {
        r = exec_list(x, n->otherwise, dot);
    } else if (json_is_object(v.json)) {
        r = range_object(x, n, &v);
    } else if (json_is_array(v.json)) {
        r = range_array(x, n, &v);
    } else {
        r = fail(x, n->pipe, "range can't iterate over it");
    }
    value_drop(&v);
    return r;
}

static int exec_conditional(struct exec *x, const struct node *n, const struct value *dot)
{
    size_t mark = x->n_vars;
    struct value v = {0};
    int r = eval_declaring(x, n->pipe, dot, &v);

    if (r < 0)
        return r;
    if (value_truth(&v))
        r = exec_list(x, n->body, n->kind == NODE_WITH ? &v : dot);
    else
        r = exec_list(x, n->otherwise, dot);
    value_drop(&v);
    pop_variables(x, mark);
    return r;
}

static int exec_action(struct exec *x, const struct node *n, const struct value *dot)
{
    struct value v = {0};
    int r = eval_declaring(x, n->pipe, dot, &v);

    if (r == 0 && !n->pipe->vars[0])
        value_print(&v, x->out);
    value_drop(&v);
    return r;
}

/* {{template "name" PIPE}}: its body sees the value as . and $, and no variable of ours. */
static int exec_template(struct exec *x, const struct node *n, const struct value *dot)
{
    const struct node *def = x->t->defined;
    struct variable *outer = x->vars;
    struct variable own[VARIABLES_MAX] = {{0}};
    size_t n_outer = x->n_vars;
    struct value v = {0};
    int r;

    while (def && !streq(def->text, n->text))
        def = def->next;
    if (!def)
        return fail(x, n, "template not defined");
    if (x->depth == TEMPLATE_DEPTH_MAX)
        return fail(x, n, "exceeded maximum template depth");
    r = n->pipe ? eval_pipe(x, n->pipe, dot, &v) : 0;
    if (r < 0)
        return r;
    x->vars = own;
    x->n_vars = 0;
    x->depth++;
    r = push_variable(x, n, "$", &v);
    if (r == 0)
        r = exec_list(x, def->body, &v);
    pop_variables(x, 0);
    x->depth--;
    x->vars = outer;
    x->n_vars = n_outer;
    value_drop(&v);
    return r;
}

static int exec_list(struct exec *x, const struct node *n, const struct value *dot)
{
    int r = 0;

    for (; n && r == 0; n = n->next) {
        if (n->kind == NODE_TEXT)
            buf_append_str(x->out, n->text);
        else if (n->kind == NODE_RANGE)
            r = exec_range(x, n, dot);
        else if (n->kind == NODE_ACTION)
            r = exec_action(x, n, dot);
        else if (n->kind == NODE_TEMPLATE)
            r = exec_template(x, n, dot);
        else if (n->kind == NODE_BREAK || n->kind == NODE_CONTINUE)
            r = n->kind == NODE_BREAK ? JUMP_BREAK : JUMP_CONTINUE;
        else
            r = exec_conditional(x, n, dot);
    }
    return r;
}

int template_exec(const struct template *t, const struct template_data *data, struct buf *out,
                  struct err *reterr)
{
    struct variable vars[VARIABLES_MAX] = {{0}};
    struct exec x = {.t = t, .data = data, .vars = vars, .out = out, .reterr = reterr};
    struct value dot = {.json = (json_t *)data->root, .key = data->object};
    int r = push_variable(&x, t->root, "$", &dot);

    if (r == 0)
        r = exec_list(&x, t->root, &dot);
    pop_variables(&x, 0);
    return r;
}
