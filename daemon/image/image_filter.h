/* Filters of the image list and prune: which images are meant. */
#pragma once

#include "image_private.h"

struct image_filter {
    int dangling;                 /* 1, 0, or -1: not asked for */
    char **labels;                /* owned; "key" or "key=value", all must match */
    char **not_labels;            /* owned; none may match */
    char **references;            /* owned; any must match a name */
    int64_t before, since, until; /* ns; INT64_MAX, INT64_MIN, INT64_MAX when absent */
};

#define _cleanup_image_filter_ _cleanup_(image_filter_done)

/* filters: {"label":["a"]} or {"label":{"a":true}}; NULL for none.  keys: those allowed here,
 * NULL-terminated; others are 400 `invalid filter 'x'`. */
int image_filter_parse(struct images *im, const json_t *filters, const char *const *keys,
                       struct image_filter *ret, struct err *reterr);
void image_filter_done(struct image_filter *f);

/* names: the image's canonical ones; *ret: the familiar ones to show (those that match the
 * references), for image_names_done(); empty when it is not meant. */
bool image_filter_match(const struct image_filter *f, const struct image *img,
                        const struct image_names *names, struct image_names *ret);

/* RFC 3339, seconds since the epoch (with fraction), or a Go duration before now; ns. */
int image_filter_time(const char *s, int64_t now, int64_t *ret);

/* Remove the image if the filter means it and neither a container nor a child needs it; what went is
 * appended to out. */
int image_prune_one(struct images *im, const char *id, const struct image_filter *filter,
                    json_t *out, struct err *reterr);
