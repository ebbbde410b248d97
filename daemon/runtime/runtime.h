/* From a container's configuration to a plan for the shim.
 *
 * No side effects: nothing is made on the host; what is read is the host's facts (once, at
 * runtime_open) and, at plan time, the host's device nodes that the configuration names.
 *
 * A struct runtime may be used on any thread; its cache of compiled seccomp filters has a lock.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "cgroup.h"
#include "err.h"
#include "mem.h"
#include "plan.h"

/* Host facts; read once. */
struct runtime_facts {
    uint64_t caps;   /* bounding set of the daemon, 1 << CAP_* */
    unsigned cpus;   /* online */
    unsigned mems;   /* memory nodes, at least 1 */
    int64_t memory;  /* bytes of RAM */
    unsigned kernel; /* major << 16 | minor */
    struct rlimit limits[RLIMIT_NLIMITS];
    char hostname[65];
    bool apparmor; /* profiles confine */
};

struct runtime;

/* cg is borrowed and outlives the runtime; NULL: no cgroups are planned (tests). */
int runtime_open(const struct cgroup *cg, struct runtime **ret, struct err *reterr);
/* The same with invented facts (tests). */
struct runtime *runtime_new(const struct cgroup *cg, const struct runtime_facts *facts);
void runtime_close(struct runtime *rt);
DEFINE_FREEP(struct runtime *, runtime_close)

const struct runtime_facts *runtime_facts(const struct runtime *rt);

/* Compile the default seccomp filter into the cache so that the first start need not (pool thread
 * at start; some milliseconds). */
int runtime_warm(struct runtime *rt, struct err *reterr);

enum runtime_ns {
    RUNTIME_NS_PID,
    RUNTIME_NS_IPC,
    RUNTIME_NS_UTS,
    RUNTIME_NS_NET,
    RUNTIME_NS_CGROUP,
    RUNTIME_NS_USER,
    RUNTIME_NS_N,
};

/* Everything is borrowed. */
struct runtime_spec {
    const char *id;            /* 64 hex digits */
    const char *name;          /* for the log; NULL: none */
    const json_t *config;      /* Config after runtime_merge_image() and defaults */
    const json_t *host_config; /* after defaults */

    const char *upper, *work;
    char *const *lowers;   /* top first; NULL: upper is the whole root */
    const char *run_dir;   /* shim.sock, exit */
    const char *log_path;  /* NULL: the driver keeps no log */
    uint64_t log_number;   /* of the file to go on with, 0: they have none (PLAN_LOG) */
    const char *proc_view; /* where lxcfs serves, NULL: the host's /proc figures */

    /* Files on the host bound to /etc/hosts, /etc/hostname, /etc/resolv.conf; NULL: left alone. */
    const char *hosts, *hostname, *resolv_conf;

    /* The mount points of volumes: [{"Type","Source","Destination","Mode","RW","Propagation"} and
     * of volumes "Name", and if they are not a directory of the host's "Subpath" below Source,
     * "BindOptions" as of mount(8), "Filesystem" {"Type","Device","Options"} to be mounted, or
     * "Donor" {"Namespace","Path"} where another container has that mounted}]; NULL: none. */
    const json_t *points;

    /* Namespaces to join for the modes "container:X" (and a prepared sandbox): "/proc/PID/ns/net".
     * Must be set where the mode says container:. */
    const char *ns_path[RUNTIME_NS_N];
    bool sandbox_fds; /* PLAN_SANDBOX_FDS: the engine wires a network */

    uint32_t idmap_base; /* first host id of the container's own user namespace; 0: none */
    uint32_t idmap_size; /* ids in it, e.g. 65536 */

    unsigned rows, columns; /* of the terminal; 0: HostConfig.ConsoleSize */
};

/* Append the whole plan.  What this host cannot give is left out with a text in warnings. */
int runtime_plan(struct runtime *rt, const struct runtime_spec *spec, struct plan *plan,
                 json_t *warnings, struct err *reterr);

/* The root and what the user mounts in it but tmpfs, nothing else: for looking at the files of a
 * container that does not run.  Of the spec: id, config, host_config, upper, work, lowers, points,
 * idmap_base, idmap_size. */
int runtime_view_plan(struct runtime *rt, const struct runtime_spec *spec, struct plan *plan,
                      struct err *reterr);

struct runtime_exec_spec {
    const char *id;            /* of the container */
    const json_t *exec;        /* body of POST /containers/{id}/exec */
    const json_t *config;      /* the container's */
    const json_t *host_config; /* the container's */
    unsigned rows, columns;
};

/* The AppArmor profile of a container, "" where there is no AppArmor; borrowed from host_config or
 * static. */
const char *runtime_apparmor(const struct runtime *rt, const json_t *host_config);
/* Make sure that the kernel has it, if it is the default one; any thread. */
int runtime_prepare_apparmor(const struct runtime *rt, const char *profile, struct err *reterr);

/* PLAN_STDIO and LAST operations of an exec. */
int runtime_exec_plan(struct runtime *rt, const struct runtime_exec_spec *spec, struct plan *plan,
                      json_t *warnings, struct err *reterr);

/* ---- configuration as data ---- */

/* Binds and volumes of one container; a plan holds 512 (daemon/shim/stage.h), devices and files of
 * our own among them. */
#define RUNTIME_BINDS_MAX 400

/* Merge an image's config object ("config" of the image JSON; NULL or null: none) into a create
 * request's Config.  ERR_INVALID "no command specified" if nothing is left to run. */
int runtime_merge_image(json_t *config, const json_t *image_config, struct err *reterr);

/* Fill Config and HostConfig with what inspect shows for the absent members, unknown
 * members are dropped and names are brought to their right case.
 * api: minor version of the request (51 for 1.51).  id gives the default Hostname. */
void runtime_config_defaults(const struct runtime *rt, json_t *config, const json_t *host_config,
                             const char *id);
void runtime_host_config_defaults(const struct runtime *rt, json_t *host_config, unsigned api);

/* Entrypoint + Cmd as one vector (strv_free): Path is the first, Args the rest; NULL if empty. */
char **runtime_argv(const json_t *config);

/* Inspect's Mounts: Type, Source, Destination, Mode, RW, Propagation, and of volumes Name and
 * Driver.  points as in struct runtime_spec.  New array. */
json_t *runtime_mounts_json(const json_t *host_config, const json_t *points);

/* The mode a namespace member of HostConfig asks for. */
enum runtime_ns_mode {
    RUNTIME_NS_PRIVATE,   /* "", private, and networks by name */
    RUNTIME_NS_HOST,      /* host */
    RUNTIME_NS_CONTAINER, /* container:X */
    RUNTIME_NS_SHAREABLE, /* ipc only */
    RUNTIME_NS_NONE,      /* none: ipc without /dev/shm, network with lo only */
    RUNTIME_NS_INVALID,
};
/* which: RUNTIME_NS_*; *ret_target (may be NULL) is X of container:X, borrowed, else NULL. */
enum runtime_ns_mode runtime_ns_mode(const json_t *host_config, enum runtime_ns which,
                                     const char **ret_target);
