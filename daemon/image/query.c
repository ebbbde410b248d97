/* images list, inspect, history: JSON views of the store. */
#include <errno.h>

#include "build_rows.h"
#include "image_filter.h"
#include "image_private.h"
#include "json.h"
#include "platform.h"
#include "reference.h"
#include "str.h"

static const char *const list_keys[] = {"dangling", "label",     "before", "since",
                                        "until",    "reference", NULL};

static json_t *container_count(struct images *im, const struct image *img)
{
    char id[ID_LEN + 1];
    bool running;

    if (!im->hooks.containers)
        return json_integer(-1);
    return json_integer(im->hooks.containers(im->hooks.arg, img->id, id, &running));
}

static json_t *or_null(json_t *v)
{
    return v ? json_incref(v) : json_null();
}

/* "" of one that neither build nor commit made, or whose parent is gone. */
static json_t *parent_of(struct images *im, const struct image *img)
{
    char id[ID_LEN + 1];

    if (db_parent_get(im->db, img->id, id, NULL) <= 0 || db_image_exists(im->db, id) <= 0)
        return json_string("");
    return json_sha256(id);
}

static json_t *list_entry(struct images *im, const struct image *img,
                          const struct image_names *names, bool shared_size)
{
    json_t *o = json_object();
    int64_t shared = shared_size ? db_image_shared_size(im->db, img->id) : -1;

    json_object_set_new(o, "Containers", container_count(im, img));
    json_object_set_new(o, "Created", json_integer(img->created / 1000000000));
    json_object_set_new(o, "Id", json_sha256(img->id));
    json_object_set_new(o, "Labels", or_null(json_get(image_container_config(img), "Labels")));
    json_object_set_new(o, "ParentId", parent_of(im, img));
    json_object_set_new(o, "RepoDigests", json_from_strv(names->digests));
    json_object_set_new(o, "RepoTags", json_from_strv(names->tags));
    json_object_set_new(o, "SharedSize", json_integer(shared));
    json_object_set_new(o, "Size", json_integer(img->size));
    json_object_set_new(o, "VirtualSize", json_integer(img->size));
    return o;
}

/* What builds go through on their way. */
static bool is_intermediate(struct images *im, const char *id, const struct image_names *names)
{
    return !names->tags && !names->digests &&
           (db_image_is_step(im->db, id) || db_image_has_children(im->db, id));
}

static int list_one(struct images *im, const char *id, const struct image_filter *filter,
                    const struct images_list_options *opt, json_t *out, struct err *reterr)
{
    _cleanup_image_names_ struct image_names names = {0}, shown = {0};
    _cleanup_(image_unrefp) struct image *img = NULL;
    int r = images_get(im, id, &img, reterr);

    if (r >= 0)
        r = image_names_load(im, id, &names, reterr);
    if (r >= 0 && !opt->all && is_intermediate(im, id, &names))
        return 0;
    if (r >= 0 && image_filter_match(filter, img, &names, &shown))
        json_array_append_new(out, list_entry(im, img, &shown, opt->shared_size));
    return r;
}

int images_list(struct images *im, const struct images_list_options *opt, json_t **ret,
                struct err *reterr)
{
    _cleanup_image_filter_ struct image_filter filter = {0};
    _cleanup_(strv_freep) char **ids = NULL;
    _cleanup_json_ json_t *out = json_array();
    int r = image_filter_parse(im, opt->filters, list_keys, &filter, reterr);

    if (r >= 0)
        r = db_image_ids(im->db, &ids, reterr);
    for (size_t i = 0; r >= 0 && ids && ids[i]; i++)
        r = list_one(im, ids[i], &filter, opt, out, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(out);
    return 0;
}

int images_usage(struct images *im, struct images_usage *ret, struct err *reterr)
{
    struct store_usage u;
    int r = db_store_usage(im->db, &u, reterr);

    if (r < 0)
        return r;
    *ret = (struct images_usage){.layers = u.layers,
                                 .total = u.layers + u.blobs,
                                 .reclaimable = u.layers - u.layers_held + u.blobs - u.blobs_held};
    return 0;
}

/* ---- inspect ---- */

/* dockerd writes every member of the container config, also those the document leaves out. */
static json_t *full_config(const struct image *img)
{
    static const struct {
        const char *key;
        const char *def; /* JSON */
    } members[] = {
        {"Hostname", "\"\""},     {"Domainname", "\"\""},    {"User", "\"\""},
        {"AttachStdin", "false"}, {"AttachStdout", "false"}, {"AttachStderr", "false"},
        {"Tty", "false"},         {"OpenStdin", "false"},    {"StdinOnce", "false"},
        {"Env", "null"},          {"Cmd", "null"},           {"Image", "\"\""},
        {"Volumes", "null"},      {"WorkingDir", "\"\""},    {"Entrypoint", "null"},
        {"OnBuild", "null"},      {"Labels", "null"},
    };
    json_t *given = image_container_config(img), *out = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        json_object_set_new(out, members[i].key, json_loads(members[i].def, JSON_DECODE_ANY, NULL));
    if (given)
        json_object_update(out, given);
    return out;
}

static json_t *root_fs(const struct image *img)
{
    json_t *diff_ids = json_get(json_get(img->config, "rootfs"), "diff_ids");

    return json_pack("{s:s,s:o}", "Type", "layers", "Layers",
                     diff_ids ? json_incref(diff_ids) : json_array());
}

static void set_time(json_t *o, const char *key, int64_t ns)
{
    char text[TIME_STR_MAX];

    if (ns)
        time_format_nano(ns, text);
    json_object_set_new(o, key, json_string(ns ? text : TIME_ZERO));
}

static const char *comment_of(const struct image *img)
{
    const json_t *history = json_get(img->config, "history");
    const char *comment = json_get_str(img->config, "comment", "");

    if (*comment || json_array_size(history) == 0)
        return comment;
    return json_get_str(json_array_get(history, json_array_size(history) - 1), "comment", "");
}

static void set_text(json_t *o, const char *key, const struct image *img, const char *member)
{
    json_object_set_new(o, key, json_string(json_get_str(img->config, member, "")));
}

static json_t *inspect(struct images *im, const struct image *img, char *const *tags,
                       char *const *digests, int64_t tagged)
{
    json_t *o = json_object(), *metadata = json_object(), *old;

    json_object_set_new(o, "Id", json_sha256(img->id));
    json_object_set_new(o, "RepoTags", json_from_strv(tags));
    json_object_set_new(o, "RepoDigests", json_from_strv(digests));
    json_object_set_new(o, "Parent", parent_of(im, img));
    json_object_set_new(o, "Comment", json_string(comment_of(img)));
    set_time(o, "Created", img->created);
    old = json_get(img->config, "container_config");
    json_object_set_new(o, "ContainerConfig", old ? json_incref(old) : full_config(img));
    set_text(o, "DockerVersion", img, "docker_version");
    set_text(o, "Author", img, "author");
    json_object_set_new(o, "Config", full_config(img));
    set_text(o, "Architecture", img, "architecture");
    if (json_get(img->config, "variant"))
        set_text(o, "Variant", img, "variant");
    set_text(o, "Os", img, "os");
    json_object_set_new(o, "Size", json_integer(img->size));
    json_object_set_new(o, "VirtualSize", json_integer(img->size));
    json_object_set_new(
        o, "GraphDriver",
        storage_graph_data(im->storage, NULL, (const char *const *)img->chain_ids, img->n_layers));
    json_object_set_new(o, "RootFS", root_fs(img));
    set_time(metadata, "LastTagTime", tagged);
    json_object_set_new(o, "Metadata", metadata);
    return o;
}

int images_inspect(struct images *im, const char *name, json_t **ret, struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    _cleanup_(strv_freep) char **tags = NULL, **digests = NULL, **canonical = NULL;
    int64_t tagged = 0;
    int r = images_lookup(im, name, &img, reterr);

    if (r >= 0)
        r = db_tag_list(im->db, img->id, &canonical, &tagged, reterr);
    if (r < 0)
        return r;
    tags = images_tags(im, img->id);
    digests = images_digests(im, img->id);
    *ret = inspect(im, img, tags, digests, tagged);
    return 0;
}

/* ---- history ---- */

/* One entry per layer, for configs that tell no history. */
static json_t *made_up_history(const struct image *img)
{
    json_t *list = json_array();

    for (size_t i = 0; i < img->n_layers; i++)
        json_array_append_new(list, json_object());
    return list;
}

static json_t *history_entry(const struct image *img, const json_t *from, int64_t size)
{
    int64_t created = 0;
    json_t *o = json_object();

    if (time_parse(json_get_str(from, "created", ""), &created) < 0)
        created = img->created;
    json_object_set_new(o, "Id", json_string("<missing>"));
    json_object_set_new(o, "Created", json_integer(created / 1000000000));
    json_object_set_new(o, "CreatedBy", json_string(json_get_str(from, "created_by", "")));
    json_object_set_new(o, "Tags", json_null());
    json_object_set_new(o, "Size", json_integer(size));
    json_object_set_new(o, "Comment", json_string(json_get_str(from, "comment", "")));
    return o;
}

/* The entries from the top down are the image, its parent, that one's parent ... as far as those
 * are known: as dockerd has it, whether or not each of them added just one entry. */
static void name_entries(struct images *im, const struct image *img, json_t *list)
{
    char id[ID_LEN + 1], parent[ID_LEN + 1];
    json_t *entry;
    size_t i;

    memcpy(id, img->id, sizeof(id));
    json_array_foreach (list, i, entry) {
        _cleanup_(strv_freep) char **tags = images_tags(im, id);

        json_object_set_new(entry, "Id", json_sha256(id));
        json_object_set_new(entry, "Tags", tags ? json_from_strv(tags) : json_null());
        if (db_parent_get(im->db, id, parent, NULL) <= 0 || db_image_exists(im->db, parent) <= 0)
            break;
        memcpy(id, parent, sizeof(id));
    }
}

int images_check_platform(struct images *im, const char *name, const char *platform,
                          struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    struct platform want;
    int r;

    if (str_empty(platform))
        return 0;
    r = platform_parse(platform, &want, reterr);
    if (r >= 0)
        r = images_lookup(im, name, &img, reterr);
    return r < 0 ? r : platform_check(&want, img->config, name, reterr);
}

int images_history(struct images *im, const char *name, json_t **ret, struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    _cleanup_json_ json_t *list = NULL;
    json_t *out, *item;
    size_t i, layer = 0;
    int r = images_lookup(im, name, &img, reterr);

    if (r < 0)
        return r;
    list = json_get(img->config, "history");
    list = json_array_size(list) > 0 ? json_incref(list) : made_up_history(img);
    out = json_array();
    json_array_foreach (list, i, item) {
        int64_t size = 0;

        if (!json_get_bool(item, "empty_layer", false) && layer < img->n_layers)
            db_layer_get(im->db, img->chain_ids[layer++], &size, NULL);
        json_array_insert_new(out, 0, history_entry(img, item, size));
    }
    name_entries(im, img, out);
    *ret = out;
    return 0;
}
