/* Control groups: v1, v2 and the hybrid of both, chosen controller by controller.
 *
 * A layout is what is mounted where: a list of hierarchies, each with the controllers that are
 * usable in it (LXC's data model).  One v1 hierarchy may hold several controllers (cpu,cpuacct);
 * the cgroup2 hierarchy may hold none at all and still serves cgroup.kill and CLONE_INTO_CGROUP.
 *
 * A container's cgroup is PARENT/ID in every used hierarchy.  The shim makes and removes it by the
 * plan of cgroup_plan(); the daemon reads it, freezes it, changes limits and, when the shim is
 * gone, removes what is left.
 *
 * All functions but cgroup_open/close may be called on any thread: the object is immutable.
 * `parent` is always the container's HostConfig.CgroupParent; NULL or "" means the daemon's own.
 * Returns are >= 0 or negative errno as in err.h.
 * Sources: cgroups(7), the kernel's admin-guide/cgroup-v1/ and admin-guide/cgroup-v2.rst.
 */
#pragma once

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "mem.h"
#include "plan.h"

enum cgroup_controller {
    CGROUP_CPU,
    CGROUP_CPUACCT,
    CGROUP_CPUSET,
    CGROUP_MEMORY,
    CGROUP_DEVICES,
    CGROUP_FREEZER,
    CGROUP_BLKIO, /* "io" on v2 */
    CGROUP_PIDS,
    CGROUP_HUGETLB,
    CGROUP_PERF_EVENT,
    CGROUP_NET_CLS,
    CGROUP_NET_PRIO,
    CGROUP_RDMA,
    CGROUP_CONTROLLERS,
};

#define CGROUP_HIERARCHIES_MAX 16

struct cgroup_hierarchy {
    char *mount;          /* owned; mount point, e.g. "/sys/fs/cgroup/cpu,cpuacct" */
    char *name;           /* owned; last path component of mount */
    char *options;        /* owned; v1: the mount's controller list, e.g. "cpu,cpuacct"; "" */
    unsigned controllers; /* 1u << enum cgroup_controller */
    bool v2;
    bool named; /* v1's name=systemd, for a service manager's sake */
};

struct cgroup_layout {
    struct cgroup_hierarchy hierarchy[CGROUP_HIERARCHIES_MAX];
    unsigned n;
    char *named_mount; /* owned; mount point of v1's name=systemd, NULL: none */
};

/* Read which hierarchies are mounted (format of /proc/self/mountinfo, proc(5)) and which
 * controllers the kernel has switched on (/proc/cgroups); a cgroup2 hierarchy is asked for its
 * cgroup.controllers.  Named v1 hierarchies have no controllers: name=systemd is told apart, others
 * are left out. */
int cgroup_detect(const char *mountinfo_path, const char *cgroups_path, struct cgroup_layout *ret,
                  struct err *reterr);
void cgroup_layout_done(struct cgroup_layout *layout);

struct cgroup;

/* Make the parent (like "/containerd-lite") in every hierarchy: v1 cpuset is inherited, v2
 * controllers are delegated along the path.  Where this process is a service of a manager that
 * knows its processes by name=systemd alone, containers get a cgroup there, too.  slice: NULL, or
 * for the driver systemd the slice of containers that name none: they are in scopes then, whose
 * names begin with that of the parent; -ENOTSUP if there is more than cgroup2, or no systemd. Takes
 * over the contents of *layout, also on failure.  Blocks. */
int cgroup_open(struct cgroup_layout *layout, const char *parent, const char *slice,
                struct cgroup **ret, struct err *reterr);
void cgroup_close(struct cgroup *cg);
DEFINE_FREEP(struct cgroup *, cgroup_close)

/* Remove the (empty) parent directories: for tests and for a daemon with private roots. */
int cgroup_remove_parent(const struct cgroup *cg);

/* Remount the cgroup2 hierarchy with favordynmods, which takes the RCU grace period (7-12 ms) out
 * of the first move of a process into any cgroup.  Pool thread, once at start.  0, or -errno which
 * only costs speed (before Linux 6.0 -EINVAL; without a cgroup2 mount -ENOENT). */
int cgroup_favor_dynmods(const struct cgroup *cg);

/* ---- what is there ---- */

bool cgroup_has(const struct cgroup *cg, enum cgroup_controller c);
bool cgroup_is_unified(const struct cgroup *cg);    /* nothing but cgroup2: CgroupVersion "2" */
const char *cgroup_parent(const struct cgroup *cg); /* "/containerd-lite" */
const char *cgroup_driver(const struct cgroup *cg); /* "cgroupfs" or "systemd" */
/* The members of GET /info that speak of limits: MemoryLimit, SwapLimit, CpuCfsPeriod, CpuCfsQuota,
 * CPUShares, CPUSet, PidsLimit, OomKillDisable, CgroupDriver, CgroupVersion.  New reference. */
json_t *cgroup_info(const struct cgroup *cg);

/* Directory of the container in the controller's hierarchy, or NULL; caller frees. */
char *cgroup_path(const struct cgroup *cg, enum cgroup_controller c, const char *parent,
                  const char *id);

/* ---- limits ---- */

enum { CGROUP_DEV_READ = 1, CGROUP_DEV_WRITE = 2, CGROUP_DEV_MKNOD = 4 };

struct cgroup_device {
    char type;       /* 'c', 'b', or 'a' for both */
    int32_t major;   /* -1: any */
    int32_t minor;   /* -1: any */
    unsigned access; /* CGROUP_DEV_* */
    bool allow;
};

struct cgroup_devices {
    const struct cgroup_device *rules; /* borrowed */
    size_t n;
};

struct cgroup_spec {
    const char *id;
    const char *parent;
    const json_t *host_config;           /* limits; validated */
    const struct cgroup_device *devices; /* applied in order on top of "deny all" */
    size_t n_devices;
    bool all_devices; /* privileged: no device filter at all */
};

/* Append the HOST operations that make the container's cgroups and write its limits.  A limit that
 * this kernel cannot keep adds Docker's text to warnings (array of strings).  Side effect only
 * when spec->parent is set: that parent is made. */
int cgroup_plan(const struct cgroup *cg, const struct cgroup_spec *spec, struct plan *plan,
                json_t *warnings, struct err *reterr);

/* What a container may be shown below /sys/fs/cgroup: one entry a hierarchy, strings owned. */
struct cgroup_mount {
    char *dir;        /* the container's own cgroup; the hierarchy's mount point when it stays out
                         of this one */
    const char *name; /* borrowed from cg: directory below /sys/fs/cgroup, e.g. "cpu,cpuacct" */
    unsigned controllers; /* 1u << enum cgroup_controller */
    bool v2;
};

struct cgroup_mounts {
    struct cgroup_mount mount[CGROUP_HIERARCHIES_MAX];
    size_t n;
};

/* For the same spec as cgroup_plan(); fails as that does. */
int cgroup_mounts(const struct cgroup *cg, const struct cgroup_spec *spec,
                  struct cgroup_mounts *ret, struct err *reterr);
void cgroup_mounts_done(struct cgroup_mounts *mounts);

/* The warnings and errors that cgroup_plan() would give for these limits, CgroupParent included:
 * for the reply to create. */
int cgroup_check(const struct cgroup *cg, const json_t *host_config, json_t *warnings,
                 struct err *reterr);

/* New limits of a running container.  from and to are its whole HostConfig before and after; what
 * differs is written, in an order that the kernel takes.  If one value is refused those before it
 * are taken back, and the error is ERR_SYSTEM with the kernel's errno (ENOENT: the container's
 * cgroup has gone).  *ret can take all of it back later.  Borrows cg; blocks: pool thread. */
struct cgroup_change;
int cgroup_change_apply(const struct cgroup *cg, const char *parent, const char *id,
                        const json_t *from, const json_t *to, struct cgroup_change **ret,
                        struct err *reterr);
/* Write what was there before; best effort, the last error is returned.  Pool thread. */
int cgroup_change_revert(struct cgroup_change *change);
void cgroup_change_free(struct cgroup_change *change);
DEFINE_FREEP(struct cgroup_change *, cgroup_change_free)

/* Other device rules for a running container; all of them or none.  v2 swaps the program in one
 * step, v1 may for a moment deny what both lists allow.  -ENOENT: it has no rules.  Pool thread. */
int cgroup_devices_update(const struct cgroup *cg, const char *parent, const char *id,
                          const struct cgroup_devices *from, const struct cgroup_devices *to);

/* NetClassId of a running container where a program gives it to sockets: for those that are made
 * from now on.  from, to: HostConfig.  Pool thread. */
int cgroup_class_update(const struct cgroup *cg, const char *parent, const char *id,
                        const json_t *from, const json_t *to);

/* ---- scopes: the driver systemd ---- */

struct cgroup_scope {
    pid_t pid;  /* holds it, 0: nobody */
    int pipe;   /* owned; it ends with us */
    char *hold; /* owned; its cgroup */
};

#define CGROUP_SCOPE_NONE ((struct cgroup_scope){.pipe = -EBADF})

/* Have systemd make the container's scope, in which the shim can then make its cgroup; nothing with
 * another driver.  exe_fd: the shim's program, which holds the scope until the container's process
 * is there.  Waits: pool thread. */
int cgroup_scope_open(const struct cgroup *cg, const char *parent, const char *id, int exe_fd,
                      struct cgroup_scope *ret, struct err *reterr);
/* The container's process is there: the shim holds the scope from now on, and ends it. */
int cgroup_scope_hand_over(struct cgroup_scope *s, pid_t shim, struct err *reterr);
/* Nobody holds it any more on our part. */
void cgroup_scope_release(struct cgroup_scope *s);

/* ---- life of a container's cgroup ---- */

/* Is it frozen now?  -ENOENT if there is no such cgroup, -ENOTSUP without a freezer. */
int cgroup_is_frozen(const struct cgroup *cg, const char *parent, const char *id);

/* Freeze or thaw and wait (at most some seconds) until it is so; -ETIMEDOUT.  Pool thread. */
int cgroup_freeze(const struct cgroup *cg, const char *parent, const char *id, bool frozen,
                  struct err *reterr);
/* Host pids of all processes in it, sub-cgroups included; *ret is malloc'ed.  -ENOENT: no such. */
int cgroup_pids(const struct cgroup *cg, const char *parent, const char *id, pid_t **ret,
                size_t *ret_n);
/* SIGKILL to everything in it (cgroup.kill, else pid by pid, thawed first).  0 if it is gone. */
int cgroup_kill(const struct cgroup *cg, const char *parent, const char *id);
/* Remove its directories with sub-cgroups, in every hierarchy, used by the plan or not.  0 if
 * gone already, -EBUSY if processes are left. */
int cgroup_remove(const struct cgroup *cg, const char *parent, const char *id);
/* Both, until nothing is left: what was killed may take its time to go.  Seconds; pool thread. */
int cgroup_end(const struct cgroup *cg, const char *parent, const char *id);
/* Names of the containers' cgroups below the daemon's parent, in any hierarchy (strv_free). */
int cgroup_list(const struct cgroup *cg, char ***ret);

/* Is the daemon a service's process, so that shims must be taken out of the service's cgroup? */
bool cgroup_keeps_shims(const struct cgroup *cg);
/* Move a shim there; best effort.  Pool thread: the move may wait for an RCU grace period. */
void cgroup_take_shim(const struct cgroup *cg, pid_t pid);

/* ---- shortage of memory ---- */

/* Descriptors to poll; the caller closes them.  -errno: that notice is not to be had. */
struct cgroup_memory_watch {
    int oom; /* v1: readable, an eventfd, before a kill; v2: POLLPRI, after it, and by other events
              */
    int pressure; /* v1: readable; v2: POLLPRI */
    bool v2;
};

/* Pool thread.  Some notice or -errno. */
int cgroup_memory_watch(const struct cgroup *cg, const char *parent, const char *id,
                        struct cgroup_memory_watch *ret);
/* v1: does it wait for memory, its OOM killer being off? */
bool cgroup_is_out_of_memory(const struct cgroup *cg, const char *parent, const char *id);

/* ---- readings ---- */

/* OOM kills so far; -ENOENT if there is no such cgroup. */
int64_t cgroup_oom_count(const struct cgroup *cg, const char *parent, const char *id);
/* What it uses: sampler.h. */
