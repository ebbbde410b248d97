/* How HostConfig's resources become writes to cgroup files: knobs.c has the table with one row a
 * knob, cpu.c, memory.c and lists.c the conversions that are more than a number.  Pure but for
 * stat(2) of named devices and access(2) of files below the daemon's parent. */
#pragma once

#include "cgroup_impl.h"

struct limits {
    const struct cgroup *cg;
    const json_t *hc;
    cgroup_emit_fn *emit; /* NULL: only the warnings and errors are wanted */
    void *arg;
    json_t *warnings; /* NULL: not wanted */
    struct err *reterr;
};

struct knob;

/* Called for a member that is set (not null, 0, -0, "", [] or false) where the feature is there. */
typedef int knob_fn(struct limits *l, const struct knob *k);

struct knob {
    const char *key; /* member of HostConfig */
    enum cgroup_controller controller;
    int feature;         /* enum cgroup_feature, or KNOB_ALWAYS */
    const char *v1, *v2; /* files; NULL: none, or the conversion has its own */
    knob_fn *apply;
    const char *missing; /* the warning where the feature is not there; NULL: apply tells */
    unsigned flags;      /* KNOB_* */
};

#define KNOB_ALWAYS (-1) /* as feature: apply looks for itself */
#define KNOB_ERROR 1u    /* missing is an error and no warning */
#define KNOB_UNSET 2u    /* apply is also called where the member is not set */
#define KNOB_ZERO 4u     /* 0 is a value; unset is null or negative */
#define KNOB_POSITIVE 8u /* warn for values above 0 only: below it means "no limit" */
#define KNOB_OWN_DIR 16u /* a v1 container joins this controller for the knob's sake alone */

void limits_warn(struct limits *l, const char *text);
void limits_emit(struct limits *l, enum cgroup_controller c, const char *file, const char *value);
void limits_emit_int(struct limits *l, enum cgroup_controller c, const char *file, int64_t value);
/* Negative is "max" on v2 where v1 says -1. */
void limits_emit_max(struct limits *l, enum cgroup_controller c, const char *file, int64_t value);
int64_t limits_int(const struct limits *l, const char *key);

/* memory.c */
knob_fn limit_memory, limit_swap;
/* cpu.c */
knob_fn limit_shares, limit_period, limit_quota, limit_nano, limit_set;
/* lists.c */
knob_fn limit_blkio_weight, limit_blkio_weight_device, limit_blkio_throttle, limit_hugepages,
    limit_rdma, limit_net_priorities, limit_net_class;
