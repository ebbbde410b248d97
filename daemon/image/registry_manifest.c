#include "registry_manifest.h"

#include <errno.h>
#include <string.h>

#include "digest.h"
#include "json.h"
#include "manifest.h"
#include "reference.h"

enum kind { KIND_UNKNOWN, KIND_IMAGE, KIND_INDEX, KIND_SCHEMA1 };

static const struct {
    const char *media_type;
    enum kind kind;
} kinds[] = {
    {MEDIA_DOCKER_MANIFEST, KIND_IMAGE},
    {MEDIA_OCI_MANIFEST, KIND_IMAGE},
    {MEDIA_DOCKER_LIST, KIND_INDEX},
    {MEDIA_OCI_INDEX, KIND_INDEX},
    {"application/vnd.docker.distribution.manifest.v1+prettyjws", KIND_SCHEMA1},
    {"application/vnd.docker.distribution.manifest.v1+json", KIND_SCHEMA1},
};

static const char *const layer_types[] = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
};

static const char *const config_types[] = {
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.config.v1+json",
};

void registry_manifest_done(struct registry_manifest *m)
{
    json_decref(m->index);
    free(m->layers);
    *m = (struct registry_manifest){0};
}

static int bad(struct err *reterr, const char *what)
{
    return err_set(reterr, ERR_INVALID, EBADMSG, "invalid manifest: %s", what);
}

static bool is_one_of(const char *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (streq(s, list[i]))
            return true;
    }
    return false;
}

/* Visible ASCII: it is shown in messages, and sent on in headers. */
static bool is_media_type(const char *s)
{
    size_t n = 0;

    while (s[n] > ' ' && s[n] < 0x7f)
        n++;
    return s[n] == '\0' && n < MEDIA_TYPE_MAX;
}

static int read_descriptor(const json_t *obj, struct descriptor *ret, struct err *reterr)
{
    const char *digest = json_get_str(obj, "digest", ""),
               *type = json_get_str(obj, "mediaType", "");
    int64_t size = json_get_int(obj, "size", -1);

    if (!reference_digest_valid(digest))
        return bad(reterr, "a descriptor without sha256 digest");
    if (size < 0 || size > BLOB_SIZE_MAX || !is_media_type(type))
        return bad(reterr, "a descriptor without a proper size or media type");
    memcpy(ret->digest, digest + strlen(DIGEST_SHA256), ID_LEN + 1);
    strcpy(ret->media_type, type);
    ret->size = size;
    return 0;
}

/* ---- images ---- */

static int check_layer(const json_t *obj, const struct descriptor *d, struct err *reterr)
{
    if (strstr(d->media_type, "foreign") || strstr(d->media_type, "nondistributable") ||
        json_array_size(json_get(obj, "urls")) > 0)
        return err_set(reterr, ERR_INVALID, ENOTSUP,
                       "layer sha256:%.12s is a foreign layer (%s): it is not kept by registries "
                       "and cannot be pulled",
                       d->digest, d->media_type);
    if (!is_one_of(d->media_type, layer_types, ARRAY_SIZE(layer_types)))
        return err_set(reterr, ERR_INVALID, ENOTSUP,
                       "layer sha256:%.12s is of a kind that is not supported: %s", d->digest,
                       d->media_type);
    return 0;
}

static int read_image(const json_t *doc, bool any, struct registry_manifest *m, struct err *reterr)
{
    const json_t *layers = json_get(doc, "layers"), *item;
    size_t i;
    int r = read_descriptor(json_get(doc, "config"), &m->config, reterr);

    if (r < 0)
        return r;
    if (!any && !is_one_of(m->config.media_type, config_types, ARRAY_SIZE(config_types)))
        return err_set(reterr, ERR_INVALID, ENOTSUP,
                       "this is no image: encountered remote \"%s\" when fetching",
                       m->config.media_type);
    if (m->config.size > CONFIG_SIZE_MAX)
        return bad(reterr, "the image config is too long");
    if (!json_is_array(layers) || json_array_size(layers) > MANIFEST_LAYERS_MAX)
        return bad(reterr, "it has no list of layers, or one that is too long");
    m->layers = xcalloc(json_array_size(layers) + 1, sizeof(*m->layers));
    json_array_foreach (layers, i, item) {
        r = read_descriptor(item, &m->layers[i], reterr);
        if (r >= 0 && !any)
            r = check_layer(item, &m->layers[i], reterr);
        if (r < 0)
            return r;
        m->n_layers = i + 1;
    }
    return 0;
}

/* ---- what it is ---- */

static enum kind kind_of(const char *media_type)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (streq(kinds[i].media_type, media_type))
            return kinds[i].kind;
    }
    return KIND_UNKNOWN;
}

/* Without parameters ("; charset=utf-8"). */
static void plain_type(const char *content_type, char ret[MEDIA_TYPE_MAX])
{
    size_t n = strcspn(content_type ? content_type : "", "; \t");

    n = n < MEDIA_TYPE_MAX ? n : 0;
    memcpy(ret, content_type ? content_type : "", n);
    ret[n] = '\0';
}

static enum kind guess(const json_t *doc, char ret_type[MEDIA_TYPE_MAX])
{
    if (json_get_int(doc, "schemaVersion", 0) == 1)
        return KIND_SCHEMA1;
    strcpy(ret_type, json_get(doc, "manifests") ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST);
    return json_get(doc, "manifests") ? KIND_INDEX
           : json_get(doc, "layers")  ? KIND_IMAGE
                                      : KIND_UNKNOWN;
}

static int parse(const char *body, size_t len, const char *content_type, bool any,
                 struct registry_manifest *ret, struct err *reterr)
{
    _cleanup_json_ json_t *doc = json_loadb(body, len, 0, NULL);
    _cleanup_(registry_manifest_done) struct registry_manifest m = {0};
    const char *own = json_get_str(doc, "mediaType", "");
    enum kind kind;
    int r = 0;

    if (!json_is_object(doc))
        return bad(reterr, "it is no JSON object");
    /* A document that is both is an attack on whoever reads it second (CVE-2021-41190). */
    if (json_get(doc, "manifests") && (json_get(doc, "layers") || json_get(doc, "config")))
        return bad(reterr, "a document is both index and manifest");
    plain_type(content_type, m.media_type);
    if (*own && kind_of(m.media_type) != KIND_UNKNOWN && !streq(own, m.media_type))
        return bad(reterr, "its media type is not the one it was served as");
    if (*own && is_media_type(own))
        strcpy(m.media_type, own);
    kind = kind_of(m.media_type);
    if (kind == KIND_UNKNOWN)
        kind = guess(doc, m.media_type);
    if (kind == KIND_SCHEMA1)
        return err_set(
            reterr, ERR_INVALID, ENOTSUP,
            "the image has a manifest of schema 1, which is no longer supported: it must "
            "be pushed again by a newer tool");
    if (kind == KIND_INDEX && json_is_array(json_get(doc, "manifests")))
        m.index = json_incref(doc);
    else if (kind == KIND_IMAGE)
        r = read_image(doc, any, &m, reterr);
    else
        r = bad(reterr, "it is neither an image nor a list of images");
    if (r < 0)
        return r;
    *ret = m;
    m = (struct registry_manifest){0};
    return 0;
}

int registry_manifest_parse(const char *body, size_t len, const char *content_type,
                            struct registry_manifest *ret, struct err *reterr)
{
    return parse(body, len, content_type, false, ret, reterr);
}

int registry_manifest_parse_any(const char *body, size_t len, const char *content_type,
                                struct registry_manifest *ret, struct err *reterr)
{
    return parse(body, len, content_type, true, ret, reterr);
}

int registry_manifest_choose(const struct registry_manifest *index, const struct platform *want,
                             struct descriptor *ret, struct err *reterr)
{
    const json_t *list = json_get(index->index, "manifests"), *item, *best = NULL;
    _cleanup_free_ char *text = platform_format(want);
    int score = 0;
    size_t i;

    if (json_array_size(list) > MANIFEST_IMAGES_MAX)
        return bad(reterr, "the list of images is too long");
    json_array_foreach (list, i, item) {
        const json_t *platform = json_get(item, "platform");
        int s = platform ? platform_score(want, platform) : json_array_size(list) == 1 ? 1 : 0;

        if (s > score) {
            score = s;
            best = item;
        }
    }
    if (!best)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT,
                       "no matching manifest for %s in the manifest list entries", text);
    return read_descriptor(best, ret, reterr);
}
