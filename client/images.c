/* images, history, rmi, tag. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "df.h"
#include "format.h"
#include "human.h"
#include "images.h"
#include "json.h"
#include "str.h"
#include "url.h"

#define CREATED_BY_WIDTH 45

const struct opt images_opts[] = {
    OPT_BOOL("all", 'a', struct images_options, all,
             "Show all images (default hides intermediate images)"),
    OPT_BOOL("digests", 0, struct images_options, digests, "Show digests"),
    OPT_LIST("filter", 'f', "filter", struct images_options, filters, value_filter,
             "Filter output based on conditions provided"),
    OPT_STRING("format", 0, struct images_options, format, FORMAT_HELP),
    OPT_BOOL("no-trunc", 0, struct images_options, no_trunc, "Don't truncate output"),
    OPT_BOOL("quiet", 'q', struct images_options, quiet, "Only show image IDs"),
    OPT_BOOL("tree", 0, struct images_options, tree,
             "List multi-platform images as a tree (EXPERIMENTAL)"),
    OPT_END,
};

const struct history_options history_defaults = {.human = true};

const struct opt history_opts[] = {
    OPT_STRING("format", 0, struct history_options, format, FORMAT_HELP),
    OPT_BOOL("human", 'H', struct history_options, human,
             "Print sizes and dates in human readable format (default true)"),
    OPT_BOOL("no-trunc", 0, struct history_options, no_trunc, "Don't truncate output"),
    OPT_STRING("platform", 0, struct history_options, platform,
               "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., "
               "\"linux/amd64\")"),
    OPT_BOOL("quiet", 'q', struct history_options, quiet, "Only show image IDs"),
    OPT_END,
};

const struct opt rmi_opts[] = {
    OPT_BOOL("force", 'f', struct rmi_options, force, "Force removal of the image"),
    OPT_BOOL("no-prune", 0, struct rmi_options, no_prune, "Do not delete untagged parents"),
    OPT_LIST("platform", 0, "strings", struct rmi_options, platforms, value_string,
             "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., "
             "\"linux/amd64\")"),
    OPT_END,
};

static const struct column image_columns[] = {
    {"Containers", "CONTAINERS"},
    {"CreatedAt", "CREATED AT"},
    {"CreatedSince", "CREATED"},
    {"Digest", "DIGEST"},
    {"ID", "IMAGE ID"},
    {"Repository", "REPOSITORY"},
    {"SharedSize", "SHARED SIZE"},
    {"Size", "SIZE"},
    {"Tag", "TAG"},
    {"UniqueSize", "UNIQUE SIZE"},
    {"VirtualSize", "VIRTUAL SIZE"},
    {NULL, NULL},
};

static const struct column history_columns[] = {
    {"Comment", "COMMENT"},
    {"CreatedAt", "CREATED AT"},
    {"CreatedBy", "CREATED BY"},
    {"CreatedSince", "CREATED"},
    {"ID", "IMAGE"},
    {"Size", "SIZE"},
    {NULL, NULL},
};

static void put(json_t *row, const char *key, const char *value)
{
    json_t *s = json_string(value);

    json_object_set_new(row, key, s ? s : json_string(""));
}

/* "name:tag" or "name@digest" cut at the separator that belongs to the last component. */
static char *repository_of(const char *ref, const char **ret_rest)
{
    const char *at = strchr(ref, '@'), *slash = strrchr(ref, '/');
    const char *colon = strrchr(slash ? slash : ref, ':');

    if (at)
        colon = at;
    *ret_rest = colon ? colon + 1 : "<none>";
    return colon ? xstrndup(ref, (size_t)(colon - ref)) : xstrdup(ref);
}

static void put_size(json_t *row, const char *key, int64_t size)
{
    char buf[HUMAN_MAX];

    human_size((double)size, 4, buf);
    put(row, key, buf);
}

/* Known where the daemon was asked to find out. */
static void put_usage(json_t *row, const json_t *image)
{
    int64_t shared = json_get_int(image, "SharedSize", -1);
    int64_t containers = json_get_int(image, "Containers", -1);
    _cleanup_free_ char *count =
        containers >= 0 ? xasprintf("%lld", (long long)containers) : xstrdup("N/A");

    put(row, "Containers", shared >= 0 ? count : "N/A");
    put(row, "SharedSize", "N/A");
    put(row, "UniqueSize", "N/A");
    if (shared >= 0) {
        put_size(row, "SharedSize", shared);
        put_size(row, "UniqueSize", json_get_int(image, "Size", 0) - shared);
    }
}

static json_t *image_row(const json_t *image, const char *repository, const char *tag,
                         const char *digest, bool no_trunc)
{
    json_t *row = json_object();
    const char *id = json_get_str(image, "Id", "");
    int64_t created = json_get_int(image, "Created", 0), size = json_get_int(image, "Size", 0);
    char buf[HUMAN_MAX], cut[13];

    put_usage(row, image);
    human_time(created, buf);
    put(row, "CreatedAt", buf);
    human_ago(created, buf);
    put(row, "CreatedSince", buf);
    put(row, "Digest", digest);
    short_id(id, cut);
    put(row, "ID", no_trunc ? id : cut);
    put(row, "Repository", repository);
    human_size((double)size, 3, buf);
    put(row, "Size", buf);
    put(row, "Tag", tag);
    human_size((double)size, 4, buf);
    put(row, "VirtualSize", buf);
    return row;
}

static int add_image_row(struct format *f, const json_t *image, const char *repository,
                         const char *tag, const char *digest, bool no_trunc, struct err *reterr)
{
    _cleanup_json_ json_t *row = image_row(image, repository, tag, digest, no_trunc);

    return format_row(f, row, NULL, reterr);
}

/* The digest under which this repository knows the image, or "<none>". */
static const char *digest_of(const json_t *digests, const char *repository)
{
    for (size_t i = 0; i < json_array_size(digests); i++) {
        const char *rest;
        _cleanup_free_ char *name =
            repository_of(json_string_value(json_array_get(digests, i)), &rest);

        if (streq(name, repository))
            return rest;
    }
    return "<none>";
}

static int add_image(struct format *f, const struct images_options *o, const json_t *image,
                     struct err *reterr)
{
    const json_t *tags = json_get(image, "RepoTags"), *digests = json_get(image, "RepoDigests");
    size_t shown = 0;
    int r = 0;

    for (size_t i = 0; i < json_array_size(tags) && r == 0; i++) {
        const char *ref = json_string_value(json_array_get(tags, i)), *tag;
        _cleanup_free_ char *repository = repository_of(ref, &tag);

        if (streq(ref, "<none>:<none>"))
            continue;
        shown++;
        r = add_image_row(f, image, repository, tag, digest_of(digests, repository), o->no_trunc,
                          reterr);
    }
    if (shown == 0 && r == 0) {
        const char *digest = "<none>";
        _cleanup_free_ char *repository =
            json_array_size(digests)
                ? repository_of(json_string_value(json_array_get(digests, 0)), &digest)
                : xstrdup("<none>");

        r = add_image_row(f, image, repository, "<none>", digest, o->no_trunc, reterr);
    }
    return r;
}

int images_usage_table(const json_t *list, struct err *reterr)
{
    static const char table[] = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t"
                                "{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}";
    static const struct images_options o;
    struct format f;
    int r = format_init(&f, NULL, table, NULL, "*formatter.imageContext", image_columns, reterr);

    for (size_t i = 0; i < json_array_size(list) && r == 0; i++)
        r = add_image(&f, &o, json_array_get(list, i), reterr);
    if (r == 0)
        r = format_finish(&f, reterr);
    format_done(&f);
    return r;
}

int images_fetch(struct invocation *inv, json_t **ret, struct err *reterr)
{
    const struct images_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup("/images/json"), *filters = NULL, *reference = NULL;
    char **all = NULL;

    for (size_t i = 0; o->filters && o->filters[i]; i++)
        all = strv_append(all, o->filters[i]);
    if (inv->n_args) {
        reference = xasprintf("reference=%s", inv->args[0]);
        all = strv_append(all, reference);
    }
    filters = filters_json(all);
    strv_free(all);
    url_add_bool(&url, "all", o->all);
    url_add(&url, "filters", filters);
    return client_get(inv->client, url, ret, reterr);
}

int cmd_images(struct invocation *inv)
{
    static const char plain[] = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
    static const char with_digest[] =
        "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
    const struct images_options *o = inv->options;
    _cleanup_json_ json_t *list = NULL;
    struct format f;
    struct err e = {0};
    int r;

    if (o->tree)
        return images_tree(inv, &e) < 0 ? cli_fail(inv, &e) : 0;
    r = format_init(&f, o->format, o->digests ? with_digest : plain, o->quiet ? "{{.ID}}" : NULL,
                    "*formatter.imageContext", image_columns, &e);

    if (r == 0)
        r = images_fetch(inv, &list, &e);
    for (size_t i = 0; i < json_array_size(list) && r == 0; i++)
        r = add_image(&f, o, json_array_get(list, i), &e);
    if (r == 0)
        r = format_finish(&f, &e);
    format_done(&f);
    return r < 0 ? cli_fail(inv, &e) : 0;
}

static void collapse_blanks(char *s)
{
    for (; *s; s++) {
        if (*s == '\t')
            *s = ' ';
    }
}

static json_t *history_row(const json_t *layer, const struct history_options *o)
{
    json_t *row = json_object();
    const char *id = json_get_str(layer, "Id", "<missing>");
    _cleanup_free_ char *by = NULL, *text = xstrdup(json_get_str(layer, "CreatedBy", ""));
    int64_t created = json_get_int(layer, "Created", 0), size = json_get_int(layer, "Size", 0);
    char buf[HUMAN_MAX], at[TIME_STR_MAX], cut[13];

    collapse_blanks(text);
    by = o->no_trunc ? xstrdup(text) : ellipsis(text, CREATED_BY_WIDTH);
    put(row, "Comment", json_get_str(layer, "Comment", ""));
    time_format_nano(created * 1000000000, at);
    put(row, "CreatedAt", at);
    put(row, "CreatedBy", by);
    human_ago(created, buf);
    put(row, "CreatedSince", buf);
    short_id(id, cut);
    put(row, "ID", o->no_trunc || str_starts(id, "<") ? id : cut);
    if (o->human)
        human_size((double)size, 3, buf);
    else
        snprintf(buf, sizeof(buf), "%lld", (long long)size);
    put(row, "Size", buf);
    return row;
}

int cmd_history(struct invocation *inv)
{
    static const char human[] =
        "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
    static const char exact[] = "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
    const struct history_options *o = inv->options;
    _cleanup_free_ char *url = url_format("/images/%s/history", inv->args[0]);
    _cleanup_json_ json_t *list = NULL;
    struct format f;
    struct err e = {0};
    int r = format_init(&f, o->format, o->human ? human : exact, o->quiet ? "{{.ID}}" : NULL,
                        "*formatter.historyContext", history_columns, &e);

    url_add_platform(&url, "platform", o->platform);
    if (r == 0)
        r = client_get(inv->client, url, &list, &e);
    for (size_t i = 0; i < json_array_size(list) && r == 0; i++) {
        _cleanup_json_ json_t *row = history_row(json_array_get(list, i), o);

        r = format_row(&f, row, NULL, &e);
    }
    if (r == 0)
        r = format_finish(&f, &e);
    format_done(&f);
    return r < 0 ? cli_fail(inv, &e) : 0;
}

static int remove_one(struct invocation *inv, const char *name, struct err *reterr)
{
    const struct rmi_options *o = inv->options;
    _cleanup_free_ char *url = url_format("/images/%s", name);
    _cleanup_json_ json_t *list = NULL;
    struct request req = {.method = "DELETE"};
    int r;

    url_add_bool(&url, "force", o->force);
    url_add_bool(&url, "noprune", o->no_prune);
    for (size_t i = 0; o->platforms && o->platforms[i]; i++)
        url_add_platform(&url, "platforms", o->platforms[i]);
    req.path = url;
    r = client_call(inv->client, &req, &list, reterr);
    for (size_t i = 0; i < json_array_size(list) && r == 0; i++) {
        const json_t *item = json_array_get(list, i);
        const char *deleted = json_get_str(item, "Deleted", NULL);

        printf("%s: %s\n", deleted ? "Deleted" : "Untagged",
               deleted ? deleted : json_get_str(item, "Untagged", ""));
    }
    return r;
}

int cmd_rmi(struct invocation *inv)
{
    const struct rmi_options *o = inv->options;
    int failed = 0;

    for (int i = 0; i < inv->n_args; i++) {
        struct err e = {0};

        if (remove_one(inv, inv->args[i], &e) == 0)
            continue;
        fflush(stdout);
        cli_print_error(&e);
        if (e.kind != ERR_NOT_FOUND || !o->force)
            failed = 1;
    }
    return failed;
}

int cmd_tag(struct invocation *inv)
{
    _cleanup_free_ char *url = url_format("/images/%s/tag", inv->args[0]), *name = NULL;
    const char *tag;
    struct err e = {0};

    name = repository_of(inv->args[1], &tag);
    url_add(&url, "repo", name);
    url_add(&url, "tag", streq(tag, "<none>") ? "latest" : tag);
    return client_post(inv->client, url, NULL, NULL, &e) < 0 ? cli_fail(inv, &e) : 0;
}
