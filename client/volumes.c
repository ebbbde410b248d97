#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "commands.h"
#include "json.h"
#include "str.h"
#include "url.h"

const struct opt volume_create_opts[] = {
    OPT_STRING("driver", 'd', struct volume_options, driver, "Specify volume driver name"),
    OPT_LIST("label", 0, "list", struct volume_options, labels, value_string,
             "Set metadata for a volume"),
    OPT_STRING("name", 0, struct volume_options, name, NULL),
    OPT_LIST("opt", 'o', "map", struct volume_options, driver_opts, value_string,
             "Set driver specific options"),
    OPT_END,
};

const struct opt volume_rm_opts[] = {
    OPT_BOOL("force", 'f', struct volume_options, force,
             "Force the removal of one or more volumes"),
    OPT_END,
};

const struct opt volume_prune_opts[] = {
    OPT_BOOL("all", 'a', struct prune_options, all,
             "Remove all unused volumes, not just anonymous ones"),
    OPT_LIST("filter", 0, "filter", struct prune_options, filters, value_filter,
             "Provide filter values (e.g. \"label=<label>\")"),
    OPT_BOOL("force", 'f', struct prune_options, force, "Do not prompt for confirmation"),
    OPT_END,
};

/* "key=value" words, or "key" alone, as an object. */
static json_t *map_of(char *const *words)
{
    json_t *out = json_object();

    for (size_t i = 0; words && words[i]; i++) {
        size_t n = strcspn(words[i], "=");
        _cleanup_free_ char *key = xstrndup(words[i], n);

        json_object_set_new(out, key, json_string(words[i][n] ? words[i] + n + 1 : ""));
    }
    return out;
}

int cmd_volume_create(struct invocation *inv)
{
    const struct volume_options *o = inv->options;
    _cleanup_json_ json_t *body = NULL, *reply = NULL;
    const char *name = inv->n_args ? inv->args[0] : o->name;
    struct err e = {0};

    if (inv->n_args && o->name) {
        fprintf(stderr, "conflicting options: either specify --name or provide positional arg, not "
                        "both\n");
        return 1;
    }
    body = json_pack("{s:s, s:s, s:o, s:o}", "Name", name ? name : "", "Driver",
                     o->driver ? o->driver : "local", "DriverOpts", map_of(o->driver_opts),
                     "Labels", map_of(o->labels));
    if (client_post(inv->client, "/volumes/create", body, &reply, &e) < 0)
        return cli_fail(inv, &e);
    printf("%s\n", json_get_str(reply, "Name", ""));
    return 0;
}

static char *rm_path(const struct invocation *inv, const char *name)
{
    const struct volume_options *o = inv->options;
    char *url = url_format("/volumes/%s", name);

    url_add_bool(&url, "force", o->force);
    return url;
}

int cmd_volume_rm(struct invocation *inv)
{
    return batch_run_in_order(inv, "DELETE", rm_path, false);
}
