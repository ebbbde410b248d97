#include "template_types.h"

#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "str.h"
#include "template_internal.h"

static const struct go_type types[] = {
    {"Components", 0, "s.Name s.Version m.Details", NULL},
    {"Config", 0,
     "s.Hostname s.Domainname s.User b.AttachStdin b.AttachStdout b.AttachStderr m.ExposedPorts "
     "b.Tty b.OpenStdin b.StdinOnce l.Env l.Cmd p.Healthcheck b.ArgsEscaped s.Image m.Volumes "
     "s.WorkingDir l.Entrypoint b.NetworkDisabled s.MacAddress l.OnBuild m.Labels s.StopSignal "
     "p.StopTimeout l.Shell",
     NULL},
    {"ConfigFrom", 0, "s.Network", NULL},
    {"Containers", 1, "s.Name s.EndpointID s.MacAddress s.IPv4Address s.IPv6Address", NULL},
    {"Devices", 0, "s.PathOnHost s.PathInContainer s.CgroupPermissions", NULL},
    {"ExposedPorts", 1, "", NULL},
    {"GraphDriver", 0, "m.Data s.Name", NULL},
    {"Health.Log", 0, "s.Start s.End i.ExitCode s.Output", NULL},
    {"Health", 0, "s.Status i.FailingStreak l.Log", NULL},
    {"Healthcheck", 0, "l.Test t.Interval t.Timeout t.StartPeriod t.StartInterval i.Retries", NULL},
    {"HostConfig", 0,
     "l.Binds s.ContainerIDFile p.LogConfig s.NetworkMode m.PortBindings p.RestartPolicy "
     "b.AutoRemove s.VolumeDriver l.VolumesFrom l.ConsoleSize m.Annotations l.CapAdd l.CapDrop "
     "s.CgroupnsMode l.Dns l.DnsOptions l.DnsSearch l.ExtraHosts l.GroupAdd s.IpcMode s.Cgroup "
     "l.Links i.OomScoreAdj s.PidMode b.Privileged b.PublishAllPorts b.ReadonlyRootfs "
     "l.SecurityOpt m.StorageOpt m.Tmpfs s.UTSMode s.UsernsMode i.ShmSize m.Sysctls s.Runtime "
     "s.Isolation { i.CpuShares i.Memory i.NanoCpus s.CgroupParent i.BlkioWeight "
     "l.BlkioWeightDevice l.BlkioDeviceReadBps l.BlkioDeviceWriteBps l.BlkioDeviceReadIOps "
     "l.BlkioDeviceWriteIOps i.CpuPeriod i.CpuQuota i.CpuRealtimePeriod i.CpuRealtimeRuntime "
     "s.CpusetCpus s.CpusetMems l.Devices l.DeviceCgroupRules l.DeviceRequests i.KernelMemory "
     "i.KernelMemoryTCP i.MemoryReservation i.MemorySwap p.MemorySwappiness p.OomKillDisable "
     "p.PidsLimit l.Ulimits i.CpuCount i.CpuPercent i.IOMaximumIOps i.IOMaximumBandwidth } "
     "l.Mounts l.MaskedPaths l.ReadonlyPaths p.Init",
     NULL},
    {"IPAM.Config", 0, "s.Subnet s.IPRange s.Gateway m.AuxiliaryAddresses", NULL},
    {"IPAM", 0, "s.Driver m.Options l.Config", NULL},
    {"image.Config", 0,
     "{ s.User m.ExposedPorts l.Env l.Entrypoint l.Cmd m.Volumes s.WorkingDir m.Labels "
     "s.StopSignal b.ArgsEscaped } { p.Healthcheck l.OnBuild l.Shell }",
     NULL},
    {"LogConfig.Config", 0, NULL, NULL},
    {"LogConfig", 0, "s.Type m.Config", NULL},
    {"Mounts", 0, "s.Type s.Name s.Source s.Destination s.Driver s.Mode b.RW s.Propagation", NULL},
    {"Networks", 1,
     "p.IPAMConfig l.Links l.Aliases s.MacAddress m.DriverOpts i.GwPriority s.NetworkID "
     "s.EndpointID s.Gateway s.IPAddress i.IPPrefixLen s.IPv6Gateway s.GlobalIPv6Address "
     "i.GlobalIPv6PrefixLen l.DNSNames",
     NULL},
    {"Plugins", 0, "l.Volume l.Network l.Authorization l.Log", NULL},
    {"PortBindings", 1, "s.HostIp s.HostPort", NULL},
    {"Ports", 1, "s.HostIp s.HostPort", NULL},
    {"RestartPolicy", 0, "s.Name i.MaximumRetryCount", NULL},
    {"RootFS", 0, "s.Type l.Layers", NULL},
    {"State", 0,
     "s.Status b.Running b.Paused b.Restarting b.OOMKilled b.Dead i.Pid i.ExitCode s.Error "
     "s.StartedAt s.FinishedAt p.Health",
     NULL},
    {"Ulimits", 0, "s.Name i.Hard i.Soft", "Name=Soft:Hard"},
    {"Volumes", 1, "", NULL},
};

static const struct go_type *find(const char *parent, const char *key)
{
    size_t len = parent ? strlen(parent) : 0;

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        const char *name = types[i].key;

        if (parent
                ? strncmp(name, parent, len) == 0 && name[len] == '.' && streq(name + len + 1, key)
                : streq(name, key))
            return &types[i];
    }
    return NULL;
}

const struct go_type *go_type_of(const char *parent, const char *key)
{
    const struct go_type *t = parent ? find(parent, key) : NULL;

    if (!t)
        t = find(NULL, key);
    return t && t->members ? t : NULL;
}

bool go_next_member(const char **at, struct go_member *ret)
{
    const char *s = *at + strspn(*at, " ");
    size_t len = strcspn(s, " ");

    if (!len)
        return false;
    ret->kind = (enum go_kind) * s;
    snprintf(ret->name, sizeof(ret->name), "%.*s", len > 2 ? (int)len - 2 : 0,
             len > 2 ? s + 2 : "");
    *at = s + len;
    return true;
}

enum go_kind go_member_kind(const struct go_type *t, const char *name)
{
    const char *at = t->members;
    struct go_member m;

    while (go_next_member(&at, &m)) {
        if (streq(m.name, name))
            return m.kind;
    }
    return GO_END;
}

/* How Go prints a member that is null or absent depends on its type, which the Engine API fixes by
 * name. */
static const struct {
    const char *key, *text;
    bool optional;
} null_members[] = {
    {"Annotations", "map[]", true},
    {"DriverOpts", "map[]", false},
    {"ExitCode", "<nil>", false},
    {"ExposedPorts", "map[]", true},
    {"Health", "<nil>", true},
    {"Healthcheck", "<nil>", true},
    {"IPAMConfig", "<nil>", false},
    {"Init", "<nil>", true},
    {"Labels", "map[]", false},
    {"MemorySwappiness", "<nil>", false},
    {"Mounts", "[]", true},
    {"Networks", "map[]", false},
    {"OomKillDisable", "<nil>", false},
    {"Options", "map[]", false},
    {"PidsLimit", "<nil>", false},
    {"Ports", "map[]", false},
    {"Shell", "[]", true},
    {"SizeRootFs", "<nil>", true},
    {"SizeRw", "<nil>", true},
    {"StopSignal", "", true},
    {"StopTimeout", "<nil>", true},
    {"StorageOpt", "map[]", true},
    {"Sysctls", "map[]", true},
    {"Tmpfs", "map[]", true},
    {"Volumes", "map[]", false},
};

const char *go_null_text(const char *key)
{
    for (size_t i = 0; key && i < ARRAY_SIZE(null_members); i++) {
        if (streq(null_members[i].key, key))
            return null_members[i].text;
    }
    return key ? "[]" : "<nil>";
}

bool value_is_optional(const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(null_members); i++) {
        if (null_members[i].optional && streq(null_members[i].key, key))
            return true;
    }
    return false;
}

bool go_is_duration(const char *key)
{
    static const char *const names[] = {"Interval", "Timeout", "StartPeriod", "StartInterval"};

    for (size_t i = 0; key && i < ARRAY_SIZE(names); i++) {
        if (streq(names[i], key))
            return true;
    }
    return false;
}
