/* Volumes: rows, directories, and who holds them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mountspec.h"
#include "private.h"
#include "validate.h"
#include "volumes.h"

#define ANONYMOUS_LABEL "com.docker.volume.anonymous"

/* ---- one volume ---- */

static bool is_bind(const json_t *options)
{
    const char *type = json_get_str(options, "type", "");

    return streq(type, "none") || streq(type, "bind");
}

static int check_present(const json_t *options, struct err *reterr)
{
    static const char *const needs[][2] = {
        {"device", "type"}, {"type", "device"}, {"o", "device"}, {"o", "type"}};

    for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
        if (json_get(options, needs[i][0]) && str_empty(json_get_str(options, needs[i][1], "")))
            return err_set(reterr, ERR_INVALID, EINVAL, "missing required option: \"%s\"",
                           needs[i][1]);
    }
    return 0;
}

/* What the local driver can do without mounting anything on the host: a directory of its own,
 * another one of the host's ("type=none,o=bind,device=/path"), or a file system that is mounted in
 * each container that has it (tmpfs, nfs, a disk's). */
static int check_options(const json_t *options, struct err *reterr)
{
    const char *type = json_get_str(options, "type", ""), *o = json_get_str(options, "o", "");
    const char *device = json_get_str(options, "device", ""), *key;
    json_t *value;

    json_object_foreach ((json_t *)options, key, value) {
        if (streq(key, "size"))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "quota size requested but no quota support");
        if (!streq(key, "type") && !streq(key, "o") && !streq(key, "device"))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid option: \"%s\"", key);
    }
    if (json_object_size(options) == 0)
        return 0;
    if (check_present(options, reterr) < 0)
        return -EINVAL;
    if (!is_bind(options))
        return 0;
    if (!mount_has_option(o, "bind") && !mount_has_option(o, "rbind"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "a local volume of type \"%s\" needs the option o=bind", type);
    if (*device != '/')
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "missing device in volume options, or not an absolute path");
    return 0;
}

bool volume_is_elsewhere(const struct volume_row *row)
{
    return !streq(row->options, "{}");
}

char *volume_source(struct engine *e, const struct volume_row *row)
{
    _cleanup_json_ json_t *options = json_loads(row->options, 0, NULL);
    const char *device = json_get_str(options, "device", "");

    return *device && is_bind(options) ? xstrdup(device)
                                       : storage_volume_path(e->storage, row->name);
}

json_t *volume_filesystem(const struct volume_row *row)
{
    _cleanup_json_ json_t *options = json_loads(row->options, 0, NULL);

    if (json_object_size(options) == 0 || is_bind(options))
        return NULL;
    return json_pack("{s:s,s:s,s:s}", "Type", json_get_str(options, "type", ""), "Device",
                     json_get_str(options, "device", ""), "Options",
                     json_get_str(options, "o", ""));
}

json_t *volume_bind_options(const struct volume_row *row)
{
    _cleanup_json_ json_t *options = json_loads(row->options, 0, NULL);

    return is_bind(options) ? json_string(json_get_str(options, "o", "")) : NULL;
}

static json_t *object_or_empty(const json_t *o)
{
    return json_is_object(o) ? json_deep_copy(o) : json_object();
}

static int make(struct engine *e, const char *name, const json_t *options, const json_t *labels,
                struct volume_row *ret, struct err *reterr)
{
    _cleanup_volume_row_ struct volume_row row = {.created = time_now_ns()};
    _cleanup_json_ json_t *l = object_or_empty(labels), *o = object_or_empty(options);
    char id[ID_LEN + 1];
    int r = check_options(o, reterr);

    if (r < 0)
        return r;
    row.anonymous = str_empty(name);
    if (row.anonymous) {
        id_generate(id);
        json_object_set_new(l, ANONYMOUS_LABEL, json_string(""));
    }
    row.name = xstrdup(row.anonymous ? id : name);
    row.options = json_to_str(o);
    row.labels = json_to_str(l);
    r = storage_volume_make(e->storage, row.name, reterr);
    if (r >= 0)
        r = db_volume_put(e->db, &row, reterr);
    if (r < 0)
        return r;
    *ret = row;
    row = (struct volume_row){0};
    return 1;
}

int volume_ensure(struct engine *e, const char *name, const char *driver, const json_t *options,
                  const json_t *labels, struct volume_row *ret, struct err *reterr)
{
    int r;

    if (*driver && !streq(driver, "local"))
        return err_set(reterr, ERR_NOT_FOUND, ENOENT,
                       "error looking up volume plugin %s: plugin \"%s\" not found", driver,
                       driver);
    if (!str_empty(name)) {
        r = db_volume_get(e->db, name, ret, reterr);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    return make(e, name, options, labels, ret, reterr);
}

static int delete_later(struct engine *e, const char *name, struct err *reterr)
{
    char *trash = NULL;
    int r = storage_volume_remove(e->storage, name, &trash, reterr);

    if (trash)
        trash_delete(e, trash);
    return r;
}

void volume_event(struct engine *e, const char *action, const char *name)
{
    events_emit(e->events, "volume", action, name, NULL, json_pack("{s:s}", "driver", "local"));
}

/* A create that failed: nothing refers to what it made. */
void volumes_undo(struct engine *e, char *const *made)
{
    struct err err;

    for (size_t i = 0; made && made[i]; i++) {
        if (delete_later(e, made[i], &err) < 0)
            log_warn("volume %s: %s", made[i], err.message);
    }
}

void volumes_made(struct engine *e, char *const *made)
{
    for (size_t i = 0; made && made[i]; i++)
        volume_event(e, "create", made[i]);
}

/* The directory goes first: a row without one is known for what it is after a crash, a directory
 * without a row could be anything. */
static int drop(struct engine *e, const char *name, struct err *reterr)
{
    int r = delete_later(e, name, reterr);

    if (r >= 0)
        r = db_volume_delete(e->db, name, reterr);
    if (r >= 0)
        volume_event(e, "destroy", name);
    return r;
}

static void forget_unmade(struct engine *e)
{
    _cleanup_(strv_freep) char **dirs = NULL;
    struct err err;

    if (storage_volume_names(e->storage, &dirs, &err) < 0)
        log_error("%s", err.message);
    for (size_t i = 0; dirs && dirs[i]; i++) {
        _cleanup_volume_row_ struct volume_row row = {0};

        if (db_volume_get(e->db, dirs[i], &row, NULL) == 0 &&
            !storage_volume_remove_empty(e->storage, dirs[i]))
            log_warn("volumes/%s belongs to no volume, and is left alone", dirs[i]);
    }
}

void volumes_reconcile(struct engine *e)
{
    _cleanup_(strv_freep) char **names = NULL;
    struct err err;

    forget_unmade(e);
    if (db_volume_names(e->db, &names, &err) < 0)
        log_error("%s", err.message);
    for (size_t i = 0; names && names[i]; i++) {
        _cleanup_(strv_freep) char **users = NULL;

        if (storage_volume_exists(e->storage, names[i]) ||
            db_volume_users(e->db, names[i], &users, NULL) < 0)
            continue;
        /* Its removal was under way, or somebody took its directory. */
        if (!users)
            db_volume_delete(e->db, names[i], NULL);
        else if (storage_volume_make(e->storage, names[i], &err) < 0)
            log_error("%s", err.message);
    }
}

void volumes_drop(struct engine *e, char *const *names)
{
    struct err err;

    for (size_t i = 0; names && names[i]; i++) {
        if (drop(e, names[i], &err) < 0)
            log_warn("volume %s: %s", names[i], err.message);
    }
}

/* ---- the API's ---- */

static json_t *volume_json(struct engine *e, const struct volume_row *row)
{
    _cleanup_free_ char *path = storage_volume_path(e->storage, row->name);
    json_t *options = json_loads(row->options, 0, NULL);
    char created[TIME_STR_MAX];

    time_format_nano(row->created / 1000000000 * 1000000000, created);
    if (json_object_size(options) == 0) {
        json_decref(options);
        options = json_null();
    }
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:s}", "CreatedAt", created, "Driver", "local",
                     "Labels", json_loads(row->labels, 0, NULL), "Mountpoint", path, "Name",
                     row->name, "Options", options, "Scope", "local");
}

int engine_volume_create(struct engine *e, const json_t *body, json_t **ret, struct err *reterr)
{
    _cleanup_volume_row_ struct volume_row row = {0};
    const char *name = json_get_str(body, "Name", "");
    int r;

    r = validate_volume_types(body, reterr);
    if (r < 0)
        return r;
    if (json_get(body, "ClusterVolumeSpec"))
        return err_set(reterr, ERR_UNAVAILABLE, ENOSYS, "cluster volumes need a swarm");
    if (*name && !mount_volume_name_valid(name))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "create %s: \"%s\" includes invalid characters for a local volume name, "
                       "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a "
                       "host directory, use absolute path",
                       name, name);
    r = volume_ensure(e, name, json_get_str(body, "Driver", ""), json_get(body, "DriverOpts"),
                      json_get(body, "Labels"), &row, reterr);
    if (r < 0)
        return *name ? err_wrap(reterr, "create %s", name) : r;
    if (r > 0)
        volume_event(e, "create", row.name);
    *ret = volume_json(e, &row);
    return 0;
}

static int get(struct engine *e, const char *name, struct volume_row *ret, struct err *reterr)
{
    int r = db_volume_get(e->db, name, ret, reterr);

    return r != 0 ? r : err_set(reterr, ERR_NOT_FOUND, ENOENT, "get %s: no such volume", name);
}

int engine_volume_inspect(struct engine *e, const char *name, json_t **ret, struct err *reterr)
{
    _cleanup_volume_row_ struct volume_row row = {0};
    int r = get(e, name, &row, reterr);

    if (r < 0)
        return r;
    *ret = volume_json(e, &row);
    return 0;
}

static bool contains_any(const json_t *values, const char *s)
{
    const json_t *v;
    size_t i;

    json_array_foreach (values, i, v) {
        if (strstr(s, json_string_value(v)))
            return true;
    }
    return json_array_size(values) == 0;
}

/* 1 wanted, 0 not. */
static int matches(struct engine *e, const struct volume_row *row, const json_t *filters,
                   int dangling, struct err *reterr)
{
    _cleanup_json_ json_t *labels = json_loads(row->labels, 0, NULL);
    _cleanup_(strv_freep) char **users = NULL;
    int r;

    if (!contains_any(json_object_get(filters, "name"), row->name) ||
        !match_any(json_object_get(filters, "driver"), "local") ||
        !match_labels(json_object_get(filters, "label"), labels))
        return 0;
    if (dangling < 0)
        return 1;
    r = db_volume_users(e->db, row->name, &users, reterr);
    return r < 0 ? r : (users == NULL) == dangling;
}

/* 1, 0, or -1 if it is not asked for. */
static int parse_bool(const json_t *filters, const char *key, int *ret, struct err *reterr)
{
    const json_t *values = json_object_get(filters, key);
    const char *v = json_string_value(json_array_get(values, 0));

    *ret = -1;
    if (!v)
        return 0;
    if (streq(v, "true") || streq(v, "1"))
        *ret = 1;
    else if (streq(v, "false") || streq(v, "0"))
        *ret = 0;
    else
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter '%s=[%s]'", key, v);
    return 0;
}

int engine_volume_list(struct engine *e, const json_t *filters, json_t **ret, struct err *reterr)
{
    static const char *const known[] = {"name", "label", "driver", "dangling", NULL};
    _cleanup_(strv_freep) char **names = NULL;
    json_t *list;
    int dangling, r = match_check(filters, known, reterr);

    if (r >= 0)
        r = parse_bool(filters, "dangling", &dangling, reterr);
    if (r >= 0)
        r = db_volume_names(e->db, &names, reterr);
    if (r < 0)
        return r;
    list = json_array();
    for (size_t i = 0; r >= 0 && names && names[i]; i++) {
        _cleanup_volume_row_ struct volume_row row = {0};

        r = get(e, names[i], &row, reterr);
        if (r >= 0)
            r = matches(e, &row, filters, dangling, reterr);
        if (r > 0)
            json_array_append_new(list, volume_json(e, &row));
    }
    if (r < 0) {
        json_decref(list);
        return r;
    }
    *ret = json_pack("{s:o, s:n}", "Volumes", list, "Warnings");
    return 0;
}

int engine_volume_remove(struct engine *e, const char *name, bool force, struct err *reterr)
{
    _cleanup_volume_row_ struct volume_row row = {0};
    _cleanup_(strv_freep) char **users = NULL;
    int r = get(e, name, &row, reterr);

    if (r == -ENOENT && force)
        return 0;
    if (r >= 0)
        r = db_volume_users(e->db, name, &users, reterr);
    if (r < 0)
        return r;
    if (users) {
        _cleanup_free_ char *ids = xstrdup("");

        for (size_t i = 0; users[i]; i++) {
            char *more = xasprintf("%s%s%s", ids, i ? ", " : "", users[i]);

            free(ids);
            ids = more;
        }
        return err_set(reterr, ERR_CONFLICT, EBUSY, "remove %s: volume is in use - [%s]", name,
                       ids);
    }
    return drop(e, name, reterr);
}

/* ---- prune ---- */

struct prune {
    struct storage *storage;
    json_t *deleted;
    char **names;   /* owned; still in their place: measured on the pool, then moved away */
    int64_t *sizes; /* owned; of each */
    struct engine *engine;
    int64_t freed;
    engine_json_fn *done;
    void *arg;
};

static void measure(void *arg)
{
    struct prune *p = arg;

    for (size_t i = 0; p->names && p->names[i]; i++) {
        if (storage_volume_usage(p->storage, p->names[i], &p->sizes[i], NULL) < 0)
            p->sizes[i] = 0;
    }
}

static void measured(void *arg)
{
    struct prune *p = arg;

    for (size_t i = 0; p->names && p->names[i]; i++) {
        struct err err;

        /* Somebody may have taken it meanwhile. */
        if (engine_volume_remove(p->engine, p->names[i], false, &err) < 0)
            continue;
        json_array_append_new(p->deleted, json_string(p->names[i]));
        p->freed += p->sizes[i];
    }
    events_pruned(p->engine->events, "volume", p->freed);
    p->done(p->arg,
            json_pack("{s:o, s:I}", "VolumesDeleted",
                      json_array_size(p->deleted) ? json_incref(p->deleted) : json_null(),
                      "SpaceReclaimed", (json_int_t)p->freed),
            NULL);
    json_decref(p->deleted);
    strv_free(p->names);
    free(p->sizes);
    free(p);
}

static bool label_excluded(const json_t *unwanted, const json_t *labels)
{
    return json_array_size(unwanted) > 0 && match_labels(unwanted, labels);
}

static bool prunable(struct engine *e, const char *name, const json_t *filters, bool all)
{
    _cleanup_volume_row_ struct volume_row row = {0};
    _cleanup_(strv_freep) char **users = NULL;
    _cleanup_json_ json_t *labels = NULL;

    if (db_volume_get(e->db, name, &row, NULL) <= 0 || (!all && !row.anonymous) ||
        db_volume_users(e->db, name, &users, NULL) < 0 || users)
        return false;
    labels = json_loads(row.labels, 0, NULL);
    return match_labels(json_object_get(filters, "label"), labels) &&
           !label_excluded(json_object_get(filters, "label!"), labels);
}

void engine_volume_prune(struct engine *e, const json_t *filters, bool all, engine_json_fn *done,
                         void *arg)
{
    static const char *const known[] = {"label", "label!", "all", NULL};
    _cleanup_(strv_freep) char **names = NULL;
    struct prune *p;
    struct err err;
    int asked;

    if (match_check(filters, known, &err) < 0 || parse_bool(filters, "all", &asked, &err) < 0 ||
        db_volume_names(e->db, &names, &err) < 0) {
        done(arg, NULL, &err);
        return;
    }
    all |= asked > 0;
    p = xcalloc(1, sizeof(*p));
    *p = (struct prune){
        .storage = e->storage, .engine = e, .deleted = json_array(), .done = done, .arg = arg};
    for (size_t i = 0; names && names[i]; i++) {
        if (prunable(e, names[i], filters, all))
            p->names = strv_append(p->names, names[i]);
    }
    p->sizes = xcalloc(strv_len(p->names) + 1, sizeof(*p->sizes));
    job_run(e, measure, measured, p);
}
