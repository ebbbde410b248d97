/* Mounts by descriptor: detached mounts (fsopen(2), open_tree(2)) and targets resolved inside a
 * root.  No path that a container or image controls is ever given to mount(2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "err.h"

/* O_PATH descriptor of path below root, symlinks kept inside; -errno. */
int mount_resolve(int root, const char *path, uint64_t flags);

/* O_PATH descriptor of path below dir; symlinks that lead out of dir are refused.  -errno. */
int mount_beneath(int dir, const char *path);

/* The same as mount_resolve(), made if absent: a directory, or an empty file.  Refuses what resolves to the root
 * itself: covering it would hide the image behind a mount the image chose. */
int mount_target(int root, const char *path, bool directory);

/* The directory that holds path's last component (made if absent, 0755) and that component's name
 * in name[256].  -errno. */
int mount_parent(int root, const char *path, char name[256]);

/* A new detached mount of a file system; data is mount(8)'s comma list, flags are MS_*. */
int mount_new(const char *type, const char *source, const char *data, uint64_t flags);

/* A detached clone of what is mounted at dirfd/path ("" : dirfd itself). */
int mount_clone(int dirfd, const char *path, bool recursive);

/* MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC and the access time's as MOUNT_ATTR_*. */
uint64_t mount_attr(uint64_t flags);

/* MOUNT_ATTR_* to set, propagation MS_* (0: as it is). */
int mount_set(int fd, uint64_t attr, uint64_t propagation, bool recursive);
/* Drop what a clone has from the place it was taken from: options, and the peers of its mounts. */
int mount_detach(int fd);
/* path: for errors.  -EINVAL: the kernel maps no owners on its file system (a tmpfs before Linux
 * 6.3). */
int mount_idmap(int fd, int userns, bool recursive, const char *path, struct err *reterr);

/* Attach a detached mount over what target is. */
int mount_attach(int fd, int target);

/* A detached clone of what is below a path in a detached mount.  A clone can be taken of a
 * mount that is attached (of a detached one since Linux 6.15 only), so it is for a moment, over
 * root: nothing else may run there yet.  Changes the working directory to "/". */
int mount_part(int root, int mount, const char *below);
