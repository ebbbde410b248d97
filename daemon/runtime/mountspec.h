/* Binds, Mounts and Tmpfs of HostConfig, parsed into one list. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "mem.h"

enum mount_type { MOUNT_BIND, MOUNT_TMPFS };

struct mount_spec {
    enum mount_type type;
    char *source;              /* owned; bind: absolute path on the host; tmpfs: NULL */
    char *target;              /* owned; clean absolute path in the container */
    char *data;                /* owned; tmpfs: mount data; else NULL */
    char *mode;                /* owned; the third part of a Binds entry, "" */
    unsigned long flags;       /* tmpfs: MS_* */
    unsigned long propagation; /* bind: MS_PRIVATE..., with MS_REC for the r-forms; 0: default */
    bool readonly;
    bool recursive;
    bool readonly_recursive;
    bool make_source; /* Binds entries make a missing source, Mounts entries do not */
};

struct mount_list {
    struct mount_spec *mounts;
    size_t n;
};

#define _cleanup_mounts_ _cleanup_(mount_list_done)

/* Parse and check all; sorted by the number of path components of the target, so that a mount
 * comes after the one it lies in.  Volumes are ERR_NOT_IMPLEMENTED. */
int mount_list_parse(const json_t *host_config, struct mount_list *ret, struct err *reterr);
void mount_list_done(struct mount_list *list);
const struct mount_spec *mount_list_find(const struct mount_list *list, const char *target);
