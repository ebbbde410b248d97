/* Binds, Mounts and Tmpfs of HostConfig, parsed into one list. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "mem.h"

enum mount_type { MOUNT_BIND, MOUNT_TMPFS, MOUNT_VOLUME };

struct mount_spec {
    enum mount_type type;
    char *source;        /* owned; absolute path on the host; NULL: tmpfs, and a volume that has
                            no directory yet */
    char *name;          /* owned; of a volume, NULL: an anonymous one without a name yet */
    char *subpath;       /* owned; of a volume, NULL: all of it */
    char *fstype;        /* owned; of a volume that is a file system of its own, which is mounted
                            with data and flags; else NULL */
    char *device;        /* owned; of the same: what is mounted */
    char *donor;         /* owned; mount namespace where source is meant, NULL: the host's */
    char *target;        /* owned; clean absolute path in the container */
    char *data;          /* owned; tmpfs, fstype: mount data; else NULL */
    char *mode;          /* owned; the third part of a Binds entry, "" */
    unsigned long flags; /* tmpfs, volume: MS_* */
    unsigned long propagation; /* bind: MS_PRIVATE..., with MS_REC for the r-forms; 0: default */
    bool readonly;
    bool recursive;
    bool readonly_recursive;
    bool make_source; /* Binds entries make a missing source, Mounts entries do not */
    bool nocopy;      /* volume: stays empty whatever the image has there */
};

struct mount_list {
    struct mount_spec *mounts;
    size_t n;
};

#define MOUNT_VOLUME_NAME_MAX 255

/* [a-zA-Z0-9][a-zA-Z0-9_.-]+, as Docker's local driver has it. */
bool mount_volume_name_valid(const char *name);

/* Is the word one of mount(8)'s list? */
bool mount_has_option(const char *list, const char *word);

#define _cleanup_mounts_ _cleanup_(mount_list_done)

/* Parse and check all; sorted by the number of path components of the target, so that a mount
 * comes after the one it lies in.  Volumes are as asked for: their directories are the engine's to
 * know. */
int mount_list_parse(const json_t *host_config, struct mount_list *ret, struct err *reterr);
/* Put a container's mount points (runtime.h) in the place of its volumes. */
void mount_list_settle(struct mount_list *list, const json_t *points);
void mount_list_done(struct mount_list *list);
const struct mount_spec *mount_list_find(const struct mount_list *list, const char *target);
