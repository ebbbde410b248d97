/* system df. */
#include "df.h"

#include <stdio.h>

#include "commands.h"
#include "format.h"
#include "human.h"
#include "json.h"
#include "str.h"

const struct opt df_opts[] = {
    OPT_STRING("format", 0, struct df_options, format, FORMAT_HELP),
    OPT_BOOL("verbose", 'v', struct df_options, verbose,
             "Show detailed information on space usage"),
    OPT_END,
};

static const struct column df_columns[] = {
    {"Active", "ACTIVE"}, {"Reclaimable", "RECLAIMABLE"},
    {"Size", "SIZE"},     {"TotalCount", "TOTAL"},
    {"Type", "TYPE"},     {NULL, NULL},
};

/* ---- one row a kind ---- */

struct usage {
    double total, active, size, reclaimable;
};

static json_t *df_row(const char *type, const struct usage *u)
{
    char size[HUMAN_MAX], text[HUMAN_MAX];
    _cleanup_free_ char *reclaimable = NULL, *total = xasprintf("%.0f", u->total);
    _cleanup_free_ char *active = xasprintf("%.0f", u->active);

    human_size(u->size, 4, size);
    human_size(u->reclaimable, 4, text);
    reclaimable = u->size > 0 ? xasprintf("%s (%d%%)", text, (int)(u->reclaimable * 100 / u->size))
                              : xstrdup(text);
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "Active", active, "Reclaimable", reclaimable,
                     "Size", size, "TotalCount", total, "Type", type);
}

/* For daemons that only list. */
static struct usage image_usage(const json_t *df)
{
    const json_t *list = json_get(df, "Images");
    struct usage u = {.total = (double)json_array_size(list),
                      .size = (double)json_get_int(df, "LayersSize", 0)};

    u.reclaimable = u.size;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *image = json_array_get(list, i);
        int64_t shared = json_get_int(image, "SharedSize", 0);

        if (json_get_int(image, "Containers", 0) <= 0)
            continue;
        u.active++;
        u.reclaimable -= (double)(json_get_int(image, "Size", 0) - (shared > 0 ? shared : 0));
    }
    return u;
}

static struct usage container_usage(const json_t *df)
{
    const json_t *list = json_get(df, "Containers");
    struct usage u = {.total = (double)json_array_size(list)};

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        const char *state = json_get_str(c, "State", "");
        double size = (double)json_get_int(c, "SizeRw", 0);
        bool alive =
            streq(state, "running") || streq(state, "paused") || streq(state, "restarting");

        u.size += size;
        u.active += alive;
        u.reclaimable += alive ? 0 : size;
    }
    return u;
}

static struct usage volume_usage(const json_t *df)
{
    const json_t *list = json_get(df, "Volumes");
    struct usage u = {.total = (double)json_array_size(list)};

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *data = json_get(json_array_get(list, i), "UsageData");
        int64_t size = json_get_int(data, "Size", 0);
        bool in_use = json_get_int(data, "RefCount", 0) > 0;

        size = size > 0 ? size : 0;
        u.size += (double)size;
        u.active += in_use;
        u.reclaimable += in_use ? 0 : (double)size;
    }
    return u;
}

static struct usage cache_usage(const json_t *df)
{
    return (struct usage){.total = (double)json_array_size(json_get(df, "BuildCache"))};
}

static const struct {
    const char *title, *key; /* of the daemon's own sums */
    struct usage (*sum)(const json_t *df);
} kinds[] = {
    {"Images", "ImageUsage", image_usage},
    {"Containers", "ContainerUsage", container_usage},
    {"Local Volumes", "VolumeUsage", volume_usage},
    {"Build Cache", "BuildCacheUsage", cache_usage},
};

static int show_sums(const struct df_options *o, const json_t *df, struct err *reterr)
{
    struct format f;
    int r = format_init(&f, o->format,
                        "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
                        NULL, "*formatter.diskUsageContext", df_columns, reterr);

    for (size_t i = 0; i < ARRAY_SIZE(kinds) && r == 0; i++) {
        const json_t *sums = json_get(df, kinds[i].key);
        struct usage u = kinds[i].sum(df);
        _cleanup_json_ json_t *row = NULL;

        if (sums)
            u = (struct usage){(double)json_get_int(sums, "TotalCount", 0),
                               (double)json_get_int(sums, "ActiveCount", 0),
                               (double)json_get_int(sums, "TotalSize", 0),
                               (double)json_get_int(sums, "Reclaimable", 0)};
        row = df_row(kinds[i].title, &u);
        r = format_row(&f, row, NULL, reterr);
    }
    if (r == 0)
        r = format_finish(&f, reterr);
    format_done(&f);
    return r;
}

/* ---- -v ---- */

static int show_lists(const json_t *df, struct err *reterr)
{
    int r;

    printf("Images space usage:\n\n");
    r = images_usage_table(json_get(df, "Images"), reterr);
    if (r == 0) {
        printf("\nContainers space usage:\n\n");
        r = ps_usage_table(json_get(df, "Containers"), reterr);
    }
    if (r == 0) {
        printf("\nLocal Volumes space usage:\n\n");
        r = volumes_usage_table(json_get(df, "Volumes"), reterr);
    }
    if (r == 0)
        printf("\nBuild cache usage: 0B\n\n"
               "CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED\n");
    return r;
}

int cmd_system_df(struct invocation *inv)
{
    const struct df_options *o = inv->options;
    _cleanup_json_ json_t *df = NULL;
    struct err e = {0};
    int r = client_get(inv->client, "/system/df", &df, &e);

    if (r == 0)
        r = o->verbose && str_empty(o->format) ? show_lists(df, &e) : show_sums(o, df, &e);
    return r < 0 ? cli_fail(inv, &e) : 0;
}
