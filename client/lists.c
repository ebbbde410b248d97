/* network ls, volume ls, system df. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "format.h"
#include "human.h"
#include "json.h"
#include "ps.h"
#include "str.h"
#include "url.h"

const struct opt network_ls_opts[] = {
    OPT_LIST("filter", 'f', "filter", struct list_options, filters, value_filter,
             "Provide filter values (e.g. \"driver=bridge\")"),
    OPT_STRING("format", 0, struct list_options, format, FORMAT_HELP),
    OPT_BOOL("no-trunc", 0, struct list_options, no_trunc, "Do not truncate the output"),
    OPT_BOOL("quiet", 'q', struct list_options, quiet, "Only display network IDs"),
    OPT_END,
};

const struct opt volume_ls_opts[] = {
    OPT_LIST("filter", 'f', "filter", struct list_options, filters, value_filter,
             "Provide filter values (e.g. \"dangling=true\")"),
    OPT_STRING("format", 0, struct list_options, format, FORMAT_HELP),
    OPT_BOOL("quiet", 'q', struct list_options, quiet, "Only display volume names"),
    OPT_END,
};

static const struct column network_columns[] = {
    {"CreatedAt", "CREATED AT"},
    {"Driver", "DRIVER"},
    {"ID", "NETWORK ID"},
    {"IPv4", "IPV4"},
    {"IPv6", "IPV6"},
    {"Internal", "INTERNAL"},
    {"Labels", "LABELS"},
    {"Name", "NAME"},
    {"Scope", "SCOPE"},
    {NULL, NULL},
};

static const struct column volume_columns[] = {
    {"Driver", "DRIVER"},    {"Labels", "LABELS"}, {"Links", "LINKS"}, {"Mountpoint", "MOUNTPOINT"},
    {"Name", "VOLUME NAME"}, {"Scope", "SCOPE"},   {"Size", "SIZE"},   {NULL, NULL},
};

static const struct column df_columns[] = {
    {"Active", "ACTIVE"}, {"Reclaimable", "RECLAIMABLE"},
    {"Size", "SIZE"},     {"TotalCount", "TOTAL"},
    {"Type", "TYPE"},     {NULL, NULL},
};

static const char *yes_no(const json_t *obj, const char *key)
{
    return json_get_bool(obj, key, false) ? "true" : "false";
}

static json_t *network_row(const json_t *n, bool no_trunc)
{
    const char *id = json_get_str(n, "Id", "");
    _cleanup_free_ char *labels = ps_labels(json_get(n, "Labels"));
    char cut[13];

    short_id(id, cut);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "CreatedAt",
                     json_get_str(n, "Created", ""), "Driver", json_get_str(n, "Driver", ""), "ID",
                     no_trunc ? id : cut, "IPv4", yes_no(n, "EnableIPv4"), "IPv6",
                     yes_no(n, "EnableIPv6"), "Internal", yes_no(n, "Internal"), "Labels", labels,
                     "Name", json_get_str(n, "Name", ""), "Scope", json_get_str(n, "Scope", ""));
}

static json_t *volume_row(const json_t *v, bool no_trunc)
{
    _cleanup_free_ char *labels = ps_labels(json_get(v, "Labels"));

    (void)no_trunc;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Driver", json_get_str(v, "Driver", ""),
                     "Labels", labels, "Links", "N/A", "Mountpoint",
                     json_get_str(v, "Mountpoint", ""), "Name", json_get_str(v, "Name", ""),
                     "Scope", json_get_str(v, "Scope", ""), "Size", "N/A");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(json_get_str(*(json_t *const *)a, "Name", ""),
                  json_get_str(*(json_t *const *)b, "Name", ""));
}

static int show_rows(struct format *f, const json_t *list, bool no_trunc,
                     json_t *(*make)(const json_t *, bool), struct err *reterr)
{
    size_t n = json_array_size(list);
    _cleanup_free_ json_t **sorted = xcalloc(n + 1, sizeof(json_t *));
    int r = 0;

    for (size_t i = 0; i < n; i++)
        sorted[i] = json_array_get(list, i);
    qsort(sorted, n, sizeof(*sorted), compare_names);
    for (size_t i = 0; i < n && r == 0; i++) {
        _cleanup_json_ json_t *row = make(sorted[i], no_trunc), *methods = json_object();

        json_object_set(methods, "Label", json_get(sorted[i], "Labels"));
        r = format_row(f, row, methods, reterr);
    }
    return r;
}

static int list_objects(struct invocation *inv, const char *path, const char *member,
                        struct format *f, json_t *(*make)(const json_t *, bool), struct err *reterr)
{
    const struct list_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup(path), *filters = filters_json(o->filters);
    _cleanup_json_ json_t *reply = NULL;
    int r;

    url_add(&url, "filters", filters);
    r = client_get(inv->client, url, &reply, reterr);
    if (r == 0)
        r = show_rows(f, member ? json_get(reply, member) : reply, o->no_trunc, make, reterr);
    return r == 0 ? format_finish(f, reterr) : r;
}

int cmd_network_ls(struct invocation *inv)
{
    const struct list_options *o = inv->options;
    struct format f;
    struct err e = {0};
    int r =
        format_init(&f, o->format, "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
                    o->quiet ? "{{.ID}}" : NULL, "*network.networkContext", network_columns, &e);

    if (r == 0)
        r = list_objects(inv, "/networks", NULL, &f, network_row, &e);
    format_done(&f);
    return r < 0 ? cli_fail(inv, &e) : 0;
}

int cmd_volume_ls(struct invocation *inv)
{
    const struct list_options *o = inv->options;
    struct format f;
    struct err e = {0};
    int r = format_init(&f, o->format, "{{.Driver}}\t{{.Name}}", o->quiet ? "{{.Name}}" : NULL,
                        "*formatter.volumeContext", volume_columns, &e);

    if (r == 0)
        r = list_objects(inv, "/volumes", "Volumes", &f, volume_row, &e);
    format_done(&f);
    return r < 0 ? cli_fail(inv, &e) : 0;
}

/* ---- system df ---- */

static json_t *df_row(const char *type, size_t total, size_t active, double size, double used)
{
    char size_text[HUMAN_MAX], text[HUMAN_MAX];
    _cleanup_free_ char *reclaimable = NULL, *n = xasprintf("%zu", total);
    _cleanup_free_ char *a = xasprintf("%zu", active);
    double left = size - used;

    human_size(size, 4, size_text);
    human_size(left, 4, text);
    reclaimable = size > 0 ? xasprintf("%s (%d%%)", text, (int)(left * 100 / size)) : xstrdup(text);
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "Active", a, "Reclaimable", reclaimable, "Size",
                     size_text, "TotalCount", n, "Type", type);
}

static json_t *df_images(const json_t *df)
{
    const json_t *list = json_get(df, "Images");
    double used = 0, all = (double)json_get_int(df, "LayersSize", 0);
    size_t active = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *image = json_array_get(list, i);
        int64_t shared = json_get_int(image, "SharedSize", 0);

        if (json_get_int(image, "Containers", 0) <= 0)
            continue;
        active++;
        used += (double)(json_get_int(image, "Size", 0) - (shared > 0 ? shared : 0));
    }
    return df_row("Images", json_array_size(list), active, all, used);
}

static json_t *df_containers(const json_t *df)
{
    const json_t *list = json_get(df, "Containers");
    double all = 0, used = 0;
    size_t active = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        const char *state = json_get_str(c, "State", "");
        double size = (double)json_get_int(c, "SizeRw", 0);
        bool alive =
            streq(state, "running") || streq(state, "paused") || streq(state, "restarting");

        all += size;
        active += alive;
        used += alive ? size : 0;
    }
    return df_row("Containers", json_array_size(list), active, all, used);
}

static json_t *df_volumes(const json_t *df)
{
    const json_t *list = json_get(df, "Volumes");
    double all = 0, used = 0;
    size_t active = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *usage = json_get(json_array_get(list, i), "UsageData");
        int64_t size = json_get_int(usage, "Size", 0);
        bool in_use = json_get_int(usage, "RefCount", 0) > 0;

        if (size > 0)
            all += (double)size;
        active += in_use;
        used += in_use && size > 0 ? (double)size : 0;
    }
    return df_row("Local Volumes", json_array_size(list), active, all, used);
}

int cmd_system_df(struct invocation *inv)
{
    const struct format_options *o = inv->options;
    _cleanup_json_ json_t *df = NULL;
    struct format f;
    struct err e = {0};
    int r = format_init(&f, o->format,
                        "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
                        NULL, "*formatter.diskUsageContext", df_columns, &e);

    if (r == 0)
        r = client_get(inv->client, "/system/df", &df, &e);
    if (r < 0 && (e.kind == ERR_NOT_FOUND || e.kind == ERR_NOT_IMPLEMENTED))
        err_set(&e, e.kind, 0, "system df is not supported by this daemon yet");
    if (r == 0) {
        _cleanup_json_ json_t *rows =
            json_pack("[o, o, o, o]", df_images(df), df_containers(df), df_volumes(df),
                      df_row("Build Cache", json_array_size(json_get(df, "BuildCache")), 0, 0, 0));

        for (size_t i = 0; i < json_array_size(rows) && r == 0; i++)
            r = format_row(&f, json_array_get(rows, i), NULL, &e);
    }
    if (r == 0)
        r = format_finish(&f, &e);
    format_done(&f);
    return r < 0 ? cli_fail(inv, &e) : 0;
}
