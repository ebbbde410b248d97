/* Removing what builds went through: the steps that no image needs, the least used first. */
#include <errno.h>
#include <sys/statvfs.h>

#include "build_rows.h"
#include "image_filter.h"
#include "json.h"
#include "storage.h"

/* -1: unknown. */
static int64_t free_bytes_of(struct images *im)
{
    struct statvfs fs;

    if (statvfs(storage_root(im->storage), &fs) < 0)
        return -1;
    return (int64_t)(fs.f_bavail * fs.f_frsize);
}

/* What may stay, of what there is now.  Steps count with the bytes that nothing but steps has. */
static int64_t allowed(struct images *im, const struct build_keep *keep, int64_t size)
{
    int64_t free_bytes = free_bytes_of(im), stay = 0;

    if (keep->max_used > 0 || keep->min_free > 0)
        stay = keep->max_used > 0 && keep->max_used < size ? keep->max_used : size;
    if (keep->min_free > 0 && free_bytes >= 0 && free_bytes < keep->min_free) {
        int64_t left = size - (keep->min_free - free_bytes);

        stay = left < stay ? left : stay;
    }
    return keep->reserved > stay ? keep->reserved : stay;
}

/* One round over the steps, those first whose turn it is.  1 if it may be worth another: a step
 * goes only after those that were made of it. */
static int round_of_steps(struct images *im, const struct image_filter *filter, int64_t stay,
                          json_t *out, struct err *reterr)
{
    _cleanup_(strv_freep) char **ids = NULL;
    size_t before = json_array_size(out), known = before;
    int64_t size = db_step_bytes(im->db);
    int r = db_step_images(im->db, &ids, reterr);

    for (size_t i = 0; r >= 0 && ids && ids[i]; i++) {
        if (stay > 0 && json_array_size(out) > known) {
            size = db_step_bytes(im->db);
            known = json_array_size(out);
        }
        if (stay > 0 && size <= stay)
            return 0;
        if (db_image_exists(im->db, ids[i]) > 0)
            r = image_prune_one(im, ids[i], filter, out, reterr);
    }
    return r < 0 ? r : json_array_size(out) > before;
}

int images_build_prune(struct images *im, const json_t *filters, const struct build_keep *keep,
                       json_t **ret, struct err *reterr)
{
    static const char *const keys[] = {"until", "label", "label!", NULL};
    _cleanup_json_ json_t *out = json_array(), *deleted = json_array();
    _cleanup_image_filter_ struct image_filter filter = {0};
    json_t *item;
    int64_t bytes = 0, stay = allowed(im, keep, db_step_bytes(im->db));
    size_t i;
    int r = image_filter_parse(im, filters, keys, &filter, reterr);

    if (r >= 0)
        r = 1;
    while (r > 0)
        r = round_of_steps(im, &filter, stay, out, reterr);
    if (r < 0)
        return r;
    images_collect(im, out, &bytes);
    json_array_foreach (out, i, item) {
        json_t *id = json_get(item, "Deleted");

        if (id)
            json_array_append(deleted, id);
    }
    *ret = json_pack("{s:O,s:I}", "CachesDeleted", deleted, "SpaceReclaimed", (json_int_t)bytes);
    if (im->hooks.pruned)
        im->hooks.pruned(im->hooks.arg, "builder", bytes);
    return 0;
}
