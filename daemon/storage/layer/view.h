/* A container's files as its processes see them, or would see them, and nothing else.
 *
 * Of one that runs the mount namespace is joined and then copied: what the container mounts or
 * unmounts from then on is not seen.  For one that does not run its root is mounted in a mount
 * namespace of our own, by the plan (shim/plan.h), and the old root is let go.  Either way "/" is
 * the container's root, nothing of the host has a path, and in a user namespace of the
 * container's we are its root.
 *
 * The names below the root stay the container's to change at any moment.  All paths are resolved
 * by openat2(2) from the root's descriptor; magic links (/proc/PID/root) are refused. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct view {
    int root;          /* O_PATH descriptor of "/" */
    uint64_t root_mnt; /* its mount's id */
};

/* source: a mount namespace, or with `plan` a plan.  Without `writing` everything in it is
 * read-only.  Not undone: the process stays there. */
int view_enter(int source, bool plan, bool writing, struct view *ret, struct err *reterr);

/* ---- paths in the view; descriptors or negative errno ---- */

/* path is relative to the root whether it begins with a slash or not; its symlinks are followed. */
int view_open(const struct view *v, const char *path, uint64_t flags);
/* One name in a directory: never followed; name may not have a slash. */
int view_open_at(int dirfd, const char *name, uint64_t flags);
/* The path of a directory without symlinks; changes the working directory. */
int view_canonical(int dirfd, char ret[PATH_MAX]);
