#include "progress.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "human.h"
#include "json.h"
#include "str.h"
#include "tty.h"

/* Layers shown at once on a terminal; further ones are left out of the updates. */
#define LINES_MAX 512
#define BAR 50
#define OBJECT_MAX ((size_t)4 << 20)

struct display {
    FILE *f;
    bool terminal;
    int columns;
    char *ids[LINES_MAX];
    size_t n;
};

json_t *json_take_object(struct buf *b, bool *bad)
{
    json_error_t why;
    size_t blank = 0;
    json_t *v;

    *bad = false;
    while (blank < buf_size(b) && strchr(" \r\n\t", buf_head(b)[blank]))
        blank++;
    buf_consume(b, blank);
    if (buf_size(b) == 0)
        return NULL;
    v = json_loadb(buf_head(b), buf_size(b), JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &why);
    if (v)
        buf_consume(b, (size_t)why.position);
    else
        *bad =
            json_error_code(&why) != json_error_premature_end_of_input || buf_size(b) > OBJECT_MAX;
    return v;
}

/* "[=====>     ]  1.2MB/3.4MB", empty if there are no numbers. */
static char *bar_text(const struct display *d, const json_t *detail)
{
    double current = json_number_value(json_get(detail, "current"));
    double total = json_number_value(json_get(detail, "total"));
    char now[HUMAN_MAX], all[HUMAN_MAX];
    struct buf b = {0};
    int percent;

    if (current <= 0 && total <= 0)
        return xstrdup("");
    human_size(current, 4, now);
    human_size(total, 4, all);
    if (total <= 0)
        return xasprintf("%8s", now);
    percent = (int)(current / total * 100) / 2;
    percent = percent < 0 ? 0 : percent > BAR ? BAR : percent;
    if (d->columns > 110) {
        buf_append_str(&b, "[");
        for (int i = 0; i < percent; i++)
            buf_append_str(&b, "=");
        buf_printf(&b, ">%*s] ", BAR - percent, "");
    }
    buf_printf(&b, current > total ? "%8s" : "%8s/%s", now, all);
    return buf_take_str(&b);
}

/* Move to the line of this id; returns how far up that was. */
static size_t go_to_line(struct display *d, const char *id)
{
    size_t i;

    for (i = 0; i < d->n && !streq(d->ids[i], id); i++)
        ;
    if (i == d->n && d->n < LINES_MAX) {
        d->ids[d->n++] = xstrdup(id);
        fprintf(d->f, "\n");
    }
    if (d->n - i > 0)
        fprintf(d->f, "\x1b[%zuA", d->n - i);
    return d->n - i;
}

static void show_on_terminal(struct display *d, const char *id, const char *status, const char *bar)
{
    size_t up = go_to_line(d, id);

    fprintf(d->f, "\x1b[2K\r%s: %s %s\r", id, status, bar);
    if (up > 0)
        fprintf(d->f, "\x1b[%zuB", up);
    fflush(d->f);
}

static void show(struct display *d, const json_t *m)
{
    const char *id = json_get_str(m, "id", ""), *status = json_get_str(m, "status", "");
    const char *stream = json_get_str(m, "stream", NULL);
    const json_t *detail = json_get(m, "progressDetail");
    _cleanup_free_ char *bar = NULL;

    if (stream) {
        fputs(stream, d->f);
        return;
    }
    if (json_get(m, "aux") || (!*status && !*id))
        return;
    bar = bar_text(d, detail);
    if (d->terminal && detail && *id) {
        show_on_terminal(d, id, status, bar);
        return;
    }
    if (*bar)
        return;
    if (*id)
        fprintf(d->f, "%s: ", id);
    fprintf(d->f, "%s\n", status);
    fflush(d->f);
}

static int check_error(const json_t *m, struct err *reterr)
{
    const char *text =
        json_get_str(json_get(m, "errorDetail"), "message", json_get_str(m, "error", NULL));

    return text ? err_set(reterr, ERR_SYSTEM, EREMOTEIO, "%s", text) : 0;
}

static int take_messages(struct display *d, struct buf *data, bool quiet, struct err *reterr)
{
    bool bad = false;
    int r = 0;

    while (r == 0) {
        _cleanup_json_ json_t *m = json_take_object(data, &bad);

        if (bad)
            return err_set(reterr, ERR_SYSTEM, EBADMSG, "invalid JSON in the daemon's reply");
        if (!m)
            break;
        r = check_error(m, reterr);
        if (r == 0 && !quiet)
            show(d, m);
    }
    return r;
}

int progress_show(struct conn *conn, FILE *f, bool quiet, struct err *reterr)
{
    struct display d = {.f = f, .terminal = isatty(fileno(f)), .columns = tty_columns(fileno(f))};
    struct buf data = {0};
    int r = 0, more;

    while (r == 0 && (more = conn_read_body(conn, &data, reterr)) != 0)
        r = more < 0 ? more : take_messages(&d, &data, quiet, reterr);
    buf_done(&data);
    for (size_t i = 0; i < d.n; i++)
        free(d.ids[i]);
    return r;
}
