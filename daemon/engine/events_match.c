/* Which events a reader wants. */
#include <string.h>

#include "events.h"
#include "json.h"
#include "match.h"
#include "str.h"

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

bool events_match(const json_t *event, const json_t *filters)
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

int engine_events_check(struct engine *e, const json_t *filters, struct err *reterr)
{
    static const char *const known[] = {"type",   "event",  "container", "image", "network",
                                        "volume", "daemon", "scope",     "label", NULL};

    (void)e;
    return match_check(filters, known, reterr);
}
