/* docker save: names -> images -> one archive that both kinds of readers take. */
#include "save.h"

#include <errno.h>
#include <stdio.h>

#include "blobs.h"
#include "fd.h"
#include "json.h"
#include "log.h"
#include "map.h"
#include "outgoing.h"
#include "reference.h"
#include "sender.h"

#define SAVE_NAMES_MAX 1024
#define SAVE_IMAGES_MAX 1024
#define BLOB_DIR "blobs/sha256/"
#define LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"

/* ---- which images, under which names ---- */

struct save_image {
    char id[ID_LEN + 1];
    char **tags; /* owned, canonical; NULL: asked for by id only */
    struct outgoing out;
};

struct save {
    struct images *im;
    struct save_image *images; /* owned */
    size_t n;
    struct map seen; /* digest -> itself: what is in the archive */
    struct tarball *tarball;
};

static void save_done(struct save *s)
{
    for (size_t i = 0; i < s->n; i++) {
        strv_free(s->images[i].tags);
        outgoing_done(&s->images[i].out);
    }
    free(s->images);
    map_done(&s->seen);
    tarball_free(s->tarball);
}

static int add_image(struct save *s, const char *id, const char *tag, struct err *reterr)
{
    struct save_image *img = NULL;

    for (size_t i = 0; i < s->n && !img; i++) {
        if (streq(s->images[i].id, id))
            img = &s->images[i];
    }
    if (!img) {
        if (s->n >= SAVE_IMAGES_MAX)
            return err_set(reterr, ERR_INVALID, E2BIG, "more than %d images at once",
                           SAVE_IMAGES_MAX);
        s->images = xrealloc(s->images, (s->n + 1) * sizeof(*s->images));
        img = &s->images[s->n++];
        *img = (struct save_image){0};
        memcpy(img->id, id, ID_LEN + 1);
    }
    for (size_t i = 0; tag && img->tags && img->tags[i]; i++) {
        if (streq(img->tags[i], tag))
            return 0;
    }
    if (tag)
        img->tags = strv_append(img->tags, tag);
    return 0;
}

/* A name without tag or digest stands for all tags of its repository: 1 if there are any. */
static int add_repository(struct save *s, const char *name, struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_(strv_freep) char **tags = NULL;
    _cleanup_free_ char *repository = NULL;
    int r;

    if (reference_image_id(name) || reference_parse(name, &ref, NULL) < 0 || ref.tag || ref.digest)
        return 0;
    repository = reference_repository(&ref);
    r = db_tags_of(s->im->db, repository, &tags, reterr);
    for (size_t i = 0; r >= 0 && tags && tags[i]; i++) {
        char id[ID_LEN + 1];

        r = db_tag_get(s->im->db, tags[i], id, reterr);
        if (r > 0)
            r = add_image(s, id, tags[i], reterr);
    }
    return r < 0 ? r : tags != NULL;
}

static int add_name(struct save *s, const char *name, struct err *reterr)
{
    _cleanup_free_ char *found = NULL;
    char id[ID_LEN + 1];
    int r = add_repository(s, name, reterr);

    if (r != 0)
        return r < 0 ? r : 0;
    r = images_resolve(s->im, name, id, &found, reterr);
    /* A digest is no name that an image can be given. */
    return r < 0 ? r : add_image(s, id, found && !strchr(found, '@') ? found : NULL, reterr);
}

/* ---- documents ---- */

static json_t *blob_name(const char *digest)
{
    return json_sprintf(BLOB_DIR "%s", digest);
}

static json_t *familiar_tags(char *const *tags)
{
    json_t *out = tags ? json_array() : json_null();

    for (size_t i = 0; tags && tags[i]; i++) {
        _cleanup_free_ char *name = reference_familiar_of(tags[i]);

        json_array_append_new(out, json_string(name));
    }
    return out;
}

static json_t *docker_entry(const struct save_image *img)
{
    json_t *layers = json_array();

    for (size_t i = 0; i < img->out.n_layers; i++)
        json_array_append_new(layers, blob_name(img->out.layers[i].digest));
    return json_pack("{s:o,s:o,s:o}", "Config", blob_name(img->id), "RepoTags",
                     familiar_tags(img->tags), "Layers", layers);
}

static json_t *oci_entry(const struct outgoing *out, const char *tag)
{
    json_t *d = json_pack("{s:s,s:o,s:I}", "mediaType", out->media_type, "digest",
                          json_sha256(out->digest), "size", (json_int_t)out->len);

    /* The part behind the last colon: the canonical form always has a tag. */
    if (tag)
        json_object_set_new(d, "annotations",
                            json_pack("{s:s,s:s}", "io.containerd.image.name", tag,
                                      "org.opencontainers.image.ref.name", strrchr(tag, ':') + 1));
    return d;
}

/* {"busybox":{"latest":"<top layer>"}}, for readers from before manifest.json. */
static void add_to_repositories(json_t *repositories, struct images *im,
                                const struct save_image *img, const char *tag)
{
    _cleanup_free_ char *familiar = reference_familiar_of(tag);
    _cleanup_(image_unrefp) struct image *image = NULL;
    char *colon = strrchr(familiar, ':');
    json_t *tags;

    if (!colon || images_get(im, img->id, &image, NULL) < 0 || image->n_layers == 0)
        return;
    *colon = '\0';
    tags = json_object_get(repositories, familiar);
    if (!tags) {
        tags = json_object();
        json_object_set_new(repositories, familiar, tags);
    }
    json_object_set_new(tags, colon + 1, json_string(image->chain_ids[image->n_layers - 1]));
}

static void add_json(struct save *s, const char *name, const json_t *doc)
{
    _cleanup_free_ char *text = json_to_str(doc);

    tarball_add_data(s->tarball, name, text, strlen(text));
}

static void add_documents(struct save *s)
{
    _cleanup_json_ json_t *docker = json_array(), *list = json_array(), *index = NULL,
                          *repositories = json_object();

    for (size_t i = 0; i < s->n; i++) {
        const struct save_image *img = &s->images[i];

        json_array_append_new(docker, docker_entry(img));
        if (!img->tags)
            json_array_append_new(list, oci_entry(&img->out, NULL));
        for (size_t k = 0; img->tags && img->tags[k]; k++) {
            json_array_append_new(list, oci_entry(&img->out, img->tags[k]));
            add_to_repositories(repositories, s->im, img, img->tags[k]);
        }
    }
    index = json_pack("{s:i,s:s,s:O}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX,
                      "manifests", list);
    tarball_add_data(s->tarball, "oci-layout", LAYOUT, strlen(LAYOUT));
    add_json(s, "manifest.json", docker);
    add_json(s, "index.json", index);
    if (json_object_size(repositories))
        add_json(s, "repositories", repositories);
}

/* ---- blobs ---- */

static bool is_new(struct save *s, const char *digest)
{
    if (map_get(&s->seen, digest))
        return false;
    map_put(&s->seen, digest, s);
    return true;
}

static int add_small(struct save *s, const struct save_image *img, struct err *reterr)
{
    _cleanup_image_row_ struct image_row row = {0};
    char name[sizeof(BLOB_DIR) + ID_LEN];
    int r = db_image_get(s->im->db, img->id, &row, reterr);

    if (r < 0)
        return r;
    snprintf(name, sizeof(name), BLOB_DIR "%s", img->id);
    if (is_new(s, img->id))
        tarball_add_data(s->tarball, name, row.config, row.config_len);
    snprintf(name, sizeof(name), BLOB_DIR "%s", img->out.digest);
    if (is_new(s, img->out.digest))
        tarball_add_data(s->tarball, name, img->out.manifest, img->out.len);
    return 0;
}

static int add_layers(struct save *s, const struct outgoing *out, struct err *reterr)
{
    for (size_t i = 0; i < out->n_layers; i++) {
        const struct descriptor *d = &out->layers[i];
        char name[sizeof(BLOB_DIR) + ID_LEN];
        int fd;

        if (!is_new(s, d->digest))
            continue;
        fd = blob_open(s->im->storage, d->digest, NULL, reterr);
        if (fd < 0)
            return fd;
        snprintf(name, sizeof(name), BLOB_DIR "%s", d->digest);
        tarball_add_file(s->tarball, name, fd, d->size);
    }
    return 0;
}

static int build(struct save *s, struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < s->n; i++)
        r = outgoing_choose(s->im, s->images[i].id, &s->images[i].out, reterr);
    if (r < 0)
        return r;
    s->tarball = tarball_new();
    add_documents(s);
    tarball_add_dir(s->tarball, "blobs/");
    tarball_add_dir(s->tarball, BLOB_DIR);
    for (size_t i = 0; r >= 0 && i < s->n; i++)
        r = add_small(s, &s->images[i], reterr);
    for (size_t i = 0; r >= 0 && i < s->n; i++)
        r = add_layers(s, &s->images[i].out, reterr);
    tarball_end(s->tarball);
    return r;
}

static void tell(struct save *s)
{
    for (size_t i = 0; i < s->n; i++) {
        _cleanup_(image_unrefp) struct image *img = NULL;
        _cleanup_free_ char *name = xasprintf(DIGEST_SHA256 "%s", s->images[i].id);

        if (images_get(s->im, s->images[i].id, &img, NULL) >= 0)
            images_emit(s->im, "save", img, name);
    }
}

int images_save(struct images *im, const char *const *names, struct tarball **ret,
                struct err *reterr)
{
    _cleanup_(save_done) struct save s = {.im = im};
    size_t n = strv_len((char *const *)names);
    int r = 0;

    if (im->n_sends >= SENDS_MAX)
        return err_set(reterr, ERR_UNAVAILABLE, EBUSY, "too many archives are on their way");
    if (n == 0 || n > SAVE_NAMES_MAX)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       n ? "too many names" : "no images to save: names is empty");
    for (size_t i = 0; r >= 0 && names[i]; i++)
        r = add_name(&s, names[i], reterr);
    if (r >= 0)
        r = build(&s, reterr);
    if (r < 0)
        return r;
    tell(&s);
    *ret = TAKE_PTR(s.tarball);
    return 0;
}

/* ---- on their way ---- */

struct image_send {
    struct images *im;
    struct image_send *next, **prev_next;
    struct sender *sender;
};

static void sent(void *arg, int status)
{
    struct image_send *s = arg;
    struct images *im = s->im;

    if (status < 0 && status != -EPIPE && status != -ECONNRESET && status != -ECANCELED)
        log_warn("save: %s", err_text(-status));
    *s->prev_next = s->next;
    if (s->next)
        s->next->prev_next = s->prev_next;
    im->n_sends--;
    free(s);
    images_done(im);
}

void images_send(struct images *im, struct tarball *t, int fd, unsigned pace_ms)
{
    struct image_send *s = xcalloc(1, sizeof(*s));

    if (im->closing || im->n_sends >= SENDS_MAX) {
        tarball_free(t);
        fd_close(fd);
        free(s);
        return;
    }
    s->im = im;
    if (sender_start(im->loop, t, fd, pace_ms, sent, s, &s->sender) < 0) {
        free(s);
        return;
    }
    s->next = im->sends;
    s->prev_next = &im->sends;
    if (s->next)
        s->next->prev_next = &s->next;
    im->sends = s;
    im->n_sends++;
    images_begin(im);
}

void image_sends_cancel(struct images *im)
{
    for (struct image_send *s = im->sends; s; s = s->next)
        sender_cancel(s->sender);
}
