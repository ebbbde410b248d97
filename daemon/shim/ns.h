/* Namespaces of the plan: which are new, joining others', identity maps. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/* CLONE_NEW* flags for clone3(2): the mount namespace and every new one except the cgroup
 * namespace, which must not be made before the process is in its cgroups. */
uint64_t ns_clone_flags(const void *plan);
bool ns_is_new(const void *plan, uint64_t flag);

/* Join the namespaces given by path: the shim itself does, before clone(2), since the child of a
 * new user namespace would have no right to.  Its children are born there. */
int ns_join(const void *plan, struct err *reterr);

/* What an exec'd process passes to setns(2) with the pidfd of init: never a host's namespace. */
int ns_exec_flags(const void *plan);

/* Write PLAN_IDMAP for pid; the numbers must be written before the child's setresuid(2). */
int ns_write_maps(const void *plan, pid_t pid, struct err *reterr);
