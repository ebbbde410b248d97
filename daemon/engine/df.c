/* What takes how much of the disk, and what of it could go: system df. */
#include <stdlib.h>

#include "blobs.h"
#include "image.h"
#include "json.h"
#include "private.h"
#include "volumes.h"

struct df {
    struct engine *engine;
    unsigned types;
    json_t *out;
    int64_t downloads; /* bytes of unfinished ones */
    engine_json_fn *done;
    void *arg;
};

struct usage {
    int64_t total, active, size, reclaimable;
};

static json_t *usage_json(const struct usage *u)
{
    return json_pack("{s:I,s:I,s:I,s:I}", "TotalCount", (json_int_t)u->total, "ActiveCount",
                     (json_int_t)u->active, "TotalSize", (json_int_t)u->size, "Reclaimable",
                     (json_int_t)u->reclaimable);
}

static json_t *list_of(struct df *df, const char *key)
{
    return json_object_get(df->out, key);
}

/* ---- the end, when all sizes are known ---- */

static void sum_images(struct df *df)
{
    const json_t *list = list_of(df, "Images"), *o;
    struct images_usage iu = {0};
    struct usage u = {.total = (int64_t)json_array_size(list)};
    size_t i;

    images_usage(df->engine->images, &iu, NULL);
    json_array_foreach (list, i, o)
        u.active += json_get_int(o, "Containers", 0) > 0;
    u.size = iu.total + df->downloads;
    u.reclaimable = iu.reclaimable + df->downloads;
    json_object_set_new(df->out, "LayersSize", json_integer(iu.layers));
    json_object_set_new(df->out, "ImageUsage", usage_json(&u));
}

static void sum_containers(struct df *df)
{
    const json_t *list = list_of(df, "Containers"), *o;
    struct usage u = {.total = (int64_t)json_array_size(list)};
    size_t i;

    json_array_foreach (list, i, o) {
        const char *state = json_get_str(o, "State", "");
        int64_t size = json_get_int(o, "SizeRw", 0);
        bool alive =
            streq(state, "running") || streq(state, "paused") || streq(state, "restarting");

        u.active += alive;
        u.size += size;
        u.reclaimable += alive ? 0 : size;
    }
    json_object_set_new(df->out, "ContainerUsage", usage_json(&u));
}

static void sum_volumes(struct df *df)
{
    const json_t *list = list_of(df, "Volumes"), *o;
    struct usage u = {.total = (int64_t)json_array_size(list)};
    size_t i;

    json_array_foreach (list, i, o) {
        const json_t *data = json_get(o, "UsageData");
        int64_t size = json_get_int(data, "Size", 0);
        bool used = json_get_int(data, "RefCount", 0) > 0;

        u.active += used;
        u.size += size;
        u.reclaimable += used ? 0 : size;
    }
    json_object_set_new(df->out, "VolumeUsage", usage_json(&u));
}

static void finish(struct df *df)
{
    if (list_of(df, "Images"))
        sum_images(df);
    if (list_of(df, "Containers"))
        sum_containers(df);
    if (list_of(df, "Volumes"))
        sum_volumes(df);
    df->done(df->arg, TAKE_PTR(df->out), NULL);
    free(df);
}

static void fail(struct df *df, const struct err *err)
{
    json_decref(df->out);
    df->done(df->arg, NULL, err);
    free(df);
}

/* ---- sizes, in the pool ---- */

static void measure(void *arg)
{
    struct df *df = arg;
    json_t *o;
    size_t i;

    json_array_foreach (list_of(df, "Volumes"), i, o) {
        int64_t size = 0;

        storage_volume_usage(df->engine->storage, json_get_str(o, "Name", ""), &size, NULL);
        json_object_set_new(json_get(o, "UsageData"), "Size", json_integer(size));
    }
    df->downloads = blob_partial_usage(df->engine->storage);
}

static void measured(void *arg)
{
    finish(arg);
}

/* ---- lists ---- */

static int add_volumes(struct df *df, struct err *reterr)
{
    _cleanup_json_ json_t *reply = NULL;
    json_t *list, *o;
    size_t i;
    int r = engine_volume_list(df->engine, NULL, &reply, reterr);

    if (r < 0)
        return r;
    list = json_get(reply, "Volumes");
    json_array_foreach (list, i, o) {
        _cleanup_(strv_freep) char **users = NULL;

        r = db_volume_users(df->engine->db, json_get_str(o, "Name", ""), &users, reterr);
        if (r < 0)
            return r;
        json_object_set_new(
            o, "UsageData",
            json_pack("{s:i,s:I}", "Size", 0, "RefCount", (json_int_t)strv_len(users)));
    }
    json_object_set(df->out, "Volumes", list);
    return 0;
}

static int add_lists(struct df *df, struct err *reterr)
{
    struct images_list_options o = {.all = true, .shared_size = true};
    json_t *images;
    int r = 0;

    if (df->types & DF_IMAGES) {
        r = images_list(df->engine->images, &o, &images, reterr);
        if (r >= 0)
            json_object_set_new(df->out, "Images", images);
    }
    if (r >= 0 && df->types & DF_VOLUMES)
        r = add_volumes(df, reterr);
    /* There is none; docker's client insists on the list. */
    if (df->types & DF_BUILD_CACHE)
        json_object_set_new(df->out, "BuildCache", json_array());
    return r;
}

static void with_containers(void *arg, json_t *list, const struct err *err)
{
    struct df *df = arg;
    struct err e;

    if (err) {
        fail(df, err);
        return;
    }
    if (list)
        json_object_set_new(df->out, "Containers", list);
    if (add_lists(df, &e) < 0)
        fail(df, &e);
    else
        job_run(df->engine, measure, measured, df);
}

void engine_disk_usage(struct engine *e, unsigned types, engine_json_fn *done, void *arg)
{
    struct list_options o = {.all = true, .size = true};
    struct df *df = xcalloc(1, sizeof(*df));

    *df = (struct df){
        .engine = e, .types = types ? types : ~0U, .out = json_object(), .done = done, .arg = arg};
    if (df->types & DF_CONTAINERS)
        engine_container_list(e, &o, with_containers, df);
    else
        with_containers(df, NULL, NULL);
}
