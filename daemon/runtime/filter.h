/* Seccomp filters as the bytes that seccomp(2) takes. */
#pragma once

#include <jansson.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct filter {
    void *insns;    /* struct sock_filter[]; malloc'ed, owned */
    size_t size;    /* bytes */
    uint64_t flags; /* SECCOMP_FILTER_FLAG_* */
};

/* The default profile for a container with these capabilities: an allow list, everything else is
 * EPERM, but what is newer than the table is ENOSYS, so that C libraries fall back.
 * kernel: major << 16 | minor.  Takes some milliseconds: cache it. */
int filter_default(uint64_t caps, unsigned kernel, struct filter *ret, struct err *reterr);

/* A custom profile: JSON text in Docker's form or the OCI runtime spec's "seccomp" object. */
int filter_custom(const char *json, uint64_t caps, unsigned kernel, struct filter *ret,
                  struct err *reterr);

void filter_done(struct filter *f);

/* ---- between the files of this module ---- */

/* A list of names separated by blanks that is let through when a condition holds. */
struct filter_group {
    uint64_t caps; /* any of these capabilities; 0: always */
    unsigned min_kernel;
    const char *names;
};

extern const struct filter_group filter_groups[];
extern const size_t filter_groups_n;

/* Allowed system calls that libseccomp 2.5.4 has no names for; from 424 on numbers are the same on
 * all architectures but alpha.  Ascending. */
extern const uint16_t filter_new_calls[];
extern const size_t filter_new_calls_n;
#define FILTER_FIRST_UNKNOWN 451
/* x86-64; on i386 the number is rt_tgsigqueueinfo, which is allowed too. */
#define FILTER_URETPROBE 335

/* Native and its 32-bit and x32 companions. */
int filter_add_architectures(scmp_filter_ctx ctx);
/* Optimise, write and read back.  prologue: answer for what the library does not know. */
int filter_export(scmp_filter_ctx ctx, bool prologue, struct filter *ret, struct err *reterr);
