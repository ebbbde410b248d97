#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "progress.h"
#include "stats.h"
#include "str.h"
#include "url.h"

static void source_free(struct stats_source *s)
{
    conn_done(&s->conn);
    buf_done(&s->data);
    free(s->name);
    free(s);
}

void stats_feed_done(struct stats_feed *f)
{
    while (f->n > 0)
        source_free(f->sources[--f->n]);
}

static struct stats_source *find(const struct stats_feed *f, const char *id)
{
    for (size_t i = 0; i < f->n; i++) {
        if (streq(f->sources[i]->id, id))
            return f->sources[i];
    }
    return NULL;
}

/* One that ended meanwhile is left out. */
static void add(struct stats_feed *f, const char *id, const char *name)
{
    _cleanup_free_ char *url = url_format("/containers/%s/stats?stream=1", id);
    struct request req = {.method = "GET", .path = url};
    struct stats_source *s;
    struct err ignored = {0};

    if (f->n == STATS_CONTAINERS_MAX)
        return;
    s = xcalloc(1, sizeof(*s));
    s->conn = CONN_INIT;
    s->name = xstrdup(name + (*name == '/'));
    s->seen = true;
    snprintf(s->id, sizeof(s->id), "%s", id);
    if (client_send(f->client, &req, true, &s->conn, &ignored) < 0 ||
        client_receive(f->client, &req, &s->conn, &ignored) < 0)
        source_free(s);
    else
        f->sources[f->n++] = s;
}

static bool is_wanted(const struct stats_feed *f, const char *id, const char *name)
{
    if (!f->names)
        return true;
    for (char *const *p = f->names; *p; p++) {
        if (streq(*p, name) || str_starts(id, *p))
            return true;
    }
    return false;
}

int stats_feed_refresh(struct stats_feed *f, struct err *reterr)
{
    _cleanup_json_ json_t *list = NULL;
    int r = client_get(f->client, "/containers/json", &list, reterr);

    if (r < 0)
        return r;
    for (size_t i = 0; i < f->n; i++)
        f->sources[i]->seen = false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        const char *id = json_get_str(o, "Id", "");
        const char *name = json_string_value(json_array_get(json_get(o, "Names"), 0));
        struct stats_source *s = find(f, id);

        name = name ? name + (*name == '/') : "";
        if (s)
            s->seen = true;
        else if (is_wanted(f, id, name))
            add(f, id, name);
    }
    for (size_t i = 0; i < f->n;) {
        if (f->sources[i]->seen) {
            i++;
            continue;
        }
        source_free(f->sources[i]);
        f->sources[i] = f->sources[--f->n];
    }
    return 0;
}

static void remember(struct stats_source *s, const json_t *sample)
{
    struct stats_figures now;
    unsigned at = s->n % STATS_HISTORY;

    stats_figures(sample, &now);
    if (s->samples) {
        const double before[] = {s->last.rx, s->last.tx, s->last.read, s->last.write};
        const double after[] = {now.rx, now.tx, now.read, now.write};

        /* A restarted container counts from zero. */
        for (size_t i = 0; i < 4; i++)
            s->rates[i] = after[i] > before[i] ? after[i] - before[i] : 0;
    }
    s->history[STATS_CPU][at] = now.cpu;
    s->history[STATS_MEMORY][at] = now.memory;
    s->history[STATS_NET][at] = s->rates[0] + s->rates[1];
    s->history[STATS_IO][at] = s->rates[2] + s->rates[3];
    s->n++;
    s->last = now;
    s->samples = true;
}

/* What has come, all of it: the socket alone tells of more.  false: the stream is over. */
static bool take(struct stats_source *s)
{
    struct err ignored = {0};
    int r = conn_read_body(&s->conn, &s->data, &ignored);

    while (r > 0)
        r = conn_decode_body(&s->conn, &s->data, &ignored);
    if (r != -EAGAIN)
        return false;
    for (;;) {
        bool bad;
        _cleanup_json_ json_t *sample = json_take_object(&s->data, &bad);

        if (!sample)
            return !bad;
        remember(s, sample);
    }
}

int stats_feed_wait(struct stats_feed *f, int timeout_ms)
{
    struct pollfd p[STATS_CONTAINERS_MAX + 1];
    size_t n = f->n;

    for (size_t i = 0; i < n; i++)
        p[i] = (struct pollfd){.fd = f->sources[i]->conn.fd, .events = POLLIN};
    p[n] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(p, n + 1, timeout_ms) <= 0)
        return 0;
    for (size_t i = n; i-- > 0;) {
        if (p[i].revents && !take(f->sources[i])) {
            source_free(f->sources[i]);
            f->sources[i] = f->sources[--f->n];
        }
    }
    return p[n].revents != 0;
}
