/* What a build makes of an image: the next one with the same layers, and the memory of its steps.
 */
#include <errno.h>

#include "build_rows.h"
#include "digest.h"
#include "image_private.h"
#include "json.h"
#include "log.h"
#include "manifest.h"
#include "platform.h"

static json_t *empty_document(void)
{
    return json_pack("{s:s,s:s,s:{s:s,s:[]}}", "architecture", platform_arch(), "os", "linux",
                     "rootfs", "type", "layers", "diff_ids");
}

static json_t *history_of(const json_t *doc)
{
    json_t *history = json_deep_copy(json_get(doc, "history"));

    if (json_is_array(history))
        return history;
    json_decref(history);
    return json_array();
}

static json_t *make_document(const struct image *parent, const struct image_derive *o)
{
    static const char *const inherited[] = {"architecture", "variant",     "os",
                                            "os.version",   "os.features", "rootfs"};
    _cleanup_json_ json_t *base = parent ? json_incref(parent->config) : empty_document();
    json_t *doc = json_object(), *history = history_of(base), *entry;
    char now[TIME_STR_MAX];

    time_format_nano(time_now_ns(), now);
    for (size_t i = 0; i < ARRAY_SIZE(inherited); i++) {
        json_t *v = json_get(base, inherited[i]);

        if (v)
            json_object_set_new(doc, inherited[i], json_deep_copy(v));
    }
    if (o->created_by) {
        entry = json_pack("{s:s,s:s,s:b}", "created", now, "created_by", o->created_by,
                          "empty_layer", 1);
        if (!str_empty(o->author))
            json_object_set_new(entry, "author", json_string(o->author));
        json_array_append_new(history, entry);
    }
    json_object_set_new(doc, "history", history);
    json_object_set_new(doc, "created", json_string(now));
    json_object_set_new(doc, "config", json_deep_copy(o->config));
    if (!str_empty(o->author))
        json_object_set_new(doc, "author", json_string(o->author));
    return doc;
}

static int put_image(struct images *im, const struct load_image *l, const struct image *parent,
                     struct err *reterr)
{
    struct image_row row = {.id = (char *)l->id,
                            .config = l->config,
                            .config_len = l->config_len,
                            .size = parent ? parent->size : 0,
                            .created = l->created,
                            .loaded = time_now_ns()};
    int r = db_begin(im->db, reterr);

    if (r < 0)
        return r;
    r = db_image_put(im->db, &row, parent ? (const char *const *)parent->chain_ids : NULL,
                     parent ? parent->n_layers : 0, reterr);
    if (r >= 0)
        r = db_parent_put(im->db, l->id, parent ? parent->id : "", true, reterr);
    if (r >= 0)
        r = db_commit(im->db, reterr);
    if (r < 0)
        db_rollback(im->db);
    return r;
}

int images_derive(struct images *im, const struct image_derive *o, char ret_id[ID_LEN + 1],
                  struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *parent = NULL;
    _cleanup_load_plan_ struct load_plan plan = {0};
    _cleanup_json_ json_t *doc = NULL;
    struct load_image *l;
    char *text;
    int r = str_empty(o->parent) ? 0 : images_get(im, o->parent, &parent, reterr);

    if (r < 0)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "image sha256:%s is not here any more",
                       o->parent);
    doc = make_document(parent, o);
    text = json_to_str(doc);
    l = load_plan_add(&plan);
    r = load_image_set_config(l, text, strlen(text), parent ? parent->n_layers : 0, reterr);
    if (r >= 0)
        r = put_image(im, l, parent, reterr);
    if (r >= 0)
        memcpy(ret_id, l->id, ID_LEN + 1);
    return r;
}

/* ---- a step of another image ---- */

static bool same_entry(const json_t *a, const json_t *b)
{
    return streq(json_get_str(a, "created_by", ""), json_get_str(b, "created_by", "")) &&
           json_get_bool(a, "empty_layer", false) == json_get_bool(b, "empty_layer", false);
}

/* Is all that the parent is the beginning of the other? */
static bool begins_with(const struct image *img, const struct image *parent)
{
    const json_t *mine = json_get(img->config, "history"), *entry;
    size_t i;

    if (!parent)
        return true;
    if (parent->n_layers > img->n_layers)
        return false;
    for (i = 0; i < parent->n_layers; i++) {
        if (!streq(parent->chain_ids[i], img->chain_ids[i]))
            return false;
    }
    json_array_foreach (json_get(parent->config, "history"), i, entry) {
        if (i >= json_array_size(mine) || !same_entry(entry, json_array_get(mine, i)))
            return false;
    }
    return true;
}

/* The beginning of the document: so many entries of history, so many layers. */
static json_t *cut_document(const struct image *img, size_t entries, size_t layers,
                            const json_t *config)
{
    json_t *doc = json_deep_copy(img->config);
    json_t *history = json_get(doc, "history");
    json_t *diff_ids = json_get(json_get(doc, "rootfs"), "diff_ids");

    while (json_array_size(history) > entries)
        json_array_remove(history, json_array_size(history) - 1);
    while (json_array_size(diff_ids) > layers)
        json_array_remove(diff_ids, json_array_size(diff_ids) - 1);
    json_object_set_new(doc, "config", json_deep_copy(config));
    return doc;
}

static int64_t size_of(struct images *im, const struct image *img, size_t layers)
{
    int64_t size, sum = 0;

    for (size_t i = 0; i < layers; i++)
        sum += db_layer_get(im->db, img->chain_ids[i], &size, NULL) > 0 ? size : 0;
    return sum;
}

static int put_beginning(struct images *im, const struct image *img, size_t entries, size_t layers,
                         const struct image_derive *o, char ret_id[ID_LEN + 1], struct err *reterr)
{
    _cleanup_load_plan_ struct load_plan plan = {0};
    _cleanup_json_ json_t *doc = cut_document(img, entries, layers, o->config);
    struct load_image *l = load_plan_add(&plan);
    struct image beginning = {
        .chain_ids = img->chain_ids, .n_layers = layers, .size = size_of(im, img, layers)};
    char *text = json_to_str(doc);
    int r = load_image_set_config(l, text, strlen(text), layers, reterr);

    if (r >= 0) {
        snprintf(beginning.id, sizeof(beginning.id), "%s", o->parent ? o->parent : "");
        r = put_image(im, l, &beginning, reterr);
    }
    if (r >= 0)
        memcpy(ret_id, l->id, ID_LEN + 1);
    return r;
}

/* The history does not tell all: of a health check neither how often nor how long. */
static bool same_config(const struct image *img, const json_t *config)
{
    _cleanup_json_ json_t *a = image_config_kept(image_container_config(img)),
                          *b = image_config_kept(config);

    return json_equal(a, b);
}

int images_step_again(struct images *im, const char *source, const struct image_derive *o,
                      char ret_id[ID_LEN + 1], struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *parent = NULL, *img = NULL;
    const json_t *history, *entry;
    size_t entries, layers;
    int r = images_get(im, source, &img, reterr);

    if (r >= 0 && !str_empty(o->parent))
        r = images_get(im, o->parent, &parent, reterr);
    if (r < 0)
        return r;
    history = json_get(img->config, "history");
    entries = parent ? json_array_size(json_get(parent->config, "history")) : 0;
    entry = json_array_get(history, entries);
    if (!entry || !streq(json_get_str(entry, "created_by", ""), o->created_by) ||
        !begins_with(img, parent))
        return 0;
    layers = (parent ? parent->n_layers : 0) + !json_get_bool(entry, "empty_layer", false);
    if (layers > img->n_layers)
        return 0;
    if (entries + 1 == json_array_size(history) && same_config(img, o->config)) {
        memcpy(ret_id, img->id, ID_LEN + 1);
        return 1;
    }
    r = put_beginning(im, img, entries + 1, layers, o, ret_id, reterr);
    return r < 0 ? r : 1;
}

void images_step_done(struct images *im, const char *id, const char *parent, const char *key)
{
    struct err e;

    if ((parent && db_parent_put(im->db, id, parent, true, &e) < 0) ||
        (key && db_build_step_put(im->db, key, id, time_now_ns(), &e) < 0))
        log_warn("image %s: %s", id, e.message);
}

bool images_step_find(struct images *im, const char *key, char ret_id[ID_LEN + 1])
{
    struct err e;

    if (db_build_step_get(im->db, key, ret_id, NULL) <= 0 || db_image_exists(im->db, ret_id) <= 0)
        return false;
    /* What is used goes last when the cache is made smaller. */
    if (db_build_step_put(im->db, key, ret_id, time_now_ns(), &e) < 0)
        log_warn("image %s: %s", ret_id, e.message);
    return true;
}

void images_build_done(struct images *im, const char *id)
{
    char parent[ID_LEN + 1];
    struct err e;

    if (db_image_is_step(im->db, id) && db_parent_get(im->db, id, parent, &e) > 0 &&
        db_parent_put(im->db, id, parent, false, &e) < 0)
        log_warn("image %s: %s", id, e.message);
}

bool images_descends(struct images *im, const char *id, const char *ancestor)
{
    char at[ID_LEN + 1];

    memcpy(at, id, sizeof(at));
    for (int i = 0; i < IMAGE_STEPS_MAX && !streq(at, ancestor); i++) {
        if (db_parent_get(im->db, at, at, NULL) <= 0)
            return false;
    }
    return streq(at, ancestor);
}
