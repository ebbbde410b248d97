#include "manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "digest.h"
#include "fd.h"
#include "gotypes.h"
#include "image_private.h"
#include "json.h"
#include "path.h"
#include "platform.h"
#include "reference.h"

void load_plan_done(struct load_plan *plan)
{
    for (size_t i = 0; i < plan->n_images; i++) {
        struct load_image *img = &plan->images[i];

        for (size_t k = 0; k < img->n_layers; k++)
            free(img->layers[k].blob);
        free(img->layers);
        free(img->config);
        strv_free(img->tags);
        manifest_rows_free(img->manifests, img->n_manifests);
        free(img->repository);
    }
    free(plan->images);
    *plan = (struct load_plan){0};
}

struct load_image *load_plan_add(struct load_plan *plan)
{
    plan->images = xrealloc(plan->images, (plan->n_images + 1) * sizeof(*plan->images));
    plan->images[plan->n_images] = (struct load_image){0};
    return &plan->images[plan->n_images++];
}

void load_image_add_manifest(struct load_image *img, const char *digest, const char *media_type,
                             const char *body, size_t len)
{
    struct manifest_row *m;

    img->manifests = xrealloc(img->manifests, (img->n_manifests + 1) * sizeof(*m));
    m = &img->manifests[img->n_manifests++];
    *m = (struct manifest_row){
        .media_type = xstrdup(media_type), .body = xmalloc(len + 1), .len = len};
    memcpy(m->digest, digest, sizeof(m->digest));
    memcpy(m->body, body, len);
    m->body[len] = '\0';
}

static int bad(struct err *reterr, const char *what)
{
    return err_set(reterr, ERR_INVALID, EBADMSG, "invalid image archive: %s", what);
}

/* A regular file of the archive; the worker makes no other kind, RESOLVE_IN_ROOT is the belt. */
static ssize_t read_member(int dirfd, const char *name, size_t max, char **ret)
{
    _cleanup_close_ int fd = path_open_in_root(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    _cleanup_free_ char *data = NULL;
    struct stat sb;
    int r;

    if (fd < 0)
        return fd;
    if (fstat(fd, &sb) < 0)
        return -errno;
    if (!S_ISREG(sb.st_mode))
        return -EINVAL;
    if (sb.st_size > (off_t)max)
        return -EFBIG;
    data = xmalloc((size_t)sb.st_size + 1);
    r = fd_read_exact(fd, data, (size_t)sb.st_size);
    if (r < 0)
        return r;
    data[sb.st_size] = '\0';
    *ret = TAKE_PTR(data);
    return (ssize_t)sb.st_size;
}

/* ret_text (may be NULL): its bytes, a NUL behind them; the caller frees. */
static int read_json(int dirfd, const char *name, json_t **ret, char **ret_text, size_t *ret_len,
                     struct err *reterr)
{
    _cleanup_free_ char *text = NULL;
    ssize_t n = read_member(dirfd, name, MANIFEST_SIZE_MAX, &text);
    json_error_t e;

    if (n < 0)
        return err_set(reterr, ERR_INVALID, (int)-n, "invalid image archive: %s: %s", name,
                       err_text((int)-n));
    *ret = json_loadb(text, (size_t)n, 0, &e);
    if (!*ret)
        return err_set(reterr, ERR_INVALID, EBADMSG, "invalid image archive: %s: %s", name, e.text);
    if (ret_text) {
        *ret_text = TAKE_PTR(text);
        *ret_len = (size_t)n;
    }
    return 0;
}

static int set_layers(struct load_image *img, const json_t *diff_ids, struct err *reterr)
{
    const json_t *item;
    size_t i;

    img->layers = xcalloc(json_array_size(diff_ids) + 1, sizeof(*img->layers));
    json_array_foreach (diff_ids, i, item) {
        const char *id = json_is_string(item) ? json_string_value(item) : "";
        struct load_layer *l = &img->layers[i];

        if (!reference_digest_valid(id))
            return bad(reterr, "a diff id of the config is no sha256 digest");
        memcpy(l->diff_id, id + strlen(DIGEST_SHA256), ID_LEN + 1);
        digest_chain_id(i > 0 ? img->layers[i - 1].chain_id : NULL, l->diff_id, l->chain_id);
        img->n_layers = i + 1;
    }
    return 0;
}

/* What lists of images tell everybody: one image of other types must not make them unreadable. */
static const struct go_field history_fields[] = {
    {"created", GO_TEXT, "time.Time", NULL}, {"created_by", GO_TEXT, "string", NULL},
    {"author", GO_TEXT, "string", NULL},     {"comment", GO_TEXT, "string", NULL},
    {"empty_layer", GO_BOOL, "bool", NULL},  GO_END,
};

static const struct go_field image_fields[] = {
    {"config", GO_OBJECT, "container.Config", go_container_config},
    {"author", GO_TEXT, "string", NULL},
    {"created", GO_TEXT, "time.Time", NULL},
    {"architecture", GO_STRING, "string", NULL},
    {"variant", GO_STRING, "string", NULL},
    {"os", GO_STRING, "string", NULL},
    {"os.version", GO_STRING, "string", NULL},
    {"os.features", GO_STRINGS, "[]string", NULL},
    {"history", GO_OBJECTS, "[]image.History", history_fields},
    {"container", GO_STRING, "string", NULL},
    {"docker_version", GO_STRING, "string", NULL},
    GO_END,
};

int load_image_set_config(struct load_image *img, char *config, size_t len, size_t n_blobs,
                          struct err *reterr)
{
    static const struct go_limits max = {CONFIG_SIZE_MAX, CONFIG_SIZE_MAX};
    _cleanup_json_ json_t *doc = json_loadb(config, len, JSON_ALLOW_NUL, NULL);
    const json_t *diff_ids = json_get(json_get(doc, "rootfs"), "diff_ids");
    const char *created = json_get_str(doc, "created", "");

    img->config = config;
    img->config_len = len;
    if (!json_is_object(doc))
        return bad(reterr, "the image config is no JSON object");
    if (go_types_check(doc, image_fields, "Image", &max, reterr) < 0)
        return err_wrap(reterr, "invalid image config");
    if (json_array_size(diff_ids) != n_blobs)
        return bad(reterr, "layers and diff ids differ in number");
    if (n_blobs > IMAGE_LAYERS_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG, "max depth exceeded: more than %d layers",
                       IMAGE_LAYERS_MAX);
    if (time_parse(created, &img->created) < 0 || img->created == INT64_MIN ||
        img->created == INT64_MAX)
        img->created = 0;
    digest_sha256(config, len, img->id);
    return set_layers(img, diff_ids, reterr);
}

static int read_config(int dirfd, const char *name, struct load_image *img, size_t n_blobs,
                       struct err *reterr)
{
    char *text;
    ssize_t n = read_member(dirfd, name, CONFIG_SIZE_MAX, &text);

    if (n < 0)
        return err_set(reterr, ERR_INVALID, (int)-n, "invalid image archive: config %s: %s", name,
                       err_text((int)-n));
    return load_image_set_config(img, text, (size_t)n, n_blobs, reterr);
}

static int add_tag(struct load_image *img, const char *name, struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_free_ char *canonical = NULL;

    if (reference_parse(name, &ref, reterr) < 0 || reference_check_tag(&ref, reterr) < 0)
        return err_wrap(reterr, "tag \"%.128s\"", name);
    if (strv_len(img->tags) >= MANIFEST_TAGS_MAX)
        return bad(reterr, "too many tags");
    if (ref.digest)
        return 0;
    reference_tag_default(&ref);
    canonical = reference_canonical(&ref);
    img->tags = strv_append(img->tags, canonical);
    return 0;
}

/* ---- docker-archive ---- */

static int read_docker_image(int dirfd, const json_t *entry, struct load_plan *plan,
                             struct err *reterr)
{
    const json_t *layers = json_get(entry, "Layers"), *tags = json_get(entry, "RepoTags"), *item;
    const char *config = json_get_str(entry, "Config", NULL);
    struct load_image *img = load_plan_add(plan);
    size_t i;
    int r;

    if (!config || (layers && !json_is_array(layers)))
        return bad(reterr, "manifest.json has an entry without Config or Layers");
    r = read_config(dirfd, config, img, json_array_size(layers), reterr);
    if (r < 0)
        return r;
    json_array_foreach (layers, i, item) {
        if (!json_is_string(item))
            return bad(reterr, "manifest.json names a layer that is no string");
        img->layers[i].blob = xstrdup(json_string_value(item));
    }
    json_array_foreach (tags, i, item) {
        r = json_is_string(item) ? add_tag(img, json_string_value(item), reterr)
                                 : bad(reterr, "manifest.json has a tag that is no string");
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_docker(int dirfd, struct load_plan *plan, struct err *reterr)
{
    _cleanup_json_ json_t *list = NULL;
    const json_t *entry;
    size_t i;
    int r = read_json(dirfd, "manifest.json", &list, NULL, NULL, reterr);

    if (r < 0)
        return r;
    if (!json_is_array(list) || json_array_size(list) > MANIFEST_IMAGES_MAX)
        return bad(reterr, "manifest.json is no list of images");
    json_array_foreach (list, i, entry) {
        r = read_docker_image(dirfd, entry, plan, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- OCI layout ---- */

static char *blob_path(const json_t *descriptor)
{
    const char *digest = json_get_str(descriptor, "digest", "");

    return reference_digest_valid(digest)
               ? xasprintf("blobs/sha256/%s", digest + strlen(DIGEST_SHA256))
               : NULL;
}

static int add_annotated_tag(struct load_image *img, const json_t *descriptor, struct err *reterr)
{
    const json_t *notes = json_get(descriptor, "annotations");
    const char *name = json_get_str(notes, "io.containerd.image.name", NULL);

    if (!name) {
        name = json_get_str(notes, "org.opencontainers.image.ref.name", NULL);
        /* A bare tag ("latest") names no repository. */
        if (!name || !strpbrk(name, ":/"))
            return 0;
    }
    return add_tag(img, name, reterr);
}

/* What the layer's bytes must be, and what to call them. */
static void expect_blob(struct load_layer *l, const json_t *descriptor)
{
    const char *digest = json_get_str(descriptor, "digest", "");

    memcpy(l->kept.digest, digest + strlen(DIGEST_SHA256), ID_LEN + 1);
    snprintf(l->kept.media_type, sizeof(l->kept.media_type), "%s",
             json_get_str(descriptor, "mediaType", ""));
}

static int read_oci_manifest(int dirfd, const json_t *manifest, const json_t *descriptor,
                             struct load_plan *plan, struct err *reterr)
{
    const json_t *layers = json_get(manifest, "layers"), *item;
    _cleanup_free_ char *config = blob_path(json_get(manifest, "config"));
    struct load_image *img = load_plan_add(plan);
    size_t i;
    int r;

    if (!config || !json_is_array(layers))
        return bad(reterr, "a manifest without config or layers");
    r = read_config(dirfd, config, img, json_array_size(layers), reterr);
    if (r < 0)
        return r;
    json_array_foreach (layers, i, item) {
        img->layers[i].blob = blob_path(item);
        if (!img->layers[i].blob)
            return bad(reterr, "a layer without sha256 digest");
        expect_blob(&img->layers[i], item);
    }
    return add_annotated_tag(img, descriptor, reterr);
}

static bool is_for_here(const json_t *descriptor)
{
    const json_t *platform = json_get(descriptor, "platform");

    return !platform || (streq(json_get_str(platform, "os", "linux"), "linux") &&
                         streq(json_get_str(platform, "architecture", ""), platform_arch()));
}

static int read_index(int dirfd, const json_t *index, const json_t *named, unsigned depth,
                      struct load_plan *plan, struct err *reterr);

static int read_descriptor(int dirfd, const json_t *descriptor, const json_t *named, unsigned depth,
                           struct load_plan *plan, struct err *reterr)
{
    _cleanup_free_ char *path = blob_path(descriptor), *text = NULL;
    _cleanup_json_ json_t *doc = NULL;
    char digest[ID_LEN + 1];
    size_t len;
    int r;

    if (!path)
        return bad(reterr, "index.json names a manifest without sha256 digest");
    r = read_json(dirfd, path, &doc, &text, &len, reterr);
    if (r < 0)
        return r;
    digest_sha256(text, len, digest);
    if (!str_ends(path, digest))
        return bad(reterr, "a manifest has not the digest that it goes by");
    /* A document that is both is an attack on whoever reads it second (CVE-2021-41190). */
    if (json_get(doc, "manifests") && (json_get(doc, "layers") || json_get(doc, "config")))
        return bad(reterr, "a document is both index and manifest");
    if (json_get(doc, "manifests"))
        return read_index(dirfd, doc, named, depth + 1, plan, reterr);
    r = read_oci_manifest(dirfd, doc, named, plan, reterr);
    if (r >= 0)
        load_image_add_manifest(&plan->images[plan->n_images - 1], digest,
                                json_get_str(doc, "mediaType", MEDIA_OCI_MANIFEST), text, len);
    return r;
}

/* named: the descriptor whose annotations name the image; NULL at the top, where each names its
 * own. */
static int read_index(int dirfd, const json_t *index, const json_t *named, unsigned depth,
                      struct load_plan *plan, struct err *reterr)
{
    const json_t *list = json_get(index, "manifests"), *d;
    size_t i, before = plan->n_images;
    int r;

    if (!json_is_array(list) || json_array_size(list) > MANIFEST_IMAGES_MAX ||
        depth > MANIFEST_INDEX_DEPTH)
        return bad(reterr, "an index is malformed, too long or too deep");
    json_array_foreach (list, i, d) {
        if (plan->n_images >= MANIFEST_IMAGES_MAX)
            return bad(reterr, "too many images");
        if (!is_for_here(d))
            continue;
        r = read_descriptor(dirfd, d, named ? named : d, depth, plan, reterr);
        if (r < 0)
            return r;
        if (named)
            return 0; /* one image of a multi-platform index */
    }
    if (plan->n_images == before && json_array_size(list) > 0)
        return err_set(reterr, ERR_INVALID, ENOENT, "no image in the archive is for linux/%s",
                       platform_arch());
    return 0;
}

static int read_oci(int dirfd, struct load_plan *plan, struct err *reterr)
{
    _cleanup_json_ json_t *index = NULL;
    int r = read_json(dirfd, "index.json", &index, NULL, NULL, reterr);

    return r < 0 ? r : read_index(dirfd, index, NULL, 0, plan, reterr);
}

static bool has_member(int dirfd, const char *name)
{
    _cleanup_close_ int fd = path_open_in_root(dirfd, name, O_PATH | O_NOFOLLOW, 0);

    return fd >= 0;
}

static struct load_image *find_image(struct load_plan *plan, const char *id)
{
    for (size_t i = 0; i < plan->n_images; i++) {
        if (streq(plan->images[i].id, id))
            return &plan->images[i];
    }
    return NULL;
}

/* An archive that is docker-archive and OCI layout at once (docker save since 25): what the layout
 * knows besides.  The manifest.json has been found good already, so nothing here is an error. */
static void add_manifests(int dirfd, struct load_plan *plan)
{
    _cleanup_load_plan_ struct load_plan oci = {0};

    if (!has_member(dirfd, "index.json") || read_oci(dirfd, &oci, NULL) < 0)
        return;
    for (size_t i = 0; i < oci.n_images; i++) {
        struct load_image *from = &oci.images[i], *to = find_image(plan, from->id);

        if (!to || to->n_manifests > 0)
            continue;
        to->manifests = TAKE_PTR(from->manifests);
        to->n_manifests = from->n_manifests;
        from->n_manifests = 0;
        for (size_t k = 0; k < to->n_layers; k++) {
            if (str_ends(to->layers[k].blob, from->layers[k].kept.digest))
                to->layers[k].kept = from->layers[k].kept;
        }
    }
}

int load_plan_read(int dirfd, struct load_plan *ret, struct err *reterr)
{
    if (has_member(dirfd, "manifest.json")) {
        int r = read_docker(dirfd, ret, reterr);

        if (r >= 0)
            add_manifests(dirfd, ret);
        return r;
    }
    if (has_member(dirfd, "index.json"))
        return read_oci(dirfd, ret, reterr);
    return bad(reterr, "neither manifest.json nor index.json is in it");
}
