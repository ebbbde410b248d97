/* What the files of this folder share. */
#pragma once

#include "cgroup.h"

#define CGROUP_FILE_MAX (1u << 20)
#define CGROUP_BIT(c) (1u << (c))

struct cgroup {
    struct cgroup_layout layout;   /* owned */
    char *parent;                  /* owned; clean, absolute, not "/" */
    char *slice;                   /* owned; driver systemd: containers' default, else NULL */
    int where[CGROUP_CONTROLLERS]; /* index of the controller's hierarchy, -1: none */
    int v2;                        /* index of the cgroup2 hierarchy, -1: none */
    unsigned features;             /* 1u << enum cgroup_feature */
    char *shims[2];                /* owned; where shims are kept, NULL: nowhere (shims.c) */
};

/* Files that not every kernel has, looked for once in the parent's directory. */
enum cgroup_feature {
    FEATURE_MEMORY,
    FEATURE_SWAP,
    FEATURE_RESERVATION,
    FEATURE_HIGH,
    FEATURE_KMEM,
    FEATURE_KMEM_TCP,
    FEATURE_SWAPPINESS,
    FEATURE_OOM_DISABLE,
    FEATURE_SHARES,
    FEATURE_CFS,
    FEATURE_BURST,
    FEATURE_RT,
    FEATURE_CPUSET,
    FEATURE_PIDS,
    FEATURE_BLK_WEIGHT,
    FEATURE_BLK_BFQ_WEIGHT,
    FEATURE_BLK_WEIGHT_DEVICE,
    FEATURE_BLK_BFQ_WEIGHT_DEVICE,
    FEATURE_BLK_THROTTLE,
    FEATURE_NET_CLS,
    FEATURE_NET_PRIO,
    FEATURES,
};

static inline bool cgroup_feature(const struct cgroup *cg, enum cgroup_feature f)
{
    return cg->features & (1u << f);
}

static inline const struct cgroup_hierarchy *cgroup_of(const struct cgroup *cg,
                                                       enum cgroup_controller c)
{
    return cg->where[c] < 0 ? NULL : &cg->layout.hierarchy[cg->where[c]];
}

static inline bool cgroup_on_v2(const struct cgroup *cg, enum cgroup_controller c)
{
    const struct cgroup_hierarchy *h = cgroup_of(cg, c);

    return h && h->v2;
}

/* Directory of the container in one hierarchy; caller frees. */
char *cgroup_dir(const struct cgroup *cg, const struct cgroup_hierarchy *h, const char *parent,
                 const char *id);

/* Make the directories of an absolute parent path in all hierarchies and prepare them. */
int cgroup_make_parent(const struct cgroup *cg, const char *parent, struct err *reterr);

/* Hand all usable controllers down from this directory of cgroup2; best effort. */
void cgroup_delegate(const struct cgroup *cg, const char *dir);

/* The parent to use: clean and absolute, with the driver systemd a slice's name; caller frees.
 * -EINVAL for what leaves the hierarchy, or is no slice. */
int cgroup_parent_clean(const struct cgroup *cg, const char *parent, char **ret,
                        struct err *reterr);

/* A hierarchy that every container joins, for listing its processes; prefers cgroup2. */
const struct cgroup_hierarchy *cgroup_main_hierarchy(const struct cgroup *cg);

/* Read one number (or "max": INT64_MAX) from DIR/FILE; -errno. */
int64_t cgroup_read_int(const char *dir, const char *file);
/* The number after "KEY " in DIR/FILE; def if there is none. */
int64_t cgroup_read_key(const char *dir, const char *file, const char *key, int64_t def);
/* Contents of DIR/FILE, or NULL; caller frees. */
char *cgroup_read(const char *dir, const char *file);
int cgroup_write(const char *dir, const char *file, const char *value);

/* ---- shims.c ---- */

/* These do nothing unless this process is a service's. */

/* Without cgroup2 the service manager knows processes by name=systemd: containers join it. */
void cgroup_join_named(struct cgroup *cg);
/* Make the shims' cgroup. */
void cgroup_shims_prepare(struct cgroup *cg);

/* ---- devices.c ---- */

#define CGROUP_DEVICE_TEXT 48

/* "c 1:3 rwm", as v1's files have it. */
void cgroup_device_format(const struct cgroup_device *d, char text[CGROUP_DEVICE_TEXT]);

/* ---- knobs.c ---- */

/* A change of one file; calls come in an order that the kernel accepts for a new cgroup. */
typedef void cgroup_emit_fn(void *arg, enum cgroup_controller c, const char *file,
                            const char *value);

/* Turn HostConfig's resources into writes; emit may be NULL to collect warnings only. */
int cgroup_limits(const struct cgroup *cg, const json_t *host_config, cgroup_emit_fn *emit,
                  void *arg, json_t *warnings, struct err *reterr);
/* Controllers (1u << enum cgroup_controller) that a v1 container joins only for a setting. */
unsigned cgroup_optional(void);
/* Those that these settings need and a v1 container would not
 * join otherwise. */
unsigned cgroup_wanted(const struct cgroup *cg, const json_t *host_config);

/* cpu.shares (2..262144, default 1024) to cpu.weight (1..10000, default 100) in proportion, as
 * systemd does: shares are a ratio, and 1024 to 512 stays 2 to 1, beside processes that have the
 * default, too.  (runc's formulas keep the ends of the ranges and give 1.7 to 1.)  0: unset. */
uint64_t cgroup_shares_to_weight(uint64_t shares);
/* blkio.weight (10..1000) to io.weight (1..10000), linear as runc's. */
uint64_t cgroup_blkio_to_io_weight(uint64_t weight);
