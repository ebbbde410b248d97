/* What the files of this folder share. */
#pragma once

#include <pthread.h>

#include "devices.h"
#include "filter.h"
#include "mountspec.h"
#include "runtime.h"
#include "secopt.h"

#define FILTER_CACHE_MAX 16

struct runtime {
    const struct cgroup *cg; /* borrowed; may be NULL */
    struct runtime_facts facts;
    json_t *masked, *readonly; /* owned; the default path lists */

    pthread_mutex_t lock; /* the cache: filters by capability set, never changed once in */
    struct {
        uint64_t caps;
        struct filter filter;
    } cache[FILTER_CACHE_MAX];
    size_t cached;
};

/* One plan in the making. */
struct build {
    struct runtime *rt;
    const struct runtime_spec *spec;
    const json_t *hc;
    struct plan *plan;
    json_t *warnings;
    struct err *reterr;
    struct mount_list mounts;
    struct device_list devices;
    struct secopt security;
    bool privileged;
    bool user_ns;
};

void runtime_warn(json_t *warnings, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* rootfs.c: the ROOT stage. */
int rootfs_plan(struct build *b);
/* The user's binds and volumes alone. */
void rootfs_plan_view(struct build *b);

/* process.c: the LAST stage of a container; of an exec by runtime_exec_plan(). */
int process_plan(struct build *b);

/* runtime.c: the container's cgroups, all strings borrowed from b. */
struct cgroup_spec runtime_cgroup_spec(const struct build *b);

/* runtime.c: PLAN_SECCOMP for these capabilities, by the cache for the default profile. */
int runtime_add_filter(struct runtime *rt, const struct secopt *so, uint64_t caps,
                       struct plan *plan, struct err *reterr);

/* RLIMIT_* by Docker's name ("nofile"), or -EINVAL. */
int runtime_rlimit_parse(const char *name);

/* Is the sysctl one that belongs to the namespaces this container has for itself?  NULL if so,
 * else the reason why not. */
const char *runtime_sysctl_refusal(const json_t *host_config, const char *name);
