/* images --tree: each image under all its names, with the platforms that are here. */
#include <stdio.h>

#include "commands.h"
#include "human.h"
#include "images.h"
#include "json.h"
#include "str.h"
#include "table.h"
#include "url.h"

static int refuse(const char *option, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "--%s is not yet supported with --tree", option);
}

static int check_options(const struct images_options *o, struct err *reterr)
{
    if (o->quiet)
        return refuse("quiet", reterr);
    if (o->no_trunc)
        return refuse("no-trunc", reterr);
    if (o->digests)
        return refuse("show-digest", reterr);
    return str_empty(o->format) ? 0 : refuse("format", reterr);
}

/* "linux/arm/v7"; the list does not tell it. */
static int platform_of(struct client *client, const char *id, char **ret, struct err *reterr)
{
    _cleanup_free_ char *url = url_format("/images/%s/json", id);
    _cleanup_json_ json_t *image = NULL;
    const char *variant;
    int r = client_get(client, url, &image, reterr);

    if (r < 0)
        return r;
    variant = json_get_str(image, "Variant", "");
    *ret = xasprintf("%s/%s%s%s", json_get_str(image, "Os", "linux"),
                     json_get_str(image, "Architecture", "unknown"), *variant ? "/" : "", variant);
    return 0;
}

static int add_image(struct client *client, const json_t *image, struct buf *rows,
                     struct err *reterr)
{
    const json_t *tags = json_get(image, "RepoTags");
    const char *id = json_get_str(image, "Id", "");
    size_t count = json_array_size(tags);
    _cleanup_free_ char *platform = NULL;
    char size[HUMAN_MAX], cut[13];
    int r = platform_of(client, id, &platform, reterr);

    if (r < 0)
        return r;
    human_size((double)json_get_int(image, "Size", 0), 3, size);
    short_id(id, cut);
    for (size_t i = 0; i + 1 < count; i++)
        buf_printf(rows, "%s\t\t\t\n", json_string_value(json_array_get(tags, i)));
    buf_printf(rows, "%s\t%s\t%s\t%s\n",
               count ? json_string_value(json_array_get(tags, count - 1)) : "<untagged>", cut, size,
               json_get_int(image, "Containers", 0) > 0 ? "U" : "");
    buf_printf(rows, "\u2514\u2500 %s\t%s\t%s\t\n", platform, cut, size);
    return 0;
}

int images_tree(struct invocation *inv, struct err *reterr)
{
    _cleanup_json_ json_t *list = NULL;
    struct table t = TABLE_INIT;
    struct buf out = {0};
    int r = check_options(inv->options, reterr);

    if (r == 0)
        r = images_fetch(inv, &list, reterr);
    buf_append_str(&t.text, "IMAGE\tID\tDISK USAGE\tEXTRA (U: in use)\n");
    for (size_t i = 0; i < json_array_size(list) && r == 0; i++)
        r = add_image(inv->client, json_array_get(list, i), &t.text, reterr);
    if (r == 0) {
        table_flush(&t, &out);
        fwrite(buf_head(&out), 1, buf_size(&out), stdout);
    }
    buf_done(&t.text);
    buf_done(&out);
    return r;
}
