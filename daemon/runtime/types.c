/* Types of the members of request bodies, told as Go's decoder tells them. */
#include "gotypes.h"
#include "validate.h"

static const struct go_field log_fields[] = {
    {"Type", GO_STRING, "string", NULL},
    {"Config", GO_STRING_MAP, "map[string]string", NULL},
    GO_END,
};

static const struct go_field restart_fields[] = {
    {"Name", GO_STRING, "container.RestartPolicyMode", NULL},
    {"MaximumRetryCount", GO_INT, "int", NULL},
    GO_END,
};

static const struct go_field binding_fields[] = {
    {"HostIp", GO_STRING, "string", NULL},
    {"HostPort", GO_STRING, "string", NULL},
    GO_END,
};

static const struct go_field weight_fields[] = {
    {"Path", GO_STRING, "string", NULL},
    {"Weight", GO_UINT16, "uint16", NULL},
    GO_END,
};

static const struct go_field rate_fields[] = {
    {"Path", GO_STRING, "string", NULL},
    {"Rate", GO_UINT, "uint64", NULL},
    GO_END,
};

static const struct go_field hugepage_fields[] = {
    {"PageSize", GO_STRING, "string", NULL},
    {"Limit", GO_INT, "int64", NULL},
    GO_END,
};

static const struct go_field rdma_fields[] = {
    {"Device", GO_STRING, "string", NULL},
    {"HcaHandles", GO_UINT32, "uint32", NULL},
    {"HcaObjects", GO_UINT32, "uint32", NULL},
    GO_END,
};

static const struct go_field priority_fields[] = {
    {"Interface", GO_STRING, "string", NULL},
    {"Priority", GO_UINT32, "uint32", NULL},
    GO_END,
};

static const struct go_field device_fields[] = {
    {"PathOnHost", GO_STRING, "string", NULL},
    {"PathInContainer", GO_STRING, "string", NULL},
    {"CgroupPermissions", GO_STRING, "string", NULL},
    GO_END,
};

static const struct go_field request_fields[] = {
    {"Driver", GO_STRING, "string", NULL},
    {"Count", GO_INT, "int", NULL},
    {"DeviceIDs", GO_STRINGS, "[]string", NULL},
    {"Capabilities", GO_ANY, NULL, NULL},
    {"Options", GO_STRING_MAP, "map[string]string", NULL},
    GO_END,
};

static const struct go_field ulimit_fields[] = {
    {"Name", GO_STRING, "string", NULL},
    {"Soft", GO_INT, "int64", NULL},
    {"Hard", GO_INT, "int64", NULL},
    GO_END,
};

static const struct go_field bind_options[] = {
    {"Propagation", GO_STRING, "mount.Propagation", NULL},
    {"NonRecursive", GO_BOOL, "bool", NULL},
    {"CreateMountpoint", GO_BOOL, "bool", NULL},
    {"ReadOnlyNonRecursive", GO_BOOL, "bool", NULL},
    {"ReadOnlyForceRecursive", GO_BOOL, "bool", NULL},
    GO_END,
};

static const struct go_field tmpfs_options[] = {
    {"SizeBytes", GO_INT, "int64", NULL},
    {"Mode", GO_UINT, "fs.FileMode", NULL},
    {"Options", GO_ANY, NULL, NULL},
    GO_END,
};

static const struct go_field driver_fields[] = {
    {"Name", GO_STRING, "string", NULL},
    {"Options", GO_STRING_MAP, "map[string]string", NULL},
    GO_END,
};

static const struct go_field volume_options[] = {
    {"NoCopy", GO_BOOL, "bool", NULL},
    {"Labels", GO_STRING_MAP, "map[string]string", NULL},
    {"Subpath", GO_STRING, "string", NULL},
    {"DriverConfig", GO_OBJECT, "mount.Driver", driver_fields},
    GO_END,
};

static const struct go_field mount_fields[] = {
    {"Type", GO_STRING, "mount.Type", NULL},
    {"Source", GO_STRING, "string", NULL},
    {"Target", GO_STRING, "string", NULL},
    {"ReadOnly", GO_BOOL, "bool", NULL},
    {"Consistency", GO_STRING, "mount.Consistency", NULL},
    {"BindOptions", GO_OBJECT, "mount.BindOptions", bind_options},
    {"TmpfsOptions", GO_OBJECT, "mount.TmpfsOptions", tmpfs_options},
    {"VolumeOptions", GO_OBJECT, "mount.VolumeOptions", volume_options},
    GO_END,
};

#define RESOURCE_FIELDS                                                                            \
    {"CpuShares", GO_INT, "int64", NULL}, {"Memory", GO_INT, "int64", NULL},                       \
        {"NanoCpus", GO_INT, "int64", NULL}, {"CgroupParent", GO_STRING, "string", NULL},          \
        {"BlkioWeight", GO_UINT16, "uint16", NULL},                                                \
        {"BlkioWeightDevice", GO_OBJECTS, "[]*blkiodev.WeightDevice", weight_fields},              \
        {"BlkioDeviceReadBps", GO_OBJECTS, "[]*blkiodev.ThrottleDevice", rate_fields},             \
        {"BlkioDeviceWriteBps", GO_OBJECTS, "[]*blkiodev.ThrottleDevice", rate_fields},            \
        {"BlkioDeviceReadIOps", GO_OBJECTS, "[]*blkiodev.ThrottleDevice", rate_fields},            \
        {"BlkioDeviceWriteIOps", GO_OBJECTS, "[]*blkiodev.ThrottleDevice", rate_fields},           \
        {"CpuPeriod", GO_INT, "int64", NULL}, {"CpuQuota", GO_INT, "int64", NULL},                 \
        {"CpuRealtimePeriod", GO_INT, "int64", NULL},                                              \
        {"CpuRealtimeRuntime", GO_INT, "int64", NULL}, {"CpusetCpus", GO_STRING, "string", NULL},  \
        {"CpusetMems", GO_STRING, "string", NULL},                                                 \
        {"Devices", GO_OBJECTS, "[]container.DeviceMapping", device_fields},                       \
        {"DeviceCgroupRules", GO_STRINGS, "[]string", NULL},                                       \
        {"DeviceRequests", GO_OBJECTS, "[]container.DeviceRequest", request_fields},               \
        {"KernelMemory", GO_INT, "int64", NULL}, {"KernelMemoryTCP", GO_INT, "int64", NULL},       \
        {"MemoryReservation", GO_INT, "int64", NULL}, {"MemorySwap", GO_INT, "int64", NULL},       \
        {"MemorySwappiness", GO_INT, "int64", NULL}, {"OomKillDisable", GO_BOOL, "bool", NULL},    \
        {"PidsLimit", GO_INT, "int64", NULL},                                                      \
        {"Ulimits", GO_OBJECTS, "[]*units.Ulimit", ulimit_fields},                                 \
        {"CpuCount", GO_INT, "int64", NULL}, {"CpuPercent", GO_INT, "int64", NULL},                \
        {"IOMaximumIOps", GO_UINT, "uint64", NULL}, {"CpuBurst", GO_INT, "int64", NULL},           \
        {"MemoryHigh", GO_INT, "int64", NULL},                                                     \
        {"HugepageLimits", GO_OBJECTS, "[]container.HugepageLimit", hugepage_fields},              \
        {"RdmaLimits", GO_OBJECTS, "[]container.RdmaLimit", rdma_fields},                          \
        {"NetClassId", GO_UINT32, "uint32", NULL},                                                 \
        {"NetPriorities", GO_OBJECTS, "[]container.NetPriority", priority_fields},                 \
                                                                                                   \
    {                                                                                              \
        "IOMaximumBandwidth", GO_UINT, "uint64", NULL                                              \
    }

static const struct go_field host_fields[] = {
    {"Binds", GO_STRINGS, "[]string", NULL},
    {"ContainerIDFile", GO_STRING, "string", NULL},
    {"LogConfig", GO_OBJECT, "container.LogConfig", log_fields},
    {"NetworkMode", GO_STRING, "container.NetworkMode", NULL},
    {"PortBindings", GO_LIST_MAP, "nat.PortMap", binding_fields},
    {"RestartPolicy", GO_OBJECT, "container.RestartPolicy", restart_fields},
    {"AutoRemove", GO_BOOL, "bool", NULL},
    {"VolumeDriver", GO_STRING, "string", NULL},
    {"VolumesFrom", GO_STRINGS, "[]string", NULL},
    {"ConsoleSize", GO_PAIR, "[2]uint", NULL},
    {"Annotations", GO_STRING_MAP, "map[string]string", NULL},
    {"CapAdd", GO_WORDS, "strslice.StrSlice", NULL},
    {"CapDrop", GO_WORDS, "strslice.StrSlice", NULL},
    {"CgroupnsMode", GO_STRING, "container.CgroupnsMode", NULL},
    {"Dns", GO_STRINGS, "[]string", NULL},
    {"DnsOptions", GO_STRINGS, "[]string", NULL},
    {"DnsSearch", GO_STRINGS, "[]string", NULL},
    {"ExtraHosts", GO_STRINGS, "[]string", NULL},
    {"GroupAdd", GO_STRINGS, "[]string", NULL},
    {"IpcMode", GO_STRING, "container.IpcMode", NULL},
    {"Cgroup", GO_STRING, "container.CgroupSpec", NULL},
    {"Links", GO_STRINGS, "[]string", NULL},
    {"OomScoreAdj", GO_INT, "int", NULL},
    {"PidMode", GO_STRING, "container.PidMode", NULL},
    {"Privileged", GO_BOOL, "bool", NULL},
    {"PublishAllPorts", GO_BOOL, "bool", NULL},
    {"ReadonlyRootfs", GO_BOOL, "bool", NULL},
    {"SecurityOpt", GO_STRINGS, "[]string", NULL},
    {"StorageOpt", GO_STRING_MAP, "map[string]string", NULL},
    {"Tmpfs", GO_STRING_MAP, "map[string]string", NULL},
    {"UTSMode", GO_STRING, "container.UTSMode", NULL},
    {"UsernsMode", GO_STRING, "container.UsernsMode", NULL},
    {"ShmSize", GO_INT, "int64", NULL},
    {"Sysctls", GO_STRING_MAP, "map[string]string", NULL},
    {"Runtime", GO_STRING, "string", NULL},
    {"Isolation", GO_STRING, "container.Isolation", NULL},
    RESOURCE_FIELDS,
    {"Mounts", GO_OBJECTS, "[]mount.Mount", mount_fields},
    {"MaskedPaths", GO_STRINGS, "[]string", NULL},
    {"ReadonlyPaths", GO_STRINGS, "[]string", NULL},
    {"Init", GO_BOOL, "bool", NULL},
    {"RestartOnUnhealthy", GO_BOOL, "bool", NULL}, /* ours */
    {"ProcView", GO_BOOL, "bool", NULL},           /* ours */
    GO_END,
};

static const struct go_field endpoint_ipam_fields[] = {
    {"IPv4Address", GO_STRING, "string", NULL},
    {"IPv6Address", GO_STRING, "string", NULL},
    {"LinkLocalIPs", GO_STRINGS, "[]string", NULL},
    GO_END,
};

static const struct go_field endpoint_fields[] = {
    {"IPAMConfig", GO_OBJECT, "network.EndpointIPAMConfig", endpoint_ipam_fields},
    {"Links", GO_STRINGS, "[]string", NULL},
    {"Aliases", GO_STRINGS, "[]string", NULL},
    {"MacAddress", GO_STRING, "string", NULL},
    {"NetworkID", GO_STRING, "string", NULL},
    {"DriverOpts", GO_STRING_MAP, "map[string]string", NULL},
    {"GwPriority", GO_INT, "int", NULL},
    GO_END,
};

static const struct go_field connect_fields[] = {
    {"Container", GO_STRING, "string", NULL},
    {"EndpointConfig", GO_OBJECT, "network.EndpointSettings", endpoint_fields},
    {"Force", GO_BOOL, "bool", NULL},
    GO_END,
};

static const struct go_field networking_fields[] = {
    {"EndpointsConfig", GO_OBJECT_MAP, "map[string]*network.EndpointSettings", endpoint_fields},
    GO_END,
};

static const struct go_field create_fields[] = {
    {"Config", GO_EMBEDDED, NULL, go_container_config},
    {"HostConfig", GO_OBJECT, "container.HostConfig", host_fields},
    {"NetworkingConfig", GO_OBJECT, "network.NetworkingConfig", networking_fields},
    GO_END,
};

static const struct go_field exec_fields[] = {
    {"User", GO_STRING, "string", NULL},
    {"Privileged", GO_BOOL, "bool", NULL},
    {"Tty", GO_BOOL, "bool", NULL},
    {"ConsoleSize", GO_PAIR, "[2]uint", NULL},
    {"AttachStdin", GO_BOOL, "bool", NULL},
    {"AttachStdout", GO_BOOL, "bool", NULL},
    {"AttachStderr", GO_BOOL, "bool", NULL},
    {"Detach", GO_BOOL, "bool", NULL},
    {"DetachKeys", GO_STRING, "string", NULL},
    {"Env", GO_STRINGS, "[]string", NULL},
    {"WorkingDir", GO_STRING, "string", NULL},
    {"Cmd", GO_STRINGS, "[]string", NULL},
    GO_END,
};

static const struct go_field update_fields[] = {
    RESOURCE_FIELDS,
    {"RestartPolicy", GO_OBJECT, "container.RestartPolicy", restart_fields},
    GO_END,
};

static const struct go_field pool_fields[] = {
    {"Subnet", GO_STRING, "string", NULL},
    {"IPRange", GO_STRING, "string", NULL},
    {"Gateway", GO_STRING, "string", NULL},
    {"AuxiliaryAddresses", GO_STRING_MAP, "map[string]string", NULL},
    GO_END,
};

static const struct go_field ipam_fields[] = {
    {"Driver", GO_STRING, "string", NULL},
    {"Options", GO_STRING_MAP, "map[string]string", NULL},
    {"Config", GO_OBJECTS, "[]network.IPAMConfig", pool_fields},
    GO_END,
};

static const struct go_field config_from_fields[] = {
    {"Network", GO_STRING, "string", NULL},
    GO_END,
};

static const struct go_field network_fields[] = {
    {"Name", GO_STRING, "string", NULL},
    {"Driver", GO_STRING, "string", NULL},
    {"Scope", GO_STRING, "string", NULL},
    {"EnableIPv4", GO_BOOL, "bool", NULL},
    {"EnableIPv6", GO_BOOL, "bool", NULL},
    {"IPAM", GO_OBJECT, "network.IPAM", ipam_fields},
    {"Internal", GO_BOOL, "bool", NULL},
    {"Attachable", GO_BOOL, "bool", NULL},
    {"Ingress", GO_BOOL, "bool", NULL},
    {"ConfigOnly", GO_BOOL, "bool", NULL},
    {"ConfigFrom", GO_OBJECT, "network.ConfigReference", config_from_fields},
    {"Options", GO_STRING_MAP, "map[string]string", NULL},
    {"Labels", GO_STRING_MAP, "map[string]string", NULL},
    GO_END,
};

static const struct go_field volume_fields[] = {
    {"Name", GO_STRING, "string", NULL},
    {"Driver", GO_STRING, "string", NULL},
    {"DriverOpts", GO_STRING_MAP, "map[string]string", NULL},
    {"Labels", GO_STRING_MAP, "map[string]string", NULL},
    GO_END,
};

/* ---- the check ---- */

static int check(const json_t *body, const struct go_field *fields, const char *path,
                 struct err *reterr)
{
    static const struct go_limits max = {VALIDATE_LIST_MAX, VALIDATE_STRING_MAX};
    int r = go_types_check(body, fields, path, &max, reterr);

    return r < 0 ? err_wrap(reterr, "invalid JSON") : 0;
}

int validate_create_types(const json_t *body, struct err *reterr)
{
    return check(body, create_fields, "CreateRequest", reterr);
}

int validate_exec_types(const json_t *body, struct err *reterr)
{
    return check(body, exec_fields, "ExecOptions", reterr);
}

int validate_update_types(const json_t *body, struct err *reterr)
{
    return check(body, update_fields, "UpdateConfig", reterr);
}

int validate_network_types(const json_t *body, struct err *reterr)
{
    return check(body, network_fields, "CreateRequest", reterr);
}

int validate_volume_types(const json_t *body, struct err *reterr)
{
    return check(body, volume_fields, "CreateOptions", reterr);
}

int validate_connect_types(const json_t *body, struct err *reterr)
{
    return check(body, connect_fields, "ConnectOptions", reterr);
}
