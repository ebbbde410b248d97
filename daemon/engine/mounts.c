/* The mount points of a container that are volumes, or somebody else's by VolumesFrom: settled
 * once, when it is created, and kept in its record (runtime.h, runtime_spec.points). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mountspec.h"
#include "private.h"
#include "volumes.h"

/* ---- create ---- */

static bool has_point(const json_t *points, const char *target)
{
    const json_t *p;
    size_t i;

    json_array_foreach (points, i, p) {
        if (streq(json_get_str(p, "Destination", ""), target))
            return true;
    }
    return false;
}

/* The Mounts entry for a target, or NULL. */
static const json_t *entry_of(const struct container *c, const char *target)
{
    const json_t *mounts = json_get(c->host_config, "Mounts"), *m;
    size_t i;

    json_array_foreach (mounts, i, m) {
        _cleanup_free_ char *clean = path_clean(json_get_str(m, "Target", ""));

        if (streq(clean, target))
            return m;
    }
    return NULL;
}

static int add_volume(struct container *c, const struct mount_spec *m, char ***made,
                      struct err *reterr)
{
    const json_t *entry = entry_of(c, m->target), *options = json_get(entry, "VolumeOptions");
    const json_t *config = json_get(options, "DriverConfig");
    /* That of the whole container is for those that cannot name their own. */
    const char *driver =
        entry ? json_get_str(config, "Name", "") : json_get_str(c->host_config, "VolumeDriver", "");
    _cleanup_volume_row_ struct volume_row row = {0};
    _cleanup_free_ char *source = NULL;
    _cleanup_json_ json_t *fs = NULL, *bind = NULL;
    json_t *point;
    int r;

    r = volume_ensure(c->engine, m->name, driver, json_get(config, "Options"),
                      json_get(options, "Labels"), &row, reterr);
    if (r < 0)
        return r;
    if (r > 0)
        *made = strv_append(*made, row.name);
    fs = volume_filesystem(&row);
    bind = volume_bind_options(&row);
    source = volume_source(c->engine, &row);
    point = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:b}", "Type", "volume", "Name",
                      row.name, "Source", source, "Destination", m->target, "Mode", m->mode, "RW",
                      !m->readonly, "Propagation", "", "NoCopy",
                      m->nocopy || m->subpath || volume_is_elsewhere(&row));
    if (fs)
        json_object_set(point, "Filesystem", fs);
    if (bind)
        json_object_set(point, "BindOptions", bind);
    if (m->subpath)
        json_object_set_new(point, "Subpath", json_string(m->subpath));
    json_array_append_new(c->points, point);
    return 0;
}

/* What inspect does not show of a point. */
static void copy_hidden(json_t *to, const json_t *points, const char *target)
{
    static const char *const keys[] = {"Filesystem", "BindOptions", "Subpath"};
    const json_t *p;
    size_t i;

    json_array_foreach (points, i, p) {
        if (!streq(json_get_str(p, "Destination", ""), target))
            continue;
        for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
            if (json_get(p, keys[k]))
                json_object_set(to, keys[k], json_get(p, keys[k]));
        }
    }
}

/* "ro" or "rw", and an SELinux label, which has no effect here. */
static int check_from_mode(const char *mode, bool *ret_readonly, struct err *reterr)
{
    static const char *const modes[] = {"rw",   "ro",   "z",    "Z",    "rw,z", "rw,Z",
                                        "ro,z", "ro,Z", "z,rw", "Z,rw", "z,ro", "Z,ro"};

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (streq(mode, modes[i])) {
            *ret_readonly = strstr(mode, "ro") != NULL;
            return 0;
        }
    }
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid mode: %s", mode);
}

/* "CONTAINER[:MODE]" */
static int add_points_of(struct container *c, const struct mount_list *own, const char *spec,
                         struct err *reterr)
{
    _cleanup_free_ char *name = xstrndup(spec, strcspn(spec, ":"));
    const char *mode = spec[strlen(name)] ? spec + strlen(name) + 1 : "rw";
    _cleanup_json_ json_t *theirs = NULL;
    struct container *other;
    bool readonly = false;
    json_t *p;
    size_t i;
    int r;

    if (!*spec)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "volumes-from specification cannot be an empty string");
    r = check_from_mode(mode, &readonly, reterr);
    if (r >= 0)
        r = registry_find(c->engine, name, &other, reterr);
    if (r == -ENOENT)
        reterr->kind = ERR_INVALID; /* clients take a 404 here for a missing image */
    if (r < 0)
        return r;
    theirs = runtime_mounts_json(other->host_config, other->points);
    json_array_foreach (theirs, i, p) {
        const char *target = json_get_str(p, "Destination", "");

        if (streq(json_get_str(p, "Type", ""), "tmpfs") || mount_list_find(own, target) ||
            has_point(c->points, target))
            continue;
        if (readonly)
            json_object_set_new(p, "RW", json_false());
        json_object_set_new(p, "NoCopy", json_true());
        copy_hidden(p, other->points, target);
        json_array_append(c->points, p);
    }
    return 0;
}

static int add_config_volumes(struct container *c, const struct mount_list *own, char ***made,
                              struct err *reterr)
{
    json_t *volumes = json_object_get(c->config, "Volumes"), *unused;
    const char *path;

    json_object_foreach (volumes, path, unused) {
        _cleanup_free_ char *target = path_clean(path);
        char none[] = "";
        struct mount_spec m = {.type = MOUNT_VOLUME, .target = target, .mode = none};
        int r;

        if (*target != '/' || streq(target, "/") || mount_list_find(own, target) ||
            has_point(c->points, target))
            continue;
        r = add_volume(c, &m, made, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int mounts_settle(struct container *c, char ***made, struct err *reterr)
{
    const json_t *from = json_get(c->host_config, "VolumesFrom"), *item;
    _cleanup_mounts_ struct mount_list own = {0};
    size_t i;
    int r = mount_list_parse(c->host_config, &own, reterr);

    if (r < 0)
        return r;
    c->points = json_array();
    for (i = 0; r >= 0 && i < own.n; i++) {
        if (own.mounts[i].type == MOUNT_VOLUME)
            r = add_volume(c, &own.mounts[i], made, reterr);
    }
    json_array_foreach (from, i, item) {
        if (r >= 0 && json_is_string(item))
            r = add_points_of(c, &own, json_string_value(item), reterr);
    }
    if (r >= 0)
        r = add_config_volumes(c, &own, made, reterr);
    return r;
}

int mounts_hold(struct container *c, struct err *reterr)
{
    const json_t *p;
    size_t i;

    json_array_foreach (c->points, i, p) {
        const char *name = json_get_str(p, "Name", NULL);
        int r = name ? db_volume_hold(c->engine->db, name, c->id, reterr) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- start and end ---- */

/* {"Namespace","Path"}, or NULL if no container that is up has all of it, writable if that is
 * wanted. */
static json_t *find_donor(const struct container *c, const char *name, bool writable)
{
    _cleanup_free_ struct container **all = registry_sorted(c->engine);

    for (size_t i = 0; all[i]; i++) {
        const json_t *p;
        size_t k;

        json_array_foreach (all[i]->points, k, p) {
            _cleanup_free_ char *ns = NULL;

            if (all[i] == c || !container_is_up(all[i]) ||
                !streq(json_get_str(p, "Name", ""), name) || json_get(p, "Subpath") ||
                (writable && !json_get_bool(p, "RW", true)))
                continue;
            ns = xasprintf("/proc/%d/ns/mnt", all[i]->pid);
            return json_pack("{s:s,s:s}", "Namespace", ns, "Path",
                             json_get_str(p, "Destination", ""));
        }
    }
    return NULL;
}

void mounts_find_donors(const struct container *c, json_t *points)
{
    json_t *p;
    size_t i;

    json_array_foreach (points, i, p) {
        json_t *donor = NULL;

        if (streq(json_get_str(json_get(p, "Filesystem"), "Type", ""), "tmpfs"))
            donor = find_donor(c, json_get_str(p, "Name", ""), json_get_bool(p, "RW", true));
        if (donor)
            json_object_set_new(p, "Donor", donor);
    }
}

void mounts_fills(const struct container *c, json_t **ret)
{
    const json_t *p;
    size_t i;

    json_array_foreach (c->points, i, p) {
        if (!json_get(p, "Name") || json_get_bool(p, "NoCopy", false))
            continue;
        if (!*ret)
            *ret = json_array();
        json_array_append_new(*ret, json_deep_copy(p));
    }
}

void mounts_event(struct container *c, const char *action)
{
    bool mount = streq(action, "mount");
    const json_t *p;
    size_t i;

    json_array_foreach (c->points, i, p) {
        const char *name = json_get_str(p, "Name", NULL);
        json_t *attributes;

        if (!name)
            continue;
        attributes = json_pack("{s:s, s:s}", "container", c->id, "driver", "local");
        if (mount) {
            json_object_set(attributes, "destination", json_get(p, "Destination"));
            json_object_set_new(attributes, "propagation", json_string(""));
            json_object_set_new(attributes, "read/write",
                                json_string(json_get_bool(p, "RW", true) ? "true" : "false"));
        }
        events_emit(c->engine->events, "volume", action, name, NULL, attributes);
    }
}
