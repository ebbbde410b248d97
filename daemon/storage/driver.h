/* What differs between ways of keeping layers and writable root file systems.  storage.c owns
 * layers/, tmp/ and containers/<id>/; a driver owns what is inside layers/<chain id>/diff and the
 * root file system in containers/<id>/.
 *
 * There are two families.  overlay keeps of each layer what it adds, and the kernel stacks them.
 * vfs and btrfs keep each layer as the whole tree up to it, a copy or a snapshot of its parent's
 * with the layer applied; the root of a container is one more (trees.h).
 */
#pragma once

#include <jansson.h>

#include "err.h"
#include "layer_protocol.h"
#include "storage.h"

#define INIT_DIR "init"
#define LAYERS_DIR "layers"
#define CONTAINERS_DIR "containers"

struct driver {
    const char *name;       /* what info and inspect show */
    const char *aliases[3]; /* names that --storage-driver takes, NULL-terminated */

    /* Can this kernel and the file system of root_fd do it?  A user reads the message. */
    int (*probe)(int root_fd, const char *root, struct err *reterr);
    /* Rows for info's DriverStatus, [[name, value]...]; NULL: none of its own. */
    void (*status)(json_t *rows);
    /* The worker's argument that makes such layers (layer_protocol.h); NULL: none is needed. */
    const char *unpack;
    bool subvolumes; /* the worker makes the layer's directory itself */

    /* As storage_rootfs_*(); the container's directory exists. */
    int (*prepare)(struct storage *st, const struct rootfs_spec *spec, struct err *reterr);
    void (*dirs)(const struct storage *st, const struct rootfs_spec *spec, struct rootfs_dirs *ret);
    int (*usage)(struct storage *st, const char *container_id, int64_t *ret);
    /* NULL: there is nothing to tell. */
    json_t *(*graph_data)(const char *root, const char *id, const char *const *chain_ids,
                          size_t n_layers);

    /* Whole trees: make dirfd/name from the tree that parent is open on, an empty one if that is
     * negative.  size: as rootfs_spec has it. */
    int (*tree_new)(int parent, int dirfd, const char *name, int64_t size, struct err *reterr);
    /* Can the size of a root file system be limited here?  NULL: always. */
    int (*limit_probe)(int root_fd, struct err *reterr);
    /* The container is about to be removed: its limit is dropped; NULL: that needs nothing. */
    void (*limit_drop)(struct storage *st, const char *container_id);
    /* Called before dirfd/name is deleted name by name, for what can be dropped faster; NULL. */
    void (*drop)(int dirfd, const char *name);
};

extern const struct driver overlay_driver, btrfs_driver, vfs_driver;

/* The one called name; NULL or "": the one that the data root was made with, else the first that
 * works here. */
int driver_select(const char *name, int root_fd, const char *root, const struct driver **ret,
                  struct err *reterr);
/* "extfs", "xfs" ...: what Docker calls the file system of fd. */
const char *driver_backing_fs(int fd);
/* <root>/layers/<chain id>/diff; caller frees. */
char *driver_layer_path(const char *root, const char *chain_id);
