#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "log.h"
#include "private.h"

struct event_subscription {
    struct events *events; /* borrowed; NULL once the hub is gone */
    struct event_subscription *next;
    json_t *filters;     /* owned, may be NULL; not shared: a job reads it */
    engine_event_fn *fn; /* NULL: the reader went away while a job was out */
    void *arg;
    struct replay *replay; /* owned; NULL: it is live */
};

/* A subscriber that reads the journal.  It becomes live when it has read all there is, so that
 * nothing is missed, told twice or held in memory meanwhile. */
struct replay {
    struct journal_query query;
    struct journal_pos pos, end;
    struct buf found;
    bool busy;   /* a job is on the pool */
    bool paused; /* the reader has enough for now */
    int result;
};

struct events {
    struct engine *engine; /* borrowed */
    struct journal *journal;
    struct journal_pos end;      /* what is written and may be read */
    struct buf pending, writing; /* lines that wait, and those that a job has */
    bool busy;                   /* it is on the pool */
    int result;
    struct events_counts counts;
    struct event_subscription *subscribers;
};

static void replay_go_on(struct event_subscription *s);

struct events *events_new(struct engine *e)
{
    struct events *ev = xcalloc(1, sizeof(*ev));

    ev->engine = e;
    return ev;
}

int events_open(struct events *ev, const char *dir, struct err *reterr)
{
    int r = journal_open(dir, &ev->journal, reterr);

    if (r >= 0)
        ev->end = journal_end(ev->journal);
    return r;
}

void events_free(struct events *ev)
{
    if (ev->journal && buf_size(&ev->pending) > 0)
        journal_append(ev->journal, buf_head(&ev->pending), buf_size(&ev->pending), &ev->end);
    for (struct event_subscription *s = ev->subscribers; s; s = s->next)
        s->events = NULL;
    journal_close(ev->journal);
    buf_done(&ev->pending);
    buf_done(&ev->writing);
    free(ev);
}

struct events_counts events_counts(const struct events *ev)
{
    return ev->counts;
}

/* ---- writing ---- */

static void write_run(void *arg)
{
    struct events *ev = arg;

    ev->result =
        journal_append(ev->journal, buf_head(&ev->writing), buf_size(&ev->writing), &ev->end);
}

static uint64_t count_lines(const struct buf *b)
{
    const char *p = buf_head(b), *end = p + buf_size(b);
    uint64_t n = 0;

    for (; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        n++;
    return n;
}

static void start_writing(struct events *ev);

static void write_after(void *arg)
{
    struct events *ev = arg;

    ev->busy = false;
    if (ev->result < 0) {
        if (ev->counts.lost == 0)
            log_warn("events are not kept: %s", strerror(-ev->result));
        ev->counts.lost += count_lines(&ev->writing);
    }
    buf_done(&ev->writing);
    if (buf_size(&ev->pending) > 0)
        start_writing(ev);
    for (struct event_subscription *s = ev->subscribers, *next; s; s = next) {
        next = s->next;
        replay_go_on(s);
    }
}

static void start_writing(struct events *ev)
{
    ev->writing = ev->pending;
    ev->pending = (struct buf){0};
    ev->busy = true;
    job_run(ev->engine, write_run, write_after, ev);
}

static void keep(struct events *ev, const char *line, size_t len)
{
    if (!ev->journal)
        return;
    if (len > JOURNAL_LINE_MAX || buf_size(&ev->pending) + len > EVENTS_PENDING_MAX) {
        ev->counts.lost++;
        return;
    }
    buf_append(&ev->pending, line, len);
    if (!ev->busy && !ev->engine->closing)
        start_writing(ev);
}

/* ---- telling ---- */

static json_t *event_new(const char *type, const char *action, const char *id, const char *from,
                         json_t *attributes)
{
    int64_t now = time_now_ns();
    json_t *event = json_object();

    if (streq(type, "container") || streq(type, "image")) {
        json_object_set_new(event, "status", json_string(action));
        if (*id)
            json_object_set_new(event, "id", json_string(id));
    }
    if (from)
        json_object_set_new(event, "from", json_string(from));
    json_object_set_new(event, "Type", json_string(type));
    json_object_set_new(event, "Action", json_string(action));
    json_object_set_new(
        event, "Actor",
        json_pack("{s:s, s:o}", "ID", id, "Attributes", attributes ? attributes : json_object()));
    json_object_set_new(event, "scope", json_string("local"));
    json_object_set_new(event, "time", json_integer(now / 1000000000));
    json_object_set_new(event, "timeNano", json_integer(now));
    return event;
}

void events_emit(struct events *ev, const char *type, const char *action, const char *id,
                 const char *from, json_t *attributes)
{
    _cleanup_json_ json_t *event = event_new(type, action, id, from, attributes);
    _cleanup_free_ char *line = json_to_str(event);
    size_t n = strlen(line);

    line = xrealloc(line, n + 2);
    memcpy(line + n, "\n", 2);
    ev->counts.emitted++;
    for (struct event_subscription *s = ev->subscribers, *next; s; s = next) {
        next = s->next;
        if (!s->replay && events_match(event, s->filters))
            s->fn(s->arg, line, n + 1);
    }
    keep(ev, line, n + 1);
}

void events_pruned(struct events *ev, const char *type, int64_t bytes)
{
    events_emit(ev, type, "prune", "", NULL,
                json_pack("{s:o}", "reclaimed", json_sprintf("%lld", (long long)bytes)));
}

char *engine_events_cut_line(size_t behind)
{
    json_t *why = json_sprintf("the reader of these events is more than %zu bytes behind: "
                               "later ones are not told",
                               behind);
    _cleanup_json_ json_t *event =
        event_new("daemon", "cut", "", NULL, json_pack("{s:o}", "error", why));
    _cleanup_free_ char *text = json_to_str(event);

    return xasprintf("%s\n", text);
}

/* ---- telling of what has been ---- */

static void subscription_free(struct event_subscription *s)
{
    if (s->replay) {
        buf_done(&s->replay->found);
        free(s->replay);
    }
    json_decref(s->filters);
    free(s);
}

static void become_live(struct event_subscription *s)
{
    buf_done(&s->replay->found);
    free(TAKE_PTR(s->replay));
    s->fn(s->arg, NULL, 0);
}

static void replay_run(void *arg)
{
    struct event_subscription *s = arg;
    struct replay *p = s->replay;

    p->result = journal_read(s->events->journal, &p->query, &p->pos, p->end, &p->found);
}

static void replay_after(void *arg)
{
    struct event_subscription *s = arg;
    struct replay *p = s->replay;

    p->busy = false;
    if (!s->fn) {
        subscription_free(s);
        return;
    }
    if (p->result < 0) {
        log_warn("cannot read the journal of events: %s", strerror(-p->result));
        p->pos = p->end;
    }
    if (buf_size(&p->found) > 0)
        p->paused = !s->fn(s->arg, buf_head(&p->found), buf_size(&p->found));
    p->found.start = p->found.len = 0;
    replay_go_on(s);
}

static bool reached(const struct journal_pos *pos, const struct journal_pos *end)
{
    return pos->segment == end->segment && pos->offset >= end->offset;
}

static void replay_go_on(struct event_subscription *s)
{
    struct replay *p = s->replay;
    struct events *ev = s->events;

    if (!p || p->busy || p->paused || ev->busy)
        return; /* whoever ends that comes back */
    if (reached(&p->pos, &ev->end)) {
        become_live(s);
        return;
    }
    p->end = ev->end;
    p->busy = true;
    job_run(ev->engine, replay_run, replay_after, s);
}

void engine_events_resume(struct event_subscription *s)
{
    if (!s->replay || !s->events)
        return;
    s->replay->paused = false;
    replay_go_on(s);
}

int events_subscribe(struct events *ev, int64_t since_ns, int64_t until_ns, json_t *filters,
                     engine_event_fn *fn, void *arg, struct event_subscription **ret,
                     struct err *reterr)
{
    struct event_subscription *s;
    int r = engine_events_check(NULL, filters, reterr);

    if (r < 0)
        return r;
    s = xcalloc(1, sizeof(*s));
    *s = (struct event_subscription){.events = ev,
                                     .next = ev->subscribers,
                                     .filters = json_deep_copy(filters),
                                     .fn = fn,
                                     .arg = arg};
    ev->subscribers = s;
    ev->counts.subscribers++;
    *ret = s;
    if ((since_ns > 0 || until_ns > 0) && ev->journal) {
        s->replay = xcalloc(1, sizeof(*s->replay));
        s->replay->query = (struct journal_query){
            .since_ns = since_ns, .until_ns = until_ns, .filters = s->filters};
        replay_go_on(s);
    } else {
        fn(arg, NULL, 0);
    }
    return 0;
}

void engine_events_unsubscribe(struct event_subscription *s)
{
    if (s->events) {
        struct event_subscription **p = &s->events->subscribers;

        while (*p != s)
            p = &(*p)->next;
        *p = s->next;
        s->events->counts.subscribers--;
    }
    if (s->replay && s->replay->busy)
        s->fn = NULL; /* the job's end frees it */
    else
        subscription_free(s);
}
