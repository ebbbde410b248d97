#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "human.h"
#include "json.h"
#include "str.h"
#include "url.h"

const struct opt prune_opts[] = {
    OPT_LIST("filter", 0, "filter", struct prune_options, filters, value_filter,
             "Provide filter values (e.g. \"until=<timestamp>\")"),
    OPT_BOOL("force", 'f', struct prune_options, force, "Do not prompt for confirmation"),
    OPT_END,
};

const struct opt prune_image_opts[] = {
    OPT_BOOL("all", 'a', struct prune_options, all,
             "Remove all unused images, not just dangling ones"),
    OPT_LIST("filter", 0, "filter", struct prune_options, filters, value_filter,
             "Provide filter values (e.g. \"until=<timestamp>\")"),
    OPT_BOOL("force", 'f', struct prune_options, force, "Do not prompt for confirmation"),
    OPT_END,
};

const struct opt prune_system_opts[] = {
    OPT_BOOL("all", 'a', struct prune_options, all,
             "Remove all unused images not just dangling ones"),
    OPT_LIST("filter", 0, "filter", struct prune_options, filters, value_filter,
             "Provide filter values (e.g. \"label=<key>=<value>\")"),
    OPT_BOOL("force", 'f', struct prune_options, force, "Do not prompt for confirmation"),
    OPT_BOOL("volumes", 0, struct prune_options, volumes, "Prune anonymous volumes"),
    OPT_END,
};

const struct opt prune_build_opts[] = {
    OPT_BOOL("all", 'a', struct prune_options, all,
             "Remove all unused build cache, not just dangling ones"),
    OPT_LIST("filter", 0, "filter", struct prune_options, filters, value_filter,
             "Provide filter values (e.g. \"until=24h\")"),
    OPT_BOOL("force", 'f', struct prune_options, force, "Do not prompt for confirmation"),
    {.name = "keep-storage",
     .type = "bytes",
     .help = "Amount of disk space to keep for cache",
     .parse = value_bytes,
     .field = FIELD_INT,
     .offset = OPT_OFFSET(struct prune_options, keep, int64_t)},
    OPT_END,
};

enum target { CONTAINERS, NETWORKS, VOLUMES, IMAGES, BUILD_CACHE };

static const struct {
    const char *path, *list, *title;
} targets[] = {
    [CONTAINERS] = {"/containers/prune", "ContainersDeleted", "Deleted Containers:"},
    [NETWORKS] = {"/networks/prune", "NetworksDeleted", "Deleted Networks:"},
    [VOLUMES] = {"/volumes/prune", "VolumesDeleted", "Deleted Volumes:"},
    [IMAGES] = {"/images/prune", "ImagesDeleted", "Deleted Images:"},
    [BUILD_CACHE] = {"/build/prune", "CachesDeleted", "Deleted build cache objects:"},
};

static void print_item(const json_t *item)
{
    const char *untagged = json_get_str(item, "Untagged", NULL);

    if (json_is_string(item))
        printf("%s\n", json_string_value(item));
    else if (untagged)
        printf("untagged: %s\n", untagged);
    else
        printf("deleted: %s\n", json_get_str(item, "Deleted", ""));
}

/* *freed grows by what was reclaimed. */
static int prune(struct invocation *inv, enum target target, double *freed, struct err *reterr)
{
    const struct prune_options *o = inv->options;
    _cleanup_free_ char *url = xstrdup(targets[target].path), *filters = NULL;
    _cleanup_json_ json_t *reply = NULL;
    const json_t *list;
    char **all = NULL, keep[24];
    int r;

    for (size_t i = 0; o->filters && o->filters[i]; i++)
        all = strv_append(all, o->filters[i]);
    if (target == IMAGES)
        all = strv_append(all, o->all ? "dangling=false" : "dangling=true");
    /* --all of `system prune` is about images: named volumes are nobody's to lose by it. */
    if (target == VOLUMES && o->all && !o->volumes)
        all = strv_append(all, "all=1");
    filters = filters_json(all);
    strv_free(all);
    url_add_bool(&url, "all", target == BUILD_CACHE && o->all);
    url_add(&url, "filters", filters);
    if (target == BUILD_CACHE && o->keep > 0) {
        snprintf(keep, sizeof(keep), "%lld", (long long)o->keep);
        url_add(&url, "keep-storage", keep);
    }
    r = client_post(inv->client, url, NULL, &reply, reterr);
    if (r < 0)
        return r;
    list = json_get(reply, targets[target].list);
    if (json_array_size(list)) {
        printf("%s\n", targets[target].title);
        for (size_t i = 0; i < json_array_size(list); i++)
            print_item(json_array_get(list, i));
        printf("\n");
    }
    *freed += (double)json_get_int(reply, "SpaceReclaimed", 0);
    return 0;
}

static void print_total(double freed)
{
    char text[HUMAN_MAX];

    human_size(freed, 4, text);
    printf("Total reclaimed space: %s\n", text);
}

static int prune_one(struct invocation *inv, enum target target, const char *warning)
{
    const struct prune_options *o = inv->options;
    struct err e = {0};
    double freed = 0;

    if (!o->force && !cli_confirm(warning))
        return 0;
    if (prune(inv, target, &freed, &e) < 0)
        return cli_fail(inv, &e);
    print_total(freed);
    return 0;
}

int cmd_prune_containers(struct invocation *inv)
{
    return prune_one(inv, CONTAINERS,
                     "WARNING! This will remove all stopped containers.\n"
                     "Are you sure you want to continue?");
}

int cmd_prune_images(struct invocation *inv)
{
    const struct prune_options *o = inv->options;

    return prune_one(
        inv, IMAGES,
        o->all ? "WARNING! This will remove all images without at least one container associated "
                 "to them.\nAre you sure you want to continue?"
               : "WARNING! This will remove all dangling images.\n"
                 "Are you sure you want to continue?");
}

int cmd_prune_volumes(struct invocation *inv)
{
    const struct prune_options *o = inv->options;

    return prune_one(
        inv, VOLUMES,
        o->all ? "WARNING! This will remove all local volumes not used by at least one container.\n"
                 "Are you sure you want to continue?"
               : "WARNING! This will remove anonymous local volumes not used by at least one "
                 "container.\nAre you sure you want to continue?");
}

int cmd_prune_networks(struct invocation *inv)
{
    const struct prune_options *o = inv->options;
    struct err e = {0};
    double freed = 0;

    if (!o->force && !cli_confirm("WARNING! This will remove all custom networks not used by at "
                                  "least one container.\nAre you sure you want to continue?"))
        return 0;
    return prune(inv, NETWORKS, &freed, &e) < 0 ? cli_fail(inv, &e) : 0;
}

int cmd_prune_build(struct invocation *inv)
{
    const struct prune_options *o = inv->options;

    return prune_one(inv, BUILD_CACHE,
                     o->all ? "WARNING! This will remove all build cache. Are you sure you want to "
                              "continue?"
                            : "WARNING! This will remove all dangling build cache. Are you sure "
                              "you want to continue?");
}

static char *system_warning(const struct prune_options *o)
{
    return xasprintf("WARNING! This will remove:\n"
                     "  - all stopped containers\n"
                     "  - all networks not used by at least one container\n"
                     "%s%s  - %s\n\nAre you sure you want to continue?",
                     o->volumes ? "  - all anonymous volumes not used by at least one container\n"
                                : "",
                     o->all ? "  - all images without at least one container associated to them\n"
                            : "  - all dangling images\n",
                     o->all ? "all build cache" : "unused build cache");
}

int cmd_prune_system(struct invocation *inv)
{
    static const enum target order[] = {CONTAINERS, NETWORKS, VOLUMES, IMAGES, BUILD_CACHE};
    const struct prune_options *o = inv->options;
    _cleanup_free_ char *warning = system_warning(o);
    struct err e = {0};
    double freed = 0;

    if (!o->force && !cli_confirm(warning))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        if (order[i] == VOLUMES && !o->volumes)
            continue;
        /* What this daemon has no such objects of, needs no cleaning. */
        if (prune(inv, order[i], &freed, &e) < 0 && e.kind != ERR_NOT_FOUND &&
            e.kind != ERR_NOT_IMPLEMENTED)
            return cli_fail(inv, &e);
    }
    print_total(freed);
    return 0;
}
