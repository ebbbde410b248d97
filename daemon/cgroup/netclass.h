/* NetClassId where there is no net_cls: a program of the container's cgroup2 gives each socket that
 * is made in it the class, as mark and as priority.  A socket keeps them in whatever network
 * namespace it is; qdiscs with classes go by the priority (tc(8)), nftables and routing rules by
 * the mark. */
#pragma once

#include <linux/bpf.h>

#include "cgroup.h"

#define NETCLASS_INSNS 5

/* Is that how it is done here? */
bool netclass_by_program(const struct cgroup *cg);
void netclass_build(uint32_t class, struct bpf_insn ret[NETCLASS_INSNS]);
