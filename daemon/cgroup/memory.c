/* Memory, and memory with swap. */
#include "knobs.h"

int limit_memory(struct limits *l, const struct knob *k)
{
    limits_emit_max(l, CGROUP_MEMORY, cgroup_on_v2(l->cg, CGROUP_MEMORY) ? k->v2 : k->v1,
                    limits_int(l, k->key));
    return 0;
}

/* The API's number is memory and swap together, twice the memory if not given.  v1 counts so, too,
 * and memsw may never be below memory: on a new cgroup both are unlimited, so memory goes first
 * (an update swaps the two where a raise needs it).  v2 counts swap alone. */
int limit_swap(struct limits *l, const struct knob *k)
{
    int64_t memory = limits_int(l, "Memory"), swap = limits_int(l, k->key);

    if (!cgroup_feature(l->cg, FEATURE_MEMORY))
        return 0;
    if (memory > 0 && swap != -1 && !cgroup_feature(l->cg, FEATURE_SWAP))
        limits_warn(l, "Your kernel does not support swap limit capabilities or the cgroup is not "
                       "mounted. Memory limited without swap.");
    if (memory > 0 && swap == 0 && memory <= INT64_MAX / 2)
        swap = memory * 2;
    if (swap == 0 || !cgroup_feature(l->cg, FEATURE_SWAP))
        return 0;
    if (cgroup_on_v2(l->cg, CGROUP_MEMORY))
        limits_emit_max(l, CGROUP_MEMORY, k->v2, swap < 0 ? -1 : swap - (memory > 0 ? memory : 0));
    else
        limits_emit_int(l, CGROUP_MEMORY, k->v1, swap < 0 ? -1 : swap);
    return 0;
}
