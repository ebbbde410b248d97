#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "match.h"
#include "str.h"

struct event_subscription {
    struct events *events; /* borrowed; NULL once the hub is gone */
    struct event_subscription *next;
    json_t *filters; /* owned, may be NULL */
    engine_event_fn *fn;
    void *arg;
};

struct events {
    json_t *ring[EVENTS_KEPT]; /* owned, oldest at `next` once full */
    unsigned next;
    struct event_subscription *subscribers;
};

struct events *events_new(void)
{
    return xcalloc(1, sizeof(struct events));
}

void events_free(struct events *ev)
{
    for (unsigned i = 0; i < EVENTS_KEPT; i++)
        json_decref(ev->ring[i]);
    for (struct event_subscription *s = ev->subscribers; s; s = s->next)
        s->events = NULL;
    free(ev);
}

static const char *attribute(const json_t *event, const char *key)
{
    return json_get_str(json_object_get(json_object_get(event, "Actor"), "Attributes"), key, "");
}

static const char *actor_id(const json_t *event)
{
    return json_get_str(json_object_get(event, "Actor"), "ID", "");
}

static bool match_type(const json_t *event, const char *value)
{
    return streq(json_get_str(event, "Type", ""), value);
}

/* Actions with details ("exec_create: sh") match by their first word, too. */
static bool match_action(const json_t *event, const char *value)
{
    const char *action = json_get_str(event, "Action", "");
    size_t n = strlen(value);

    return strncmp(action, value, n) == 0 && (action[n] == '\0' || action[n] == ':');
}

static bool match_actor(const json_t *event, const char *value, const char *type)
{
    if (!match_type(event, type))
        return false;
    return str_starts(actor_id(event), value) || streq(attribute(event, "name"), value);
}

static bool match_container(const json_t *event, const char *value)
{
    return match_actor(event, value, "container") ||
           (*value && str_starts(attribute(event, "container"), value));
}

static bool match_image(const json_t *event, const char *value)
{
    const char *name =
        match_type(event, "image") ? attribute(event, "name") : attribute(event, "image");
    size_t n = strlen(value);

    return streq(actor_id(event), value) || streq(name, value) ||
           (strncmp(name, value, n) == 0 && name[n] == ':');
}

static bool match_network(const json_t *event, const char *value)
{
    return match_actor(event, value, "network");
}

static bool match_volume(const json_t *event, const char *value)
{
    return match_actor(event, value, "volume");
}

static bool match_scope(const json_t *event, const char *value)
{
    return streq(json_get_str(event, "scope", ""), value);
}

static bool match_daemon(const json_t *event, const char *value)
{
    return match_actor(event, value, "daemon");
}

static const struct {
    const char *key;
    bool (*match)(const json_t *event, const char *value);
} event_filters[] = {
    {"type", match_type},     {"event", match_action},    {"container", match_container},
    {"image", match_image},   {"network", match_network}, {"volume", match_volume},
    {"daemon", match_daemon}, {"scope", match_scope},
};

static bool matches(const json_t *event, const json_t *filters)
{
    for (size_t i = 0; i < ARRAY_SIZE(event_filters); i++) {
        const json_t *values = json_object_get(filters, event_filters[i].key), *v;
        bool any = json_array_size(values) == 0;
        size_t k;

        json_array_foreach (values, k, v)
            any = any || event_filters[i].match(event, json_string_value(v));
        if (!any)
            return false;
    }
    return match_labels(json_object_get(filters, "label"),
                        json_object_get(json_object_get(event, "Actor"), "Attributes"));
}

static void deliver(const struct event_subscription *s, const json_t *event)
{
    _cleanup_free_ char *line = NULL;
    size_t n;

    if (!matches(event, s->filters))
        return;
    line = json_to_str(event);
    n = strlen(line);
    line = xrealloc(line, n + 2);
    memcpy(line + n, "\n", 2);
    s->fn(s->arg, line, n + 1);
}

void events_emit(struct events *ev, const char *type, const char *action, const char *id,
                 const char *from, json_t *attributes)
{
    int64_t now = time_now_ns();
    json_t *event = json_object();

    if (streq(type, "container") || streq(type, "image")) {
        json_object_set_new(event, "status", json_string(action));
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
    for (struct event_subscription *s = ev->subscribers, *next; s; s = next) {
        next = s->next;
        deliver(s, event);
    }
    json_decref(ev->ring[ev->next]);
    ev->ring[ev->next] = event;
    ev->next = (ev->next + 1) % EVENTS_KEPT;
}

static void replay(const struct events *ev, const struct event_subscription *s, int64_t since,
                   int64_t until)
{
    for (unsigned i = 0; i < EVENTS_KEPT; i++) {
        const json_t *event = ev->ring[(ev->next + i) % EVENTS_KEPT];
        int64_t at = json_get_int(event, "timeNano", 0);

        if (event && at >= since && (until == 0 || at <= until))
            deliver(s, event);
    }
}

int engine_events_check(struct engine *e, const json_t *filters, struct err *reterr)
{
    static const char *const known[] = {"type",   "event",  "container", "image", "network",
                                        "volume", "daemon", "scope",     "label", NULL};

    (void)e;
    return match_check(filters, known, reterr);
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
    s->filters = json_incref(filters);
    s->fn = fn;
    s->arg = arg;
    s->events = ev;
    if (since_ns > 0 || until_ns > 0)
        replay(ev, s, since_ns, until_ns);
    s->next = ev->subscribers;
    ev->subscribers = s;
    *ret = s;
    return 0;
}

void engine_events_unsubscribe(struct event_subscription *s)
{
    if (s->events) {
        struct event_subscription **p = &s->events->subscribers;

        while (*p != s)
            p = &(*p)->next;
        *p = s->next;
    }
    json_decref(s->filters);
    free(s);
}
