/* The cache of a build's steps. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build_impl.h"
#include "digest.h"
#include "image.h"

#define SOURCES_MAX 64 /* images of --cache-from */

char *nop_text(const struct stage_run *s, const char *comment)
{
    json_t *shell = config_shell(s->config), *item;
    _cleanup_buf_ struct buf out = {0};
    size_t i;

    json_array_foreach (shell, i, item)
        buf_printf(&out, "%s ", json_is_string(item) ? json_string_value(item) : "");
    buf_printf(&out, "#(nop) %s", comment);
    json_decref(shell);
    return buf_take_str(&out);
}

static bool is_of_source(struct stage_run *s, const char *found)
{
    const json_t *item;
    size_t i;

    json_array_foreach (json_get(s->build->opt, "sources"), i, item) {
        if (images_descends(s->build->engine->images, json_string_value(item), found))
            return true;
    }
    return false;
}

/* The step as one of them had it. */
static bool find_in_sources(struct stage_run *s, char found[ID_LEN + 1])
{
    struct images *im = s->build->engine->images;
    struct image_derive o = {
        .parent = s->image, .config = s->config, .created_by = s->created_by, .author = s->author};
    const json_t *item;
    struct err ignored;
    size_t i;

    json_array_foreach (json_get(s->build->opt, "sources"), i, item) {
        if (images_step_again(im, json_string_value(item), &o, found, &ignored) > 0) {
            images_step_done(im, found, NULL, s->key);
            return true;
        }
    }
    return false;
}

/* With --cache-from only what those images were made of counts, as under dockerd. */
static bool find_step(struct stage_run *s, char found[ID_LEN + 1])
{
    bool here = images_step_find(s->build->engine->images, s->key, found);

    if (!json_get(s->build->opt, "sources"))
        return here;
    return (here && is_of_source(s, found)) || find_in_sources(s, found);
}

void cache_take_sources(struct build *b)
{
    json_t *names = json_get(b->opt, "cachefrom"), *sources, *item;
    size_t i;

    if (json_array_size(names) == 0)
        return;
    sources = json_array();
    json_array_foreach (names, i, item) {
        _cleanup_(image_unrefp) struct image *img = NULL;
        struct err ignored;

        if (json_array_size(sources) < SOURCES_MAX && json_is_string(item) &&
            images_lookup(b->engine->images, json_string_value(item), &img, &ignored) >= 0)
            json_array_append_new(sources, json_string(img->id));
    }
    json_object_set_new(b->opt, "sources", sources);
}

bool step_probe(struct stage_run *s, const char *more)
{
    struct build *b = s->build;
    _cleanup_free_ char *config = json_dumps(s->config, JSON_COMPACT | JSON_SORT_KEYS);
    _cleanup_free_ char *text = xasprintf("%s\n%s\n%s\n%s\n%s", s->image, s->created_by, more,
                                          config, s->author ? s->author : "");
    char found[ID_LEN + 1];

    digest_sha256(text, strlen(text), s->key);
    if (s->missed || build_option(b, "nocache") || !find_step(s, found)) {
        s->missed = true;
        return false;
    }
    stage_say(s, " ---> Using cache\n");
    memcpy(s->image, found, sizeof(s->image));
    return true;
}

void step_made(struct stage_run *s, const char *image_id)
{
    images_step_done(s->build->engine->images, image_id, NULL, s->key);
    memcpy(s->image, image_id, sizeof(s->image));
    step_done(s);
}

void step_derive(struct stage_run *s, const char *comment)
{
    _cleanup_free_ char *text = xasprintf(" %s", comment);
    struct image_derive o = {.parent = s->image, .config = s->config, .author = s->author};
    char id[ID_LEN + 1];
    struct err e;

    free(s->created_by);
    s->created_by = nop_text(s, text);
    o.created_by = s->created_by;
    if (step_probe(s, ""))
        step_done(s);
    else if (images_derive(s->build->engine->images, &o, id, &e) < 0)
        step_failed(s, &e);
    else
        step_made(s, id);
}

int stage_need_image(struct stage_run *s, struct err *reterr)
{
    struct image_derive o = {.config = s->config};

    return *s->image ? 0 : images_derive(s->build->engine->images, &o, s->image, reterr);
}
