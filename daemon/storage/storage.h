/* Directories of layers and containers under the data root.  No database here: what exists and who
 * refers to it is the store's business; this module owns the bytes.
 *
 *   driver                   which one made the following two (driver.h)
 *   layers/<chain id>/diff   0700 layers/ ; a read-only image layer: with overlay what it adds, in
 *                            the format of its whiteouts; with the others the whole tree up to it
 *   blobs/                   0700; layers as they came, and what is half here (blobs.h)
 *   init/                    the shared init layer: empty mount points (see storage_rootfs_dirs)
 *   volumes/<name>/_data  0700 volumes/ ; never deleted but by name
 *   containers/<id>/         0710 root:<gid of the mapped root>; upper, work, root and lower
 *                            are this module's, every other name in it is the engine's (hosts,
 *                            hostname, log ...)
 *   tmp/                     0700; private stages and trash, emptied by storage_delete_stale()
 *
 * All functions but storage_open/close may be called on any thread: the object is immutable and
 * the kernel serialises what happens to one name.  Returns are 0 or negative errno as in err.h.
 */
#pragma once

#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "mem.h"

#define CHAIN_ID_LEN 64 /* hex digits */

struct storage;

/* Make or open the directories, probe that the driver works here.  driver: "overlay2" (or
 * "overlay"), "btrfs", "vfs"; NULL or "": the one that the data root was made with, else the first
 * of them that works.  Another name is -EINVAL, another driver than what is there was made with
 * -EEXIST, with a message. */
int storage_open(const char *data_root, const char *driver, struct storage **ret,
                 struct err *reterr);
void storage_close(struct storage *st);
DEFINE_FREEP(struct storage *, storage_close)

const char *storage_driver_name(const struct storage *st); /* "overlay2": info, GraphDriver.Name */
json_t *storage_driver_status(const struct storage *st);   /* info's DriverStatus; new reference */
const char *storage_root(const struct storage *st);        /* the data root, absolute */

/* ---- stages: private directories to build something in, made permanent by one rename ---- */

struct stage {
    char *path; /* owned; NULL: none */
    int fd;     /* owned; O_PATH|O_DIRECTORY of path, -EBADF: none */
};

#define STAGE_NONE ((struct stage){.fd = -EBADF})

int storage_stage_new(struct storage *st, struct stage *ret, struct err *reterr);
/* Remove the directory with all in it (may take long: pool thread) and clear *stage. */
void storage_stage_discard(struct storage *st, struct stage *stage);
/* Only close and free; the directory is left to a later discard or storage_delete_stale(). */
void storage_stage_forget(struct stage *stage);

/* ---- layers ---- */

/* Do layers need the one below them to be finished before they are begun? */
bool storage_layers_depend(const struct storage *st);
/* Make stage/<name> for a layer, 0755 within whatever the umask.  The descriptor that the worker
 * gets (the caller closes it); *ret_tree: its argument for that (layer_protocol.h), or NULL. */
int storage_layer_begin(struct storage *st, struct stage *stage, const char *name,
                        const char **ret_tree, struct err *reterr);
/* A descriptor of what a finished layer is kept as: in stage/<name> (NULL, or renamed meanwhile:
 * not there), else in the store. */
int storage_layer_open(struct storage *st, const struct stage *stage, const char *name,
                       const char *chain_id, struct err *reterr);

/* One syncfs(2) of the data root's file system, before layers are committed (pool thread). */
int storage_sync(struct storage *st, struct err *reterr);
/* Rename stage/<name> (a directory that holds diff/) to layers/<chain_id>, atomically.  A layer
 * that is there already wins: success, and the stage's directory is left for the discard.  Several
 * may commit the same directory. */
int storage_layer_commit(struct storage *st, struct stage *stage, const char *name,
                         const char *chain_id, struct err *reterr);
/* Make the renames durable: fsync of layers/ (pool thread). */
int storage_layers_fsync(struct storage *st, struct err *reterr);
bool storage_layer_exists(struct storage *st, const char *chain_id);
/* And has it the directory of its files? */
bool storage_layer_is_whole(struct storage *st, const char *chain_id);
/* Is the layer what stage/<name>, unpacked from its blob, is: names, kinds, owners, modes, content,
 * the attributes that archives have?  1; 0 and the path of the first difference (caller frees);
 * -ENOENT: there is no such directory; -ECANCELED: *stop.  Pool thread. */
int storage_layer_compare(struct storage *st, const struct stage *stage, const char *name,
                          const char *chain_id, const atomic_bool *stop, char **ret_path,
                          struct err *reterr);
/* As storage_layer_commit(), but what is there goes into the stage. */
int storage_layer_replace(struct storage *st, struct stage *stage, const char *name,
                          const char *chain_id, struct err *reterr);
/* As storage_container_remove(). */
int storage_layer_remove(struct storage *st, const char *chain_id, char **ret_trash,
                         struct err *reterr);
/* Chain ids on disk for which known() is false, as a vector (strv_free); NULL if none. */
int storage_layer_orphans(struct storage *st, bool (*known)(void *arg, const char *chain_id),
                          void *arg, char ***ret, struct err *reterr);

/* ---- root file systems of containers ---- */

struct rootfs_spec {
    const char *container_id;
    const char *const *chain_ids; /* of the image's layers, bottom first */
    size_t n_layers;
    uid_t uid; /* host ids of the container's root; 0, 0 without a user namespace */
    gid_t gid;
    int64_t size; /* bytes that it may hold, see storage_size(); 0: as many as fit */
};

/* HostConfig.StorageOpt, {"size": "10G"} or nothing, as bytes; 0: no limit.  -EINVAL: not a size,
 * or another option, or nothing can be limited by this driver on this file system (dockerd's
 * messages).  overlay counts what the container writes; vfs and btrfs count the image with it. */
int storage_size(const struct storage *st, const json_t *options, int64_t *ret, struct err *reterr);

/* Make containers/<id> (may exist) and what the driver keeps in it.
 *
 * overlay: upper/ and work/, chowned to uid and gid, never idmapped (an idmapped upper turned the
 * overlay read-only); 3 system calls without a mapping, 6 with one.
 * btrfs, vfs: root/, a snapshot or a copy (which may take long) of the top layer; made once, and
 * owned as the image says: whoever mounts it in a user namespace maps it. */
int storage_rootfs_prepare(struct storage *st, const struct rootfs_spec *spec, struct err *reterr);

/* What to mount.  All owned. */
struct rootfs_dirs {
    char *upper, *work;
    char **lowers; /* overlay's, top first; NULL: upper is the whole root file system */
    char **base;   /* and that is a copy of these, top first */
};

/* overlay: the last of the lowers is the init layer, shared by all containers and *below* the
 * image: its entries (/.dockerenv; /etc/hosts, hostname, resolv.conf, mtab, /dev with console, pts,
 * shm; /proc; /sys) appear exactly where the image has none, and the modes, owners and symlinks of
 * the image win.  An image may still hide one (whiteout, opaque or non-directory /etc): whoever
 * mounts must make a missing mount point in the upper layer, resolving inside the root.
 *
 * The list may pass the page that mount(2) and, before Linux 6.5, fsconfig(2) allow for it;
 * use lowerdir+ or /proc/self/fd/N of O_PATH descriptors when it is long. */
void storage_rootfs_dirs(const struct storage *st, const struct rootfs_spec *spec,
                         struct rootfs_dirs *ret);
void rootfs_dirs_done(struct rootfs_dirs *dirs);

/* <data root>/containers/<id>[/<leaf>]; leaf NULL for the directory.  Caller frees. */
char *storage_container_path(const struct storage *st, const char *container_id, const char *leaf);

/* Remove containers/<id> with everything in it: one rename on the caller's time when *ret_trash is
 * wanted; delete that name later by storage_trash_remove() on a pool thread.  With ret_trash
 * NULL the deletion is done here.  Missing: 0 and *ret_trash NULL. */
int storage_container_remove(struct storage *st, const char *container_id, char **ret_trash,
                             struct err *reterr);
/* Directories of containers for which known() is false, as storage_layer_orphans(). */
int storage_container_orphans(struct storage *st, bool (*known)(void *arg, const char *id),
                              void *arg, char ***ret, struct err *reterr);
int storage_trash_remove(struct storage *st, const char *trash);
/* Delete what lay in tmp/ when the storage was opened; once, on a pool thread. */
void storage_delete_stale(struct storage *st);
/* The daemon ends: deletions under way stop where they are, and later ones do nothing. */
void storage_stop_deleting(struct storage *st);

/* Bytes in the writable layer (SizeRw): st_size of its regular files, hard links once; of a whole
 * tree, those of the files that differ from the image's. */
int storage_rootfs_usage(struct storage *st, const char *container_id, int64_t *ret,
                         struct err *reterr);

/* ---- volumes: volumes/<name>/_data, in the user's hands from then on ---- */

/* 1 made, 0 there already.  name: as mount_volume_name_valid() has it. */
int storage_volume_make(struct storage *st, const char *name, struct err *reterr);
char *storage_volume_path(const struct storage *st, const char *name); /* .../_data; caller frees */
/* As storage_container_remove(). */
int storage_volume_remove(struct storage *st, const char *name, char **ret_trash,
                          struct err *reterr);
/* Names of all directories there (strv_free), NULL if none. */
int storage_volume_names(struct storage *st, char ***ret, struct err *reterr);
/* Remove it if it holds nothing: 1; 0 if it does. */
int storage_volume_remove_empty(struct storage *st, const char *name);
bool storage_volume_exists(const struct storage *st, const char *name);
/* Bytes of its files, hard links once. */
int storage_volume_usage(struct storage *st, const char *name, int64_t *ret, struct err *reterr);
/* Fill an empty volume with what the image has at target: the worker copies from lowers (top
 * first, as storage_rootfs_dirs(), or the one root).  Waits for a fill by somebody else; one that
 * was broken off is done again.  Pool thread. */
int storage_volume_fill(struct storage *st, const char *name, const char *worker,
                        char *const *lowers, const char *target, struct err *reterr);

/* {"Name":..,"Data":{LowerDir, MergedDir, UpperDir, WorkDir}} for inspect.  container_id NULL: of
 * an image, whose top layer is then the UpperDir as dockerd shows it; Data is null but for overlay.
 * New reference. */
json_t *storage_graph_data(const struct storage *st, const char *container_id,
                           const char *const *chain_ids, size_t n_layers);
