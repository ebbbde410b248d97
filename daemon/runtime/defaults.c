/* Config and HostConfig in the shape that inspect shows; merging with the image's config. */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "json.h"
#include "mountspec.h"
#include "runtime_impl.h"
#include "str.h"

#define SHM_DEFAULT 67108864

enum member_kind {
    M_STRING, /* "" */
    M_BOOL,   /* false */
    M_INT,    /* 0 */
    M_NULL,   /* null */
    M_LIST,   /* [] */
    M_MAP,    /* {} */
    M_OMIT,   /* left out when absent, null or empty */
    M_NUMBER, /* left out when absent, null or 0 */
};

struct member {
    const char *key;
    enum member_kind kind;
};

/* In the order of Docker's structs. */
static const struct member config_members[] = {
    {"Hostname", M_STRING},      {"Domainname", M_STRING}, {"User", M_STRING},
    {"AttachStdin", M_BOOL},     {"AttachStdout", M_BOOL}, {"AttachStderr", M_BOOL},
    {"ExposedPorts", M_OMIT},    {"Tty", M_BOOL},          {"OpenStdin", M_BOOL},
    {"StdinOnce", M_BOOL},       {"Env", M_NULL},          {"Cmd", M_NULL},
    {"Healthcheck", M_OMIT},     {"ArgsEscaped", M_OMIT},  {"Image", M_STRING},
    {"Volumes", M_NULL},         {"WorkingDir", M_STRING}, {"Entrypoint", M_NULL},
    {"NetworkDisabled", M_OMIT}, {"MacAddress", M_OMIT},   {"OnBuild", M_NULL},
    {"Labels", M_MAP},           {"StopSignal", M_OMIT},   {"StopTimeout", M_OMIT},
    {"Shell", M_OMIT},
};

static const struct member host_members[] = {
    {"Binds", M_NULL},
    {"ContainerIDFile", M_STRING},
    {"LogConfig", M_MAP},
    {"NetworkMode", M_STRING},
    {"PortBindings", M_MAP},
    {"RestartPolicy", M_MAP},
    {"AutoRemove", M_BOOL},
    {"VolumeDriver", M_STRING},
    {"VolumesFrom", M_NULL},
    {"ConsoleSize", M_LIST},
    {"Annotations", M_OMIT},
    {"CapAdd", M_NULL},
    {"CapDrop", M_NULL},
    {"CgroupnsMode", M_STRING},
    {"Dns", M_LIST},
    {"DnsOptions", M_LIST},
    {"DnsSearch", M_LIST},
    {"ExtraHosts", M_NULL},
    {"GroupAdd", M_NULL},
    {"IpcMode", M_STRING},
    {"Cgroup", M_STRING},
    {"Links", M_NULL},
    {"OomScoreAdj", M_INT},
    {"PidMode", M_STRING},
    {"Privileged", M_BOOL},
    {"PublishAllPorts", M_BOOL},
    {"ReadonlyRootfs", M_BOOL},
    {"SecurityOpt", M_NULL},
    {"StorageOpt", M_OMIT},
    {"Tmpfs", M_OMIT},
    {"UTSMode", M_STRING},
    {"UsernsMode", M_STRING},
    {"ShmSize", M_INT},
    {"Sysctls", M_OMIT},
    {"Runtime", M_STRING},
    {"Isolation", M_STRING},
    {"CpuShares", M_INT},
    {"Memory", M_INT},
    {"NanoCpus", M_INT},
    {"CgroupParent", M_STRING},
    {"BlkioWeight", M_INT},
    {"BlkioWeightDevice", M_LIST},
    {"BlkioDeviceReadBps", M_LIST},
    {"BlkioDeviceWriteBps", M_LIST},
    {"BlkioDeviceReadIOps", M_LIST},
    {"BlkioDeviceWriteIOps", M_LIST},
    {"CpuPeriod", M_INT},
    {"CpuQuota", M_INT},
    {"CpuRealtimePeriod", M_INT},
    {"CpuRealtimeRuntime", M_INT},
    {"CpusetCpus", M_STRING},
    {"CpusetMems", M_STRING},
    {"Devices", M_LIST},
    {"DeviceCgroupRules", M_NULL},
    {"DeviceRequests", M_NULL},
    {"KernelMemory", M_NUMBER},
    {"KernelMemoryTCP", M_NUMBER},
    {"MemoryReservation", M_INT},
    {"MemorySwap", M_INT},
    {"MemorySwappiness", M_NULL},
    {"OomKillDisable", M_NULL},
    {"PidsLimit", M_NULL},
    {"Ulimits", M_LIST},
    {"CpuCount", M_INT},
    {"CpuPercent", M_INT},
    {"IOMaximumIOps", M_INT},
    {"IOMaximumBandwidth", M_INT},
    {"CpuBurst", M_NUMBER},
    {"MemoryHigh", M_NUMBER},
    {"HugepageLimits", M_OMIT},
    {"RdmaLimits", M_OMIT},
    {"NetClassId", M_NUMBER},
    {"NetPriorities", M_OMIT},
    {"Mounts", M_OMIT},
    {"MaskedPaths", M_NULL},
    {"ReadonlyPaths", M_NULL},
    {"Init", M_OMIT},
    {"RestartOnUnhealthy", M_OMIT}, /* ours */
    {"ProcView", M_OMIT},           /* ours */
};

static json_t *default_of(enum member_kind kind)
{
    switch (kind) {
    case M_STRING:
        return json_string("");
    case M_BOOL:
        return json_false();
    case M_INT:
        return json_integer(0);
    case M_LIST:
        return json_array();
    case M_MAP:
        return json_object();
    case M_NULL:
        return json_null();
    case M_OMIT:
    case M_NUMBER:
        break;
    }
    return NULL;
}

static bool is_empty(const json_t *v)
{
    return (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_string(v) && !*json_string_value(v));
}

static bool is_omitted(enum member_kind kind, const json_t *v)
{
    return (kind == M_OMIT && is_empty(v)) ||
           (kind == M_NUMBER && (!json_is_integer(v) || json_integer_value(v) == 0));
}

/* Rebuild obj with exactly these members, in this order, under their right names. */
static void shape(json_t *obj, const struct member *members, size_t n)
{
    _cleanup_json_ json_t *old = json_copy(obj);

    json_object_clear(obj);
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_get(old, members[i].key);

        if (v && !is_omitted(members[i].kind, v))
            json_object_set(obj, members[i].key, v);
        else if (members[i].kind != M_OMIT && members[i].kind != M_NUMBER)
            json_object_set_new(obj, members[i].key, default_of(members[i].kind));
    }
}

/* "x" to ["x"]: Cmd, Entrypoint and Shell may be one string. */
static void listify(json_t *obj, const char *key)
{
    json_t *v = json_get(obj, key);

    if (json_is_string(v)) {
        json_t *list = json_array();

        json_array_append(list, v);
        json_object_set_new(obj, key, list);
    }
}

static void normalise_config(json_t *config)
{
    static const char *const lists[] = {"Cmd", "Entrypoint", "Shell"};

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        listify(config, lists[i]);
}

void runtime_config_defaults(const struct runtime *rt, json_t *config, const json_t *host_config,
                             const char *id)
{
    const char *hostname;

    normalise_config(config);
    shape(config, config_members, ARRAY_SIZE(config_members));
    hostname = json_get_str(config, "Hostname", "");
    if (*hostname)
        return;
    /* A container in the host's network or UTS namespace has the host's name. */
    if (runtime_ns_mode(host_config, RUNTIME_NS_NET, NULL) == RUNTIME_NS_HOST ||
        runtime_ns_mode(host_config, RUNTIME_NS_UTS, NULL) == RUNTIME_NS_HOST)
        json_object_set_new(config, "Hostname", json_string(rt->facts.hostname));
    else
        json_object_set_new(config, "Hostname", json_stringn(id, strnlen(id, 12)));
}

static void set_if_empty(json_t *hc, const char *key, const char *value)
{
    if (!*json_get_str(hc, key, ""))
        json_object_set_new(hc, key, json_string(value));
}

static void default_modes(const struct runtime *rt, json_t *hc, unsigned api)
{
    bool unified = rt->cg && cgroup_is_unified(rt->cg);
    const char *net = json_get_str(hc, "NetworkMode", "");

    if (!*net || streq(net, "default"))
        json_object_set_new(hc, "NetworkMode", json_string("bridge"));
    set_if_empty(hc, "IpcMode", api < 40 ? "shareable" : "private");
    /* Clients before 1.41 do not know the mode and had the host's. */
    set_if_empty(hc, "CgroupnsMode", unified && api >= 41 ? "private" : "host");
    set_if_empty(hc, "Runtime", "runc");
}

static void default_memory(const struct runtime *rt, json_t *hc)
{
    int64_t memory = json_get_int(hc, "Memory", 0), swap = json_get_int(hc, "MemorySwap", 0);
    bool v1 = !rt->cg || !cgroup_is_unified(rt->cg);

    if (memory > 0 && swap == 0 && memory <= INT64_MAX / 2)
        json_object_set_new(hc, "MemorySwap", json_integer(memory * 2));
    if (json_get_int(hc, "MemorySwappiness", -1) == -1)
        json_object_set_new(hc, "MemorySwappiness", json_null());
    if (json_get_int(hc, "PidsLimit", 0) <= 0)
        json_object_set_new(hc, "PidsLimit", json_null());
    if (!json_get(hc, "OomKillDisable") && v1)
        json_object_set_new(hc, "OomKillDisable", json_false());
    if (json_get_int(hc, "ShmSize", 0) == 0)
        json_object_set_new(hc, "ShmSize", json_integer(SHM_DEFAULT));
    if (json_get_int(hc, "CpuPercent", 0) > 0) /* Windows'; warned of */
        json_object_set_new(hc, "CpuPercent", json_integer(0));
}

static void default_objects(json_t *hc)
{
    json_t *restart = json_object_get(hc, "RestartPolicy"), *log = json_object_get(hc, "LogConfig");
    const char *policy = json_get_str(restart, "Name", "");
    json_t *size = json_object_get(hc, "ConsoleSize"), *options = json_get(log, "Config");

    json_object_set_new(hc, "RestartPolicy",
                        json_pack("{s:s,s:I}", "Name", *policy ? policy : "no", "MaximumRetryCount",
                                  (json_int_t)json_get_int(restart, "MaximumRetryCount", 0)));
    log = json_pack("{s:s,s:o}", "Type",
                    *json_get_str(log, "Type", "") ? json_get_str(log, "Type", "") : "json-file",
                    "Config", options ? json_incref(options) : json_object());
    json_object_set_new(hc, "LogConfig", log);
    if (json_array_size(size) != 2)
        json_object_set_new(hc, "ConsoleSize", json_pack("[i,i]", 0, 0));
}

static void default_paths(const struct runtime *rt, json_t *hc)
{
    struct secopt so = {0};

    if (json_get_bool(hc, "Privileged", false))
        return;
    if (secopt_parse(hc, &so, NULL) >= 0 && so.systempaths_unconfined) {
        json_object_set_new(hc, "MaskedPaths", json_array());
        json_object_set_new(hc, "ReadonlyPaths", json_array());
        return;
    }
    if (!json_get(hc, "MaskedPaths"))
        json_object_set(hc, "MaskedPaths", rt->masked);
    if (!json_get(hc, "ReadonlyPaths"))
        json_object_set(hc, "ReadonlyPaths", rt->readonly);
}

void runtime_host_config_defaults(const struct runtime *rt, json_t *host_config, unsigned api)
{
    shape(host_config, host_members, ARRAY_SIZE(host_members));
    default_modes(rt, host_config, api);
    default_memory(rt, host_config);
    default_objects(host_config);
    default_paths(rt, host_config);
}

/* ---- image config ---- */

static void inherit_string(json_t *config, const json_t *image, const char *key)
{
    if (!*json_get_str(config, key, "") && *json_get_str(image, key, ""))
        json_object_set(config, key, json_get(image, key));
}

/* Members of the image's map that the config lacks. */
static void inherit_map(json_t *config, const json_t *image, const char *key)
{
    json_t *theirs = json_get(image, key), *ours = json_get(config, key), *value;
    const char *name;

    if (!json_is_object(theirs) || json_object_size(theirs) == 0)
        return;
    ours = json_is_object(ours) ? json_copy(ours) : json_object();
    json_object_foreach (theirs, name, value) {
        if (!json_object_get(ours, name))
            json_object_set(ours, name, value);
    }
    json_object_set_new(config, key, ours);
}

/* The user's first, then the image's where the name is not there yet. */
static void inherit_env(json_t *config, const json_t *image)
{
    const json_t *ours = json_get(config, "Env"), *theirs = json_get(image, "Env"), *item, *have;
    json_t *env = json_is_array(ours) ? json_copy((json_t *)ours) : json_array();
    size_t i, k;

    json_array_foreach (theirs, i, item) {
        const char *entry = json_is_string(item) ? json_string_value(item) : "";
        size_t n = strcspn(entry, "=");
        bool known = n == 0;

        json_array_foreach (ours, k, have) {
            const char *s = json_is_string(have) ? json_string_value(have) : "";

            known |= strcspn(s, "=") == n && strncmp(s, entry, n) == 0;
        }
        if (!known)
            json_array_append(env, (json_t *)item);
    }
    if (json_array_size(env) > 0)
        json_object_set(config, "Env", env);
    json_decref(env);
}

static void inherit_health(json_t *config, const json_t *image)
{
    static const char *const keys[] = {"Test",        "Interval",      "Timeout",
                                       "StartPeriod", "StartInterval", "Retries"};
    json_t *theirs = json_get(image, "Healthcheck"), *ours = json_get(config, "Healthcheck");

    if (!json_is_object(theirs))
        return;
    if (!json_is_object(ours)) {
        json_object_set(config, "Healthcheck", theirs);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const json_t *v = json_get(ours, keys[i]);

        if ((!v || is_empty(v) || (json_is_integer(v) && json_integer_value(v) == 0)) &&
            json_get(theirs, keys[i]))
            json_object_set(ours, keys[i], json_get(theirs, keys[i]));
    }
}

/* A new entrypoint takes the image's command away; [""] is none at all; [] is none, with the
 * image's command. */
static void inherit_command(json_t *config, const json_t *image)
{
    json_t *entrypoint = json_get(config, "Entrypoint"), *cmd = json_get(config, "Cmd");
    const char *first = json_string_value(json_array_get(entrypoint, 0));
    bool cleared = json_array_size(entrypoint) == 1 && first && !*first;

    if (cleared) {
        json_object_set_new(config, "Entrypoint", json_null());
        return;
    }
    if (json_array_size(entrypoint) > 0)
        return;
    if (json_array_size(cmd) == 0 && json_array_size(json_get(image, "Cmd")) > 0)
        json_object_set(config, "Cmd", json_get(image, "Cmd"));
    if (!entrypoint && json_array_size(json_get(image, "Entrypoint")) > 0)
        json_object_set(config, "Entrypoint", json_get(image, "Entrypoint"));
}

int runtime_merge_image(json_t *config, const json_t *image_config, struct err *reterr)
{
    static const char *const strings[] = {"User", "WorkingDir", "StopSignal"};
    static const char *const maps[] = {"ExposedPorts", "Labels", "Volumes"};
    static const char *const whole[] = {"StopTimeout", "Shell", "OnBuild"};
    _cleanup_json_ json_t *image =
        json_is_object(image_config) ? json_deep_copy(image_config) : json_object();
    char **argv;

    normalise_config(config);
    normalise_config(image);
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        inherit_string(config, image, strings[i]);
    for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
        inherit_map(config, image, maps[i]);
    for (size_t i = 0; i < ARRAY_SIZE(whole); i++) {
        if (!json_get(config, whole[i]) && json_get(image, whole[i]))
            json_object_set(config, whole[i], json_get(image, whole[i]));
    }
    inherit_env(config, image);
    inherit_health(config, image);
    inherit_command(config, image);
    argv = runtime_argv(config);
    if (!argv)
        return err_set(reterr, ERR_INVALID, EINVAL, "no command specified");
    strv_free(argv);
    return 0;
}

static char **append_words(char **v, const json_t *words)
{
    const json_t *item;
    size_t i;

    if (json_is_string(words))
        return strv_append(v, json_string_value(words));
    json_array_foreach (words, i, item) {
        if (json_is_string(item))
            v = strv_append(v, json_string_value(item));
    }
    return v;
}

char **runtime_argv(const json_t *config)
{
    return append_words(append_words(NULL, json_get(config, "Entrypoint")),
                        json_get(config, "Cmd"));
}

/* ---- inspect's Mounts ---- */

static const char *propagation_name(unsigned long flags)
{
    bool rec = flags & MS_REC;

    if (flags & MS_SHARED)
        return rec ? "rshared" : "shared";
    if (flags & MS_SLAVE)
        return rec ? "rslave" : "slave";
    return flags && !rec ? "private" : "rprivate";
}

json_t *runtime_mounts_json(const json_t *host_config, const json_t *points)
{
    static const char *const types[] = {
        [MOUNT_BIND] = "bind", [MOUNT_TMPFS] = "tmpfs", [MOUNT_VOLUME] = "volume"};
    _cleanup_mounts_ struct mount_list list = {0};
    json_t *out = json_array();

    if (mount_list_parse(host_config, &list, NULL) < 0)
        return out;
    mount_list_settle(&list, points);
    for (size_t i = 0; i < list.n; i++) {
        const struct mount_spec *m = &list.mounts[i];
        json_t *o;

        /* HostConfig.Tmpfs is not shown here, as in Docker; tmpfs of Mounts is. */
        if (m->type == MOUNT_TMPFS && json_get(json_get(host_config, "Tmpfs"), m->target))
            continue;
        o = json_pack("{s:s,s:s,s:s,s:s,s:b,s:s}", "Type", types[m->type], "Source",
                      m->source ? m->source : "", "Destination", m->target, "Mode", m->mode, "RW",
                      !m->readonly, "Propagation",
                      m->type == MOUNT_BIND ? propagation_name(m->propagation) : "");
        if (m->type == MOUNT_VOLUME) {
            json_object_set_new(o, "Name", json_string(m->name));
            json_object_set_new(o, "Driver", json_string("local"));
        }
        json_array_append_new(out, o);
    }
    return out;
}
