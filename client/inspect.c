#include "inspect.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "json.h"
#include "str.h"
#include "template.h"
#include "url.h"

#define INSPECT_FORMAT_HELP FORMAT_HELP_SHORT

const struct opt inspect_opts[] = {
    OPT_STRING("format", 'f', struct inspect_options, format, INSPECT_FORMAT_HELP),
    OPT_BOOL("size", 's', struct inspect_options, size,
             "Display total file sizes if the type is container"),
    OPT_STRING("type", 0, struct inspect_options, type, "Only inspect objects of the given type"),
    OPT_END,
};

const struct opt inspect_container_opts[] = {
    OPT_STRING("format", 'f', struct inspect_options, format, INSPECT_FORMAT_HELP),
    OPT_BOOL("size", 's', struct inspect_options, size, "Display total file sizes"),
    OPT_END,
};

const struct opt inspect_image_opts[] = {
    OPT_STRING("format", 'f', struct inspect_options, format, INSPECT_FORMAT_HELP),
    OPT_STRING("platform", 0, struct inspect_options, platform,
               "Inspect a specific platform of the multi-platform image"),
    OPT_END,
};

const struct opt inspect_network_opts[] = {
    OPT_STRING("format", 'f', struct inspect_options, format, INSPECT_FORMAT_HELP),
    OPT_BOOL("verbose", 'v', struct inspect_options, verbose, "Verbose output for diagnostics"),
    OPT_END,
};

const struct opt inspect_other_opts[] = {
    OPT_STRING("format", 'f', struct inspect_options, format, INSPECT_FORMAT_HELP),
    OPT_END,
};

static void new_line(struct buf *out, int indent, int level)
{
    if (indent > 0)
        buf_printf(out, "\n%*s", indent * level, "");
    else
        buf_append_str(out, "\n");
    for (int i = 0; indent == 0 && i < level; i++)
        buf_append_str(out, "\t");
}

/* The string that begins at s, with its quotes. */
static size_t string_length(const char *s)
{
    size_t n = 1;

    for (; s[n] && s[n] != '"'; n++) {
        if (s[n] == '\\' && s[n + 1])
            n++;
    }
    return s[n] ? n + 1 : n;
}

void json_text_indent(const char *json, int indent, int level, struct buf *out)
{
    for (const char *s = json; *s;) {
        size_t n = 1;

        if (strchr(" \t\r\n", *s)) {
            s++;
            continue;
        }
        if (*s == '"') {
            n = string_length(s);
            buf_append(out, s, n);
        } else if (*s == '{' || *s == '[') {
            const char *next = s + 1 + strspn(s + 1, " \t\r\n");

            buf_append(out, s, 1);
            if (*next == '}' || *next == ']') {
                buf_append(out, next, 1);
                n = (size_t)(next - s) + 1;
            } else {
                new_line(out, indent, ++level);
            }
        } else if (*s == '}' || *s == ']') {
            new_line(out, indent, --level);
            buf_append(out, s, 1);
        } else {
            buf_append(out, s, 1);
            if (*s == ',')
                new_line(out, indent, level);
            else if (*s == ':')
                buf_append_str(out, " ");
        }
        s += n;
    }
}

/* Where the kinds of objects are, in the order in which a bare name is looked up. */
static const struct {
    const char *type, *path;
    bool size;
} kinds[] = {
    {"container", "/containers/%s/json", true},
    {"image", "/images/%s/json", false},
    {"network", "/networks/%s", false},
    {"volume", "/volumes/%s", false},
};

/* *ret_type: which kind of object it is; a literal. */
static int get_one(struct invocation *inv, const char *type, const char *name, char **ret_text,
                   const char **ret_type, struct err *reterr)
{
    const struct inspect_options *o = inv->options;
    int r = -1;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        _cleanup_free_ char *url = NULL;
        struct request req = {.method = "GET"};

        if (!str_empty(type) && !streq(type, kinds[i].type))
            continue;
        url = url_format(kinds[i].path, name);
        url_add_bool(&url, "size", o->size && kinds[i].size);
        url_add_bool(&url, "verbose", o->verbose);
        url_add_platform(&url, "platform", o->platform);
        req.path = url;
        *ret_type = kinds[i].type;
        r = client_call_text(inv->client, &req, ret_text, reterr);
        if (r == 0 || (reterr->kind != ERR_NOT_FOUND && reterr->kind != ERR_NOT_IMPLEMENTED))
            return r;
    }
    if (str_empty(type))
        return err_set(reterr, ERR_NOT_FOUND, 0, "Error: No such object: %s", name);
    return r;
}

static void add_text(struct buf *all, const char *text, bool compact)
{
    _cleanup_json_ json_t *v = NULL;
    _cleanup_free_ char *one = NULL;

    if (compact) {
        v = json_loads(text, JSON_DECODE_ANY, NULL);
        one = json_to_str(v);
        buf_printf(all, "%s%s", buf_size(all) ? "," : "", one);
        return;
    }
    buf_append_str(all, buf_size(all) ? ",\n    " : "    ");
    json_text_indent(text, 4, 1, all);
}

static int add_formatted(struct buf *all, const struct template *t, const char *object,
                         const char *text, struct err *reterr)
{
    json_error_t why;
    _cleanup_json_ json_t *v = json_loads(text, JSON_DECODE_ANY, &why);
    int r;

    if (!v)
        return err_set(reterr, ERR_SYSTEM, 0, "invalid JSON from the daemon: %s", why.text);
    r = template_exec(t, &(struct template_data){.root = v, .object = object}, all, reterr);
    buf_append_str(all, "\n");
    return r < 0 ? err_wrap(reterr, "template parsing error") : 0;
}

static void print_all(struct buf *all, const struct template *t, bool compact)
{
    _cleanup_free_ char *text = buf_take_str(all);

    if (t)
        fputs(*text ? text : "\n", stdout); /* docker ends even nothing with a line */
    else if (compact || !*text)
        printf("[%s]\n", text);
    else
        printf("[\n%s\n]\n", text);
    fflush(stdout);
}

static int inspect(struct invocation *inv, const char *type)
{
    const struct inspect_options *o = inv->options;
    bool compact = o->format && streq(o->format, "json");
    _cleanup_(template_freep) struct template *t = NULL;
    struct buf all = {0}, errors = {0};
    _cleanup_free_ char *messages = NULL;
    struct err e = {0};
    int r = 0;

    if (!str_empty(o->format) && !compact) {
        t = template_parse(o->format, &e);
        if (!t) {
            err_wrap(&e, "template parsing error");
            cli_print_error(&e);
            return EXIT_TEMPLATE;
        }
    }
    for (int i = 0; i < inv->n_args && r == 0; i++) {
        _cleanup_free_ char *text = NULL;
        const char *object = NULL;

        if (get_one(inv, type, inv->args[i], &text, &object, &e) < 0) {
            buf_printf(&errors, "%s\n", e.message);
            continue;
        }
        if (t)
            r = add_formatted(&all, t, object, text, &e);
        else
            add_text(&all, text, compact);
    }
    print_all(&all, t, compact);
    if (r < 0)
        buf_printf(&errors, "%s\n", e.message);
    messages = buf_take_str(&errors);
    fputs(messages, stderr);
    return *messages ? 1 : 0;
}

int cmd_inspect(struct invocation *inv)
{
    const struct inspect_options *o = inv->options;

    if (!str_empty(o->type)) {
        size_t i;

        for (i = 0; i < ARRAY_SIZE(kinds) && !streq(kinds[i].type, o->type); i++)
            ;
        if (i == ARRAY_SIZE(kinds)) {
            fprintf(stderr, "\"%s\" is not a valid value for --type\n", o->type);
            return 1;
        }
    }
    return inspect(inv, o->type);
}

int cmd_inspect_container(struct invocation *inv)
{
    return inspect(inv, "container");
}

int cmd_inspect_image(struct invocation *inv)
{
    return inspect(inv, "image");
}

int cmd_inspect_network(struct invocation *inv)
{
    return inspect(inv, "network");
}

int cmd_inspect_volume(struct invocation *inv)
{
    return inspect(inv, "volume");
}
