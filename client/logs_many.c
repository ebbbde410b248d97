/* Logs of several containers at once: whole lines, each behind its container's name. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "logs.h"
#include "mux.h"
#include "str.h"

#define SOURCES_MAX 256
#define LINE_MAX_BYTES                                                                             \
    (1 << 20) /* of a line that is waited for; a longer one is shown in parts                      \
               */

struct source {
    const char *name; /* borrowed */
    struct conn conn;
    bool framed, ended;
    struct mux mux;
    struct buf lines[2]; /* what has come of the last line: stdout, stderr */
};

struct many {
    struct source *sources; /* owned */
    size_t n;
    int width;
    bool color;
};

static void put_line(const struct many *m, const struct source *s, bool err, const char *line,
                     size_t len)
{
    static const int colors[] = {36, 33, 32, 35, 34, 96, 93, 92, 95, 94};
    int color = colors[(size_t)(s - m->sources) % ARRAY_SIZE(colors)];
    FILE *out = err ? stderr : stdout;

    if (m->color)
        fprintf(out, "\x1b[%dm%-*s |\x1b[0m ", color, m->width, s->name);
    else
        fprintf(out, "%-*s | ", m->width, s->name);
    fwrite(line, 1, len, out);
    putc('\n', out);
}

struct sink {
    const struct many *many;
    struct source *source;
};

static int take(void *arg, enum mux_stream stream, const char *data, size_t len)
{
    const struct sink *k = arg;
    bool err = stream == MUX_STDERR;
    struct buf *b = &k->source->lines[err];
    const char *nl;

    buf_append(b, data, len);
    while ((nl = memchr(buf_head(b), '\n', buf_size(b)))) {
        size_t n = (size_t)(nl - buf_head(b));

        put_line(k->many, k->source, err, buf_head(b), n);
        buf_consume(b, n + 1);
    }
    if (buf_size(b) > LINE_MAX_BYTES) {
        put_line(k->many, k->source, err, buf_head(b), buf_size(b));
        buf_consume(b, buf_size(b));
    }
    return 0;
}

static void flush_rest(const struct many *m, struct source *s)
{
    for (int i = 0; i < 2; i++) {
        if (buf_size(&s->lines[i]) > 0)
            put_line(m, s, i == 1, buf_head(&s->lines[i]), buf_size(&s->lines[i]));
        buf_consume(&s->lines[i], buf_size(&s->lines[i]));
    }
}

/* One piece of the body; `wait` for it if none has come.  -EAGAIN: it did not. */
static int read_one(const struct many *m, struct source *s, bool wait, struct err *reterr)
{
    _cleanup_buf_ struct buf data = {0};
    struct sink k = {m, s};
    int r =
        wait ? conn_read_body(&s->conn, &data, reterr) : conn_decode_body(&s->conn, &data, reterr);

    if (r == -EAGAIN)
        return r;
    if (r <= 0) {
        s->ended = true;
        flush_rest(m, s);
        return r;
    }
    if (!s->framed)
        return take(&k, MUX_STDOUT, buf_head(&data), buf_size(&data));
    r = mux_feed(&s->mux, buf_head(&data), buf_size(&data), take, &k);
    return r < 0 ? err_set(reterr, ERR_SYSTEM, -r, "unrecognized stream from the daemon") : 0;
}

/* All that has come, so that the socket alone tells of more. */
static int read_all(const struct many *m, struct source *s, bool ready, struct err *reterr)
{
    int r = ready ? read_one(m, s, true, reterr) : 0;

    while (r >= 0 && !s->ended)
        r = read_one(m, s, false, reterr);
    return r == -EAGAIN ? 0 : r;
}

/* Until all have ended. */
static int pump(const struct many *m, struct err *reterr)
{
    struct pollfd p[SOURCES_MAX];
    int r = 0;

    for (size_t i = 0; i < m->n && r >= 0; i++)
        r = read_all(m, &m->sources[i], false, reterr); /* what came with the heads */
    while (r >= 0) {
        nfds_t n = 0;

        for (size_t i = 0; i < m->n; i++) {
            if (!m->sources[i].ended)
                p[n++] = (struct pollfd){.fd = m->sources[i].conn.fd, .events = POLLIN};
        }
        if (n == 0)
            return 0;
        if (poll(p, n, -1) < 0 && errno != EINTR)
            return err_sys(reterr, errno, "poll");
        n = 0;
        for (size_t i = 0; i < m->n && r >= 0; i++) {
            if (!m->sources[i].ended && p[n++].revents)
                r = read_all(m, &m->sources[i], true, reterr);
        }
        fflush(stdout);
        fflush(stderr);
    }
    return r;
}

static int open_all(struct many *m, struct invocation *inv, struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; i < m->n && r >= 0; i++) {
        struct source *s = &m->sources[i];
        int width = (int)strlen(inv->args[i]);

        s->name = inv->args[i];
        s->conn = CONN_INIT;
        m->width = width > m->width ? width : m->width;
        r = logs_open(inv, s->name, &s->conn, &s->framed, reterr);
    }
    return r;
}

int logs_many(struct invocation *inv, struct err *reterr)
{
    struct many m = {.n = (size_t)inv->n_args};
    int r;

    if (m.n > SOURCES_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG, "at most %d containers", SOURCES_MAX);
    m.sources = xcalloc(m.n, sizeof(*m.sources));
    for (size_t i = 0; i < m.n; i++)
        m.sources[i].conn = CONN_INIT;
    m.color = isatty(STDOUT_FILENO) && str_empty(getenv("NO_COLOR"));
    r = open_all(&m, inv, reterr);
    if (r >= 0)
        r = pump(&m, reterr);
    for (size_t i = 0; i < m.n; i++) {
        conn_done(&m.sources[i].conn);
        buf_done(&m.sources[i].lines[0]);
        buf_done(&m.sources[i].lines[1]);
    }
    free(m.sources);
    return r;
}
