/* What differs between ways of stacking layers.  storage.c owns layers/, tmp/ and the container's
 * directory; a driver owns what is inside layers/<id>/ and the writable layer in containers/<id>/.
 * Directory arguments are descriptors, so that no driver builds absolute paths on the way of `run`.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "layer_protocol.h"

#define INIT_DIR "init"
#define LAYERS_DIR "layers"

struct driver {
    const char *name;       /* what info and inspect show */
    const char *aliases[3]; /* names that --storage-driver takes, NULL-terminated */

    /* Can this kernel and the file system of root_fd do it?  A user reads the message. */
    int (*probe)(int root_fd, const char *root, struct err *reterr);
    /* Writable layer of containers_fd/<id>; the directory exists. */
    int (*prepare)(int containers_fd, const char *id, uid_t uid, gid_t gid, struct err *reterr);
    int (*remove)(int containers_fd, const char *id, struct err *reterr);
    /* Name inside the container's directory that holds what the container wrote. */
    const char *upper;
    char **(*lowers)(const char *root, const char *const *chain_ids, size_t n_layers);
    json_t *(*graph_data)(const char *root, const char *id, const char *const *chain_ids,
                          size_t n_layers);
};

extern const struct driver overlay_driver;
