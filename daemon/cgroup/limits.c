/* HostConfig's resources as writes to cgroup files. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cgroup_impl.h"
#include "json.h"
#include "str.h"

#define CFS_PERIOD_DEFAULT 100000 /* us; the kernel's own default */

struct limits {
    const struct cgroup *cg;
    const json_t *hc;
    cgroup_emit_fn *emit;
    void *arg;
    json_t *warnings;
    struct err *reterr;
};

static void warn(struct limits *l, const char *text)
{
    if (l->warnings)
        json_array_append_new(l->warnings, json_string(text));
}

static void emit(struct limits *l, enum cgroup_controller c, const char *file, const char *value)
{
    if (l->emit)
        l->emit(l->arg, c, file, value);
}

static void emit_int(struct limits *l, enum cgroup_controller c, const char *file, int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    emit(l, c, file, text);
}

/* v2 says "max" where v1 says -1. */
static void emit_max(struct limits *l, enum cgroup_controller c, const char *file, int64_t value)
{
    if (value < 0)
        emit(l, c, file, "max");
    else
        emit_int(l, c, file, value);
}

uint64_t cgroup_shares_to_weight(uint64_t shares)
{
    double log, exponent;

    if (shares == 0)
        return 0;
    if (shares <= 2)
        return 1;
    if (shares >= 262144)
        return 10000;
    log = log2((double)shares);
    exponent = (log * log + 125 * log) / 612.0 - 7.0 / 34.0;
    return (uint64_t)ceil(pow(10, exponent));
}

uint64_t cgroup_blkio_to_io_weight(uint64_t weight)
{
    return weight < 10 ? 0 : 1 + (weight - 10) * 9999 / 990;
}

/* ---- memory ---- */

static void memory_v2(struct limits *l, int64_t memory, int64_t swap)
{
    if (memory != 0)
        emit_max(l, CGROUP_MEMORY, "memory.max", memory);
    if (swap != 0 && cgroup_feature(l->cg, FEATURE_SWAP))
        emit_max(l, CGROUP_MEMORY, "memory.swap.max", swap < 0 ? -1 : swap - memory);
}

/* memsw may never be below memory: on a new cgroup both are unlimited, so memory goes first.
 * cgroup_update() swaps the two where a raise needs it. */
static void memory_v1(struct limits *l, int64_t memory, int64_t swap)
{
    if (memory != 0)
        emit_int(l, CGROUP_MEMORY, "memory.limit_in_bytes", memory);
    if (swap != 0 && cgroup_feature(l->cg, FEATURE_SWAP))
        emit_int(l, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", swap);
}

static void limit_memory(struct limits *l)
{
    int64_t memory = json_get_int(l->hc, "Memory", 0);
    int64_t swap = json_get_int(l->hc, "MemorySwap", 0);

    if ((memory != 0 || swap != 0) && !cgroup_feature(l->cg, FEATURE_MEMORY)) {
        warn(l, "Your kernel does not support memory limit capabilities or the cgroup is not "
                "mounted. Limitation discarded.");
        return;
    }
    if (memory > 0 && swap == 0 && memory <= INT64_MAX / 2)
        swap = memory * 2;
    if (memory > 0 && swap >= 0 && !cgroup_feature(l->cg, FEATURE_SWAP))
        warn(l, "Your kernel does not support swap limit capabilities or the cgroup is not "
                "mounted. Memory limited without swap.");
    if (cgroup_on_v2(l->cg, CGROUP_MEMORY))
        memory_v2(l, memory, swap);
    else
        memory_v1(l, memory, swap);
}

static void limit_reservation(struct limits *l)
{
    int64_t n = json_get_int(l->hc, "MemoryReservation", 0);

    if (n == 0)
        return;
    if (!cgroup_feature(l->cg, FEATURE_RESERVATION))
        warn(l, "Your kernel does not support memory soft limit capabilities or the cgroup is "
                "not mounted. Limitation discarded.");
    else if (cgroup_on_v2(l->cg, CGROUP_MEMORY))
        emit_max(l, CGROUP_MEMORY, "memory.low", n);
    else
        emit_int(l, CGROUP_MEMORY, "memory.soft_limit_in_bytes", n);
}

static void limit_swappiness(struct limits *l)
{
    int64_t n = json_get_int(l->hc, "MemorySwappiness", -1);

    if (n < 0)
        return;
    if (!cgroup_feature(l->cg, FEATURE_SWAPPINESS))
        warn(l, "Your kernel does not support memory swappiness capabilities or the cgroup is "
                "not mounted. Memory swappiness discarded.");
    else
        emit_int(l, CGROUP_MEMORY, "memory.swappiness", n);
}

static void limit_oom(struct limits *l)
{
    if (!json_get_bool(l->hc, "OomKillDisable", false))
        return;
    if (!cgroup_feature(l->cg, FEATURE_OOM_DISABLE)) {
        warn(l, "Your kernel does not support OomKillDisable. OomKillDisable discarded.");
        return;
    }
    if (json_get_int(l->hc, "Memory", 0) <= 0)
        warn(l, "OOM killer is disabled for the container, but no memory limit is set, this can "
                "result in the system running out of resources.");
    emit(l, CGROUP_MEMORY, "memory.oom_control", "1");
}

/* ---- cpu ---- */

static void limit_shares(struct limits *l)
{
    int64_t n = json_get_int(l->hc, "CpuShares", 0);

    if (n <= 0)
        return;
    if (!cgroup_feature(l->cg, FEATURE_SHARES))
        warn(l, "Your kernel does not support CPU shares or the cgroup is not mounted. Shares "
                "discarded.");
    else if (cgroup_on_v2(l->cg, CGROUP_CPU))
        emit_int(l, CGROUP_CPU, "cpu.weight", (int64_t)cgroup_shares_to_weight((uint64_t)n));
    else
        emit_int(l, CGROUP_CPU, "cpu.shares", n);
}

static void emit_bandwidth(struct limits *l, int64_t period, int64_t quota)
{
    char text[64];

    if (!cgroup_on_v2(l->cg, CGROUP_CPU)) {
        if (period != 0)
            emit_int(l, CGROUP_CPU, "cpu.cfs_period_us", period);
        if (quota != 0)
            emit_int(l, CGROUP_CPU, "cpu.cfs_quota_us", quota);
        return;
    }
    if (quota > 0)
        snprintf(text, sizeof(text), "%lld %lld", (long long)quota,
                 (long long)(period ? period : CFS_PERIOD_DEFAULT));
    else
        snprintf(text, sizeof(text), "max %lld", (long long)(period ? period : CFS_PERIOD_DEFAULT));
    emit(l, CGROUP_CPU, "cpu.max", text);
}

static int limit_bandwidth(struct limits *l)
{
    int64_t period = json_get_int(l->hc, "CpuPeriod", 0);
    int64_t quota = json_get_int(l->hc, "CpuQuota", 0);
    int64_t nano = json_get_int(l->hc, "NanoCpus", 0);

    if (period == 0 && quota == 0 && nano == 0)
        return 0;
    if (!cgroup_feature(l->cg, FEATURE_CFS)) {
        if (nano > 0)
            return err_set(l->reterr, ERR_INVALID, EINVAL,
                           "NanoCPUs can not be set, as your kernel does not support CPU CFS "
                           "scheduler or the cgroup is not mounted");
        if (period != 0)
            warn(l, "Your kernel does not support CPU CFS scheduler. CPU period discarded.");
        if (quota != 0)
            warn(l, "Your kernel does not support CPU CFS scheduler. CPU quota discarded.");
        return 0;
    }
    if (nano > 0) {
        period = CFS_PERIOD_DEFAULT;
        /* In this order: whole CPUs times the period cannot overflow, nano times it can. */
        quota = nano / 1000000000 * period + nano % 1000000000 * period / 1000000000;
        if (quota < 1000)
            quota = 1000; /* the kernel's least (kernel/sched/core.c, min_cfs_quota_period) */
    }
    emit_bandwidth(l, period, quota);
    return 0;
}

static int limit_realtime(struct limits *l)
{
    int64_t period = json_get_int(l->hc, "CpuRealtimePeriod", 0);
    int64_t runtime = json_get_int(l->hc, "CpuRealtimeRuntime", 0);

    if (period == 0 && runtime == 0)
        return 0;
    if (!cgroup_feature(l->cg, FEATURE_RT))
        return err_set(l->reterr, ERR_INVALID, EINVAL,
                       "kernel does not support CPU real-time scheduler");
    if (period != 0)
        emit_int(l, CGROUP_CPU, "cpu.rt_period_us", period);
    if (runtime != 0)
        emit_int(l, CGROUP_CPU, "cpu.rt_runtime_us", runtime);
    return 0;
}

bool cgroup_wants_cpuset(const struct cgroup *cg, const json_t *hc)
{
    return cgroup_feature(cg, FEATURE_CPUSET) && (!str_empty(json_get_str(hc, "CpusetCpus", "")) ||
                                                  !str_empty(json_get_str(hc, "CpusetMems", "")));
}

static int check_set(struct limits *l, const char *key, const char *noun)
{
    const char *s = json_get_str(l->hc, key, "");

    if (s[strspn(s, "0123456789,- ")])
        return err_set(l->reterr, ERR_INVALID, EINVAL, "Invalid value %s for cpuset %s", s, noun);
    return 0;
}

static int limit_cpuset(struct limits *l)
{
    static const char *const keys[][3] = {{"CpusetCpus", "cpuset.cpus", "cpus"},
                                          {"CpusetMems", "cpuset.mems", "mems"}};
    bool wanted = false;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *value = json_get_str(l->hc, keys[i][0], "");
        int r = check_set(l, keys[i][0], keys[i][2]);

        if (r < 0)
            return r;
        if (!*value)
            continue;
        wanted = true;
        if (cgroup_feature(l->cg, FEATURE_CPUSET))
            emit(l, CGROUP_CPUSET, keys[i][1], value);
    }
    if (wanted && !cgroup_feature(l->cg, FEATURE_CPUSET))
        warn(l, "Your kernel does not support cpuset or the cgroup is not mounted. CPUset "
                "discarded.");
    return 0;
}

static void limit_pids(struct limits *l)
{
    int64_t n = json_get_int(l->hc, "PidsLimit", 0);

    if (n == 0)
        return;
    if (cgroup_feature(l->cg, FEATURE_PIDS))
        emit_max(l, CGROUP_PIDS, "pids.max", n);
    else if (n > 0)
        warn(l, "Your kernel does not support PIDs limit capabilities or the cgroup is not "
                "mounted. PIDs limit discarded.");
}

/* ---- block devices ---- */

static void limit_blkio_weight(struct limits *l)
{
    int64_t n = json_get_int(l->hc, "BlkioWeight", 0);
    bool v2 = cgroup_on_v2(l->cg, CGROUP_BLKIO);

    if (n == 0)
        return;
    if (cgroup_feature(l->cg, FEATURE_BLK_BFQ_WEIGHT))
        emit_int(l, CGROUP_BLKIO, v2 ? "io.bfq.weight" : "blkio.bfq.weight", n);
    else if (cgroup_feature(l->cg, FEATURE_BLK_WEIGHT))
        emit_int(l, CGROUP_BLKIO, v2 ? "io.weight" : "blkio.weight",
                 v2 ? (int64_t)cgroup_blkio_to_io_weight((uint64_t)n) : n);
    else
        warn(l, "Your kernel does not support Block I/O weight or the cgroup is not mounted. "
                "Weight discarded.");
}

/* Lists of {Path, Rate} (or {Path, Weight}): one write a device. */
static const struct blkio_list {
    const char *key, *value;
    enum cgroup_feature feature;
    const char *v1;
    const char *v2, *v2_prefix;
    const char *warning;
} blkio_lists[] = {
    {"BlkioWeightDevice", "Weight", FEATURE_BLK_WEIGHT_DEVICE, "blkio.weight_device",
     "io.bfq.weight", "",
     "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. "
     "Weight-device discarded."},
    {"BlkioDeviceReadBps", "Rate", FEATURE_BLK_THROTTLE, "blkio.throttle.read_bps_device", "io.max",
     "rbps=",
     "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block "
     "I/O BPS read limit discarded."},
    {"BlkioDeviceWriteBps", "Rate", FEATURE_BLK_THROTTLE, "blkio.throttle.write_bps_device",
     "io.max", "wbps=",
     "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block "
     "I/O BPS write limit discarded."},
    {"BlkioDeviceReadIOps", "Rate", FEATURE_BLK_THROTTLE, "blkio.throttle.read_iops_device",
     "io.max", "riops=",
     "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O "
     "IOPS read limit discarded."},
    {"BlkioDeviceWriteIOps", "Rate", FEATURE_BLK_THROTTLE, "blkio.throttle.write_iops_device",
     "io.max", "wiops=",
     "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O "
     "IOPS write limit discarded."},
};

static int limit_blkio_device(struct limits *l, const struct blkio_list *list, const json_t *item)
{
    const char *path = json_get_str(item, "Path", "");
    bool v2 = cgroup_on_v2(l->cg, CGROUP_BLKIO);
    struct stat st;
    char text[96];

    if (stat(path, &st) < 0)
        return err_set(l->reterr, ERR_INVALID, errno, "no such device: \"%s\"", path);
    if (!S_ISBLK(st.st_mode))
        return err_set(l->reterr, ERR_INVALID, ENOTBLK, "not a block device: \"%s\"", path);
    snprintf(text, sizeof(text), "%u:%u %s%lld", major(st.st_rdev), minor(st.st_rdev),
             v2 ? list->v2_prefix : "", (long long)json_get_int(item, list->value, 0));
    emit(l, CGROUP_BLKIO, v2 ? list->v2 : list->v1, text);
    return 0;
}

static int limit_blkio_devices(struct limits *l)
{
    for (size_t i = 0; i < ARRAY_SIZE(blkio_lists); i++) {
        const struct blkio_list *list = &blkio_lists[i];
        const json_t *array = json_get(l->hc, list->key), *item;
        size_t k;

        if (json_array_size(array) > 0 && !cgroup_feature(l->cg, list->feature)) {
            warn(l, list->warning);
            continue;
        }
        json_array_foreach (array, k, item) {
            int r = limit_blkio_device(l, list, item);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

int cgroup_limits(const struct cgroup *cg, const json_t *host_config, cgroup_emit_fn *fn, void *arg,
                  json_t *warnings, struct err *reterr)
{
    static void (*const plain[])(struct limits *) = {
        limit_memory, limit_reservation, limit_swappiness,  limit_oom,
        limit_shares, limit_pids,        limit_blkio_weight};
    static int (*const strict[])(struct limits *) = {limit_bandwidth, limit_realtime, limit_cpuset,
                                                     limit_blkio_devices};
    struct limits l = {cg, host_config, fn, arg, warnings, reterr};

    for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
        plain[i](&l);
    for (size_t i = 0; i < ARRAY_SIZE(strict); i++) {
        int r = strict[i](&l);

        if (r < 0)
            return r;
    }
    return 0;
}

int cgroup_check(const struct cgroup *cg, const json_t *host_config, json_t *warnings,
                 struct err *reterr)
{
    _cleanup_free_ char *parent = NULL;
    int r = cgroup_parent_clean(cg, json_get_str(host_config, "CgroupParent", ""), &parent, reterr);

    return r < 0 ? r : cgroup_limits(cg, host_config, NULL, NULL, warnings, reterr);
}
