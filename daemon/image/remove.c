/* Tagging, untagging, deleting, pruning. */
#include <errno.h>

#include "blobs.h"
#include "build_rows.h"
#include "fetch.h"
#include "image_filter.h"
#include "image_job.h"
#include "json.h"
#include "log.h"
#include "reference.h"

#define SHORT 12

static const char *const prune_keys[] = {"dangling", "until", "label", "label!", NULL};

int images_tag(struct images *im, const char *name, const char *repo, const char *tag,
               struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_free_ char *canonical = NULL, *familiar = NULL;
    int r = reference_parse_repo_tag(repo ? repo : "", tag, &ref, reterr);

    if (r >= 0)
        r = images_lookup(im, name, &img, reterr);
    if (r < 0)
        return r;
    canonical = reference_canonical(&ref);
    r = db_tag_put(im->db, canonical, img->id, time_now_ns(), NULL, reterr);
    if (r < 0)
        return r;
    familiar = reference_familiar(&ref);
    images_emit(im, "tag", img, familiar);
    return 0;
}

/* ---- one removal ---- */

struct removal {
    struct images *im;
    struct image *img;        /* borrowed */
    struct image_names names; /* owned; what the image has before */
    size_t n_tags, n_digests;
    int containers;
    bool running;
    char container[ID_LEN + 1];
    json_t *out; /* borrowed: the reply */
};

static int removal_init(struct removal *rm, struct images *im, struct image *img, json_t *out,
                        struct err *reterr)
{
    int r;

    *rm = (struct removal){.im = im, .img = img, .out = out};
    r = image_names_load(im, img->id, &rm->names, reterr);
    if (r < 0) {
        image_names_done(&rm->names);
        return r;
    }
    rm->n_tags = strv_len(rm->names.tags);
    rm->n_digests = strv_len(rm->names.digests);
    if (im->hooks.containers)
        rm->containers = im->hooks.containers(im->hooks.arg, img->id, rm->container, &rm->running);
    return 0;
}

static void removal_done(struct removal *rm)
{
    image_names_done(&rm->names);
}

/* Name without tag and digest; the caller frees. */
static char *repository_of(const char *canonical)
{
    const char *at = strchr(canonical, '@'), *slash = strrchr(canonical, '/');
    const char *colon = at ? NULL : strchr(slash ? slash : canonical, ':');
    const char *end = at ? at : colon;

    return end ? xstrndup(canonical, (size_t)(end - canonical)) : xstrdup(canonical);
}

static bool same_repository(const char *a, const char *b)
{
    _cleanup_free_ char *ra = repository_of(a), *rb = repository_of(b);

    return streq(ra, rb);
}

/* One name, a tag or a digest. */
static int untag(struct removal *rm, const char *canonical, struct err *reterr)
{
    _cleanup_free_ char *familiar = reference_familiar_of(canonical);
    _cleanup_free_ char *repository = repository_of(canonical);
    const char *at = strchr(canonical, '@');
    int r = at ? db_repo_digest_delete(rm->im->db, rm->img->id, repository,
                                       at + 1 + strlen(DIGEST_SHA256), reterr)
               : db_tag_delete(rm->im->db, canonical, reterr);

    if (r < 0)
        return r;
    json_array_append_new(rm->out, json_pack("{s:s}", "Untagged", familiar));
    images_emit(rm->im, "untag", rm->img, familiar);
    return 0;
}

/* The last tag of a repository takes its digests along, as with dockerd. */
static int untag_digests(struct removal *rm, const char *tag, size_t *left, struct err *reterr)
{
    char **tags = rm->names.tags, **digests = rm->names.digests;
    int r = 0;

    for (size_t i = 0; tags && tags[i]; i++) {
        if (!streq(tags[i], tag) && same_repository(tags[i], tag))
            return 0;
    }
    for (size_t i = 0; r >= 0 && digests && digests[i]; i++) {
        if (same_repository(digests[i], tag)) {
            r = untag(rm, digests[i], reterr);
            --*left;
        }
    }
    return r;
}

/* Rows only; the layers follow in images_collect(). */
static int delete_image(struct removal *rm, struct err *reterr)
{
    _cleanup_free_ char *name = xasprintf(DIGEST_SHA256 "%s", rm->img->id);
    int r = db_image_delete(rm->im->db, rm->img->id, reterr);

    if (r < 0)
        return r;
    json_array_append_new(rm->out, json_pack("{s:s}", "Deleted", name));
    images_forget(rm->im, rm->img->id);
    images_emit(rm->im, "delete", rm->img, name);
    return 0;
}

static int conflict_delete(const struct removal *rm, const char *how, const char *why,
                           struct err *reterr)
{
    return err_set(reterr, ERR_CONFLICT, EBUSY,
                   "conflict: unable to delete %.*s (%s) - image is %s%.*s", SHORT, rm->img->id,
                   how, why, SHORT, rm->container);
}

/* Would the image be without a name when this one is gone? */
static bool is_last_name(const struct removal *rm, const char *name)
{
    char **digests = rm->names.digests;

    if (rm->n_tags > 1 || (rm->n_tags == 1 && strchr(name, '@')))
        return false;
    for (size_t i = 0; digests && digests[i]; i++) {
        if (!streq(digests[i], name) && (strchr(name, '@') || !same_repository(digests[i], name)))
            return false;
    }
    return true;
}

/* asked: the name as the client wrote it. */
static int remove_by_name(struct removal *rm, const char *name, const char *asked, bool force,
                          struct err *reterr)
{
    size_t left = rm->n_tags + rm->n_digests - 1;
    int r;

    if (is_last_name(rm, name) && rm->containers > 0 && !force)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "conflict: unable to remove repository reference \"%s\" (must force) - "
                       "container %.*s is using its referenced image %.*s",
                       asked, SHORT, rm->container, SHORT, rm->img->id);
    r = untag(rm, name, reterr);
    if (r >= 0 && !strchr(name, '@'))
        r = untag_digests(rm, name, &left, reterr);
    /* A running container's image stays, without a name, and so does one that others are made of.
     */
    if (r < 0 || left > 0 || rm->running || db_image_has_children(rm->im->db, rm->img->id))
        return r;
    return delete_image(rm, reterr);
}

/* At most one tag, and no digests but of its repository. */
static bool is_one_reference(const struct removal *rm)
{
    const char *first = rm->n_tags      ? rm->names.tags[0]
                        : rm->n_digests ? rm->names.digests[0]
                                        : NULL;

    for (size_t i = 0; i < rm->n_digests; i++) {
        if (!same_repository(rm->names.digests[i], first))
            return false;
    }
    return rm->n_tags <= 1;
}

static int untag_all(struct removal *rm, struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < rm->n_tags; i++)
        r = untag(rm, rm->names.tags[i], reterr);
    for (size_t i = 0; r >= 0 && i < rm->n_digests; i++)
        r = untag(rm, rm->names.digests[i], reterr);
    return r;
}

static int remove_by_id(struct removal *rm, bool force, struct err *reterr)
{
    int r;

    if (db_image_has_children(rm->im->db, rm->img->id))
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "conflict: unable to delete %.*s (cannot be forced) - image has dependent "
                       "child images",
                       SHORT, rm->img->id);
    if (rm->running)
        return conflict_delete(rm, "cannot be forced", "being used by running container ", reterr);
    if (!is_one_reference(rm) && !force) {
        rm->container[0] = '\0';
        return conflict_delete(rm, "must be forced", "referenced in multiple repositories", reterr);
    }
    if (rm->containers > 0 && !force)
        return conflict_delete(rm, "must be forced", "being used by stopped container ", reterr);
    r = untag_all(rm, reterr);
    return r < 0 ? r : delete_image(rm, reterr);
}

/* Does somebody go on from it, or has not yet heard that it is there? */
static bool is_under_way(const struct images *im, const char *id)
{
    for (const struct image_job *job = im->jobs; job; job = job->next) {
        for (size_t i = 0; i < job->plan.n_images; i++) {
            if (streq(job->plan.images[i].id, id))
                return true;
        }
    }
    return im->hooks.building && im->hooks.building(im->hooks.arg, id);
}

static bool is_needed(const struct removal *rm)
{
    return rm->containers > 0 || db_image_has_children(rm->im->db, rm->img->id) ||
           is_under_way(rm->im, rm->img->id);
}

/* Is it only what builds went through? */
static bool is_spare(const struct removal *rm)
{
    return rm->n_tags == 0 && rm->n_digests == 0 && !is_needed(rm);
}

/* The steps that led to what is gone, up to one that is needed. */
static int delete_parents(struct images *im, const char *parent, json_t *out, struct err *reterr)
{
    char id[ID_LEN + 1], next[ID_LEN + 1];
    int r = 0;

    memcpy(id, parent, sizeof(id));
    for (int i = 0; r >= 0 && i < IMAGE_STEPS_MAX; i++) {
        _cleanup_(image_unrefp) struct image *img = NULL;
        int known = db_parent_get(im->db, id, next, NULL);
        struct removal rm;

        if (images_get(im, id, &img, NULL) < 0 || removal_init(&rm, im, img, out, reterr) < 0)
            return 0;
        known = known > 0 && is_spare(&rm);
        if (known)
            r = delete_image(&rm, reterr);
        removal_done(&rm);
        if (!known)
            break;
        memcpy(id, next, sizeof(id));
    }
    return r;
}

/* All rows change in one transaction, or none does.  name: NULL for all of them, by the id. */
static int transact(struct removal *rm, const char *name, const char *asked, bool force, bool prune,
                    struct err *reterr)
{
    char parent[ID_LEN + 1];
    int known, r = db_begin(rm->im->db, reterr);

    if (r < 0)
        return r;
    known = db_parent_get(rm->im->db, rm->img->id, parent, NULL);
    r = name ? remove_by_name(rm, name, asked, force, reterr) : remove_by_id(rm, force, reterr);
    if (r >= 0 && prune && known > 0 && db_image_exists(rm->im->db, rm->img->id) == 0)
        r = delete_parents(rm->im, parent, rm->out, reterr);
    if (r >= 0)
        r = db_commit(rm->im->db, reterr);
    if (r < 0)
        db_rollback(rm->im->db);
    return r;
}

int images_remove(struct images *im, const char *name, bool force, bool noprune, json_t **ret,
                  struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    _cleanup_json_ json_t *out = json_array();
    _cleanup_free_ char *found = NULL;
    char id[ID_LEN + 1];
    struct removal rm;
    int r = images_resolve(im, name, id, &found, reterr);

    if (r >= 0)
        r = images_get(im, id, &img, reterr);
    if (r >= 0)
        r = removal_init(&rm, im, img, out, reterr);
    if (r < 0)
        return r;
    r = transact(&rm, found, name, force, !noprune, reterr);
    removal_done(&rm);
    if (r < 0)
        return r;
    images_collect(im, out, NULL);
    *ret = TAKE_PTR(out);
    return 0;
}

/* ---- prune ---- */

int image_prune_one(struct images *im, const char *id, const struct image_filter *filter,
                    json_t *out, struct err *reterr)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    _cleanup_image_names_ struct image_names shown = {0};
    struct removal rm;
    int r = images_get(im, id, &img, reterr);

    if (r >= 0)
        r = removal_init(&rm, im, img, out, reterr);
    if (r < 0)
        return r;
    if (!is_needed(&rm) && image_filter_match(filter, img, &rm.names, &shown))
        r = transact(&rm, NULL, NULL, true, true, reterr);
    removal_done(&rm);
    return r;
}

/* What was not finished is nobody's image: it goes when all that is unused goes. */
static void prune_downloads(struct images *im, int64_t *bytes)
{
    char **trash = NULL;
    struct err e;

    if (blob_partial_sweep(im->storage, 0, fetch_is_under_way, im, bytes, &trash, &e) < 0)
        log_error("%s", e.message);
    images_empty_trash(im, trash);
}

int images_prune(struct images *im, const json_t *filters, json_t **ret, struct err *reterr)
{
    _cleanup_image_filter_ struct image_filter filter = {0};
    _cleanup_(strv_freep) char **ids = NULL;
    _cleanup_json_ json_t *out = json_array();
    int64_t bytes = 0;
    int r = image_filter_parse(im, filters, prune_keys, &filter, reterr);

    /* dangling=false asks for all unused images, not for those with a name only. */
    filter.dangling = filter.dangling == 0 ? -1 : 1;
    if (r >= 0)
        r = db_image_ids(im->db, &ids, reterr);
    for (size_t i = 0; r >= 0 && ids && ids[i]; i++) {
        /* One of those before may have taken it along. */
        if (db_image_exists(im->db, ids[i]) > 0)
            r = image_prune_one(im, ids[i], &filter, out, reterr);
    }
    if (r < 0)
        return r;
    images_collect(im, out, &bytes);
    if (filter.dangling < 0)
        prune_downloads(im, &bytes);
    *ret = json_pack("{s:O?,s:I}", "ImagesDeleted", json_array_size(out) ? out : NULL,
                     "SpaceReclaimed", (json_int_t)bytes);
    if (!json_array_size(out))
        json_object_set_new(*ret, "ImagesDeleted", json_null());
    if (im->hooks.pruned)
        im->hooks.pruned(im->hooks.arg, "image", bytes);
    return 0;
}
