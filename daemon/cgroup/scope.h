/* The cgroup driver "systemd": a container's cgroup is one below a transient scope's,
 * SLICE/PREFIX-ID.scope/container.  The scope's own cgroup is systemd's, which may write its files
 * at any time; the one below is delegated and ours alone (systemd's CGROUP_DELEGATION.md).
 *
 * A scope begins with a process and ends when it is empty, and systemd then removes all below it.
 * One that only waits holds it until the container's process is there, then the shim does, beside
 * the container: what the shim reads at the end, whether memory ran out, is there until it has. */
#pragma once

#include "cgroup.h"

#define SCOPE_CONTAINER "container"

/* Directory below a cgroup2 mount of the slice "a-b.slice": "/a.slice/a-b.slice"; caller frees.
 * -EINVAL with dockerd's text for what is no slice. */
int scope_slice_path(const char *slice, char **ret, struct err *reterr);
/* Name of a container's unit, caller frees. */
char *scope_unit(const struct cgroup *cg, const char *id);
/* Ids of the containers in the daemon's own slice. */
int scope_list(const struct cgroup *cg, char ***ret);
