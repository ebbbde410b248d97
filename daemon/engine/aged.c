/* Requests of clients that speak an older version of the API: what their version did not have, they
 * cannot have meant.  Source: the version history of the Docker Engine API. */
#include "json.h"
#include "private.h"

/* Before 1.44 a read-only bind concerned the mount itself alone, and nobody could say another. */
static void keep_binds_shallow(json_t *mount)
{
    json_t *options = json_get(mount, "BindOptions");

    json_drop(options, "ReadOnlyNonRecursive");
    json_drop(options, "ReadOnlyForceRecursive");
    if (!streq(json_get_str(mount, "Type", ""), "bind") || !json_get_bool(mount, "ReadOnly", false))
        return;
    if (!json_is_object(options)) {
        options = json_object();
        json_object_set_new(mount, "BindOptions", options);
    }
    json_object_set_new(options, "ReadOnlyNonRecursive", json_true());
}

static int age_mount(json_t *mount, int api, struct err *reterr)
{
    json_t *bind = json_get(mount, "BindOptions");

    if (api < 140)
        json_drop(bind, "NonRecursive");
    if (api < 142)
        json_drop(bind, "CreateMountpoint");
    if (api < 144)
        keep_binds_shallow(mount);
    if (api < 145 && *json_get_str(json_get(mount, "VolumeOptions"), "Subpath", ""))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "VolumeOptions.Subpath needs API v1.45 or newer");
    if (api < 148 && streq(json_get_str(mount, "Type", ""), "image"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "Mount type \"Image\" needs API v1.48 or newer");
    return 0;
}

int create_body_age(json_t *body, int api, struct err *reterr)
{
    json_t *host_config = json_get(body, "HostConfig"), *mount;
    size_t i;
    int r = 0;

    if (api < 142)
        json_drop(host_config, "ConsoleSize");
    if (api < 143)
        json_drop(host_config, "Annotations");
    if (api < 144)
        json_drop(json_get(body, "Healthcheck"), "StartInterval");
    json_array_foreach (json_get(host_config, "Mounts"), i, mount) {
        if (r == 0)
            r = age_mount(mount, api, reterr);
    }
    return r;
}
