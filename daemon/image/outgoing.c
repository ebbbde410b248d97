#include "outgoing.h"

#include <errno.h>
#include <stdio.h>

#include "blobs.h"
#include "json.h"

#define DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar"

void outgoing_done(struct outgoing *out)
{
    free(out->manifest);
    free(out->layers);
    *out = (struct outgoing){0};
}

static const char *diff_id_of(const struct image *img, size_t i)
{
    const json_t *ids = json_get(json_get(img->config, "rootfs"), "diff_ids");
    const char *id = json_string_value(json_array_get(ids, i));

    return id && str_starts(id, DIGEST_SHA256) ? id + strlen(DIGEST_SHA256) : "";
}

/* ---- what it came with ---- */

static bool fits(struct images *im, const struct image *img, const struct registry_manifest *m)
{
    if (m->index || !streq(m->config.digest, img->id) || m->n_layers != img->n_layers)
        return false;
    for (size_t i = 0; i < m->n_layers; i++) {
        if (db_layer_blob_exists(im->db, diff_id_of(img, i), m->layers[i].digest) <= 0 ||
            blob_size(im->storage, m->layers[i].digest) != m->layers[i].size)
            return false;
    }
    return true;
}

/* 1 if it serves. */
static int take_kept(struct images *im, const struct image *img, struct manifest_row *row,
                     struct outgoing *ret)
{
    struct registry_manifest m = {0};
    bool good = registry_manifest_parse(row->body, row->len, row->media_type, &m, NULL) >= 0 &&
                fits(im, img, &m);

    if (good) {
        memcpy(ret->digest, row->digest, sizeof(ret->digest));
        memcpy(ret->media_type, m.media_type, sizeof(ret->media_type));
        ret->manifest = TAKE_PTR(row->body);
        ret->len = row->len;
        ret->config = m.config;
        ret->layers = TAKE_PTR(m.layers);
        ret->n_layers = m.n_layers;
    }
    registry_manifest_done(&m);
    return good;
}

static int find_kept(struct images *im, const struct image *img, struct outgoing *ret,
                     struct err *reterr)
{
    struct manifest_row *rows;
    size_t n;
    int r = db_manifest_list(im->db, img->id, &rows, &n, reterr);

    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = take_kept(im, img, &rows[i], ret);
    manifest_rows_free(rows, n);
    return r;
}

/* ---- one that is made ---- */

/* OCI's names for what Docker's manifests call otherwise. */
static void oci_layer_type(const char *media_type, char ret[MEDIA_TYPE_MAX])
{
    const char *packing = "";

    if (!str_starts(media_type, DOCKER_LAYER)) {
        snprintf(ret, MEDIA_TYPE_MAX, "%s", media_type);
        return;
    }
    if (str_ends(media_type, "gzip"))
        packing = "+gzip";
    else if (str_ends(media_type, "zstd"))
        packing = "+zstd";
    snprintf(ret, MEDIA_TYPE_MAX, MEDIA_LAYER "%s", packing);
}

static int choose_blob(struct images *im, const struct image *img, size_t i, struct descriptor *ret,
                       struct err *reterr)
{
    const char *diff_id = diff_id_of(img, i);
    struct layer_blob *blobs;
    size_t n;
    int r = db_layer_blob_list(im->db, diff_id, &blobs, &n, reterr);

    if (r < 0)
        return r;
    r = -ENODATA;
    for (size_t k = 0; r < 0 && k < n; k++) {
        if (blob_size(im->storage, blobs[k].digest) != blobs[k].size)
            continue;
        memcpy(ret->digest, blobs[k].digest, sizeof(ret->digest));
        oci_layer_type(blobs[k].media_type, ret->media_type);
        ret->size = blobs[k].size;
        r = 0;
    }
    layer_blobs_free(blobs, n);
    if (r < 0)
        return err_set(reterr, ERR_CONFLICT, ENODATA,
                       "layer sha256:%.12s of image %.12s is not kept as it came: load or pull the "
                       "image again",
                       diff_id, img->id);
    return 0;
}

static json_t *descriptor_json(const struct descriptor *d)
{
    return json_pack("{s:s,s:o,s:I}", "mediaType", d->media_type, "digest", json_sha256(d->digest),
                     "size", (json_int_t)d->size);
}

static void write_manifest(struct outgoing *out)
{
    json_t *layers = json_array();
    _cleanup_json_ json_t *doc =
        json_pack("{s:i,s:s,s:o,s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_MANIFEST,
                  "config", descriptor_json(&out->config), "layers", layers);

    for (size_t i = 0; i < out->n_layers; i++)
        json_array_append_new(layers, descriptor_json(&out->layers[i]));
    out->manifest = json_to_str(doc);
    out->len = strlen(out->manifest);
    digest_sha256(out->manifest, out->len, out->digest);
    strcpy(out->media_type, MEDIA_OCI_MANIFEST);
}

static int make(struct images *im, const struct image *img, struct outgoing *ret,
                struct err *reterr)
{
    _cleanup_image_row_ struct image_row row = {0};
    int r = db_image_get(im->db, img->id, &row, reterr);

    if (r < 0)
        return r;
    memcpy(ret->config.digest, img->id, sizeof(ret->config.digest));
    strcpy(ret->config.media_type, MEDIA_OCI_CONFIG);
    ret->config.size = (int64_t)row.config_len;
    ret->layers = xcalloc(img->n_layers + 1, sizeof(*ret->layers));
    for (size_t i = 0; i < img->n_layers; i++) {
        r = choose_blob(im, img, i, &ret->layers[i], reterr);
        if (r < 0)
            return r;
    }
    ret->n_layers = img->n_layers;
    write_manifest(ret);
    return 0;
}

int outgoing_choose(struct images *im, const char *image_id, struct outgoing *ret,
                    struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    _cleanup_outgoing_ struct outgoing out = {0};
    int r = images_get(im, image_id, &img, reterr);

    if (r >= 0)
        r = find_kept(im, img, &out, reterr);
    if (r == 0)
        r = make(im, img, &out, reterr);
    if (r < 0)
        return r;
    *ret = out;
    out = (struct outgoing){0};
    return 0;
}
