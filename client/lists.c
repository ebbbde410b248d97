/* network ls, volume ls. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "df.h"
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
    {"Availability", "AVAILABILITY"},
    {"Driver", "DRIVER"},
    {"Group", "GROUP"},
    {"Labels", "LABELS"},
    {"Links", "LINKS"},
    {"Mountpoint", "MOUNTPOINT"},
    {"Name", "VOLUME NAME"},
    {"Scope", "SCOPE"},
    {"Size", "SIZE"},
    {"Status", "STATUS"},
    {NULL, NULL},
};

static const char *yes_no(const json_t *obj, const char *key)
{
    return json_get_bool(obj, key, false) ? "true" : "false";
}

/* A time of the API's as Go prints it: "2024-01-02 03:04:05.6 +0000 UTC".  The caller frees. */
static char *go_time(const char *s)
{
    size_t len = strlen(s), date = strcspn(s, "T");

    if (len == 0 || s[len - 1] != 'Z' || date == len)
        return xstrdup(s);
    return xasprintf("%.*s %.*s +0000 UTC", (int)date, s, (int)(len - date - 2), s + date + 1);
}

static json_t *network_row(const json_t *n, bool no_trunc)
{
    const char *id = json_get_str(n, "Id", "");
    _cleanup_free_ char *created = go_time(json_get_str(n, "Created", ""));
    _cleanup_free_ char *labels = ps_labels(json_get(n, "Labels"));
    char cut[13];

    short_id(id, cut);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "CreatedAt", created,
                     "Driver", json_get_str(n, "Driver", ""), "ID", no_trunc ? id : cut, "IPv4",
                     yes_no(n, "EnableIPv4"), "IPv6", yes_no(n, "EnableIPv6"), "Internal",
                     yes_no(n, "Internal"), "Labels", labels, "Name", json_get_str(n, "Name", ""),
                     "Scope", json_get_str(n, "Scope", ""));
}

static json_t *volume_row(const json_t *v, bool no_trunc)
{
    _cleanup_free_ char *labels = ps_labels(json_get(v, "Labels"));
    const json_t *usage = json_get(v, "UsageData");
    _cleanup_free_ char *links = xasprintf("%lld", (long long)json_get_int(usage, "RefCount", 0));
    char size[HUMAN_MAX];

    (void)no_trunc;
    human_size((double)json_get_int(usage, "Size", 0), 4, size);
    /* Those of clusters are of no volume here. */
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Availability", "N/A",
                     "Group", "N/A", "Status", "N/A", "Driver", json_get_str(v, "Driver", ""),
                     "Labels", labels, "Links", usage ? links : "N/A", "Mountpoint",
                     json_get_str(v, "Mountpoint", ""), "Name", json_get_str(v, "Name", ""),
                     "Scope", json_get_str(v, "Scope", ""), "Size", usage ? size : "N/A");
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

int volumes_usage_table(const json_t *list, struct err *reterr)
{
    struct format f;
    int r = format_init(&f, NULL, "{{.Name}}\t{{.Links}}\t{{.Size}}", NULL,
                        "*formatter.volumeContext", volume_columns, reterr);

    if (r == 0)
        r = show_rows(&f, list, false, volume_row, reterr);
    if (r == 0)
        r = format_finish(&f, reterr);
    format_done(&f);
    return r;
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
