#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "str.h"

static const struct opt help_opt = {.name = "help", .parse = value_bool, .help = "Print usage"};

const struct opt *options_next(const struct option_set *set, size_t *table, size_t *i)
{
    while (*table < OPTION_TABLES_MAX && set->tables[*table]) {
        const struct opt *o = &set->tables[*table][(*i)++];

        if (o->name)
            return o;
        (*table)++;
        *i = 0;
    }
    return NULL;
}

static const struct opt *find_long(const struct option_set *set, const char *name, size_t len)
{
    const struct opt *o;

    for (size_t t = 0, i = 0; (o = options_next(set, &t, &i));) {
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    }
    return len == 4 && memcmp(name, "help", 4) == 0 ? &help_opt : NULL;
}

static const struct opt *find_letter(const struct option_set *set, char letter)
{
    const struct opt *o;

    for (size_t t = 0, i = 0; (o = options_next(set, &t, &i));) {
        if (o->letter == letter)
            return o;
    }
    return letter == 'h' ? &help_opt : NULL;
}

json_t *json_at(const json_t *root, const char *path)
{
    const json_t *v = root;

    while (v && *path) {
        size_t n = strcspn(path, ".");

        v = json_object_getn(v, path, n);
        path += n + (path[n] == '.');
    }
    return (json_t *)v;
}

void json_put_path(json_t **root, const char *path, enum opt_mode mode, json_t *value)
{
    const char *dot;
    json_t *at, *old;

    if (!*root)
        *root = json_object();
    at = *root;
    for (; (dot = strchr(path, '.')); path = dot + 1) {
        _cleanup_free_ char *key = xstrndup(path, (size_t)(dot - path));
        json_t *next = json_object_get(at, key);

        if (!next) {
            next = json_object();
            json_object_set_new(at, key, next);
        }
        at = next;
    }
    old = json_object_get(at, path);
    if (mode == OPT_SET || (mode == OPT_MERGE && !json_is_object(old))) {
        json_object_set_new(at, path, value);
    } else if (mode == OPT_MERGE) {
        json_object_update(old, value);
        json_decref(value);
    } else {
        if (!json_is_array(old)) {
            old = json_array();
            json_object_set_new(at, path, old);
        }
        json_array_append_new(old, value);
    }
}

static void store_field(const struct opt *o, void *fields, const char *text, const json_t *value)
{
    void *at = (char *)fields + o->offset;

    switch ((enum opt_field)o->field) {
    case FIELD_BOOL:
        *(bool *)at = json_is_true(value);
        break;
    case FIELD_INT:
        *(int64_t *)at = json_integer_value(value);
        break;
    case FIELD_STRING:
        *(const char **)at = text;
        break;
    case FIELD_LIST:
        *(char ***)at = strv_append(*(char ***)at, json_string_value(value));
        break;
    case FIELD_NONE:
        break;
    }
}

/* All of it becomes JSON sooner or later, which holds nothing else. */
static int check_utf8(const char *text, struct err *reterr)
{
    json_t *probe = json_string(text);

    json_decref(probe);
    return probe ? 0 : err_set(reterr, ERR_INVALID, EINVAL, "invalid UTF-8");
}

static int store(const struct opt *o, const char *text, struct parsed *p, struct err *reterr)
{
    struct err why = {0};
    json_t *value = NULL;
    int r = check_utf8(text, &why);

    if (r >= 0)
        r = o->parse(text, &value, &why);

    if (r < 0 && o->letter)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid argument \"%s\" for \"-%c, --%s\" flag: %s", text, o->letter,
                       o->name, why.message);
    if (r < 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid argument \"%s\" for \"--%s\" flag: %s",
                       text, o->name, why.message);
    if (o == &help_opt)
        p->help = json_is_true(value);
    store_field(o, p->fields, text, value);
    if (o->json)
        json_put_path(&p->body, o->json, o->mode, value);
    else
        json_decref(value);
    return 0;
}

static int parse_long(const struct option_set *set, char **argv, int argc, int *i, struct parsed *p,
                      struct err *reterr)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '=');
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    const struct opt *o;

    if (len == 0 || *name == '-')
        return err_set(reterr, ERR_INVALID, EINVAL, "bad flag syntax: %s", argv[*i]);
    o = find_long(set, name, len);
    if (!o)
        return err_set(reterr, ERR_INVALID, EINVAL, "unknown flag: --%.*s", (int)len, name);
    if (eq)
        return store(o, eq + 1, p, reterr);
    if (!o->type)
        return store(o, "true", p, reterr);
    if (*i + 1 >= argc)
        return err_set(reterr, ERR_INVALID, EINVAL, "flag needs an argument: --%s", name);
    return store(o, argv[++*i], p, reterr);
}

static int parse_letters(const struct option_set *set, char **argv, int argc, int *i,
                         struct parsed *p, struct err *reterr)
{
    const char *word = argv[*i] + 1;

    for (const char *s = word; *s; s++) {
        const struct opt *o = find_letter(set, *s);
        int r;

        if (!o)
            return err_set(reterr, ERR_INVALID, EINVAL, "unknown shorthand flag: '%c' in -%s", *s,
                           word);
        if (s[1] == '=' && s[2])
            return store(o, s + 2, p, reterr);
        if (o->type && s[1])
            return store(o, s + 1, p, reterr);
        if (o->type && *i + 1 >= argc)
            return err_set(reterr, ERR_INVALID, EINVAL, "flag needs an argument: '%c' in -%s", *s,
                           word);
        r = store(o, o->type ? argv[++*i] : "true", p, reterr);
        if (r < 0 || o->type)
            return r;
    }
    return 0;
}

int options_parse(const struct option_set *set, bool interspersed, int argc, char **argv,
                  struct parsed *p, struct err *reterr)
{
    bool options = true;

    p->args = xcalloc((size_t)argc + 1, sizeof(*p->args));
    for (int i = 0; i < argc && !p->help; i++) {
        int r = 0;

        if (!options || argv[i][0] != '-' || !argv[i][1]) {
            p->args[p->n_args++] = argv[i];
            options = options && interspersed;
        } else if (streq(argv[i], "--")) {
            options = false;
        } else if (argv[i][1] == '-') {
            r = parse_long(set, argv, argc, &i, p, reterr);
        } else {
            r = parse_letters(set, argv, argc, &i, p, reterr);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

void parsed_done(struct parsed *p)
{
    json_decref(p->body);
    free(p->args);
    *p = (struct parsed){0};
}

void options_free(const struct option_set *set, void *fields)
{
    const struct opt *o;

    for (size_t t = 0, i = 0; (o = options_next(set, &t, &i));) {
        if (o->field == FIELD_LIST) {
            char ***list = (char ***)(void *)((char *)fields + o->offset);

            strv_free(*list);
            *list = NULL;
        }
    }
}

/* pflag's wrapN: at most `width` characters of s, `slop` more if that ends it.  Returns the length
 * of the part; *ret_next is where to go on. */
static size_t wrap_part(const char *s, size_t width, size_t slop, const char **ret_next)
{
    size_t len = strlen(s), at = 0, newline = 0;

    if (width + slop > len) {
        *ret_next = s + len;
        return len;
    }
    for (size_t i = 0; i < width; i++) {
        if (strchr(" \t\n", s[i]))
            at = i;
        if (s[i] == '\n')
            newline = i;
    }
    if (newline)
        at = newline;
    *ret_next = at ? s + at + 1 : s + len;
    return at ? at : len;
}

static void append_indented(struct buf *out, const char *s, size_t len, size_t indent)
{
    for (size_t i = 0; i < len; i++) {
        buf_append(out, s + i, 1);
        if (s[i] == '\n')
            buf_printf(out, "%*s", (int)indent, "");
    }
}

/* pflag's wrap: text in the column after `indent` of a page that is `columns` wide. */
static void append_wrapped(struct buf *out, const char *s, size_t indent, size_t columns)
{
    const size_t slop = 5, narrow = 24;
    size_t width = columns > indent ? columns - indent : 0, len;

    if (width < narrow) {
        indent = 16;
        width = columns > indent + narrow ? columns - indent : narrow;
        buf_printf(out, "\n%*s", (int)indent, "");
    }
    for (bool first = true; first || *s; first = false) {
        const char *next;

        if (!first)
            buf_printf(out, "\n%*s", (int)indent, "");
        len = wrap_part(s, width - slop, slop, &next);
        append_indented(out, s, len, indent);
        s = next;
    }
    buf_append_str(out, "\n");
}

static size_t left_width(const struct opt *o)
{
    return strlen("  -x, --") + strlen(o->name) + (o->type ? 1 + strlen(o->type) : 0);
}

static void append_opt(struct buf *out, const struct opt *o, size_t widest, size_t columns)
{
    size_t before = buf_size(out);

    if (o->letter)
        buf_printf(out, "  -%c, --%s", o->letter, o->name);
    else
        buf_printf(out, "      --%s", o->name);
    if (o->type)
        buf_printf(out, " %s", o->type);
    buf_printf(out, "%*s", (int)(widest + 3 - (buf_size(out) - before)), "");
    append_wrapped(out, o->help, widest + 3, columns);
}

void options_help(const struct option_set *set, int columns, struct buf *out)
{
    const struct opt *o, *shown[160];
    size_t n = 0, widest = 0;

    for (size_t t = 0, i = 0; (o = options_next(set, &t, &i)) && n < ARRAY_SIZE(shown);) {
        size_t at;

        if (!o->help)
            continue;
        /* Several tables make one list in the order of names. */
        for (at = n++; at > 0 && strcmp(shown[at - 1]->name, o->name) > 0; at--)
            shown[at] = shown[at - 1];
        shown[at] = o;
        if (left_width(o) > widest)
            widest = left_width(o);
    }
    if (n == 0)
        return;
    buf_append_str(out, "\nOptions:\n");
    for (size_t i = 0; i < n; i++)
        append_opt(out, shown[i], widest, (size_t)columns);
}
