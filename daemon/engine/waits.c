#include <errno.h>
#include <stdlib.h>

#include "private.h"

enum wait_condition { UNTIL_NOT_RUNNING, UNTIL_NEXT_EXIT, UNTIL_REMOVED };

struct waiter {
    struct waiter *next;
    struct container *container; /* a reference; NULL for one that is long gone */
    enum wait_condition condition;
    engine_json_fn *fn; /* NULL: cancelled */
    void *arg;
    int code;
    char *error;
    bool queued; /* fire_deferred() will come */
};

static void waiter_free(struct waiter *w)
{
    if (w->container)
        container_unref(w->container);
    free(w->error);
    free(w);
}

static void unlink_waiter(struct waiter *w)
{
    struct waiter **p = &w->container->waiters;

    while (*p && *p != w)
        p = &(*p)->next;
    if (*p)
        *p = w->next;
}

static void fire(struct waiter *w)
{
    json_t *result = json_pack("{s:i}", "StatusCode", w->code);

    if (w->error)
        json_object_set_new(result, "Error", json_pack("{s:s}", "Message", w->error));
    w->fn(w->arg, result, NULL);
}

static void fire_deferred(void *arg)
{
    struct waiter *w = arg;

    if (w->fn)
        fire(w);
    waiter_free(w);
}

static bool is_due(const struct waiter *w, enum wait_event event)
{
    switch (event) {
    case WAIT_EXIT:
        return w->condition != UNTIL_REMOVED;
    case WAIT_START_FAILED: /* it never ran, but who asked meanwhile knows now that it does not */
        return w->condition == UNTIL_NOT_RUNNING;
    default:
        return true;
    }
}

void waits_fire(struct container *c, enum wait_event event, const struct err *err)
{
    struct waiter *due = NULL, **p = &c->waiters;

    while (*p) {
        struct waiter *w = *p;

        if (!is_due(w, event)) {
            p = &w->next;
            continue;
        }
        *p = w->next;
        w->next = due;
        due = w;
    }
    while (due) {
        struct waiter *w = due;

        due = w->next;
        w->code = c->exit_code;
        if (err)
            w->error = xstrdup(err->message);
        fire(w);
        waiter_free(w);
    }
}

static int parse_condition(const char *s, enum wait_condition *ret, struct err *reterr)
{
    static const struct {
        const char *name;
        enum wait_condition value;
    } names[] = {{"", UNTIL_NOT_RUNNING},
                 {"not-running", UNTIL_NOT_RUNNING},
                 {"next-exit", UNTIL_NEXT_EXIT},
                 {"removed", UNTIL_REMOVED}};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(s ? s : "", names[i].name)) {
            *ret = names[i].value;
            return 0;
        }
    }
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid condition: \"%s\"", s);
}

static void answer_later(struct engine *e, struct waiter *w, int code)
{
    w->code = code;
    w->queued = true;
    engine_defer(e, fire_deferred, w);
}

/* A client that asks again after the daemon's restart, for a --rm container that ended meanwhile.
 */
static const struct removed *find_removed(const struct engine *e, const char *id)
{
    for (size_t i = 0; i < REMOVED_KEPT; i++) {
        if (*id && streq(e->removed[i].id, id))
            return &e->removed[i];
    }
    return NULL;
}

int engine_container_wait(struct engine *e, const char *ref, const char *condition,
                          engine_json_fn *fn, void *arg, struct waiter **ret, struct err *reterr)
{
    enum wait_condition parsed = UNTIL_NOT_RUNNING;
    const struct removed *removed;
    struct container *c = NULL;
    struct waiter *w;
    int r = parse_condition(condition, &parsed, reterr);

    if (r < 0)
        return r;
    r = registry_find(e, ref, &c, reterr);
    removed = r == -ENOENT ? find_removed(e, ref) : NULL;
    if (r < 0 && !removed)
        return r;
    w = xcalloc(1, sizeof(*w));
    w->condition = parsed;
    w->fn = fn;
    w->arg = arg;
    *ret = w;
    if (removed) {
        answer_later(e, w, removed->code);
        return 0;
    }
    shim_sync(c);
    w->container = container_ref(c);
    if (parsed == UNTIL_NOT_RUNNING && !container_is_active(c) && !c->starting && !c->exiting) {
        answer_later(e, w, c->exit_code);
    } else {
        w->next = c->waiters;
        c->waiters = w;
    }
    return 0;
}

void engine_wait_cancel(struct waiter *w)
{
    if (w->queued) {
        w->fn = NULL;
        return;
    }
    unlink_waiter(w);
    waiter_free(w);
}
