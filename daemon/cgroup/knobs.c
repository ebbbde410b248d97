/* One row a knob: HostConfig member, controller, feature, v1 file, v2 file, conversion, and what is
 * told where this kernel cannot keep it (Docker's texts where Docker has the knob).  The client's
 * flags are in run_options.c, the checks of values in the runtime's validate.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "knobs.h"
#include "str.h"

#define NOT_MOUNTED " or the cgroup is not mounted. "

static knob_fn plain, plain_max, enabled;

/* In an order that the kernel accepts for a new cgroup: memory before memory+swap, quota before
 * burst, the realtime period before its runtime. */
static const struct knob knobs[] = {
    {"Memory", CGROUP_MEMORY, FEATURE_MEMORY, "memory.limit_in_bytes", "memory.max", limit_memory,
     "Your kernel does not support memory limit capabilities" NOT_MOUNTED "Limitation discarded.",
     0},
    {"MemorySwap", CGROUP_MEMORY, KNOB_ALWAYS, "memory.memsw.limit_in_bytes", "memory.swap.max",
     limit_swap, NULL, KNOB_UNSET},
    {"MemoryReservation", CGROUP_MEMORY, FEATURE_RESERVATION, "memory.soft_limit_in_bytes",
     "memory.low", plain_max,
     "Your kernel does not support memory soft limit capabilities" NOT_MOUNTED
     "Limitation discarded.",
     0},
    {"MemoryHigh", CGROUP_MEMORY, FEATURE_HIGH, NULL, "memory.high", plain_max,
     "Your kernel does not support memory high limit capabilities" NOT_MOUNTED
     "Limitation discarded.",
     0},
    {"KernelMemory", CGROUP_MEMORY, FEATURE_KMEM, "memory.kmem.limit_in_bytes", NULL, plain,
     "Your kernel does not support kernel memory limit capabilities" NOT_MOUNTED
     "Limitation discarded.",
     KNOB_POSITIVE},
    {"KernelMemoryTCP", CGROUP_MEMORY, FEATURE_KMEM_TCP, "memory.kmem.tcp.limit_in_bytes", NULL,
     plain,
     "Your kernel does not support kernel memory TCP limit capabilities" NOT_MOUNTED
     "Limitation discarded.",
     KNOB_POSITIVE},
    {"MemorySwappiness", CGROUP_MEMORY, FEATURE_SWAPPINESS, "memory.swappiness", NULL, plain,
     "Your kernel does not support memory swappiness capabilities" NOT_MOUNTED
     "Memory swappiness discarded.",
     KNOB_ZERO},
    {"OomKillDisable", CGROUP_MEMORY, FEATURE_OOM_DISABLE, "memory.oom_control", NULL, enabled,
     "Your kernel does not support OomKillDisable. OomKillDisable discarded.", 0},
    {"CpuShares", CGROUP_CPU, FEATURE_SHARES, "cpu.shares", "cpu.weight", limit_shares,
     "Your kernel does not support CPU shares" NOT_MOUNTED "Shares discarded.", KNOB_POSITIVE},
    {"PidsLimit", CGROUP_PIDS, FEATURE_PIDS, "pids.max", "pids.max", plain_max,
     "Your kernel does not support PIDs limit capabilities" NOT_MOUNTED "PIDs limit discarded.",
     KNOB_POSITIVE},
    {"BlkioWeight", CGROUP_BLKIO, KNOB_ALWAYS, "blkio.weight", "io.weight", limit_blkio_weight,
     NULL, 0},
    {"CpuPeriod", CGROUP_CPU, FEATURE_CFS, "cpu.cfs_period_us", "cpu.max", limit_period,
     "Your kernel does not support CPU CFS scheduler. CPU period discarded.", 0},
    {"CpuQuota", CGROUP_CPU, FEATURE_CFS, "cpu.cfs_quota_us", "cpu.max", limit_quota,
     "Your kernel does not support CPU CFS scheduler. CPU quota discarded.", 0},
    {"NanoCpus", CGROUP_CPU, FEATURE_CFS, "cpu.cfs_quota_us", "cpu.max", limit_nano,
     "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is "
     "not mounted",
     KNOB_ERROR},
    {"CpuBurst", CGROUP_CPU, FEATURE_BURST, "cpu.cfs_burst_us", "cpu.max.burst", plain,
     "Your kernel does not support CPU CFS burst" NOT_MOUNTED "CPU burst discarded.", 0},
    {"CpuRealtimePeriod", CGROUP_CPU, FEATURE_RT, "cpu.rt_period_us", NULL, plain,
     "kernel does not support CPU real-time scheduler", KNOB_ERROR},
    {"CpuRealtimeRuntime", CGROUP_CPU, FEATURE_RT, "cpu.rt_runtime_us", NULL, plain,
     "kernel does not support CPU real-time scheduler", KNOB_ERROR},
    {"CpusetCpus", CGROUP_CPUSET, FEATURE_CPUSET, "cpuset.cpus", "cpuset.cpus", limit_set,
     "Your kernel does not support cpuset" NOT_MOUNTED "CPUset discarded.", KNOB_OWN_DIR},
    {"CpusetMems", CGROUP_CPUSET, FEATURE_CPUSET, "cpuset.mems", "cpuset.mems", limit_set,
     "Your kernel does not support cpuset" NOT_MOUNTED "CPUset discarded.", KNOB_OWN_DIR},
    {"BlkioWeightDevice", CGROUP_BLKIO, KNOB_ALWAYS, "blkio.weight_device", "io.weight",
     limit_blkio_weight_device, NULL, 0},
    {"BlkioDeviceReadBps", CGROUP_BLKIO, FEATURE_BLK_THROTTLE, "blkio.throttle.read_bps_device",
     "io.max rbps", limit_blkio_throttle,
     "Your kernel does not support BPS Block I/O read limit" NOT_MOUNTED
     "Block I/O BPS read limit discarded.",
     0},
    {"BlkioDeviceWriteBps", CGROUP_BLKIO, FEATURE_BLK_THROTTLE, "blkio.throttle.write_bps_device",
     "io.max wbps", limit_blkio_throttle,
     "Your kernel does not support BPS Block I/O write limit" NOT_MOUNTED
     "Block I/O BPS write limit discarded.",
     0},
    {"BlkioDeviceReadIOps", CGROUP_BLKIO, FEATURE_BLK_THROTTLE, "blkio.throttle.read_iops_device",
     "io.max riops", limit_blkio_throttle,
     "Your kernel does not support IOPS Block read limit" NOT_MOUNTED
     "Block I/O IOPS read limit discarded.",
     0},
    {"BlkioDeviceWriteIOps", CGROUP_BLKIO, FEATURE_BLK_THROTTLE, "blkio.throttle.write_iops_device",
     "io.max wiops", limit_blkio_throttle,
     "Your kernel does not support IOPS Block write limit" NOT_MOUNTED
     "Block I/O IOPS write limit discarded.",
     0},
    {"HugepageLimits", CGROUP_HUGETLB, KNOB_ALWAYS, "hugetlb.%s.limit_in_bytes", "hugetlb.%s.max",
     limit_hugepages, NULL, KNOB_OWN_DIR},
    {"RdmaLimits", CGROUP_RDMA, KNOB_ALWAYS, "rdma.max", "rdma.max", limit_rdma, NULL,
     KNOB_OWN_DIR},
    {"NetClassId", CGROUP_NET_CLS, KNOB_ALWAYS, "net_cls.classid", NULL, limit_net_class, NULL,
     KNOB_OWN_DIR},
    {"NetPriorities", CGROUP_NET_PRIO, FEATURE_NET_PRIO, "net_prio.ifpriomap", NULL,
     limit_net_priorities,
     "Your kernel does not support network priorities" NOT_MOUNTED "Network priorities discarded.",
     KNOB_OWN_DIR},
};

void limits_warn(struct limits *l, const char *text)
{
    const json_t *item;
    size_t i;

    if (!l->warnings)
        return;
    json_array_foreach (l->warnings, i, item) {
        if (streq(json_string_value(item), text))
            return;
    }
    json_array_append_new(l->warnings, json_string(text));
}

void limits_emit(struct limits *l, enum cgroup_controller c, const char *file, const char *value)
{
    if (l->emit)
        l->emit(l->arg, c, file, value);
}

void limits_emit_int(struct limits *l, enum cgroup_controller c, const char *file, int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    limits_emit(l, c, file, text);
}

void limits_emit_max(struct limits *l, enum cgroup_controller c, const char *file, int64_t value)
{
    if (value < 0 && (cgroup_on_v2(l->cg, c) || c == CGROUP_PIDS))
        limits_emit(l, c, file, "max");
    else
        limits_emit_int(l, c, file, value);
}

int64_t limits_int(const struct limits *l, const char *key)
{
    return json_get_int(l->hc, key, 0);
}

static const char *file_of(const struct limits *l, const struct knob *k)
{
    return cgroup_on_v2(l->cg, k->controller) ? k->v2 : k->v1;
}

static int plain(struct limits *l, const struct knob *k)
{
    int64_t n = limits_int(l, k->key);

    limits_emit_int(l, k->controller, file_of(l, k), n < 0 ? -1 : n);
    return 0;
}

static int plain_max(struct limits *l, const struct knob *k)
{
    limits_emit_max(l, k->controller, file_of(l, k), limits_int(l, k->key));
    return 0;
}

static int enabled(struct limits *l, const struct knob *k)
{
    if (limits_int(l, "Memory") <= 0)
        limits_warn(l, "OOM killer is disabled for the container, but no memory limit is set, this "
                       "can result in the system running out of resources.");
    limits_emit(l, k->controller, file_of(l, k), "1");
    return 0;
}

static bool is_set(const json_t *hc, const struct knob *k)
{
    const json_t *v = json_get(hc, k->key);

    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_INTEGER:
        return k->flags & KNOB_ZERO ? json_integer_value(v) >= 0 : json_integer_value(v) != 0;
    case JSON_STRING:
        return *json_string_value(v);
    case JSON_ARRAY:
        return json_array_size(v) > 0;
    default:
        return json_is_true(v);
    }
}

static bool is_there(const struct cgroup *cg, const struct knob *k)
{
    return k->feature == KNOB_ALWAYS || cgroup_feature(cg, (enum cgroup_feature)k->feature);
}

static int without(struct limits *l, const struct knob *k)
{
    if (k->flags & KNOB_ERROR)
        return err_set(l->reterr, ERR_INVALID, EINVAL, "%s", k->missing);
    if (!(k->flags & KNOB_POSITIVE) || limits_int(l, k->key) > 0)
        limits_warn(l, k->missing);
    return 0;
}

int cgroup_limits(const struct cgroup *cg, const json_t *host_config, cgroup_emit_fn *fn, void *arg,
                  json_t *warnings, struct err *reterr)
{
    struct limits l = {cg, host_config, fn, arg, warnings, reterr};

    for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
        const struct knob *k = &knobs[i];
        int r;

        if (!(k->flags & KNOB_UNSET) && !is_set(host_config, k))
            continue;
        r = is_there(cg, k) ? k->apply(&l, k) : without(&l, k);
        if (r < 0)
            return r;
    }
    return 0;
}

unsigned cgroup_optional(void)
{
    unsigned bits = 0;

    for (size_t i = 0; i < ARRAY_SIZE(knobs); i++)
        bits |= knobs[i].flags & KNOB_OWN_DIR ? CGROUP_BIT(knobs[i].controller) : 0;
    return bits;
}

unsigned cgroup_wanted(const struct cgroup *cg, const json_t *host_config)
{
    unsigned wanted = 0;

    for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
        if (knobs[i].flags & KNOB_OWN_DIR && is_set(host_config, &knobs[i]) &&
            is_there(cg, &knobs[i]))
            wanted |= CGROUP_BIT(knobs[i].controller);
    }
    return wanted;
}

int cgroup_check(const struct cgroup *cg, const json_t *host_config, json_t *warnings,
                 struct err *reterr)
{
    _cleanup_free_ char *parent = NULL;
    int r = cgroup_parent_clean(cg, json_get_str(host_config, "CgroupParent", ""), &parent, reterr);

    return r < 0 ? r : cgroup_limits(cg, host_config, NULL, NULL, warnings, reterr);
}
