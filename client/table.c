#include "table.h"

#include <string.h>

#include "mem.h"

struct line {
    const char **cells; /* into the text, in which tabs became NULs */
    size_t n;
    size_t *widths;
};

void table_add(struct table *t, const char *lines)
{
    buf_append_str(&t->text, lines);
}

static size_t width_of(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static struct line split_line(char *s)
{
    struct line l = {0};

    for (char *tab;; s = tab + 1) {
        l.cells = xrealloc(l.cells, (l.n + 1) * sizeof(*l.cells));
        l.cells[l.n++] = s;
        tab = strchr(s, '\t');
        if (!tab)
            break;
        *tab = '\0';
    }
    l.widths = xcalloc(l.n, sizeof(*l.widths));
    return l;
}

/* Column c of the block of lines that begins at `from`: returns where the block ends. */
static size_t fit_column(const struct table *t, struct line *lines, size_t n, size_t from, size_t c)
{
    size_t width = t->min_width, to;

    for (to = from; to < n && lines[to].n > c + 1; to++) {
        size_t w = width_of(lines[to].cells[c]) + t->padding;

        if (w > width)
            width = w;
    }
    for (size_t i = from; i < to; i++)
        lines[i].widths[c] = width;
    return to;
}

static void fit(const struct table *t, struct line *lines, size_t n)
{
    size_t columns = 0;

    for (size_t i = 0; i < n; i++)
        columns = lines[i].n > columns ? lines[i].n : columns;
    for (size_t c = 0; c + 1 < columns; c++) {
        for (size_t i = 0; i < n;) {
            size_t to = fit_column(t, lines, n, i, c);

            i = to > i ? to : i + 1;
        }
    }
}

static void print_line(const struct line *l, struct buf *out)
{
    for (size_t c = 0; c + 1 < l->n; c++)
        buf_printf(out, "%s%*s", l->cells[c], (int)(l->widths[c] - width_of(l->cells[c])), "");
    buf_printf(out, "%s\n", l->cells[l->n - 1]);
}

void table_flush(struct table *t, struct buf *out)
{
    _cleanup_free_ char *text = buf_take_str(&t->text);
    struct line *lines = NULL;
    size_t n = 0;
    char *s = text, *nl;

    for (; (nl = strchr(s, '\n')); s = nl + 1) {
        *nl = '\0';
        lines = xrealloc(lines, (n + 1) * sizeof(*lines));
        lines[n++] = split_line(s);
    }
    fit(t, lines, n);
    for (size_t i = 0; i < n; i++) {
        print_line(&lines[i], out);
        free(lines[i].cells);
        free(lines[i].widths);
    }
    free(lines);
}
