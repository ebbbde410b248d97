/* What the files about starting share: the job that each start is. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "private.h"

/* What the pool job works on: values and things that no other thread changes. */
struct start_job {
    struct container *container; /* a reference; for the loop only */
    struct storage *storage;
    const struct cgroup *cgroup;
    struct fabric *fabric;
    char *cgroup_parent; /* owned */
    struct cgroup_scope scope;
    int shim_exe;
    char id[ID_LEN + 1];
    struct plan plan;
    struct health_check health;
    struct container_files files;
    char *run_dir;
    char *procview; /* owned; where lxcfs is to serve, or NULL */
    pid_t procview_pid;
    bool restores; /* from a checkpoint */
    const struct runtime *runtime;
    char *apparmor; /* owned; its profile, "": none */
    uid_t root_uid;
    int64_t size; /* limit of the root file system's size */
    char **chain; /* owned: of the image's layers, bottom first */
    enum net_mode mode;
    struct endpoint_specs specs;
    struct attach_request *attaches;

    json_t *points;           /* owned; the container's, as they are to be mounted */
    json_t *fills;            /* volumes that may want their first content, or NULL */
    char **lowers;            /* owned; with fills */
    int donors[RUNTIME_NS_N]; /* owned pidfds of whose namespaces are joined, or -EBADF */
    const char *worker;       /* borrowed from the engine's configuration */
    bool used_volatile;       /* a --rm container that has run before */
    size_t n_up;              /* of specs */
    bool wants_names;         /* a name server */
    struct dns_sockets dns;
    int control;
    pid_t shim_pid;
    struct shim_state state;
    int exit_code; /* of a start that failed: 126, 127, 128 */
    json_t *warnings;
    struct err err;
    int r;
};

/* start_plan.c, on the loop: take what the start needs (ids, addresses, ports) and plan it.  What
 * was taken before a failure is given back by endpoints_release(). */
int start_plan(struct container *c, struct start_job *j, struct err *reterr);

/* start_job.c */

/* On the pool; the result is j->r, and j->err or j->state. */
void start_job_run(void *job);
void start_job_free(struct start_job *j);
