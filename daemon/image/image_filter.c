#include "image_filter.h"

#include <errno.h>

#include "duration.h"
#include "json.h"
#include "reference.h"

static char **values(const json_t *filters, const char *key)
{
    const json_t *v = json_object_get(filters, key), *item;
    char **out = NULL;
    const char *name;

    if (json_is_array(v))
        return json_get_strv(filters, key);
    json_object_foreach ((json_t *)v, name, item) {
        if (!json_is_false(item))
            out = strv_append(out, name);
    }
    return out;
}

int image_filter_time(const char *s, int64_t now, int64_t *ret)
{
    int64_t seconds;
    char *end;
    double v;

    if (time_parse(s, ret) >= 0)
        return 0;
    if (str_parse_i64(s, 0, INT64_MAX / 1000000000, &seconds) >= 0) {
        *ret = seconds * 1000000000;
        return 0;
    }
    seconds = duration_parse(s);
    if (seconds >= 0) {
        *ret = now - seconds;
        return 0;
    }
    v = strtod(s, &end);
    if (end == s || *end || !(v >= 0 && v < 9e9))
        return -EINVAL;
    *ret = (int64_t)(v * 1e9);
    return 0;
}

static int parse_dangling(char *const *v, int *ret, struct err *reterr)
{
    *ret = -1;
    for (size_t i = 0; v && v[i]; i++) {
        if (streq(v[i], "true") || streq(v[i], "1"))
            *ret = 1;
        else if (streq(v[i], "false") || streq(v[i], "0"))
            *ret = 0;
        else
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter 'dangling=[%s]'", v[i]);
    }
    return 0;
}

/* The creation time of the image that before= or since= names. */
static int parse_image_time(struct images *im, const json_t *filters, const char *key, int64_t *ret,
                            struct err *reterr)
{
    _cleanup_(strv_freep) char **v = values(filters, key);

    for (size_t i = 0; v && v[i]; i++) {
        _cleanup_(image_unrefp) struct image *img = NULL;
        int r = images_lookup(im, v[i], &img, reterr);

        if (r < 0)
            return r;
        *ret = img->created;
    }
    return 0;
}

static int check_keys(const json_t *filters, const char *const *keys, struct err *reterr)
{
    const char *key;
    json_t *v;

    json_object_foreach ((json_t *)filters, key, v) {
        const char *const *k = keys;

        while (*k && !streq(*k, key))
            k++;
        if (!*k)
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid filter '%s'", key);
    }
    return 0;
}

static int parse(struct images *im, const json_t *filters, struct image_filter *f,
                 struct err *reterr)
{
    _cleanup_(strv_freep) char **dangling = values(filters, "dangling");
    _cleanup_(strv_freep) char **until = values(filters, "until");
    int r = parse_dangling(dangling, &f->dangling, reterr);

    f->labels = values(filters, "label");
    f->not_labels = values(filters, "label!");
    f->references = values(filters, "reference");
    if (r >= 0)
        r = parse_image_time(im, filters, "before", &f->before, reterr);
    if (r >= 0)
        r = parse_image_time(im, filters, "since", &f->since, reterr);
    for (size_t i = 0; r >= 0 && until && until[i]; i++) {
        if (image_filter_time(until[i], time_now_ns(), &f->until) < 0)
            r = err_set(reterr, ERR_INVALID, EINVAL, "invalid filter 'until=%s'", until[i]);
    }
    return r;
}

int image_filter_parse(struct images *im, const json_t *filters, const char *const *keys,
                       struct image_filter *ret, struct err *reterr)
{
    int r = check_keys(filters, keys, reterr);

    *ret = (struct image_filter){
        .dangling = -1, .before = INT64_MAX, .since = INT64_MIN, .until = INT64_MAX};
    if (r >= 0)
        r = parse(im, filters, ret, reterr);
    if (r < 0)
        image_filter_done(ret);
    return r;
}

void image_filter_done(struct image_filter *f)
{
    strv_free(f->labels);
    strv_free(f->not_labels);
    strv_free(f->references);
    f->labels = f->not_labels = f->references = NULL;
}

static bool has_label(const json_t *labels, const char *wanted)
{
    const char *eq = strchr(wanted, '=');
    _cleanup_free_ char *key = eq ? xstrndup(wanted, (size_t)(eq - wanted)) : xstrdup(wanted);
    const json_t *v = json_object_get(labels, key);

    return v && (!eq || (json_is_string(v) && streq(json_string_value(v), eq + 1)));
}

static bool labels_match(const struct image_filter *f, const struct image *img)
{
    const json_t *labels = json_get(image_container_config(img), "Labels");

    for (size_t i = 0; f->labels && f->labels[i]; i++) {
        if (!has_label(labels, f->labels[i]))
            return false;
    }
    for (size_t i = 0; f->not_labels && f->not_labels[i]; i++) {
        if (has_label(labels, f->not_labels[i]))
            return false;
    }
    return true;
}

static bool reference_wanted(const struct image_filter *f, const struct reference *ref)
{
    for (size_t i = 0; f->references && f->references[i]; i++) {
        if (reference_match(f->references[i], ref))
            return true;
    }
    return !f->references;
}

static char **wanted(const struct image_filter *f, char *const *canonical)
{
    char **out = NULL;

    for (size_t i = 0; canonical && canonical[i]; i++) {
        _cleanup_reference_ struct reference ref = {0};

        if (reference_parse(canonical[i], &ref, NULL) >= 0 && reference_wanted(f, &ref)) {
            _cleanup_free_ char *familiar = reference_familiar(&ref);

            out = strv_append(out, familiar);
        }
    }
    return out;
}

static bool may_match(const struct image_filter *f, const struct image *img,
                      const struct image_names *names)
{
    if ((f->dangling == 1 && names->tags) || (f->dangling == 0 && !names->tags))
        return false;
    if (img->created >= f->before || img->created >= f->until || img->created <= f->since)
        return false;
    return labels_match(f, img);
}

bool image_filter_match(const struct image_filter *f, const struct image *img,
                        const struct image_names *names, struct image_names *ret)
{
    *ret = (struct image_names){0};
    if (!may_match(f, img, names))
        return false;
    ret->tags = wanted(f, names->tags);
    ret->digests = wanted(f, names->digests);
    return !f->references || ret->tags || ret->digests;
}
