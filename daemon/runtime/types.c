/* Types of the members of request bodies, told as Go's decoder tells them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "str.h"
#include "validate.h"

#define PATH_MAX_LEN 256

enum type {
    T_STRING,
    T_BOOL,
    T_INT,
    T_UINT,
    T_UINT16,
    T_UINT32,
    T_STRINGS,    /* []string */
    T_WORDS,      /* string or []string */
    T_STRING_MAP, /* map[string]string */
    T_SET,        /* map[string]struct{} */
    T_OBJECT,     /* a struct with members */
    T_OBJECTS,    /* a list of them */
    T_OBJECT_MAP, /* map[string]struct */
    T_LIST_MAP,   /* map[string][]struct */
    T_PAIR,       /* [2]uint */
    T_ANY,
};

struct field {
    const char *name;
    enum type type;
    const char *go;             /* Go's name of the type, for messages */
    const struct field *fields; /* of objects, ended by a NULL name */
};

#define END                                                                                        \
    {                                                                                              \
        NULL, T_ANY, NULL, NULL                                                                    \
    }

static const struct field health_fields[] = {
    {"Test", T_STRINGS, "[]string", NULL},
    {"Interval", T_INT, "time.Duration", NULL},
    {"Timeout", T_INT, "time.Duration", NULL},
    {"StartPeriod", T_INT, "time.Duration", NULL},
    {"StartInterval", T_INT, "time.Duration", NULL},
    {"Retries", T_INT, "int", NULL},
    END,
};

static const struct field log_fields[] = {
    {"Type", T_STRING, "string", NULL},
    {"Config", T_STRING_MAP, "map[string]string", NULL},
    END,
};

static const struct field restart_fields[] = {
    {"Name", T_STRING, "container.RestartPolicyMode", NULL},
    {"MaximumRetryCount", T_INT, "int", NULL},
    END,
};

static const struct field binding_fields[] = {
    {"HostIp", T_STRING, "string", NULL},
    {"HostPort", T_STRING, "string", NULL},
    END,
};

static const struct field weight_fields[] = {
    {"Path", T_STRING, "string", NULL},
    {"Weight", T_UINT16, "uint16", NULL},
    END,
};

static const struct field rate_fields[] = {
    {"Path", T_STRING, "string", NULL},
    {"Rate", T_UINT, "uint64", NULL},
    END,
};

static const struct field hugepage_fields[] = {
    {"PageSize", T_STRING, "string", NULL},
    {"Limit", T_INT, "int64", NULL},
    END,
};

static const struct field rdma_fields[] = {
    {"Device", T_STRING, "string", NULL},
    {"HcaHandles", T_UINT32, "uint32", NULL},
    {"HcaObjects", T_UINT32, "uint32", NULL},
    END,
};

static const struct field priority_fields[] = {
    {"Interface", T_STRING, "string", NULL},
    {"Priority", T_UINT32, "uint32", NULL},
    END,
};

static const struct field device_fields[] = {
    {"PathOnHost", T_STRING, "string", NULL},
    {"PathInContainer", T_STRING, "string", NULL},
    {"CgroupPermissions", T_STRING, "string", NULL},
    END,
};

static const struct field request_fields[] = {
    {"Driver", T_STRING, "string", NULL},
    {"Count", T_INT, "int", NULL},
    {"DeviceIDs", T_STRINGS, "[]string", NULL},
    {"Capabilities", T_ANY, NULL, NULL},
    {"Options", T_STRING_MAP, "map[string]string", NULL},
    END,
};

static const struct field ulimit_fields[] = {
    {"Name", T_STRING, "string", NULL},
    {"Soft", T_INT, "int64", NULL},
    {"Hard", T_INT, "int64", NULL},
    END,
};

static const struct field bind_options[] = {
    {"Propagation", T_STRING, "mount.Propagation", NULL},
    {"NonRecursive", T_BOOL, "bool", NULL},
    {"CreateMountpoint", T_BOOL, "bool", NULL},
    {"ReadOnlyNonRecursive", T_BOOL, "bool", NULL},
    {"ReadOnlyForceRecursive", T_BOOL, "bool", NULL},
    END,
};

static const struct field tmpfs_options[] = {
    {"SizeBytes", T_INT, "int64", NULL},
    {"Mode", T_UINT, "fs.FileMode", NULL},
    {"Options", T_ANY, NULL, NULL},
    END,
};

static const struct field mount_fields[] = {
    {"Type", T_STRING, "mount.Type", NULL},
    {"Source", T_STRING, "string", NULL},
    {"Target", T_STRING, "string", NULL},
    {"ReadOnly", T_BOOL, "bool", NULL},
    {"Consistency", T_STRING, "mount.Consistency", NULL},
    {"BindOptions", T_OBJECT, "mount.BindOptions", bind_options},
    {"TmpfsOptions", T_OBJECT, "mount.TmpfsOptions", tmpfs_options},
    {"VolumeOptions", T_ANY, NULL, NULL},
    END,
};

#define RESOURCE_FIELDS                                                                            \
    {"CpuShares", T_INT, "int64", NULL}, {"Memory", T_INT, "int64", NULL},                         \
        {"NanoCpus", T_INT, "int64", NULL}, {"CgroupParent", T_STRING, "string", NULL},            \
        {"BlkioWeight", T_UINT16, "uint16", NULL},                                                 \
        {"BlkioWeightDevice", T_OBJECTS, "[]*blkiodev.WeightDevice", weight_fields},               \
        {"BlkioDeviceReadBps", T_OBJECTS, "[]*blkiodev.ThrottleDevice", rate_fields},              \
        {"BlkioDeviceWriteBps", T_OBJECTS, "[]*blkiodev.ThrottleDevice", rate_fields},             \
        {"BlkioDeviceReadIOps", T_OBJECTS, "[]*blkiodev.ThrottleDevice", rate_fields},             \
        {"BlkioDeviceWriteIOps", T_OBJECTS, "[]*blkiodev.ThrottleDevice", rate_fields},            \
        {"CpuPeriod", T_INT, "int64", NULL}, {"CpuQuota", T_INT, "int64", NULL},                   \
        {"CpuRealtimePeriod", T_INT, "int64", NULL}, {"CpuRealtimeRuntime", T_INT, "int64", NULL}, \
        {"CpusetCpus", T_STRING, "string", NULL}, {"CpusetMems", T_STRING, "string", NULL},        \
        {"Devices", T_OBJECTS, "[]container.DeviceMapping", device_fields},                        \
        {"DeviceCgroupRules", T_STRINGS, "[]string", NULL},                                        \
        {"DeviceRequests", T_OBJECTS, "[]container.DeviceRequest", request_fields},                \
        {"KernelMemory", T_INT, "int64", NULL}, {"KernelMemoryTCP", T_INT, "int64", NULL},         \
        {"MemoryReservation", T_INT, "int64", NULL}, {"MemorySwap", T_INT, "int64", NULL},         \
        {"MemorySwappiness", T_INT, "int64", NULL}, {"OomKillDisable", T_BOOL, "bool", NULL},      \
        {"PidsLimit", T_INT, "int64", NULL},                                                       \
        {"Ulimits", T_OBJECTS, "[]*units.Ulimit", ulimit_fields},                                  \
        {"CpuCount", T_INT, "int64", NULL}, {"CpuPercent", T_INT, "int64", NULL},                  \
        {"IOMaximumIOps", T_UINT, "uint64", NULL}, {"CpuBurst", T_INT, "int64", NULL},             \
        {"MemoryHigh", T_INT, "int64", NULL},                                                      \
        {"HugepageLimits", T_OBJECTS, "[]container.HugepageLimit", hugepage_fields},               \
        {"RdmaLimits", T_OBJECTS, "[]container.RdmaLimit", rdma_fields},                           \
        {"NetClassId", T_UINT32, "uint32", NULL},                                                  \
        {"NetPriorities", T_OBJECTS, "[]container.NetPriority", priority_fields},                  \
                                                                                                   \
    {                                                                                              \
        "IOMaximumBandwidth", T_UINT, "uint64", NULL                                               \
    }

static const struct field host_fields[] = {
    {"Binds", T_STRINGS, "[]string", NULL},
    {"ContainerIDFile", T_STRING, "string", NULL},
    {"LogConfig", T_OBJECT, "container.LogConfig", log_fields},
    {"NetworkMode", T_STRING, "container.NetworkMode", NULL},
    {"PortBindings", T_LIST_MAP, "nat.PortMap", binding_fields},
    {"RestartPolicy", T_OBJECT, "container.RestartPolicy", restart_fields},
    {"AutoRemove", T_BOOL, "bool", NULL},
    {"VolumeDriver", T_STRING, "string", NULL},
    {"VolumesFrom", T_STRINGS, "[]string", NULL},
    {"ConsoleSize", T_PAIR, "[2]uint", NULL},
    {"Annotations", T_STRING_MAP, "map[string]string", NULL},
    {"CapAdd", T_WORDS, "strslice.StrSlice", NULL},
    {"CapDrop", T_WORDS, "strslice.StrSlice", NULL},
    {"CgroupnsMode", T_STRING, "container.CgroupnsMode", NULL},
    {"Dns", T_STRINGS, "[]string", NULL},
    {"DnsOptions", T_STRINGS, "[]string", NULL},
    {"DnsSearch", T_STRINGS, "[]string", NULL},
    {"ExtraHosts", T_STRINGS, "[]string", NULL},
    {"GroupAdd", T_STRINGS, "[]string", NULL},
    {"IpcMode", T_STRING, "container.IpcMode", NULL},
    {"Cgroup", T_STRING, "container.CgroupSpec", NULL},
    {"Links", T_STRINGS, "[]string", NULL},
    {"OomScoreAdj", T_INT, "int", NULL},
    {"PidMode", T_STRING, "container.PidMode", NULL},
    {"Privileged", T_BOOL, "bool", NULL},
    {"PublishAllPorts", T_BOOL, "bool", NULL},
    {"ReadonlyRootfs", T_BOOL, "bool", NULL},
    {"SecurityOpt", T_STRINGS, "[]string", NULL},
    {"StorageOpt", T_STRING_MAP, "map[string]string", NULL},
    {"Tmpfs", T_STRING_MAP, "map[string]string", NULL},
    {"UTSMode", T_STRING, "container.UTSMode", NULL},
    {"UsernsMode", T_STRING, "container.UsernsMode", NULL},
    {"ShmSize", T_INT, "int64", NULL},
    {"Sysctls", T_STRING_MAP, "map[string]string", NULL},
    {"Runtime", T_STRING, "string", NULL},
    {"Isolation", T_STRING, "container.Isolation", NULL},
    RESOURCE_FIELDS,
    {"Mounts", T_OBJECTS, "[]mount.Mount", mount_fields},
    {"MaskedPaths", T_STRINGS, "[]string", NULL},
    {"ReadonlyPaths", T_STRINGS, "[]string", NULL},
    {"Init", T_BOOL, "bool", NULL},
    {"RestartOnUnhealthy", T_BOOL, "bool", NULL}, /* ours */
    {"ProcView", T_BOOL, "bool", NULL},           /* ours */
    END,
};

static const struct field endpoint_fields[] = {
    {"IPAMConfig", T_ANY, NULL, NULL},
    {"Links", T_STRINGS, "[]string", NULL},
    {"Aliases", T_STRINGS, "[]string", NULL},
    {"MacAddress", T_STRING, "string", NULL},
    {"NetworkID", T_STRING, "string", NULL},
    {"DriverOpts", T_STRING_MAP, "map[string]string", NULL},
    {"GwPriority", T_INT, "int", NULL},
    END,
};

static const struct field networking_fields[] = {
    {"EndpointsConfig", T_OBJECT_MAP, "map[string]*network.EndpointSettings", endpoint_fields},
    END,
};

static const struct field create_fields[] = {
    {"Hostname", T_STRING, "string", NULL},
    {"Domainname", T_STRING, "string", NULL},
    {"User", T_STRING, "string", NULL},
    {"AttachStdin", T_BOOL, "bool", NULL},
    {"AttachStdout", T_BOOL, "bool", NULL},
    {"AttachStderr", T_BOOL, "bool", NULL},
    {"ExposedPorts", T_SET, "nat.PortSet", NULL},
    {"Tty", T_BOOL, "bool", NULL},
    {"OpenStdin", T_BOOL, "bool", NULL},
    {"StdinOnce", T_BOOL, "bool", NULL},
    {"Env", T_STRINGS, "[]string", NULL},
    {"Cmd", T_WORDS, "strslice.StrSlice", NULL},
    {"Healthcheck", T_OBJECT, "container.HealthConfig", health_fields},
    {"ArgsEscaped", T_BOOL, "bool", NULL},
    {"Image", T_STRING, "string", NULL},
    {"Volumes", T_SET, "map[string]struct {}", NULL},
    {"WorkingDir", T_STRING, "string", NULL},
    {"Entrypoint", T_WORDS, "strslice.StrSlice", NULL},
    {"NetworkDisabled", T_BOOL, "bool", NULL},
    {"MacAddress", T_STRING, "string", NULL},
    {"OnBuild", T_STRINGS, "[]string", NULL},
    {"Labels", T_STRING_MAP, "map[string]string", NULL},
    {"StopSignal", T_STRING, "string", NULL},
    {"StopTimeout", T_INT, "int", NULL},
    {"Shell", T_WORDS, "strslice.StrSlice", NULL},
    {"HostConfig", T_OBJECT, "container.HostConfig", host_fields},
    {"NetworkingConfig", T_OBJECT, "network.NetworkingConfig", networking_fields},
    END,
};

static const struct field exec_fields[] = {
    {"User", T_STRING, "string", NULL},
    {"Privileged", T_BOOL, "bool", NULL},
    {"Tty", T_BOOL, "bool", NULL},
    {"ConsoleSize", T_PAIR, "[2]uint", NULL},
    {"AttachStdin", T_BOOL, "bool", NULL},
    {"AttachStdout", T_BOOL, "bool", NULL},
    {"AttachStderr", T_BOOL, "bool", NULL},
    {"Detach", T_BOOL, "bool", NULL},
    {"DetachKeys", T_STRING, "string", NULL},
    {"Env", T_STRINGS, "[]string", NULL},
    {"WorkingDir", T_STRING, "string", NULL},
    {"Cmd", T_STRINGS, "[]string", NULL},
    END,
};

static const struct field update_fields[] = {
    RESOURCE_FIELDS,
    {"RestartPolicy", T_OBJECT, "container.RestartPolicy", restart_fields},
    END,
};

/* ---- the check ---- */

static const char *json_noun(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    default:
        return "number";
    }
}

static int mismatch(const char *path, const json_t *v, const char *go, struct err *reterr)
{
    char number[64] = "";

    /* Go tells a number that does not fit by its digits. */
    if (json_is_integer(v) && !streq(go, "string") && !streq(go, "bool") && go[0] != '[')
        snprintf(number, sizeof(number), " %lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(number, sizeof(number), " %g", json_real_value(v));
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "invalid JSON: json: cannot unmarshal %s%s into Go struct field %s of type %s",
                   json_noun(v), number, path, go);
}

static int too_much(const char *path, struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, E2BIG, "invalid JSON: %s is too large", path);
}

static int check_object(const json_t *obj, const struct field *fields, const char *path,
                        struct err *reterr);

/* A NUL cannot be in a path, argument or environment: it would cut the string silently. */
static int check_string(const json_t *v, const char *path, const char *go, struct err *reterr)
{
    if (!json_is_string(v))
        return mismatch(path, v, go, reterr);
    if (json_string_length(v) > VALIDATE_STRING_MAX)
        return too_much(path, reterr);
    if (strlen(json_string_value(v)) != json_string_length(v))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid JSON: NUL character in %s", path);
    return 0;
}

static int check_strings(const json_t *v, const char *path, const char *go, struct err *reterr)
{
    const json_t *item;
    int r = 0;
    size_t i;

    if (!json_is_array(v))
        return mismatch(path, v, go, reterr);
    if (json_array_size(v) > VALIDATE_LIST_MAX)
        return too_much(path, reterr);
    json_array_foreach (v, i, item) {
        r = check_string(item, path, "string", reterr);
        if (r < 0)
            return r;
    }
    return r;
}

static int check_map(const json_t *v, const struct field *f, const char *path, struct err *reterr)
{
    const json_t *item, *entry;
    const char *key;
    int r = 0;
    size_t i;

    if (!json_is_object(v))
        return mismatch(path, v, f->go, reterr);
    if (json_object_size(v) > VALIDATE_LIST_MAX)
        return too_much(path, reterr);
    json_object_foreach ((json_t *)v, key, item) {
        if (f->type == T_STRING_MAP)
            r = check_string(item, path, "string", reterr);
        else if (f->type == T_SET)
            r = json_is_object(item) || json_is_null(item)
                    ? 0
                    : mismatch(path, item, "struct {}", reterr);
        else if (f->type == T_OBJECT_MAP)
            r = json_is_null(item) ? 0 : check_object(item, f->fields, path, reterr);
        else if (!json_is_array(item) && !json_is_null(item))
            r = mismatch(path, item, "[]nat.PortBinding", reterr);
        json_array_foreach (item, i, entry) {
            if (r >= 0 && f->type == T_LIST_MAP)
                r = check_object(entry, f->fields, path, reterr);
        }
        if (r < 0)
            return r;
    }
    return r;
}

static int check_objects(const json_t *v, const struct field *f, const char *path,
                         struct err *reterr)
{
    const json_t *item;
    size_t i;

    if (!json_is_array(v))
        return mismatch(path, v, f->go, reterr);
    if (json_array_size(v) > VALIDATE_LIST_MAX)
        return too_much(path, reterr);
    json_array_foreach (v, i, item) {
        int r = check_object(item, f->fields, path, reterr);

        if (r < 0)
            return r;
    }
    return 0;
}

static int check_pair(const json_t *v, const char *path, const char *go, struct err *reterr)
{
    const json_t *item;
    size_t i;

    if (!json_is_array(v))
        return mismatch(path, v, go, reterr);
    json_array_foreach (v, i, item) {
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return mismatch(path, item, "uint", reterr);
    }
    return 0;
}

static int check_value(const json_t *v, const struct field *f, const char *path, struct err *reterr)
{
    switch (f->type) {
    case T_STRING:
        return check_string(v, path, f->go, reterr);
    case T_BOOL:
        return json_is_boolean(v) ? 0 : mismatch(path, v, f->go, reterr);
    case T_INT:
        return json_is_integer(v) ? 0 : mismatch(path, v, f->go, reterr);
    case T_UINT:
        return json_is_integer(v) && json_integer_value(v) >= 0 ? 0
                                                                : mismatch(path, v, f->go, reterr);
    case T_UINT16:
    case T_UINT32:
        return json_is_integer(v) && json_integer_value(v) >= 0 &&
                       json_integer_value(v) <= (f->type == T_UINT16 ? UINT16_MAX : UINT32_MAX)
                   ? 0
                   : mismatch(path, v, f->go, reterr);
    case T_WORDS:
        if (json_is_string(v))
            return check_string(v, path, f->go, reterr);
        return check_strings(v, path, f->go, reterr);
    case T_STRINGS:
        return check_strings(v, path, f->go, reterr);
    case T_OBJECT:
        return json_is_object(v) ? check_object(v, f->fields, path, reterr)
                                 : mismatch(path, v, f->go, reterr);
    case T_OBJECTS:
        return check_objects(v, f, path, reterr);
    case T_PAIR:
        return check_pair(v, path, f->go, reterr);
    case T_ANY:
        return 0;
    default:
        return check_map(v, f, path, reterr);
    }
}

static int check_object(const json_t *obj, const struct field *fields, const char *path,
                        struct err *reterr)
{
    if (json_is_null(obj))
        return 0;
    if (!json_is_object(obj))
        return mismatch(path, obj, "object", reterr);
    for (const struct field *f = fields; f->name; f++) {
        const json_t *v = json_get(obj, f->name);
        char sub[PATH_MAX_LEN];
        int r;

        if (!v)
            continue;
        snprintf(sub, sizeof(sub), "%s.%s", path, f->name);
        r = check_value(v, f, sub, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int validate_create_types(const json_t *body, struct err *reterr)
{
    return check_object(body, create_fields, "CreateRequest", reterr);
}

int validate_exec_types(const json_t *body, struct err *reterr)
{
    return check_object(body, exec_fields, "ExecOptions", reterr);
}

int validate_update_types(const json_t *body, struct err *reterr)
{
    return check_object(body, update_fields, "UpdateConfig", reterr);
}
