#include "ps.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "df.h"
#include "format.h"
#include "human.h"
#include "json.h"
#include "str.h"
#include "url.h"

#define COMMAND_WIDTH 20
#define MOUNT_WIDTH 15
#define PORTS_MAX 4096

const struct ps_options ps_defaults = {.last = -1};

const struct opt ps_opts[] = {
    OPT_BOOL("all", 'a', struct ps_options, all,
             "Show all containers (default shows just running)"),
    OPT_LIST("filter", 'f', "filter", struct ps_options, filters, value_filter,
             "Filter output based on conditions provided"),
    OPT_STRING("format", 0, struct ps_options, format, FORMAT_HELP),
    OPT_INT("last", 'n', struct ps_options, last,
            "Show n last created containers (includes all states) (default -1)"),
    OPT_BOOL("latest", 'l', struct ps_options, latest,
             "Show the latest created container (includes all states)"),
    OPT_BOOL("no-trunc", 0, struct ps_options, no_trunc, "Don't truncate output"),
    OPT_BOOL("quiet", 'q', struct ps_options, quiet, "Only display container IDs"),
    OPT_BOOL("size", 's', struct ps_options, size, "Display total file sizes"),
    OPT_END,
};

static const struct column columns[] = {
    {"Command", "COMMAND"},   {"CreatedAt", "CREATED AT"},
    {"ID", "CONTAINER ID"},   {"Image", "IMAGE"},
    {"Labels", "LABELS"},     {"LocalVolumes", "LOCAL VOLUMES"},
    {"Mounts", "MOUNTS"},     {"Names", "NAMES"},
    {"Networks", "NETWORKS"}, {"Platform", "PLATFORM"},
    {"Ports", "PORTS"},       {"RunningFor", "CREATED"},
    {"Size", "SIZE"},         {"State", "STATE"},
    {"Status", "STATUS"},     {NULL, NULL},
};

/* ---- ports ---- */

struct port {
    int private, public;
    const char *ip, *type;
};

static int compare_ports(const void *a, const void *b)
{
    const struct port *x = a, *y = b;

    if (x->private != y->private)
        return x->private - y->private;
    if (strcmp(x->ip, y->ip) != 0)
        return strcmp(x->ip, y->ip);
    return x->public != y->public ? x->public - y->public : strcmp(x->type, y->type);
}

static void append_item(struct buf *b, const char *text)
{
    buf_printf(b, "%s%s", buf_size(b) ? ", " : "", text);
}

static char *join_host_port(const char *ip, const char *port)
{
    return xasprintf(strchr(ip, ':') ? "[%s]:%s" : "%s:%s", ip, port);
}

/* "0.0.0.0:80-81->80-81/tcp" or "80/tcp". */
static void append_group(struct buf *b, const struct port *p, int last)
{
    _cleanup_free_ char *range =
        p->private == last ? xasprintf("%d", last) : xasprintf("%d-%d", p->private, last);
    _cleanup_free_ char *host = join_host_port(p->ip, range);
    _cleanup_free_ char *text =
        *p->ip ? xasprintf("%s->%s/%s", host, range, p->type) : xasprintf("%s/%s", range, p->type);

    append_item(b, text);
}

static bool same_group(const struct port *a, const struct port *b)
{
    return streq(a->ip, b->ip) && streq(a->type, b->type);
}

static bool is_mapped(const struct port *p)
{
    return *p->ip && p->public != p->private;
}

/* Groups of adjoining ports that are published under their own number (or not at all), in the
 * order of their first port; a group that is followed by a gap is listed when the gap is met. */
static void append_groups(struct buf *b, const struct port *ports, size_t n)
{
    struct group {
        struct port first;
        int last;
    } *groups = xcalloc(n + 1, sizeof(*groups));
    size_t n_groups = 0, g;

    for (size_t i = 0; i < n; i++) {
        if (is_mapped(&ports[i]))
            continue;
        for (g = 0; g < n_groups && !same_group(&groups[g].first, &ports[i]); g++)
            ;
        if (g == n_groups) {
            groups[n_groups++] = (struct group){ports[i], ports[i].private};
        } else if (ports[i].private == groups[g].last + 1) {
            groups[g].last = ports[i].private;
        } else {
            append_group(b, &groups[g].first, groups[g].last);
            groups[g] = (struct group){ports[i], ports[i].private};
        }
    }
    for (g = 0; g < n_groups; g++)
        append_group(b, &groups[g].first, groups[g].last);
    free(groups);
}

char *ps_ports(const json_t *list)
{
    size_t n = json_array_size(list) < PORTS_MAX ? json_array_size(list) : PORTS_MAX, i;
    _cleanup_free_ struct port *ports = xcalloc(n + 1, sizeof(*ports));
    struct buf b = {0};

    for (i = 0; i < n; i++) {
        const json_t *p = json_array_get(list, i);

        ports[i] = (struct port){(int)json_get_int(p, "PrivatePort", 0),
                                 (int)json_get_int(p, "PublicPort", 0), json_get_str(p, "IP", ""),
                                 json_get_str(p, "Type", "tcp")};
    }
    qsort(ports, n, sizeof(*ports), compare_ports);
    append_groups(&b, ports, n);
    for (i = 0; i < n; i++) {
        _cleanup_free_ char *public = NULL, *host = NULL, *text = NULL;

        if (!is_mapped(&ports[i]))
            continue;
        public = xasprintf("%d", ports[i].public);
        host = join_host_port(ports[i].ip, public);
        text = xasprintf("%s->%d/%s", host, ports[i].private, ports[i].type);
        append_item(&b, text);
    }
    return buf_take_str(&b);
}

/* ---- the other columns ---- */

/* Go's strconv.Quote. */
static char *quote(const char *s)
{
    struct buf b = {0};

    buf_append_str(&b, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_printf(&b, "\\%c", *s);
        else if (*s == '\n')
            buf_append_str(&b, "\\n");
        else if (*s == '\t')
            buf_append_str(&b, "\\t");
        else if (*s == '\r')
            buf_append_str(&b, "\\r");
        else if ((unsigned char)*s < 0x20 || *s == 0x7f)
            buf_printf(&b, "\\x%02x", (unsigned char)*s);
        else
            buf_append(&b, s, 1);
    }
    buf_append_str(&b, "\"");
    return buf_take_str(&b);
}

static void put(json_t *row, const char *key, char *owned)
{
    json_t *s = json_string(owned);

    json_object_set_new(row, key, s ? s : json_string(""));
    free(owned);
}

static char *names_of(const json_t *list, bool no_trunc)
{
    struct buf b = {0};
    json_t *item;
    size_t i;

    json_array_foreach ((json_t *)list, i, item) {
        const char *name = json_string_value(item) ? json_string_value(item) : "";

        name += *name == '/';
        if (!no_trunc && strchr(name, '/')) /* a link's alias */
            continue;
        buf_printf(&b, "%s%s", buf_size(&b) ? "," : "", name);
    }
    return buf_take_str(&b);
}

static char *image_of(const json_t *c, bool no_trunc)
{
    const char *image = json_get_str(c, "Image", ""), *id = json_get_str(c, "ImageID", "");
    const char *digest = strstr(image, "@sha256:");
    char cut[13];

    if (!*image)
        return xstrdup("<no image>");
    if (no_trunc)
        return xstrdup(image);
    if (streq(image, id) || (str_starts(image, "sha256:") && strlen(image) == 71)) {
        short_id(image, cut);
        return xstrdup(cut);
    }
    return digest ? xstrndup(image, (size_t)(digest - image)) : xstrdup(image);
}

char *ps_labels(json_t *labels)
{
    struct buf b = {0};
    const char *key;
    json_t *value;

    json_object_foreach (labels, key, value) {
        buf_printf(&b, "%s%s=%s", buf_size(&b) ? "," : "", key,
                   json_string_value(value) ? json_string_value(value) : "");
    }
    return buf_take_str(&b);
}

static char *networks_of(json_t *networks)
{
    struct buf b = {0};
    const char *key;
    json_t *value;

    json_object_foreach (networks, key, value)
        buf_printf(&b, "%s%s", buf_size(&b) ? "," : "", key);
    return buf_take_str(&b);
}

static char *mounts_of(const json_t *mounts, bool no_trunc, int *ret_local)
{
    struct buf b = {0};
    json_t *m;
    size_t i;

    json_array_foreach ((json_t *)mounts, i, m) {
        const char *name = json_get_str(m, "Name", "");
        _cleanup_free_ char *shown = NULL;

        if (streq(json_get_str(m, "Driver", ""), "local"))
            (*ret_local)++;
        if (!*name)
            name = json_get_str(m, "Source", "");
        shown = no_trunc ? xstrdup(name) : ellipsis(name, MOUNT_WIDTH);
        buf_printf(&b, "%s%s", buf_size(&b) ? "," : "", shown);
    }
    return buf_take_str(&b);
}

static char *size_of(const json_t *c)
{
    char rw[HUMAN_MAX], all[HUMAN_MAX];
    int64_t root = json_get_int(c, "SizeRootFs", 0);

    human_size((double)json_get_int(c, "SizeRw", 0), 3, rw);
    human_size((double)root, 3, all);
    return root > 0 ? xasprintf("%s (virtual %s)", rw, all) : xstrdup(rw);
}

/* The members in the order of their names, as {{json .}} shows them. */
static json_t *row_of(const json_t *c, bool no_trunc)
{
    json_t *row = json_object();
    const char *id = json_get_str(c, "Id", ""), *text = json_get_str(c, "Command", "");
    int64_t created = json_get_int(c, "Created", 0);
    _cleanup_free_ char *command = no_trunc ? xstrdup(text) : ellipsis(text, COMMAND_WIDTH);
    char buf[HUMAN_MAX], cut[13];
    int local = 0;
    char *mounts = mounts_of(json_get(c, "Mounts"), no_trunc, &local);

    put(row, "Command", quote(command));
    human_time(created, buf);
    put(row, "CreatedAt", xstrdup(buf));
    short_id(id, cut);
    put(row, "ID", xstrdup(no_trunc ? id : cut));
    put(row, "Image", image_of(c, no_trunc));
    put(row, "Labels", ps_labels(json_get(c, "Labels")));
    put(row, "LocalVolumes", xasprintf("%d", local));
    put(row, "Mounts", mounts);
    put(row, "Names", names_of(json_get(c, "Names"), no_trunc));
    put(row, "Networks", networks_of(json_at(c, "NetworkSettings.Networks")));
    json_object_set_new(row, "Platform", json_null());
    put(row, "Ports", ps_ports(json_get(c, "Ports")));
    human_ago(created, buf);
    put(row, "RunningFor", xstrdup(buf));
    put(row, "Size", size_of(c));
    put(row, "State", xstrdup(json_get_str(c, "State", "")));
    put(row, "Status", xstrdup(json_get_str(c, "Status", "")));
    return row;
}

int ps_usage_table(const json_t *list, struct err *reterr)
{
    static const char table[] = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t"
                                "{{.RunningFor}}\t{{.Status}}\t{{.Names}}";
    struct format f;
    int r = format_init(&f, NULL, table, NULL, "*formatter.ContainerContext", columns, reterr);

    for (size_t i = 0; i < json_array_size(list) && r == 0; i++) {
        _cleanup_json_ json_t *row = row_of(json_array_get(list, i), false);

        r = format_row(&f, row, NULL, reterr);
    }
    if (r == 0)
        r = format_finish(&f, reterr);
    format_done(&f);
    return r;
}

static int list_containers(struct invocation *inv, bool size, json_t **ret, struct err *reterr)
{
    const struct ps_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup("/containers/json"), *filters = filters_json(o->filters);
    _cleanup_free_ char *limit = NULL;
    int64_t last = o->latest ? 1 : o->last;

    url_add_bool(&url, "all", o->all);
    if (last > 0)
        limit = xasprintf("%lld", (long long)last);
    url_add(&url, "filters", filters);
    url_add(&url, "limit", limit);
    url_add_bool(&url, "size", size);
    return client_get(inv->client, url, ret, reterr);
}

static const char default_table[] =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
static const char table_with_size[] =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
    "\t{{.Size}}";

int cmd_ps(struct invocation *inv)
{
    const struct ps_options *o = inv->options;
    _cleanup_json_ json_t *list = NULL;
    struct format f;
    struct err e = {0};
    json_t *c;
    size_t i;
    int r = format_init(&f, o->format, o->size ? table_with_size : default_table,
                        o->quiet ? "{{.ID}}" : NULL, "*formatter.ContainerContext", columns, &e);

    if (r == 0)
        r = list_containers(inv, o->size || format_uses(&f, "Size"), &list, &e);
    json_array_foreach (list, i, c) {
        _cleanup_json_ json_t *row = r == 0 ? row_of(c, o->no_trunc) : NULL;
        _cleanup_json_ json_t *methods = json_object();

        json_object_set(methods, "Label", json_get(c, "Labels"));
        if (r == 0)
            r = format_row(&f, row, methods, &e);
    }
    if (r == 0)
        r = format_finish(&f, &e);
    format_done(&f);
    return r < 0 ? cli_fail(inv, &e) : 0;
}
