/* Shares, bandwidth and sets of processors. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "knobs.h"

#define CFS_PERIOD_DEFAULT 100000 /* us; the kernel's own default */
#define CFS_QUOTA_MIN 1000        /* us; the kernel's (kernel/sched/core.c, min_cfs_quota_period) */
#define SHARES_MIN 2
#define SHARES_DEFAULT 1024
#define SHARES_MAX 262144
#define WEIGHT_DEFAULT 100
#define WEIGHT_MAX 10000

uint64_t cgroup_shares_to_weight(uint64_t shares)
{
    uint64_t weight = shares * WEIGHT_DEFAULT / SHARES_DEFAULT;

    if (shares == 0)
        return 0;
    if (weight < 1)
        return 1;
    return weight > WEIGHT_MAX ? WEIGHT_MAX : weight;
}

int limit_shares(struct limits *l, const struct knob *k)
{
    int64_t n = limits_int(l, k->key);

    /* dockerd takes these at create and fails at start, so that is when it is told. */
    if (n < 0 && l->emit)
        return err_set(l->reterr, ERR_SYSTEM, EINVAL, "shares: invalid argument");
    if (n < SHARES_MIN && l->emit)
        return err_set(l->reterr, ERR_SYSTEM, EINVAL, "the minimum allowed cpu-shares is %d",
                       SHARES_MIN);
    if (n > SHARES_MAX && l->emit)
        return err_set(l->reterr, ERR_SYSTEM, EINVAL, "the maximum allowed cpu-shares is %d",
                       SHARES_MAX);
    if (cgroup_on_v2(l->cg, CGROUP_CPU))
        limits_emit_int(l, CGROUP_CPU, k->v2, (int64_t)cgroup_shares_to_weight((uint64_t)n));
    else
        limits_emit_int(l, CGROUP_CPU, k->v1, n);
    return 0;
}

/* v2 has both numbers in one file. */
static void emit_max(struct limits *l, const char *file, int64_t period, int64_t quota)
{
    char text[64];

    if (period == 0)
        period = CFS_PERIOD_DEFAULT;
    if (quota > 0)
        snprintf(text, sizeof(text), "%lld %lld", (long long)quota, (long long)period);
    else
        snprintf(text, sizeof(text), "max %lld", (long long)period);
    limits_emit(l, CGROUP_CPU, file, text);
}

int limit_period(struct limits *l, const struct knob *k)
{
    int64_t period = limits_int(l, k->key);

    if (!cgroup_on_v2(l->cg, CGROUP_CPU))
        limits_emit_int(l, CGROUP_CPU, k->v1, period);
    else if (limits_int(l, "CpuQuota") == 0) /* else written with it */
        emit_max(l, k->v2, period, 0);
    return 0;
}

int limit_quota(struct limits *l, const struct knob *k)
{
    int64_t quota = limits_int(l, k->key);

    if (cgroup_on_v2(l->cg, CGROUP_CPU))
        emit_max(l, k->v2, limits_int(l, "CpuPeriod"), quota);
    else
        limits_emit_int(l, CGROUP_CPU, k->v1, quota);
    return 0;
}

int limit_nano(struct limits *l, const struct knob *k)
{
    int64_t nano = limits_int(l, k->key), quota;

    /* In this order: whole CPUs times the period cannot overflow, nano times it can. */
    quota = nano / 1000000000 * CFS_PERIOD_DEFAULT +
            nano % 1000000000 * CFS_PERIOD_DEFAULT / 1000000000;
    if (quota < CFS_QUOTA_MIN)
        quota = CFS_QUOTA_MIN;
    if (cgroup_on_v2(l->cg, CGROUP_CPU)) {
        emit_max(l, k->v2, CFS_PERIOD_DEFAULT, quota);
        return 0;
    }
    limits_emit_int(l, CGROUP_CPU, "cpu.cfs_period_us", CFS_PERIOD_DEFAULT);
    limits_emit_int(l, CGROUP_CPU, k->v1, quota);
    return 0;
}

int limit_set(struct limits *l, const struct knob *k)
{
    const char *s = json_get_str(l->hc, k->key, "");

    if (s[strspn(s, "0123456789,- ")])
        return err_set(l->reterr, ERR_INVALID, EINVAL, "Invalid value %s for cpuset %s", s,
                       k->key + strlen("Cpuset"));
    limits_emit(l, CGROUP_CPUSET, k->v1, s);
    return 0;
}
