/* The device controller of cgroup v2: a BPF program instead of files.
 *
 * The program gets struct bpf_cgroup_dev_ctx {access_type, major, minor} (linux/bpf.h) and answers
 * 1 (allowed) or 0.  Rules are those of v1's devices.allow and devices.deny written in order on
 * top of "deny all": the last rule that covers an access decides, as runc's emulator has it.
 */
#pragma once

#include <linux/bpf.h>
#include <stddef.h>

#include "cgroup.h"

#define DEVFILTER_INSNS_MAX 4096 /* BPF_MAXINSNS, the limit without CAP_BPF */

/* Writes at most DEVFILTER_INSNS_MAX instructions; returns their number, or -E2BIG. */
int devfilter_build(const struct cgroup_device *rules, size_t n,
                    struct bpf_insn ret[DEVFILTER_INSNS_MAX]);
