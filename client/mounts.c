#include "mounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "csv.h"
#include "json.h"
#include "options.h"
#include "path.h"
#include "str.h"

static int mount_bytes(const char *value, json_t **ret, struct err *reterr)
{
    return value_bytes(value, ret, reterr);
}

static int mount_mode(const char *value, json_t **ret, struct err *reterr)
{
    char *end;
    unsigned long mode = strtoul(value, &end, 8);

    if (!*value || *end || mode > 07777)
        return err_set(reterr, ERR_INVALID, EINVAL, "mode");
    *ret = json_integer((json_int_t)mode);
    return 0;
}

/* The keys of --mount and where their values go. */
static const struct {
    const char *key, *path;
    value_parser parse;
    enum opt_mode mode;
    bool may_lack_value; /* the key alone says true */
} mount_keys[] = {
    {"type", "Type", value_string, OPT_SET, false},
    {"source", "Source", value_string, OPT_SET, false},
    {"src", "Source", value_string, OPT_SET, false},
    {"target", "Target", value_string, OPT_SET, false},
    {"dst", "Target", value_string, OPT_SET, false},
    {"destination", "Target", value_string, OPT_SET, false},
    {"readonly", "ReadOnly", value_bool, OPT_SET, true},
    {"ro", "ReadOnly", value_bool, OPT_SET, true},
    {"consistency", "Consistency", value_string, OPT_SET, false},
    {"bind-propagation", "BindOptions.Propagation", value_string, OPT_SET, false},
    {"bind-nonrecursive", "BindOptions.NonRecursive", value_bool, OPT_SET, true},
    {"bind-create-src", "BindOptions.CreateMountpoint", value_bool, OPT_SET, true},
    {"volume-nocopy", "VolumeOptions.NoCopy", value_bool, OPT_SET, true},
    {"volume-subpath", "VolumeOptions.Subpath", value_string, OPT_SET, false},
    {"volume-label", "VolumeOptions.Labels", value_key_value, OPT_MERGE, false},
    {"volume-driver", "VolumeOptions.DriverConfig.Name", value_string, OPT_SET, false},
    {"volume-opt", "VolumeOptions.DriverConfig.Options", value_key_value, OPT_MERGE, false},
    {"image-subpath", "ImageOptions.Subpath", value_string, OPT_SET, false},
    {"tmpfs-size", "TmpfsOptions.SizeBytes", mount_bytes, OPT_SET, false},
    {"tmpfs-mode", "TmpfsOptions.Mode", mount_mode, OPT_SET, false},
};

/* "." and "./..." of a bind are meant from where the client stands. */
static void absolute_source(json_t *mount)
{
    const char *source = json_get_str(mount, "Source", "");
    _cleanup_free_ char *cwd = NULL, *joined = NULL, *clean = NULL;

    if (!streq(json_get_str(mount, "Type", ""), "bind") ||
        !(streq(source, ".") || str_starts(source, "./")))
        return;
    cwd = getcwd(NULL, 0);
    joined = path_join(cwd ? cwd : "/", source);
    clean = path_clean(joined);
    json_object_set_new(mount, "Source", json_string(clean));
}

static int bind_recursive(json_t **mount, const char *value, const char *field, struct err *reterr)
{
    if (streq(value, "disabled"))
        json_put_path(mount, "BindOptions.NonRecursive", OPT_SET, json_true());
    else if (streq(value, "writable"))
        json_put_path(mount, "BindOptions.ReadOnlyNonRecursive", OPT_SET, json_true());
    else if (streq(value, "readonly"))
        json_put_path(mount, "BindOptions.ReadOnlyForceRecursive", OPT_SET, json_true());
    else if (!streq(value, "enabled"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid value for bind-recursive: %s (must be \"enabled\", \"disabled\", "
                       "\"writable\", or \"readonly\")",
                       field);
    return 0;
}

static int mount_field(json_t **mount, const char *field, struct err *reterr)
{
    const char *eq = strchr(field, '=');
    size_t len = eq ? (size_t)(eq - field) : strlen(field);
    struct err ignored;
    json_t *value = NULL;

    if (eq && len == 14 && strncmp(field, "bind-recursive", len) == 0)
        return bind_recursive(mount, eq + 1, eq + 1, reterr);
    for (size_t i = 0; i < ARRAY_SIZE(mount_keys); i++) {
        if (strlen(mount_keys[i].key) != len || strncmp(mount_keys[i].key, field, len) != 0)
            continue;
        if (!eq && !mount_keys[i].may_lack_value)
            break;
        if (mount_keys[i].parse(eq ? eq + 1 : "true", &value, &ignored) < 0)
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid value for %s: %s",
                           mount_keys[i].key, eq ? eq + 1 : "");
        json_put_path(mount, mount_keys[i].path, mount_keys[i].mode, value);
        return 0;
    }
    if (!eq)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid field '%s' must be a key=value pair",
                       field);
    return err_set(reterr, ERR_INVALID, EINVAL, "unexpected key '%.*s' in '%s'", (int)len, field,
                   field);
}

static int check_mix(const json_t *mount, struct err *reterr)
{
    static const struct {
        const char *type, *options, *keys;
    } kinds[] = {{"bind", "BindOptions", "bind"},
                 {"volume", "VolumeOptions", "volume"},
                 {"image", "ImageOptions", "image"},
                 {"tmpfs", "TmpfsOptions", "tmpfs"}};
    const char *type = json_string_value(json_object_get(mount, "Type"));

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!streq(type, kinds[i].type) && json_object_get(mount, kinds[i].options))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "cannot mix '%s-*' options with mount type '%s'", kinds[i].keys, type);
    }
    return 0;
}

/* The daemon would refuse the same, later. */
static int check_recursive(const json_t *mount, struct err *reterr)
{
    const json_t *bind = json_object_get(mount, "BindOptions");
    bool below = json_is_true(json_object_get(bind, "ReadOnlyForceRecursive"));
    const char *propagation = json_get_str(bind, "Propagation", "");

    if ((below || json_is_true(json_object_get(bind, "ReadOnlyNonRecursive"))) &&
        !json_is_true(json_object_get(mount, "ReadOnly")))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "option 'bind-recursive=%s' requires 'readonly' to be specified in "
                       "conjunction",
                       below ? "readonly" : "writable");
    if (below && !streq(propagation, "rprivate"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to "
                       "be specified in conjunction");
    return 0;
}

int value_mount(const char *value, json_t **ret_json, struct err *reterr)
{
    char **fields = csv_split(value);
    json_t *mount = json_object();
    int r = fields ? 0 : err_set(reterr, ERR_INVALID, EINVAL, "extraneous or missing \" in field");

    json_object_set_new(mount, "Type", json_string("volume"));
    for (size_t i = 0; fields && fields[i] && r == 0; i++)
        r = mount_field(&mount, fields[i], reterr);
    if (r == 0 && !json_object_get(mount, "Target"))
        r = err_set(reterr, ERR_INVALID, EINVAL, "target is required");
    if (r == 0)
        r = check_mix(mount, reterr);
    if (r == 0)
        r = check_recursive(mount, reterr);
    strv_free(fields);
    if (r < 0) {
        json_decref(mount);
        return r;
    }
    absolute_source(mount);
    *ret_json = mount;
    return r;
}

int mounts_add_volume(json_t **body, const char *spec, struct err *reterr)
{
    const char *colon = strchr(spec, ':');
    _cleanup_free_ char *source = NULL, *cwd = NULL, *joined = NULL, *bind = NULL;
    json_t *one;

    if (!*spec)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid empty volume spec");
    if (!colon) {
        one = json_object();
        json_object_set_new(one, spec, json_object());
        json_put_path(body, "Volumes", OPT_MERGE, one);
        return 0;
    }
    if (colon == spec || !colon[1] || strstr(spec, "::"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid spec: %s: empty section between colons", spec);
    source = xstrndup(spec, (size_t)(colon - spec));
    if (*source == '.') {
        cwd = getcwd(NULL, 0);
        joined = path_join(cwd ? cwd : "/", source);
        free(source);
        source = path_clean(joined);
    }
    bind = xasprintf("%s%s", source, colon);
    json_put_path(body, "HostConfig.Binds", OPT_APPEND, json_string(bind));
    return 0;
}

void mounts_add_tmpfs(json_t **body, const char *spec)
{
    size_t n = strcspn(spec, ":");
    _cleanup_free_ char *path = xstrndup(spec, n);
    json_t *one = json_object();

    json_object_set_new(one, path, json_string(spec[n] ? spec + n + 1 : ""));
    json_put_path(body, "HostConfig.Tmpfs", OPT_MERGE, one);
}

static bool is_device_mode(const char *s)
{
    return *s && strspn(s, "rwm") == strlen(s) && strlen(s) <= 3;
}

/* "vendor.com/class=name" */
static bool is_cdi_name(const char *s)
{
    const char *slash = strchr(s, '/'), *eq = strchr(s, '=');

    return slash && eq && slash > s && eq > slash + 1 && eq[1] && !strchr(s, ':');
}

int mounts_add_device(json_t **body, const char *spec, struct err *reterr)
{
    char **part;
    const char *inside, *mode = "rwm";
    size_t n;
    int r = 0;

    if (is_cdi_name(spec)) {
        json_put_path(body, "HostConfig.DeviceRequests", OPT_APPEND,
                      json_pack("{s:s, s:[s]}", "Driver", "cdi", "DeviceIDs", spec));
        return 0;
    }
    part = split_at(spec, ':');
    n = strv_len(part);
    inside = part[0];
    if (n == 2 && is_device_mode(part[1])) {
        mode = part[1];
    } else if (n >= 2) {
        inside = part[1];
        mode = n == 3 ? part[2] : mode;
    }
    if (n > 3 || !*part[0])
        r = err_set(reterr, ERR_INVALID, EINVAL, "bad format for path: %s", spec);
    else if (!is_device_mode(mode))
        r = err_set(reterr, ERR_INVALID, EINVAL, "bad mode specified: %s", mode);
    else if (*inside != '/')
        r = err_set(reterr, ERR_INVALID, EINVAL, "%s is not an absolute path", inside);
    else
        json_put_path(body, "HostConfig.Devices", OPT_APPEND,
                      json_pack("{s:s, s:s, s:s}", "PathOnHost", part[0], "PathInContainer", inside,
                                "CgroupPermissions", mode));
    strv_free(part);
    return r;
}
