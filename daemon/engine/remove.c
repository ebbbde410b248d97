/* Removing, renaming, pruning. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "log.h"
#include "names.h"
#include "private.h"
#include "volumes.h"

#define TRASH_TRIES 10

/* The files have been renamed away: deleting them keeps nobody waiting. */
struct trash_job {
    struct storage *storage;
    char *trash;
};

static void trash_run(void *arg)
{
    struct trash_job *j = arg;
    int r = -ENOTEMPTY;

    /* Its logs may be packed at this moment (logs_settle()), which makes a file. */
    for (int i = 0; i < TRASH_TRIES && r == -ENOTEMPTY; i++)
        r = storage_trash_remove(j->storage, j->trash);
    if (r < 0)
        log_warn("cannot delete %s: %s", j->trash, err_text(-r));
}

static void after_trash(void *arg)
{
    struct trash_job *j = arg;

    free(j->trash);
    free(j);
}

void trash_delete(struct engine *e, char *trash)
{
    struct trash_job *j = xcalloc(1, sizeof(*j));

    j->storage = e->storage;
    j->trash = trash;
    job_run(e, trash_run, after_trash, j);
}

static int remove_all(struct container *c, struct err *reterr)
{
    _cleanup_(strv_freep) char **volumes = NULL;
    char *trash = NULL;
    int r = 0;

    if (c->remove_volumes || c->auto_remove)
        r = db_volumes_only_of(c->engine->db, c->id, &volumes, reterr);
    if (r >= 0)
        r = record_delete(c, reterr);
    if (r < 0)
        return r;
    volumes_drop(c->engine, volumes);
    r = storage_container_remove(c->engine->storage, c->id, &trash, reterr);
    if (r < 0) /* the row is gone: the next start of the daemon finds the orphan */
        log_warn("container %s: %s", c->id, reterr->message);
    if (trash)
        trash_delete(c->engine, trash);
    return 0;
}

static void remember_code(const struct container *c)
{
    struct removed *r = &c->engine->removed[c->engine->n_removed++ % REMOVED_KEPT];

    memcpy(r->id, c->id, sizeof(r->id));
    r->code = c->exit_code;
}

void container_remove_finish(struct container *c)
{
    struct engine *e = c->engine;
    struct err err;

    restart_cancel(c);
    c->remove_after_exit = false;
    if (remove_all(c, &err) < 0) {
        log_error("container %s: %s", c->id, err.message);
        c->status = STATUS_DEAD;
        c->unsaved = true;
        pending_finish(&c->remove_pending, &err);
        return;
    }
    c->removing = true;
    if (c->auto_remove)
        remember_code(c);
    container_ref(c);
    registry_remove(e, c);
    images_released(e->images, c->image_id);
    container_event(c, "destroy", NULL);
    waits_fire(c, WAIT_REMOVED, NULL);
    attach_requests_free(TAKE_PTR(c->attaches));
    pending_finish(&c->remove_pending, NULL);
    container_unref(c);
}

static int check_removable(struct container *c, const char *ref, bool force, struct err *reterr)
{
    if (c->removing || c->remove_after_exit)
        return err_set(reterr, ERR_CONFLICT, EALREADY,
                       "removal of container %s is already in progress", ref);
    if (c->starting)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "cannot remove container \"%s\": container is starting: stop the container "
                       "before removing or force remove",
                       ref);
    if (c->status == STATUS_RESTARTING && !force)
        return err_set(
            reterr, ERR_CONFLICT, EBUSY,
            "cannot remove container \"%s\": container is restarting: stop the container "
            "before removing or force remove",
            ref);
    if (container_is_up(c) && !force)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "cannot remove container \"%s\": container is %s: stop the container before "
                       "removing or force remove",
                       ref, c->status == STATUS_PAUSED ? "paused" : "running");
    return 0;
}

struct forced {
    struct engine *engine;
    char id[ID_LEN + 1];
    bool volumes;
    engine_done_fn *done;
    void *arg;
};

/* rm -f came while it was starting: try again now that it runs (or has failed to). */
static void forced_after_start(void *arg, const struct err *err)
{
    struct forced *f = arg;

    (void)err;
    engine_container_remove(f->engine, f->id, true, f->volumes, f->done, f->arg);
    free(f);
}

/* The exit removes it; without a signal there would be none. */
static void killed_to_remove(void *arg, const struct err *err)
{
    struct container *c = arg;

    if (err && container_is_up(c)) {
        c->remove_after_exit = false;
        pending_finish(&c->remove_pending, err);
    }
    container_unref(c);
}

void engine_container_remove(struct engine *e, const char *ref, bool force, bool volumes,
                             engine_done_fn *done, void *arg)
{
    struct container *c;
    struct err err;
    int r = registry_find(e, ref, &c, &err);

    if (r >= 0) {
        shim_sync(c);
        if (force && c->starting && !c->removing && !c->remove_after_exit) {
            struct forced *f = xcalloc(1, sizeof(*f));

            *f = (struct forced){.engine = e, .volumes = volumes, .done = done, .arg = arg};
            memcpy(f->id, c->id, sizeof(f->id));
            pending_add(&c->start_pending, forced_after_start, f);
            return;
        }
        r = check_removable(c, ref, force, &err);
    }
    if (r < 0) {
        done(arg, &err);
        return;
    }
    pending_add(&c->remove_pending, done, arg);
    c->remove_volumes |= volumes;
    if (c->exiting) {
        c->remove_after_exit = true;
    } else if (container_is_up(c)) {
        c->remove_after_exit = true;
        engine_container_kill(e, c->id, "KILL", killed_to_remove, container_ref(c));
    } else {
        container_remove_finish(c);
    }
}

int engine_container_rename(struct engine *e, const char *ref, const char *name, struct err *reterr)
{
    struct container *c, *other;
    char *old;
    int r = registry_find(e, ref, &c, reterr);

    if (r < 0)
        return r;
    if (str_empty(name))
        return err_set(reterr, ERR_INVALID, EINVAL, "Neither old nor new names may be empty");
    if (*name == '/')
        name++;
    if (!name_is_valid(name))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                       name);
    if (streq(name, c->name))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "Renaming a container with the same name as its current name");
    other = map_get(&e->by_name, name);
    if (other)
        return err_set(reterr, ERR_CONFLICT, EEXIST,
                       "Error when allocating new name: Conflict. The container name \"/%s\" is "
                       "already in use by container \"%s\". You have to remove (or rename) that "
                       "container to be able to reuse that name.",
                       name, other->id);
    r = record_rename(c, name, reterr);
    if (r < 0)
        return r;
    old = c->name;
    map_remove(&e->by_name, old);
    c->name = xstrdup(name);
    map_put(&e->by_name, c->name, c);
    names_changed(e);
    container_event(c, "rename", json_pack("{s:s+}", "oldName", "/", old));
    free(old);
    return 0;
}

/* ---- prune ---- */

struct prune {
    struct engine *engine;
    engine_json_fn *done;
    void *arg;
    json_t *deleted;   /* ids */
    int64_t reclaimed; /* bytes of their writable layers */
    unsigned left;     /* removals under way, and 1 for the loop that starts them */
};

struct prune_one {
    struct prune *prune;
    struct engine *engine;
    char id[ID_LEN + 1];
    int64_t rw;
};

static void prune_step(struct prune *p)
{
    json_t *result;

    if (--p->left > 0)
        return;
    events_pruned(p->engine->events, "container", p->reclaimed);
    result = json_pack("{s:o, s:I}", "ContainersDeleted",
                       json_array_size(p->deleted) ? p->deleted : json_null(), "SpaceReclaimed",
                       (json_int_t)p->reclaimed);
    if (json_array_size(p->deleted) == 0)
        json_decref(p->deleted);
    p->done(p->arg, result, NULL);
    free(p);
}

static void pruned(void *arg, const struct err *err)
{
    struct prune_one *one = arg;

    if (!err) {
        json_array_append_new(one->prune->deleted, json_string(one->id));
        one->prune->reclaimed += one->rw;
    }
    prune_step(one->prune);
    free(one);
}

/* On the pool: what it wrote is counted while it is there. */
static void measure(void *arg)
{
    struct prune_one *one = arg;

    if (storage_rootfs_usage(one->engine->storage, one->id, &one->rw, NULL) < 0)
        one->rw = 0;
}

/* One that was started or removed meanwhile is refused, and stays out of the list. */
static void measured(void *arg)
{
    struct prune_one *one = arg;

    engine_container_remove(one->engine, one->id, false, false, pruned, one);
}

static bool label_excluded(const json_t *unwanted, const json_t *labels)
{
    return json_array_size(unwanted) > 0 && match_labels(unwanted, labels);
}

static bool prunable(struct container *c, const json_t *filters, int64_t until)
{
    const json_t *labels = json_get(c->config, "Labels");

    if (container_is_active(c) || c->starting || c->exiting || c->removing || c->building)
        return false;
    if (until > 0 && c->created_ns > until)
        return false;
    return match_labels(json_object_get(filters, "label"), labels) &&
           !label_excluded(json_object_get(filters, "label!"), labels);
}

void engine_container_prune(struct engine *e, json_t *filters, engine_json_fn *done, void *arg)
{
    static const char *const known[] = {"until", "label", "label!", NULL};
    _cleanup_free_ struct container **all = NULL;
    struct prune *p;
    struct err err;
    int64_t until = 0;

    if (match_check(filters, known, &err) < 0 || match_until(filters, &until, &err) < 0) {
        done(arg, NULL, &err);
        return;
    }
    p = xcalloc(1, sizeof(*p));
    *p = (struct prune){.engine = e, .done = done, .arg = arg, .deleted = json_array(), .left = 1};
    all = registry_sorted(e);
    for (size_t i = 0; all[i]; i++) {
        struct prune_one *one;

        if (!prunable(all[i], filters, until))
            continue;
        one = xcalloc(1, sizeof(*one));
        one->prune = p;
        one->engine = e;
        memcpy(one->id, all[i]->id, sizeof(one->id));
        p->left++;
        job_run(e, measure, measured, one);
    }
    prune_step(p);
}
