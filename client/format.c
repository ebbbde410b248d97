#include "format.h"

#include <errno.h>
#include <string.h>

#include "json.h"
#include "str.h"

char *format_unescape(const char *s)
{
    struct buf b = {0};

    for (; *s; s++) {
        if (s[0] == '\\' && (s[1] == 't' || s[1] == 'n'))
            buf_append(&b, *++s == 't' ? "\t" : "\n", 1);
        else
            buf_append(&b, s, 1);
    }
    return buf_take_str(&b);
}

char *format_json(const json_t *row)
{
    _cleanup_free_ char *plain = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    struct buf b = {0};

    for (const char *s = plain ? plain : "null"; *s; s++) {
        if (strchr("<>&", *s))
            buf_printf(&b, "\\u%04x", (unsigned)*s);
        else
            buf_append(&b, s, 1);
    }
    return buf_take_str(&b);
}

int format_init(struct format *f, const char *spec, const char *table, const char *quiet,
                const char *type_name, const struct column *columns, struct err *reterr)
{
    _cleanup_free_ char *text = NULL;
    const char *chosen;

    *f = (struct format){.type_name = type_name, .columns = columns, .table = TABLE_INIT};
    if (str_empty(spec) || streq(spec, "table")) {
        chosen = quiet ? quiet : table;
        f->is_table = !quiet;
    } else if (streq(spec, "json")) {
        return 0;
    } else if (str_starts(spec, "table")) {
        chosen = spec + strlen("table");
        chosen += strspn(chosen, " ");
        f->is_table = true;
    } else {
        chosen = spec;
    }
    text = format_unescape(chosen);
    f->template = template_parse(text, reterr);
    return f->template ? 0 : err_wrap(reterr, "failed to parse template");
}

bool format_uses(const struct format *f, const char *field)
{
    return f->template ? template_uses(f->template, field) : false;
}

static int run_template(struct format *f, const struct template_data *data, struct buf *out,
                        struct err *reterr)
{
    int r = template_exec(f->template, data, out, reterr);

    buf_append_str(out, "\n");
    return r < 0 ? err_wrap(reterr, "failed to execute template") : 0;
}

/* {{json .}} of a row has Go's escapes and sorted keys too: its members are put in order here. */
int format_row(struct format *f, const json_t *row, const json_t *methods, struct err *reterr)
{
    struct template_data data = {.root = row, .methods = methods, .type_name = f->type_name};

    if (!f->template) {
        _cleanup_free_ char *json = format_json(row);

        buf_printf(&f->out, "%s\n", json);
        return 0;
    }
    return run_template(f, &data, f->is_table ? &f->table.text : &f->out, reterr);
}

static int print_header(struct format *f, struct buf *out, struct err *reterr)
{
    _cleanup_json_ json_t *titles = json_object(), *methods = json_object();
    struct template_data data = {
        .root = titles, .methods = methods, .type_name = f->type_name, .header = true};

    json_object_set_new(methods, "Label", json_object());
    for (const struct column *c = f->columns; c->field; c++)
        json_object_set_new(titles, c->field, json_string(c->header));
    return run_template(f, &data, out, reterr);
}

int format_finish(struct format *f, struct err *reterr)
{
    int r = 0;

    if (f->is_table) {
        struct table t = TABLE_INIT;

        r = print_header(f, &t.text, reterr);
        if (r == 0) {
            if (buf_size(&f->table.text))
                buf_append(&t.text, buf_head(&f->table.text), buf_size(&f->table.text));
            table_flush(&t, &f->out);
        }
        buf_done(&t.text);
    }
    if (buf_size(&f->out))
        fwrite(buf_head(&f->out), 1, buf_size(&f->out), stdout);
    f->out.start = f->out.len = 0;
    return r;
}

void format_done(struct format *f)
{
    template_free(f->template);
    buf_done(&f->table.text);
    buf_done(&f->out);
}
